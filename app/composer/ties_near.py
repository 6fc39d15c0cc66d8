"""A part of a large network to edit by hand: chosen people or a group, and those up to two steps from them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.composer.everyone import everyone_of
from app.composer.ties_preview import Look, layer_spec, layer_table, network_seed, read_agents
from app.drafts import Draft
from app.forms import safe
from app.frames import spread_ring
from app.surveys import file_state
from engine import registry
from engine.measures.graph import find_communities
from engine.network import Graph, build_network, layout_nodes
from engine.network.editing import edit_graph
from engine.population import Population

MOST_EDITED = 100_000
"""Agents of the largest network whose ties are edited by hand."""
MOST_SHOWN = 1000
STEPS = {0: "Only them", 1: "One step", 2: "Two steps"}


def near_look(draft: Draft, prefix: str, look: Look) -> Look:
    """Draw the choice of a neighbourhood in the whole network, and return it to be shown and edited.

    Raises:
        MicrocosmError: the layer cannot be built among all people.
    """
    people = everyone_of(draft)
    graph, communities = _whole(draft, prefix, people)
    whole = dataclasses.replace(look, graph=graph, people=people, whole=True, size=people.n, communities=communities)
    groups = draft.table("population.groups")
    left, right = st.columns([3, 2])
    hub = int(np.argmax(graph.degree()))
    text = left.text_input(
        "Show the people around",
        placeholder=f"{hub}, or a condition: age > 60",
        key=f"near_text_{prefix}",
        help=f"Numbers, or a condition on the people's columns; left empty, agent {hub}, who has the most ties.",
    )
    named = right.selectbox(
        "or around a group", ["", *groups], format_func=lambda name: name or "no group", key=f"near_group_{prefix}",
        disabled=not groups, help="Groups that were named below.",
    )  # fmt: skip
    steps = st.segmented_control(
        "How far", list(STEPS), default=1, format_func=STEPS.__getitem__, key=f"near_steps_{prefix}", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    focus: list[int] | str = [int(agent) for agent in groups[named]] if named else read_agents(text or str(hub), whole)
    if isinstance(focus, str):
        st.markdown(f":red[:material/error: {safe(focus)}]")
        focus = [hub]
    if not focus:
        st.caption("Nobody is like that.")
        focus = [hub]
    ids, found = find_near(graph, np.array(focus, np.int64), int(steps or 0))
    more = f"; {found - ids.size:,} more are left out" if found > ids.size else ""
    st.caption(
        f"{ids.size:,} of {people.n:,} agents with the ties among them{more}. These are the ties of a run: edits count."
    )
    return _laid_out(whole, ids, tuple(focus), network_seed(draft))


def _whole(draft: Draft, prefix: str, people: Population) -> tuple[Graph, NDArray[np.int64]]:
    """Return the layer among all people with its ties by hand, and the communities that it has without these."""
    spec = layer_spec(layer_table(draft, prefix), people.n)
    plain = {key: value for key, value in layer_table(draft, prefix).items() if key not in ("add", "cut")}
    base = draft.path.parent
    file = file_state(base / str(plain.get("path"))) if plain.get("kind") == "file" else (0, 0)
    key = json.dumps([plain, draft.table("population"), file], default=str, sort_keys=True)
    graph, communities = _built(key, people.n, network_seed(draft), str(base), people)
    if spec.add or spec.cut:
        graph = edit_graph(graph, spec.add, spec.cut, signed=spec.signed, where=spec.name)
    return graph, communities


@st.cache_resource(max_entries=2, show_spinner="Drawing the ties of all agents")
def _built(key: str, n: int, seed: int, base: str, _people: Population) -> tuple[Graph, NDArray[np.int64]]:
    registry.discover()
    graph = build_network([layer_spec(json.loads(key)[0], n)], n, seed, Path(base), _people).layer()
    return graph, find_communities(graph, seed)


def find_near(graph: Graph, focus: NDArray[np.int64], steps: int) -> tuple[NDArray[np.int64], int]:
    """Return the agents within some steps of others, nearest first and ascending, and how many there are in all.

    Args:
        graph: The ties; an agent is near those whom it observes.
        focus: Agents to start from, int64.
        steps: Ties that may lie between; 0 for the agents alone.

    Returns:
        At most `MOST_SHOWN` agents, int64, and the number of all within reach.
    """
    reached = np.zeros(graph.n, np.bool_)
    shell = np.unique(focus)
    reached[shell] = True
    found = [shell]
    for _ in range(steps):
        if graph.complete:
            others = np.arange(graph.n) if shell.size else shell
        else:
            rows = [graph.neighbours(int(agent)) for agent in shell]
            others = np.unique(np.concatenate(rows)).astype(np.int64) if rows else shell
        shell = others[~reached[others]]
        reached[shell] = True
        found.append(shell)
    everyone = np.concatenate(found)
    return everyone[:MOST_SHOWN], int(everyone.size)


def _laid_out(whole: Look, ids: NDArray[np.int64], focus: tuple[int, ...], seed: int) -> Look:
    """Return the look of some agents and the ties among them."""
    place = np.full(whole.graph.n, -1, np.int64)
    place[ids] = np.arange(ids.size)
    if whole.graph.complete:
        part = Graph.complete_graph(ids.size)
    else:
        rows = [whole.graph.neighbours(int(agent)) for agent in ids]
        source = np.repeat(np.arange(ids.size), [row.size for row in rows])
        target = place[np.concatenate(rows).astype(np.int64)]
        kept = (target >= 0) & (source < target if not whole.graph.directed else source != target)
        part = Graph.from_edges(ids.size, source[kept], target[kept])
    shown, xy, ties = layout_nodes(part, seed, MOST_SHOWN)
    token = f"{whole.token}/{hash((ids.tobytes(), seed)):x}"
    return dataclasses.replace(
        whole, ids=ids[shown], xy=spread_ring(xy), ties=ties.astype(np.int64), token=token, focus=focus
    )
