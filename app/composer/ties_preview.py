"""One layer of a draft, built and measured at once: for a preview of the first people, or for all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.composer.people import people_of, seed_of
from app.drafts import Draft
from app.frames import spread_ring
from app.surveys import file_state
from engine import registry
from engine.errors import ExpressionError
from engine.expressions import parse_expression
from engine.layer_checks import LAYER_KEYS
from engine.loading import scenario_info
from engine.measures.balance import measure_balance, measure_frustration
from engine.measures.graph import (
    expect_ei_index,
    find_communities,
    find_components,
    measure_assortativity,
    measure_clustering,
    measure_degree_assortativity,
    measure_ei_index,
    measure_mean_distance,
    measure_modularity,
)
from engine.network import Graph, build_network, layout_nodes
from engine.population import Population
from engine.spec import LayerSpec

PREVIEW_AGENTS = 1000
"""Agents of a preview; larger networks are shown by one among so many of their people."""


@dataclass(frozen=True)
class Look:
    """One layer as it is shown.

    Attributes:
        graph: Its ties.
        people: The people who are tied, as many as the graph has agents.
        whole: Whether these are all agents of the study.
        size: Agents of the study.
        token: Tells layers apart.
        ids, xy, ties: Layout: agents, places, and pairs of positions in `ids`.
        figures: Measures by name; NaN where there is none.
        communities: Community of each agent.
        focus: Agents whose neighbourhood is shown; nobody where the picture is of everyone.
    """

    graph: Graph
    people: Population
    whole: bool
    size: int
    token: str
    ids: NDArray[np.int64]
    xy: NDArray[np.float32]
    ties: NDArray[np.int64]
    figures: dict[str, float]
    communities: NDArray[np.int64]
    focus: tuple[int, ...] = ()


def size_of(draft: Draft, people: Population) -> int:
    """Return the number of agents of a draft: what it says, all of a pack or list, or that of its scenario."""
    size = draft.get("population.size")
    if isinstance(size, int) and size > 0:
        return size
    columns = draft.table("population.columns")
    if draft.get("population.personas") or any(isinstance(column, list) for column in columns.values()):
        return people.n
    info = scenario_info(str(draft.get("scenario")))
    return int(info.defaults.get("population", {}).get("size") or people.n)


def layer_table(draft: Draft, prefix: str) -> dict[str, Any]:
    """Return the table of one layer, with the scenario's own where the draft has none."""
    held = {key: value for key, value in draft.table(prefix).items() if key != "layers" and value is not None}
    if not held:
        held = dict(scenario_info(str(draft.get("scenario"))).defaults.get("network", {}))
    return held or {"kind": "complete"}


def layer_spec(table: dict[str, Any], n: int | None = None) -> LayerSpec:
    """Return the layer of a table; with n, ties by hand of other agents than the first n are left out.

    Raises:
        ValidationError: the table is not of the right form.
    """
    beside = {key: table[key] for key in LAYER_KEYS if key in table}
    params = {key: value for key, value in table.items() if key not in LAYER_KEYS}
    spec = LayerSpec(**beside, params=params)
    if n is None:
        return spec
    kept = {key: tuple(tie for tie in getattr(spec, key) if max(tie[:2]) < n) for key in ("add", "cut")}
    return spec.model_copy(update=kept)


def look_at(draft: Draft, prefix: str) -> Look:
    """Return one layer of a draft among its first people.

    Raises:
        MicrocosmError: the settings do not hold together.
        ValidationError: they are not even of the right form.
    """
    people = people_of(draft)
    size = size_of(draft, people)
    n = min(size, people.n, PREVIEW_AGENTS) if not _needs_all(draft, prefix) else people.n
    table = layer_table(draft, prefix)
    base = draft.path.parent
    file = file_state(base / str(table.get("path"))) if table.get("kind") == "file" else (0, 0)
    key = json.dumps([table, draft.table("population"), file], default=str, sort_keys=True)
    return _look(key, n, max(size, n), network_seed(draft), str(base), people)


