"""Homophily: random ties that reach a stated likeness of tied agents in one column or in several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine import registry
from engine.draws import draw_uniform, stream_key, stream_rng
from engine.errors import NetworkError
from engine.network.generators import Generator, count_random_ties
from engine.network.graph import Graph, IdArray
from engine.network.likeness import draw_alike
from engine.network.mixing import correlate_ends, count_pairs, draw_groups, draw_near, share_out, swap_towards
from engine.network.parameters import Homophily
from engine.population.columns import Column

TOLERANCE = 0.02
"""Largest distance of the reached likeness from the target; a network further off is refused."""
_CLOSE = 5e-4
_TRIAL_TIES = 50_000
_HALVINGS = 18
_WIDEST = 4.0
_SWAPS_PER_TIE = 100
_MAX_GROUPS = 1000


class Agents(Protocol):
    """The columns of a population and their values."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Type of each column by name."""

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """One value per agent by name of the column."""


def check_column(params: Homophily, column: Column) -> None:
    """Refuse a column of texts, and a target that numbers cannot have.

    Raises:
        NetworkError: says what the column allows.
    """
    if column.kind == "text":
        raise NetworkError(f"'{params.column}' holds texts; homophily needs categories or numbers")
    if column.kind in ("integer", "float") and not 0 <= params.target < 1:
        raise NetworkError(
            f"target = {params.target:g}: for the numbers in '{params.column}' it is their correlation between tied "
            "agents, in [0, 1)"
        )


def check_columns(params: Homophily, columns: Mapping[str, Column]) -> None:
    """Refuse lists of columns and targets that do not match, columns that are not there, and impossible targets.

    A single `column` is checked by `check_column`.

    Raises:
        NetworkError: names the column or the list.
    """
    if not params.columns:
        return
    if len(params.targets) != len(params.columns):
        raise NetworkError(f"{len(params.targets)} targets for {len(params.columns)} columns; give one for each")
    if len(set(params.columns)) < len(params.columns):
        raise NetworkError("columns names one column twice; name each once")
    for name, target in zip(params.columns, params.targets, strict=True):
        if name not in columns:
            raise NetworkError(f"columns: {_missing(name, columns)}")
        check_column(params.model_copy(update={"column": name, "target": target}), columns[name])


def _missing(name: str, columns: Mapping[str, Column]) -> str:
    hint = registry.nearest(name, columns) if columns else "; the network needs a population with it"
    return f"'{name}' is not a column of the population{hint}"


def build_homophily(
    params: Homophily, n: int, seed: int, stream: str, base: Path | None, population: Agents | None
) -> Graph:
    """Build random ties whose ends are as alike in one column, or in several, as the targets say.

    With one column of categories, the number of ties inside and across groups is set exactly, so the E-I index is the
    target up to one tie. With numbers, agents are tied to others of a near rank, as near as it takes, and swaps of ends
    then close the last gap. With several columns random ties are swapped until all targets are met. Everyone has the
    same expected number of ties, as far as target and sizes of groups allow.

    Args:
        params: Parameters of `homophily`.
        n: Number of agents.
        seed: Seed of the network.
        stream: Name of the stream of random numbers.
        base: Not used.
        population: The agents.

    Raises:
        NetworkError: a target cannot be reached; names what can.

    Source: E-I index, Krackhardt and Stern (1988), Social Psychology Quarterly 51, p. 127; assortativity, Newman
    (2003), Physical Review E 67, 026126.
    """
    held: Mapping[str, Column] = {} if population is None else population.columns
    if params.columns and population is not None:
        return _build_several(params, n, seed, stream, base, population)
    if population is None or params.column not in held:
        raise NetworkError(_missing(params.column, held))
    check_column(params, held[params.column])
    return _build_one(params, n, seed, stream, base, held[params.column], population.values[params.column])


def _build_several(params: Homophily, n: int, seed: int, stream: str, base: Path | None, population: Agents) -> Graph:
    ties = round(count_random_ties(params, n, base))
    if not ties:
        return Graph.empty(n)
    kinds = [population.columns[name].kind in ("category", "boolean") for name in params.columns]
    values = [population.values[name] for name in params.columns]
    for name, column, is_group in zip(params.columns, values, kinds, strict=True):
        if not is_group and column.min() == column.max():
            raise NetworkError(f"all agents have {name} = {column[0]:g}, so ties cannot follow it; take another column")
    source, target = draw_alike(n, ties, seed, stream, values, kinds, list(params.targets))
    graph = Graph.from_edges(n, source, target)
    told, missed = [], False
    for name, column, is_group, wanted in zip(params.columns, values, kinds, params.targets, strict=True):
        reached = _reached(graph, column, is_group)
        missed = missed or not abs(reached - wanted) <= TOLERANCE
        told.append(f"{name} {reached:.2f} (target {wanted:g})")
    if missed:
        raise NetworkError(
            f"{ties:,} ties cannot meet all targets at once; reached: {', '.join(told)}; take targets nearer to these, "
            "more agents, or fewer columns"
        )
    return graph


