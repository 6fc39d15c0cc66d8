"""Ties that change by rule: friends of friends meet, people look for their like, and they stop following the unlike.

Each rule is an effect, so a study says who, when and how often: `every = 1` makes it part of every step. Draws are
keyed by agent, and by both ends where a tie is cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.decision import IntArray
from engine.errors import PopulationError
from engine.interventions.effects import Effect, EffectParams, pick_layer
from engine.network import Graph

TRIES = 8  # partners that an agent tries out in one step before it stays as it is

Mask = NDArray[np.bool_]


class CloseTriads(EffectParams):
    """Friends of friends who meet."""

    p: float = Field(0.05, gt=0, le=1, description="Chance that a reached agent meets a friend of a friend.")
    layer: str | None = Field(None, description="Layer of ties; the first one by default.")


class RewireAlike(EffectParams):
    """Ties to the unlike that are given up for ties to the alike."""

    column: str = Field(description="State or persona column that makes people alike.")
    p: float = Field(0.1, gt=0, le=1, description="Chance that a reached agent gives up one tie to someone unlike.")
    within: float = Field(0.0, ge=0, description="Largest difference at which two numbers are alike.")
    layer: str | None = Field(None, description="Layer of ties; the first one by default.")


class Unfollow(EffectParams):
    """Ties to the unlike that are cut."""

    column: str = Field(description="State or persona column that makes people unlike.")
    p: float = Field(0.1, gt=0, le=1, description="Chance that a tie of a reached agent to someone unlike is cut.")
    within: float = Field(0.0, ge=0, description="Largest difference at which two numbers are alike.")
    layer: str | None = Field(None, description="Layer of ties; the first one by default.")


def _values(world: Any, name: str) -> NDArray[Any]:
    column = world.column_of(name)
    if column.kind == "text":
        raise PopulationError(f"{name} is a text column; people are alike by a number, a category or a yes/no")
    values: NDArray[Any] = world.population[name]
    return values.astype(np.float64) if column.kind in ("float", "integer") else values.astype(np.int64)


def _alike(values: NDArray[Any], one: IntArray, other: IntArray, within: float) -> Mask:
    if values.dtype.kind == "f":
        near: Mask = np.abs(values[one] - values[other]) <= within
        return near
    same: Mask = values[one] == values[other]
    return same


def _are_tied(graph: Graph, one: IntArray, other: IntArray) -> Mask:
    """Tell for each pair whether it is a stored tie; neighbours of a row are ascending, so codes are ascending too."""
    rows = np.unique(one)
    degree = np.diff(graph.indptr)[rows]
    starts = np.repeat(graph.indptr[rows] - np.concatenate([[0], np.cumsum(degree)[:-1]]), degree)
    codes = np.repeat(rows, degree) * graph.n + graph.indices[starts + np.arange(int(degree.sum()))].astype(np.int64)
    wanted = one * graph.n + other
    place = np.searchsorted(codes, wanted)
    found: Mask = (
        (place < codes.size) & (codes[np.minimum(place, max(codes.size - 1, 0))] == wanted)
        if codes.size
        else (np.zeros(one.size, np.bool_))
    )
    return found


def _neighbour(graph: Graph, agents: IntArray, u: NDArray[np.float64]) -> IntArray:
    """Return a neighbour of each agent by a uniform draw; every agent must have one."""
    degree = np.diff(graph.indptr)[agents]
    place = np.minimum((u * degree).astype(np.int64), degree - 1)
    neighbours: IntArray = graph.indices[graph.indptr[agents] + place].astype(np.int64)
    return neighbours


def _distinct(pairs: IntArray, directed: bool) -> IntArray:
    """Return pairs without repeats, in ascending order; without direction the smaller id comes first."""
    if not directed:
        pairs = np.sort(pairs, axis=1)
    return np.unique(pairs, axis=0)


def _close_triads(world: Any, agents: IntArray, do: CloseTriads) -> None:
    """Tie agents to a friend of a friend, found by a walk of two steps (Rapoport 1953; Holme and Kim 2002)."""
    layer = pick_layer(world, do.layer)
    graph, stream = world.network.layers[layer], f"close_triads:{layer}"
    meeting = agents[(world.uniform(stream, agents, lane=0) < do.p) & (graph.degree()[agents] > 0)]
    friend = _neighbour(graph, meeting, world.uniform(stream, meeting, lane=1))
    walks_on = graph.degree()[friend] > 0
    meeting, friend = meeting[walks_on], friend[walks_on]
    met = _neighbour(graph, friend, world.uniform(stream, meeting, lane=2))
    new = (met != meeting) & ~_are_tied(graph, meeting, met) & (world.left[met] < 0)
    if new.any():
        pairs = _distinct(np.stack([meeting[new], met[new]], axis=1), graph.directed)
        world.change_ties(layer, pairs, None)


def _rewire_alike(world: Any, agents: IntArray, do: RewireAlike) -> None:
    """Move one tie to someone unlike over to someone alike (after Holme and Newman 2006, Phys. Rev. E 74, 056108)."""
    layer, values = pick_layer(world, do.layer), _values(world, do.column)
    graph, stream = world.network.layers[layer], f"rewire_alike:{layer}"
    moving = agents[(world.uniform(stream, agents, lane=0) < do.p) & (graph.degree()[agents] > 0)]
    leaving = _neighbour(graph, moving, world.uniform(stream, moving, lane=1))
    unlike = ~_alike(values, moving, leaving, do.within)
    moving, leaving = moving[unlike], leaving[unlike]
    found = np.full(moving.size, -1, np.int64)
    present = world.agents
    by_value = present[np.argsort(values[present], kind="stable")]
    ordered, reach = values[by_value], do.within if values.dtype.kind == "f" else 0
    begin = np.searchsorted(ordered, values[moving] - reach, side="left")
    room = np.searchsorted(ordered, values[moving] + reach, side="right") - begin
    for attempt in range(TRIES):
        seeking = np.flatnonzero((found < 0) & (room > 0))
        if not seeking.size:
            break
        u = world.uniform(stream, moving[seeking], lane=2 + attempt)
        other = by_value[begin[seeking] + np.minimum((u * room[seeking]).astype(np.int64), room[seeking] - 1)]
        good = (other != moving[seeking]) & ~_are_tied(graph, moving[seeking], other)
        found[seeking[good]] = other[good]
    moved = found >= 0
    old = np.stack([moving[moved], leaving[moved]], axis=1)
    new = np.stack([moving[moved], found[moved]], axis=1)
    keep = _first_of_both(old, new, graph.directed)  # two agents may give up, or make, one and the same tie
    if keep.size:
        world.change_ties(layer, new[keep], old[keep])


def _first_of_both(old: IntArray, new: IntArray, directed: bool) -> IntArray:
    """Return the rows whose tie to cut and tie to make both appear there for the first time."""
    if not directed:
        old, new = np.sort(old, axis=1), np.sort(new, axis=1)
    cut_first = np.unique(old, axis=0, return_index=True)[1]
    made_first = np.unique(new, axis=0, return_index=True)[1]
    both: IntArray = np.intersect1d(cut_first, made_first)
    return both


def _unfollow(world: Any, agents: IntArray, do: Unfollow) -> None:
    """Cut ties to the unlike, each by a draw of its own (after Sasahara et al. 2021, J. Comput. Soc. Sci. 4)."""
    layer, values = pick_layer(world, do.layer), _values(world, do.column)
    graph = world.network.layers[layer]
    source, target, _ = graph.edges()
    one, other = source.astype(np.int64), target.astype(np.int64)
    reached = np.zeros(world.n_agents, np.bool_)
    reached[agents] = True
    may = reached[one] if graph.directed else reached[one] | reached[other]
    rows = np.flatnonzero(may & ~_alike(values, one, other, do.within))
    cut = rows[world.uniform(f"unfollow:{layer}", one[rows], turn=other[rows]) < do.p]
    if cut.size:
        world.change_ties(layer, None, np.stack([one[cut], other[cut]], axis=1))


TIE_RULES = (
    Effect("close_triads", CloseTriads, _close_triads, "Let friends of friends meet and tie."),
    Effect("rewire_alike", RewireAlike, _rewire_alike, "Let people give up a tie to the unlike for one to the alike."),
    Effect("unfollow", Unfollow, _unfollow, "Cut ties to the unlike."),
)