def _needs_all(draft: Draft, prefix: str) -> bool:
    """Tell whether a network fits all people or none: a file, or a shape with sizes of its own."""
    return layer_table(draft, prefix).get("kind") == "file"


def network_seed(draft: Draft) -> int:
    """Return the seed of the network as far as the draft has one."""
    seed = draft.get("seeds.network", draft.get("seed", 0))
    return seed if isinstance(seed, int) and seed >= 0 else seed_of(draft)


@st.cache_resource(max_entries=12, show_spinner="Drawing the network")
def _look(key: str, n: int, size: int, seed: int, base: str, _people: Population) -> Look:
    registry.discover()
    people = first_people(_people, n)
    layer = layer_spec(json.loads(key)[0], n)
    graph = build_network([layer], n, seed, Path(base), people).layer()
    ids, xy, ties = layout_nodes(graph, seed, 2000)
    communities = find_communities(graph, seed)
    shown = spread_ring(xy)
    token = f"{hash((key, n, seed)):x}"
    return Look(
        graph, people, n == size, size, token, ids, shown, ties.astype(np.int64), measured(graph, communities, seed),
        communities,
    )  # fmt: skip


def measured(graph: Graph, communities: NDArray[np.int64], seed: int) -> dict[str, float]:
    """Return the figures of a layer by name; the mean path is taken from 64 random agents to everyone."""
    parts = find_components(graph)
    degree = graph.degree()
    return {
        "ties": float(graph.n_ties),
        "mean degree": float(degree.mean()),
        "largest degree": float(degree.max()),
        "components": float(parts.max() + 1),
        "largest share": float(np.bincount(parts).max() / graph.n),
        "clustering": measure_clustering(graph),
        "path": measure_mean_distance(graph, seed, 64),
        "degree assortativity": measure_degree_assortativity(graph),
        "communities": float(communities.max() + 1),
        "modularity": measure_modularity(graph, communities),
        "balance": measure_balance(graph) if graph.is_signed else float("nan"),
        "frustration": measure_frustration(graph) if graph.is_signed else float("nan"),
    }


def likeness(look: Look, name: str) -> dict[str, float]:
    """Return how alike tied agents are in a column: the E-I index or the correlation, and what chance makes of it."""
    column, values = look.people.columns[name], look.people.values[name]
    n = look.graph.n
    if column.kind in ("category", "boolean"):
        groups = np.unique(values, return_inverse=True)[1]
        return {"reached": measure_ei_index(look.graph, values), "chance": expect_ei_index(values),
                "groups": float(groups.max() + 1)}  # fmt: skip
    return {"reached": measure_assortativity(look.graph, values), "chance": -1.0 / (n - 1) if n > 1 else float("nan")}


def read_agents(text: str, look: Look) -> list[int] | str:
    """Return the agents that a text names, by number or condition, or the sentence on what is wrong."""
    wanted = text.strip().strip(",; ")
    parts = [part.strip() for part in wanted.replace(";", ",").split(",")] if wanted else []
    if all(part.isdigit() for part in parts):
        found = sorted({int(part) for part in parts})
        strange = [agent for agent in found if agent >= look.graph.n]
        if strange:
            return f"agent {strange[0]} is not here; numbers run from 0 to {look.graph.n - 1}"
        return found
    kinds = {"float": "number", "integer": "number", "boolean": "boolean", "category": "text", "text": "text"}
    types = {name: kinds[column.kind] for name, column in look.people.columns.items()} | {"agent_id": "number"}
    labels = {name: column.labels for name, column in look.people.columns.items() if column.labels}
    try:
        condition = parse_expression(wanted, types, labels=labels)
    except ExpressionError as error:
        return str(error)
    agents = look.people.frame().filter(condition.polars)["agent_id"]
    return [int(agent) for agent in agents]


def first_people(people: Population, n: int) -> Population:
    """Return the first n people."""
    if people.n == n:
        return people
    part = Population(n)
    part.relations = people.relations
    for name, column in people.columns.items():
        part.add(name, column, people.values[name][:n])
    return part
