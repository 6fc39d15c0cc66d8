"""Homophily in several columns at once: random ties whose ends are swapped until every column meets its target."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.draws import keyed_uniform, stream_key, stream_rng
from engine.network.graph import IdArray
from engine.network.mixing import draw_groups
from engine.network.pair_table import find_pair, insert_pair, pair_code, pair_table, remove_pair

_TRIES_PER_TIE = 300
_CLOSE = 5e-4


def draw_alike(
    n: int, ties: int, seed: int, stream: str, columns: list[NDArray[Any]], grouped: list[bool], targets: list[float]
) -> tuple[IdArray, IdArray]:
    """Return different random ties, swapped towards every target while all agents keep their number of ties.

    Args:
        n: Number of agents.
        ties: Number of ties.
        seed: Seed of the network.
        stream: Name of the stream of random numbers.
        columns: One value per agent and column: any codes for groups, float64 for numbers.
        grouped: Whether each column holds groups (an E-I index) and no numbers (a correlation).
        targets: Index or correlation that each column is to reach.

    Source: swaps of Maslov and Sneppen (2002), Science 296, p. 910, taken where the squared distance from all targets
    falls; partners are proposed among the alike in the column that needs it.
    """
    everyone, ends = np.arange(n, dtype=np.uint32), np.array([0, n], np.int64)
    source, target = draw_groups(stream_key(seed, stream), n, everyone, ends, np.array([[ties]], np.int64))
    chance = stream_rng(seed, f"{stream}/rank", 0).random(n)  # agents of equal value are ranked by it
    held, orders, scale, wanted = [], [], [], []
    degree = np.bincount(source, minlength=n) + np.bincount(target, minlength=n)
    for values, is_group, aim in zip(columns, grouped, targets, strict=True):
        if is_group:
            column = np.unique(values, return_inverse=True)[1].astype(np.float64)
            scale.append(ties / 2)  # of the E-I index: one tie inside changes it by 2 / ties
            wanted.append(ties * (1 - aim) / 2)
        else:
            column = values.astype(np.float64)
            column = column - (degree @ column) / degree.sum()
            half = float(degree @ column**2) / 2
            scale.append(half if half > 0 else 1.0)
            wanted.append(aim * half)
        held.append(column)
        orders.append(np.lexsort((chance, column)))
    numbers = np.stack(held)
    order = np.stack(orders)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(n), order.shape), axis=1)
    slots, starts = _ends_of(n, source, target)
    limit = _TRIES_PER_TIE * ties + 200_000
    key = stream_key(seed, f"{stream}/likeness")
    swap_alike(
        key, numbers, np.array(grouped), order, rank, np.array(scale), np.array(wanted), source, target, slots, starts,
        limit,
    )  # fmt: skip
    return source, target


def _ends_of(n: int, source: IdArray, target: IdArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (ties of each agent one after another, where each agent's begin)."""
    ends = np.concatenate([source, target]).astype(np.int64)
    order = np.argsort(ends, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=n))]).astype(np.int64)
    return order % max(source.size, 1), starts


@njit(cache=True, nogil=True)
def _sum_alike(values, grouped, source, target):  # type: ignore[no-untyped-def]
    total = 0.0
    for e in range(source.size):
        a, b = values[source[e]], values[target[e]]
        total += (1.0 if a == b else 0.0) if grouped else a * b
    return total


@njit(cache=True, nogil=True)
def _distance(reached, wanted, scale):  # type: ignore[no-untyped-def]
    total = 0.0
    for c in range(reached.size):
        gap = (reached[c] - wanted[c]) / scale[c]
        total += gap * gap
    return total


@njit(cache=True, nogil=True)
def _replace_slot(slots, begin, end, old, new):  # type: ignore[no-untyped-def]
    for s in range(begin, end):
        if slots[s] == old:
            slots[s] = new
            return


@njit(cache=True, nogil=True)
def _widest_gap(reached, wanted, scale, grouped):  # type: ignore[no-untyped-def]
    """Return the column that is furthest from its target, -1 where all are close."""
    widest, chosen = 0.0, -1
    for c in range(reached.size):
        ties = abs(reached[c] - wanted[c])
        close = ties <= _CLOSE * scale[c] or (grouped[c] and ties < 1.0)
        if not close and ties / scale[c] > widest:
            widest, chosen = ties / scale[c], c
    return chosen


