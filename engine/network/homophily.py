"""Homophily: random ties that reach a stated likeness of tied agents in one column."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import registry
from engine.draws import draw_uniform, stream_key, stream_rng
from engine.errors import NetworkError
from engine.network.generators import Generator, count_random_ties
from engine.network.graph import Graph, IdArray
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


def build_homophily(
    params: Homophily, n: int, seed: int, stream: str, base: Path | None, column: Column, values: NDArray[Any]
) -> Graph:
    """Build random ties whose ends are as alike in one column as the target says.

    With categories, the number of ties inside and across groups is set exactly, so the E-I index is the target up to
    one tie. With numbers, agents are tied to others of a near rank, as near as it takes, and swaps of ends then close
    the last gap. Everyone has the same expected number of ties, as far as target and sizes of groups allow.

    Args:
        params: Parameters of `homophily`.
        n: Number of agents.
        seed: Seed of the network.
        stream: Name of the stream of random numbers.
        base: Not used.
        column: The column that `params.column` names.
        values: Its values, one per agent.

    Raises:
        NetworkError: the target cannot be reached; names what can.

    Source: E-I index, Krackhardt and Stern (1988), Social Psychology Quarterly 51, p. 127; assortativity, Newman
    (2003), Physical Review E 67, 026126.
    """
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
        "Birds of a feather: random ties whose ends are as alike in one column as you say.",
        check_column,
    ),
)
