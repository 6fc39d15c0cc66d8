"""Compiled kernels that draw random ties; each draw is keyed by agent, so a graph depends on its key alone.

Every kernel returns (source, target), uint32 of equal length, with each undirected tie once.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.draws import keyed_uniform
from engine.network.pair_table import find_pair, insert_pair, pair_code, pair_table, remove_pair


@njit(cache=True, nogil=True)
def _doubled(values):  # type: ignore[no-untyped-def]
    longer = np.empty(2 * values.size, values.dtype)
    longer[: values.size] = values
    return longer


@njit(cache=True, nogil=True)
def draw_blocks(key, bounds, p_within, p_between, capacity):  # type: ignore[no-untyped-def]
    """Draw each possible tie by itself: with `p_within` inside a block, `p_between` across; O(n + ties).

    Gaps between ties are geometric, so the law is exact. One block is the Erdos-Renyi graph G(n, p).

    Args:
        key: uint64 from `stream_key`.
        bounds: int64 (blocks + 1,), first agent of each block and n.
        p_within: Probability of a tie inside a block.
        p_between: Probability of a tie across blocks.
        capacity: Ties to make room for at first.

    Source: Batagelj and Brandes (2005), "Efficient generation of large random networks", algorithm 1.
    """
    source, target = np.empty(capacity, np.uint32), np.empty(capacity, np.uint32)
    ties = 0
    log_within = -math.inf if p_within >= 1.0 else math.log1p(-p_within)
    log_between = -math.inf if p_between >= 1.0 else math.log1p(-p_between)
    for block in range(bounds.size - 1):
        for agent in range(bounds[block], bounds[block + 1]):
            for part in range(2):
                begin, end, log_q = bounds[block], agent, log_within
                if part == 1:
                    begin, end, log_q = 0, bounds[block], log_between
                if log_q == 0.0:
                    continue
                other = begin - 1
                lane = 0
                while True:
                    gap = math.log1p(-keyed_uniform(key, 0, part, agent, lane)) / log_q
                    lane += 1
                    if gap >= end - other - 1:
                        break
                    other += 1 + int(gap)
                    if ties == source.size:
                        source, target = _doubled(source), _doubled(target)
                    source[ties] = agent
                    target[ties] = other
                    ties += 1
    return source[:ties].copy(), target[:ties].copy()


@njit(cache=True, nogil=True)
def draw_small_world(key, n, k, p_rewire):  # type: ignore[no-untyped-def]
    """Tie each agent to the k nearest on a ring, then rewire the far end of each tie with `p_rewire`; n k / 2 ties.

    A rewired tie goes to a uniformly drawn agent that is neither itself nor tied already.

    Args:
        key: uint64 from `stream_key`.
        n: Number of agents.
        k: Even number below n.
        p_rewire: Probability per tie.

    Source: Watts and Strogatz (1998), Nature 393, p. 441.
    """
    half = k // 2
    held = np.empty((n, half), np.uint32)
    for i in range(n):
        for j in range(half):
            held[i, j] = (i + j + 1) % n
    degree = np.full(n, 2 * half)
    for j in range(half):
        for i in range(n):
            if degree[i] >= n - 1 or keyed_uniform(key, 0, j, i, 0) >= p_rewire:
                continue
            lane = 0
            other = i
            while other == i or _holds(held, i, other) or _holds(held, other, i):
                lane += 1
                other = int(keyed_uniform(key, 0, j, i, lane) * n)
            degree[held[i, j]] -= 1
            degree[other] += 1
            held[i, j] = other
    source = np.empty(n * half, np.uint32)
    for i in range(n):
        source[i * half : (i + 1) * half] = i
    return source, held.reshape(n * half)


@njit(cache=True, nogil=True)
def _holds(held, i, other):  # type: ignore[no-untyped-def]
    found = False
    for j in range(held.shape[1]):
        found = found or held[i, j] == other
    return found


@njit(cache=True, nogil=True)
def draw_preferential(key, n, m):  # type: ignore[no-untyped-def]
    """Let agents join one by one, each with m ties to different agents drawn by their degree; m (n - m) ties.

    The start is a star of m + 1 agents.

    Args:
        key: uint64 from `stream_key`.
        n: Number of agents.
        m: Ties of a newcomer, 1 to n - 1.

    Source: Barabasi and Albert (1999), Science 286, p. 511.
    """
    ends = np.empty(2 * m * (n - m), np.uint32)
    filled = 0
    for i in range(1, m + 1):
        ends[filled] = 0
        ends[filled + 1] = i
        filled += 2
    for i in range(m + 1, n):
        lane = 0
        chosen = 0
        while chosen < m:
            other = ends[int(keyed_uniform(key, 0, 0, i, lane) * filled)]
            lane += 1
            known = False
            for c in range(chosen):
                if ends[filled + 2 * c] == other:
                    known = True
                    break
            if not known:
                ends[filled + 2 * chosen] = other
                ends[filled + 2 * chosen + 1] = i
                chosen += 1
        filled += 2 * m
    source, target = ends[1::2].copy(), ends[0::2].copy()
    for first in range(m, target.size, m):  # ascending ties make rows in one pass
        for e in range(first + 1, first + m):
            held, place = target[e], e
            while place > first and target[place - 1] > held:
                target[place] = target[place - 1]
                place -= 1
            target[place] = held
    return source, target


@njit(cache=True, nogil=True)
def pair_stubs(key, degrees):  # type: ignore[no-untyped-def]
    """Pair the loose ends of all agents uniformly; self loops and duplicates are still among the pairs.

    Args:
        key: uint64 from `stream_key`.
        degrees: int64 (n,), with an even sum.

    Source: Bollobas (1980), the pairing model; Fisher-Yates shuffle.
    """
    stubs = np.empty(degrees.sum(), np.uint32)
    filled = 0
    for i in range(degrees.size):
        stubs[filled : filled + degrees[i]] = i
        filled += degrees[i]
    for last in range(stubs.size - 1, 0, -1):
        other = int(keyed_uniform(key, 0, last >> 32, last & 0xFFFFFFFF, 0) * (last + 1))
        held = stubs[last]
        stubs[last] = stubs[other]
        stubs[other] = held
    return stubs[0::2].copy(), stubs[1::2].copy()


@njit(cache=True, nogil=True)
def repair_pairs(key, n, source, target):  # type: ignore[no-untyped-def]
    """Swap ends in place until no self loop or duplicate is left; degrees stay the same.

    Args:
        key: uint64 from `stream_key`.
        n: Number of agents.
        source: uint32 (k,), changed.
        target: uint32 (k,), changed.

    Returns:
        Number of ties that could not be repaired in 100 attempts per tie; 0 in all but very dense cases.

    Source: McKay and Wormald (1990), "Uniform generation of random regular graphs of moderate degree", switchings.
    """
    table, shift = pair_table(source.size)
    good = np.zeros(source.size, np.bool_)
    for e in range(source.size):
        if source[e] != target[e]:
            good[e] = insert_pair(table, shift, pair_code(n, source[e], target[e]))
    attempts = 100 * source.size + 10_000
    attempt = 0
    left = 0
    for e in range(source.size):
        while not good[e] and attempt < attempts:
            other = int(_draw(key, attempt, 0) * source.size)
            if good[other]:
                good[e] = _swap(table, shift, n, source, target, e, other, _draw(key, attempt, 1) < 0.5, False)
            attempt += 1
        left += not good[e]
    return left


@njit(cache=True, nogil=True)
def shuffle_ties(key, n, source, target, swaps):  # type: ignore[no-untyped-def]
    """Try that many random swaps of ends in place between ties of a simple graph; degrees stay the same.

    Source: Milo et al. (2003), arXiv:cond-mat/0312028, the switching algorithm.
    """
    table, shift = pair_table(source.size)
    for e in range(source.size):
        insert_pair(table, shift, pair_code(n, source[e], target[e]))
    for attempt in range(swaps):
        e = int(_draw(key, attempt, 0) * source.size)
        other = int(_draw(key, attempt, 1) * source.size)
        if e != other:
            _swap(table, shift, n, source, target, e, other, _draw(key, attempt, 2) < 0.5, True)


@njit(cache=True, nogil=True)
def shuffle_arrows(key, n, source, target, swaps):  # type: ignore[no-untyped-def]
    """Try that many random swaps of targets in place between directed ties; in- and out-degrees stay the same.

    Source: as `shuffle_ties`.
    """
    table, shift = pair_table(source.size)
    for e in range(source.size):
        insert_pair(table, shift, np.uint64(source[e]) * np.uint64(n) + np.uint64(target[e]))
    for attempt in range(swaps):
        e = int(_draw(key, attempt, 0) * source.size)
        other = int(_draw(key, attempt, 1) * source.size)
        u, v, x, y = source[e], target[e], source[other], target[other]
        if u in (x, y) or v in (x, y):
            continue
        first = np.uint64(u) * np.uint64(n) + np.uint64(y)
        second = np.uint64(x) * np.uint64(n) + np.uint64(v)
        if find_pair(table, shift, first) >= 0 or find_pair(table, shift, second) >= 0:
            continue
        remove_pair(table, shift, np.uint64(u) * np.uint64(n) + np.uint64(v))
        remove_pair(table, shift, np.uint64(x) * np.uint64(n) + np.uint64(y))
        insert_pair(table, shift, first)
        insert_pair(table, shift, second)
        target[e], target[other] = y, v


@njit(cache=True, nogil=True)
def _draw(key, attempt, lane):  # type: ignore[no-untyped-def]
    return keyed_uniform(key, 0, attempt >> 32, attempt & 0xFFFFFFFF, lane)


@njit(cache=True, nogil=True)
def _swap(table, shift, n, source, target, e, other, crossed, e_held):  # type: ignore[no-untyped-def]
    u, v = source[e], target[e]
    x, y = source[other], target[other]
    if crossed:
        x, y = y, x
    if u == x or v == y:
        return False
    first, second = pair_code(n, u, x), pair_code(n, v, y)
    if first == second or find_pair(table, shift, first) >= 0 or find_pair(table, shift, second) >= 0:
        return False
    remove_pair(table, shift, pair_code(n, x, y))
    if e_held:
        remove_pair(table, shift, pair_code(n, u, v))
    insert_pair(table, shift, first)
    insert_pair(table, shift, second)
    source[e], target[e] = u, x
    source[other], target[other] = v, y
    return True
