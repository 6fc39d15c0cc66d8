"""Ties by hand and drawn weights: what a layer of a study says beside its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from engine.draws import draw_uniform
from engine.errors import NetworkError
from engine.network.graph import Graph, edges_to_graph
from engine.spec import WeighSpec

Ties = Sequence[Sequence[float]]


def edit_graph(graph: Graph, add: Ties, cut: Ties, *, signed: bool = False, where: str = "") -> Graph:
    """Cut and then add ties by hand; what is there already, or not there, stays as it is.

    Args:
        graph: The layer as built.
        add: [agent, agent] or [agent, agent, weight] each; a weight also changes a tie that is there.
        cut: [agent, agent] each.
        signed: Whether weights may be negative.
        where: Name of the layer, for messages.

    Raises:
        NetworkError: unknown agents, a tie of an agent to itself, a negative weight.
    """
    prefix = f"layer '{where}'" if where else ""
    edited = graph
    if len(cut):
        source, target, _ = _ends(cut, graph, f"{prefix} cut", signed)
        edited = edited.with_ties(None, np.stack([source, target], axis=1))
    if len(add) and not edited.complete:
        edited = _with_added(edited, add, f"{prefix} add", signed)
    if edited is graph:
        return graph
    return replace(edited, lattice=graph.lattice, file_ids=graph.file_ids)


def _with_added(graph: Graph, add: Ties, where: str, signed: bool) -> Graph:
    source, target, weight = _ends(add, graph, where, signed)
    stated = ~np.isnan(weight)
    there = np.array([graph.has_tie(int(a), int(b)) for a, b in zip(source, target, strict=True)])
    changed = there & stated
    if changed.any():
        graph = graph.with_ties(None, np.stack([source, target], axis=1)[changed])
    new = ~there | changed
    if graph.weights is None and not stated[new].any():
        return graph.with_ties(np.stack([source, target], axis=1)[new], None)
    first, second, weights = graph.edges()
    weight = np.where(stated, weight, 1.0)
    ends = [np.concatenate([held, fresh[new]]) for held, fresh in ((first, source), (second, target))]
    together = np.concatenate([weights, weight[new].astype(np.float32)])
    return edges_to_graph(graph.n, ends[0], ends[1], together, directed=graph.directed, where=where, signed=signed)


def _ends(
    ties: Ties, graph: Graph, where: str, signed: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (sources, targets, weights or NaN) of checked ties."""
    source, target = (np.array([tie[end] for tie in ties], np.int64) for end in (0, 1))
    weight = np.array([tie[2] if len(tie) > 2 else np.nan for tie in ties], np.float64)
    edges_to_graph(
        graph.n, source, target, np.where(np.isnan(weight), 1.0, weight), directed=True, where=where, signed=signed
    )
    return source, target, weight


def weigh_graph(
    graph: Graph, spec: WeighSpec, seed: int, stream: str, *, signed: bool, values: Mapping[str, NDArray[Any]]
) -> Graph:
    """Give every tie a weight of its own, keyed by its ends, so that the weight does not depend on other ties.

    Args:
        graph: The ties; weights that they have are replaced.
        spec: Distribution of the weights.
        seed: Seed of the network.
        stream: Name of the stream of random numbers.
        signed: Whether weights may be negative.
        values: Columns of the population, for weights and signs from a column.

    Raises:
        NetworkError: a complete network too large to hold weights, a column that is not there, negative weights.
    """
    source, target, _ = graph.edges()
    one, other = source.astype(np.int64), target.astype(np.int64)
    u = np.clip(draw_uniform(seed, stream, 0, one, other, 0), 1e-300, 1 - 1e-16)
    for named in (spec.column if spec.distribution == "column" else None, spec.negative_across):
        if named is not None and named not in values:
            raise NetworkError(f"weigh: '{named}' is not a column of the population")
    if spec.distribution == "column":
        held = values[str(spec.column)].astype(np.float64)
        weight = (held[one] + held[other]) / 2
    elif spec.distribution == "uniform":
        weight = spec.low + (spec.high - spec.low) * u
    elif spec.distribution == "exponential":
        weight = -spec.mean * np.log1p(-u)
    else:
        weight = spec.mean + spec.sd * ndtri(u)
        weight = np.exp(weight) if spec.distribution == "lognormal" else weight
        if spec.distribution == "normal" and not signed:
            weight = np.maximum(weight, 0.0)
    if spec.negative_across is not None:
        camp = values[spec.negative_across]
        weight = np.where(camp[one] == camp[other], weight, -weight)
    if spec.negative:
        weight = np.where(draw_uniform(seed, stream, 0, one, other, 1) < spec.negative, -weight, weight)
    weighed = edges_to_graph(graph.n, source, target, weight, directed=graph.directed, where="weigh", signed=signed)
    return replace(weighed, lattice=graph.lattice, file_ids=graph.file_ids)