def _reached(graph: Graph, values: NDArray[Any], is_group: bool) -> float:
    source, target, _ = graph.edges()
    if is_group:
        return float(1 - 2 * (values[source] == values[target]).mean())
    return correlate_ends(values.astype(np.float64), source, target)


def _build_one(
    params: Homophily, n: int, seed: int, stream: str, base: Path | None, column: Column, values: NDArray[Any]
) -> Graph:
    ties = round(count_random_ties(params, n, base))
    if not ties:
        return Graph.empty(n)
    if column.kind in ("category", "boolean"):
        source, target = _tie_groups(params, n, stream_key(seed, stream), values, ties)
    else:
        source, target = _tie_ranks(params, seed, stream, values.astype(np.float64), ties)
    return Graph.from_edges(n, source, target)


def _tie_groups(params: Homophily, n: int, key: np.uint64, values: NDArray[Any], ties: int) -> tuple[IdArray, IdArray]:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    if sizes.size > _MAX_GROUPS:
        raise NetworkError(f"'{params.column}' has {sizes.size} groups; homophily takes at most {_MAX_GROUPS}")
    pairs = count_pairs(sizes.astype(np.int64))
    room_inside = int(pairs.diagonal().sum())
    room_across = int(pairs.sum()) - room_inside
    inside = round(ties * (1 - params.target) / 2)
    if inside > room_inside or ties - inside > room_across:
        most, least = min(ties, room_inside), max(0, ties - room_across)
        raise NetworkError(
            f"{ties:,} ties among the {sizes.size} groups of '{params.column}' cannot have an E-I index of "
            f"{params.target:g}; it can lie in [{1 - 2 * most / ties:.3f}, {1 - 2 * least / ties:.3f}]; change target "
            "or mean_degree"
        )
    members = np.argsort(group, kind="stable").astype(np.uint32)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    source, target = draw_groups(key, n, members, starts, share_out(sizes.astype(np.int64), ties, inside))
    return source, target


def _tie_ranks(
    params: Homophily, seed: int, stream: str, values: NDArray[np.float64], ties: int
) -> tuple[IdArray, IdArray]:
    if values.min() == values.max():
        raise NetworkError(
            f"all agents have {params.column} = {values[0]:g}, so ties cannot follow it; choose another column"
        )
    values = values / np.abs(values).max()
    source, target = _draw_ranks(params.target, seed, stream, values, ties)
    ends = np.bincount(source, minlength=values.size) + np.bincount(target, minlength=values.size)
    centred = values - (ends @ values) / ends.sum()
    half = float(ends @ centred**2) / 2
    if half > 0:
        swaps = stream_key(seed, f"{stream}/swaps")
        limit = _SWAPS_PER_TIE * ties + 10_000
        swap_towards(swaps, centred, source, target, params.target * half, _CLOSE * half, limit)
    reached = correlate_ends(values, source, target)
    if not abs(reached - params.target) <= TOLERANCE:
        found = "no likeness" if math.isnan(reached) else f"{reached:.2f}"
        raise NetworkError(
            f"{ties:,} ties reach a correlation of {found} in '{params.column}', not {params.target:g}; take a target "
            "nearer to it, more agents, or a column without single extreme values"
        )
    return source, target


def _draw_ranks(
    wanted: float, seed: int, stream: str, values: NDArray[np.float64], ties: int
) -> tuple[IdArray, IdArray]:
    """Return different ties of agents whose correlation is near the target; any ties where most pairs are tied."""
    n = values.size
    if 4 * ties > n * (n - 1):
        first, second = np.triu_indices(n, 1)
        chosen = np.sort(stream_rng(seed, stream, 0).permutation(first.size)[:ties])
        return first[chosen].astype(np.uint32), second[chosen].astype(np.uint32)
    # Agents of equal value are ranked by chance, so that they are all alike to others.
    chance = draw_uniform(seed, f"{stream}/rank", 0, 0, np.arange(n))
    order = np.lexsort((chance, values)).astype(np.uint32)
    key = stream_key(seed, stream)
    width = _find_width(key, order, values, min(ties, _TRIAL_TIES), wanted)
    source, target, failed = draw_near(key, order, ties, width)
    while failed:  # too near for so many ties: others are further away
        width *= 1.3
        source, target, failed = draw_near(key, order, ties, width)
    return source, target


def _find_width(key: np.uint64, order: IdArray, values: NDArray[np.float64], ties: int, target: float) -> float:
    """Return the width of `draw_near` at which so many ties come nearest to the target, by halving its logarithm."""
    low, high = 0.25 / order.size, _WIDEST
    for _ in range(_HALVINGS):
        width = math.sqrt(low * high)
        source, others, failed = draw_near(key, order, ties, width)
        reached = correlate_ends(values, source, others) if source.size else math.nan
        if failed or reached > target:
            low = width
        else:
            high = width
    return high


registry.networks.register(
    "homophily",
    Generator(
        "homophily",
        Homophily,
        build_homophily,
        count_random_ties,
        "Birds of a feather: random ties whose ends are as alike as you say, in one column or several.",
        check_column,
        check_columns,
    ),
)