@njit(cache=True, nogil=True)
def _sums_after(values, grouped, reached, u, v, x, y, after):  # type: ignore[no-untyped-def]
    """Write the sums over ties that (u, x) and (v, y) in place of (u, v) and (x, y) would have."""
    for c in range(reached.size):
        a, b, g, h = values[c, u], values[c, v], values[c, x], values[c, y]
        if grouped[c]:
            after[c] = reached[c] + (a == g) + (b == h) - (a == b) - (g == h)
        else:
            after[c] = reached[c] + (a - h) * (g - b)


@njit(cache=True, nogil=True)
def swap_alike(key, values, grouped, order, rank, scale, wanted, source, target, slots, starts, limit):  # type: ignore[no-untyped-def]
    """Swap ends in place, (u, v) and (x, y) to (u, x) and (v, y), where that brings all columns nearer to the targets.

    Args:
        key: uint64 from `stream_key`.
        values: float64 (columns, n): group numbers, or numbers whose mean over ends of ties is 0.
        grouped: bool (columns,).
        order: Agents by value, int64 (columns, n).
        rank: Place of each agent in it, likewise.
        scale: float64 (columns,): change of the sum over ties that is a change by 1 of the index or correlation.
        wanted: float64 (columns,): sum over ties that the target stands for.
        source: uint32 (ties,), changed.
        target: uint32 (ties,), changed.
        slots: Ties of each agent one after another, int64 (2 ties,), changed.
        starts: Where each agent's begin, int64 (n + 1,).
        limit: Most swaps that are tried.
    """
    n_columns, n, ties = values.shape[0], values.shape[1], source.size
    table, shift = pair_table(ties)
    for e in range(ties):
        insert_pair(table, shift, pair_code(n, source[e], target[e]))
    reached = np.empty(n_columns)
    for c in range(n_columns):
        reached[c] = _sum_alike(values[c], grouped[c], source, target)
    now = _distance(reached, wanted, scale)
    change = np.empty(n_columns)
    for attempt in range(limit):
        chosen = _widest_gap(reached, wanted, scale, grouped)
        if chosen < 0:
            break
        low, high = attempt & 0xFFFFFFFF, 8 * (attempt >> 32)
        e = int(keyed_uniform(key, 0, 0, low, high) * ties)
        u, v = source[e], target[e]
        if keyed_uniform(key, 0, 0, low, high + 1) < 0.5:
            u, v = v, u
        x = int(keyed_uniform(key, 0, 0, low, high + 3) * n)
        if reached[chosen] < wanted[chosen]:  # somebody of a near rank
            reach = math.exp(keyed_uniform(key, 0, 0, low, high + 2) * math.log(max(n, 2))) * 0.5 + 1.0
            step = int(reach * (2.0 * keyed_uniform(key, 0, 0, low, high + 3) - 1.0))
            x = order[chosen, min(max(rank[chosen, u] + step, 0), n - 1)]
        own = starts[x + 1] - starts[x]
        if own == 0 or x in (u, v):
            continue
        f = slots[starts[x] + int(keyed_uniform(key, 0, 0, low, high + 4) * own)]
        y = source[f] if target[f] == x else target[f]
        if y in (u, v) or f == e:
            continue
        _sums_after(values, grouped, reached, u, v, x, y, change)
        after = _distance(change, wanted, scale)
        if after >= now:
            continue
        if find_pair(table, shift, pair_code(n, u, x)) >= 0 or find_pair(table, shift, pair_code(n, v, y)) >= 0:
            continue
        remove_pair(table, shift, pair_code(n, u, v))
        remove_pair(table, shift, pair_code(n, x, y))
        insert_pair(table, shift, pair_code(n, u, x))
        insert_pair(table, shift, pair_code(n, v, y))
        _replace_slot(slots, starts[v], starts[v + 1], e, f)
        _replace_slot(slots, starts[x], starts[x + 1], f, e)
        source[e], target[e] = u, x
        source[f], target[f] = v, y
        reached[:] = change
        now = after
