"""How many ties run inside each group and between each two, and kernels that draw ties by likeness.

Kernels return (source, target), uint32 of equal length, with each undirected tie once; every draw is keyed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.draws import keyed_uniform
from engine.network.pair_table import find_pair, insert_pair, pair_code, pair_table, remove_pair

Matrix = NDArray[np.float64]
Counts = NDArray[np.int64]

_ROUNDS = 400
_ATTEMPTS = 400


def count_pairs(sizes: Counts) -> Counts:
    """Return how many pairs of agents there are inside each group (diagonal) and between two (above it); 0 below."""
    pairs = np.triu(np.outer(sizes, sizes), 1)
    np.fill_diagonal(pairs, sizes * (sizes - 1) // 2)
    return pairs


def share_out(sizes: Counts, ties: int, inside: int) -> Counts:
    """Return the number of ties inside each group and between each two, upper triangle (groups, groups), int64.

    Exactly `inside` ties lie inside groups. Apart from that, every agent is to have the same number of ties on average
    whatever its group, and who is tied across groups is left to chance; groups too small for their share give ties
    away to others.

    Args:
        sizes: Agents in each group, at least 1.
        ties: All ties.
        inside: Those inside groups; not more than there are pairs, and `ties - inside` likewise across.

    Source: iterative proportional fitting, Deming and Stephan (1940), Ann. Math. Stat. 11, p. 427.
    """
    pairs = count_pairs(sizes)
    room = (pairs + np.triu(pairs, 1).T).astype(np.float64)
    diagonal = np.eye(sizes.size, dtype=bool)
    ends = 2.0 * ties * sizes / sizes.sum()
    expected = room * (2.0 * ties / max(float(sizes.sum()) ** 2, 1.0))
    for _ in range(_ROUNDS):
        reached = expected.sum(axis=1) + expected.diagonal()
        scale = np.sqrt(np.divide(ends, reached, out=np.ones_like(ends), where=reached > 0))
        expected = np.minimum(expected * np.outer(scale, scale), room)
        within, across = float(expected[diagonal].sum()), float(expected[~diagonal].sum()) / 2
        expected[diagonal] *= inside / within if within > 0 else 0.0
        expected[~diagonal] *= (ties - inside) / across if across > 0 else 0.0
        expected = np.minimum(expected, room)
        if np.abs(scale - 1.0).max() < 1e-9:
            break
    counts = np.zeros_like(pairs)
    counts[diagonal] = _apportion(expected[diagonal], inside, pairs[diagonal])
    upper = np.triu_indices(sizes.size, 1)
    counts[upper] = _apportion(expected[upper], ties - inside, pairs[upper])
    return counts


def _apportion(expected: Matrix, total: int, most: Counts) -> Counts:
    """Round to whole numbers of a given sum, none above its most: largest remainders first."""
    counts: Counts = np.minimum(np.floor(expected).astype(np.int64), most)
    left = total - int(counts.sum())
    while left:
        open_ = np.flatnonzero(counts < most) if left > 0 else np.flatnonzero(counts > 0)
        gap = (expected - counts)[open_] if left > 0 else (counts - expected)[open_]
        chosen = open_[np.argsort(-gap, kind="stable")][: abs(left)]
        counts[chosen] += 1 if left > 0 else -1
        left = total - int(counts.sum())
    return counts


@njit(cache=True, nogil=True)
def draw_groups(key, n, members, starts, counts):  # type: ignore[no-untyped-def]
    """Draw that many different ties inside each group and between each two, all pairs alike.

    Args:
        key: uint64 from `stream_key`.
        n: Number of agents.
        members: Agents in order of their group, uint32 (n,).
        starts: Position of each group's first member, and n: int64 (groups + 1,).
        counts: Ties, upper triangle, int64 (groups, groups).
    """
    ties = counts.sum()
    source, target = np.empty(ties, np.uint32), np.empty(ties, np.uint32)
    table, shift = pair_table(ties)
    drawn = 0
    groups = starts.size - 1
    for g in range(groups):
        for h in range(g, groups):
            wanted = counts[g, h]
            first, second = starts[g + 1] - starts[g], starts[h + 1] - starts[h]
            room = first * (first - 1) // 2 if g == h else first * second
            block = g * groups + h
            if 2 * wanted > room:  # dense: go through all pairs and take each with its chance (selection sampling)
                passed = 0
                for i in range(first):
                    for j in range(i + 1 if g == h else 0, second):
                        u = keyed_uniform(key, 1, block, passed & 0xFFFFFFFF, passed >> 32)
                        if u * (room - passed) < wanted:
                            source[drawn], target[drawn] = members[starts[g] + i], members[starts[h] + j]
                            drawn += 1
                            wanted -= 1
                        passed += 1
                continue
            attempt = 0
            while wanted > 0:
                lane = 2 * (attempt >> 32)
                i = int(keyed_uniform(key, 0, block, attempt & 0xFFFFFFFF, lane) * first)
                j = int(keyed_uniform(key, 0, block, attempt & 0xFFFFFFFF, lane + 1) * second)
                attempt += 1
                a, b = members[starts[g] + i], members[starts[h] + j]
                if a != b and insert_pair(table, shift, pair_code(n, a, b)):
                    source[drawn], target[drawn] = a, b
                    drawn += 1
                    wanted -= 1
    return source, target


@njit(cache=True, nogil=True)
def draw_near(key, order, ties, width):  # type: ignore[no-untyped-def]
    """Draw different ties between a random agent and one whose rank is a normal step away, reflected at both ends.

    Reflection keeps the ranks of the second agents uniform, so that everyone has the same expected number of ties.

    Args:
        key: uint64 from `stream_key`.
        order: Agents by rank, uint32 (n,).
        ties: Number of ties.
        width: Standard deviation of the step, as a share of all ranks.

    Returns:
        (source, target, number of ties that found no place in 400 attempts; those are left out).
    """
    n = order.size
    source, target = np.empty(ties, np.uint32), np.empty(ties, np.uint32)
    table, shift = pair_table(ties)
    drawn = 0
    for e in range(ties):
        for attempt in range(_ATTEMPTS):
            low, high = e & 0xFFFFFFFF, e >> 32
            place = int(keyed_uniform(key, attempt, high, low, 0) * n)
            radius = math.sqrt(-2.0 * math.log1p(-keyed_uniform(key, attempt, high, low, 1)))
            step = radius * math.cos(2.0 * math.pi * keyed_uniform(key, attempt, high, low, 2))
            at = abs((place + 0.5) / n + width * step) % 2.0
            other = min(int((2.0 - at if at > 1.0 else at) * n), n - 1)
            a, b = order[place], order[other]
            if a != b and insert_pair(table, shift, pair_code(n, a, b)):
                source[drawn], target[drawn] = a, b
                drawn += 1
                break
    return source[:drawn], target[:drawn], ties - drawn


@njit(cache=True, nogil=True)
def swap_towards(key, values, source, target, wanted, tolerance, attempts):  # type: ignore[no-untyped-def]
    """Swap ends between random ties in place where that brings the sum of products over ties nearer to `wanted`.

    Degrees stay the same. Stops within `tolerance`, or after that many attempts.

    Args:
        key: uint64 from `stream_key`.
        values: float64 (n,).
        source: uint32 (k,), changed.
        target: uint32 (k,), changed.
        wanted: Sum over ties of the product of the values at both ends.
        tolerance: Largest distance from it that will do.
        attempts: Most swaps that are tried.

    Source: Xulvi-Brunet and Sokolov (2004), Physical Review E 70, 066102, with a target instead of a maximum.
    """
    n, ties = values.size, source.size
    table, shift = pair_table(ties)
    total = 0.0
    for e in range(ties):
        insert_pair(table, shift, pair_code(n, source[e], target[e]))
        total += values[source[e]] * values[target[e]]
    for attempt in range(attempts):
        if abs(total - wanted) <= tolerance:
            break
        low, high = attempt & 0xFFFFFFFF, 3 * (attempt >> 32)
        e = int(keyed_uniform(key, 0, 0, low, high) * ties)
        other = int(keyed_uniform(key, 0, 0, low, high + 1) * ties)
        u, v, x, y = source[e], target[e], source[other], target[other]
        if keyed_uniform(key, 0, 0, low, high + 2) < 0.5:
            x, y = y, x
        if u in (x, y) or v in (x, y):
            continue
        change = values[u] * values[x] + values[v] * values[y] - values[u] * values[v] - values[x] * values[y]
        if abs(total + change - wanted) >= abs(total - wanted):
            continue
        if find_pair(table, shift, pair_code(n, u, x)) >= 0 or find_pair(table, shift, pair_code(n, v, y)) >= 0:
            continue
        remove_pair(table, shift, pair_code(n, u, v))
        remove_pair(table, shift, pair_code(n, x, y))
        insert_pair(table, shift, pair_code(n, u, x))
        insert_pair(table, shift, pair_code(n, v, y))
        source[e], target[e] = u, x
        source[other], target[other] = v, y
        total += change


def correlate_ends(values: NDArray[Any], source: NDArray[np.uint32], target: NDArray[np.uint32]) -> float:
    """Return the correlation of a number at both ends of undirected ties; NaN where it does not vary.

    Source: Newman (2003), Physical Review E 67, 026126, equation 21 with both directions of each tie.
    """
    first, second = values[source], values[target]
    mean = (first.mean() + second.mean()) / 2
    first, second = first - mean, second - mean
    variance = float((first**2).sum() + (second**2).sum()) / 2
    return float((first * second).sum()) / variance if variance > 0 else math.nan
