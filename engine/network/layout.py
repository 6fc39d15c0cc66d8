"""Positions of agents for drawing: the lattice where there is one, else forces; deterministic in graph and seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse
from numba import njit
from numpy.typing import NDArray

from engine.draws import stream_rng
from engine.errors import NetworkError
from engine.network.graph import Graph, IdArray

MAX_DRAWN_TIES = 100_000
MAX_DRAWN_COMPLETE_TIES = 20_000
_BALLS = 100
_EXACT_BELOW = 1_000
_SAMPLES = 48
_ROUNDS = 250
_PUSH, _GRAVITY = 0.4, 0.12  # against a pull of 1 per tie; chosen by eye over all kinds of network

Positions = NDArray[np.float64]


def layout_nodes(
    graph: Graph, seed: int, limit: int = 20_000, groups: NDArray[np.integer[Any]] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32], IdArray]:
    """Place agents and their ties in the square [-1, 1] x [-1, 1].

    A grid keeps its rows and columns, a ring and a complete network become a circle, everything else is laid out by
    forces. Above `limit` agents a sample is drawn: a block of a grid, else neighbourhoods of random agents in which
    every stratum (group and quarter of the number of ties) has its share of the whole.

    Args:
        graph: Any graph.
        seed: Seed of sample and start.
        limit: Most agents to place, at least 1.
        groups: Group of each agent for the strata, 0 upwards, shape (n,); None for one group.

    Returns:
        (ids, xy, edges): agents ascending, int64 (k,); their positions, float32 (k, 2); ties among them as positions
        in `ids`, uint32 (e, 2), each once, at most 100,000 of them (20,000 in a complete network).

    Raises:
        NetworkError: a limit below 1.
    """
    if limit < 1:
        raise NetworkError(f"a layout of at most {limit} agents shows nothing; give a limit of 1 or more")
    ids = _sampled_ids(graph, seed, limit, groups)
    if graph.complete:
        pairs = _complete_pairs(ids.size, seed)
        return ids, _circle(ids.size), pairs
    pairs = _ties_among(graph.indptr, graph.indices, ids, graph.directed)
    if len(graph.lattice) == 2:
        xy = _grid_positions(ids, graph.lattice)
    elif len(graph.lattice) == 1:
        xy = _circle(ids.size)
    else:
        xy = _force_positions(ids.size, pairs, seed)
    return ids, xy, _thinned(pairs, MAX_DRAWN_TIES, seed)


def _sampled_ids(graph: Graph, seed: int, limit: int, groups: NDArray[np.integer[Any]] | None) -> NDArray[np.int64]:
    if graph.n <= limit:
        return np.arange(graph.n, dtype=np.int64)
    if len(graph.lattice) == 2:
        return _grid_block(graph.lattice, limit)
    order = stream_rng(seed, "layout/sample", 0).permutation(graph.n)
    strata = np.zeros(graph.n, np.int64) if groups is None else groups.astype(np.int64)
    if graph.complete:
        return np.sort(_first_of_each(strata[order], order, _quotas(strata, limit)))
    degree = graph.degree()
    strata = 4 * strata + np.searchsorted(np.quantile(degree, (0.25, 0.5, 0.75)), degree, side="left")
    quotas = _quotas(strata, limit)
    return np.sort(_neighbourhoods(graph.indptr, graph.indices, order, strata, quotas, max(limit // _BALLS, 1)))


def _quotas(strata: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return how many agents of each stratum a sample has: its share of `limit`, by largest remainders."""
    share = np.bincount(strata) * (limit / strata.size)
    quotas: NDArray[np.int64] = np.floor(share).astype(np.int64)
    largest = np.argsort(quotas - share, kind="stable")[: limit - int(quotas.sum())]
    quotas[largest] += 1
    return quotas


def _first_of_each(strata: NDArray[np.int64], order: NDArray[np.int64], quotas: NDArray[np.int64]) -> NDArray[np.int64]:
    chosen: NDArray[np.int64] = np.concatenate([order[strata == k][:quota] for k, quota in enumerate(quotas)])
    return chosen


def _grid_block(lattice: tuple[int, ...], limit: int) -> NDArray[np.int64]:
    rows, columns = lattice
    height = max(min(rows, math.isqrt(limit)), min(rows, limit // columns))
    width = min(columns, limit // height)
    top, left = (rows - height) // 2, (columns - width) // 2
    block: NDArray[np.int64] = np.arange(rows * columns).reshape(rows, columns)[top : top + height, left : left + width]
    return block.ravel()


@njit(cache=True, nogil=True)
def _neighbourhoods(indptr, indices, order, strata, quotas, ball):  # type: ignore[no-untyped-def]
    # Breadth-first from one random agent after another, at most `ball` agents each, so that ties stay visible; an agent
    # whose stratum is full is passed over.
    taken = np.zeros(indptr.size - 1, np.bool_)
    left = quotas.copy()
    ids = np.empty(quotas.sum(), np.int64)
    filled = 0
    for start in order:
        if filled == ids.size:
            break
        if taken[start] or left[strata[start]] == 0:
            continue
        end = min(filled + ball, ids.size)
        taken[start] = True
        left[strata[start]] -= 1
        ids[filled] = start
        reached, filled = filled, filled + 1
        while reached < filled and filled < end:
            agent = ids[reached]
            reached += 1
            for e in range(indptr[agent], indptr[agent + 1]):
                other = indices[e]
                if not taken[other] and filled < end and left[strata[other]] > 0:
                    taken[other] = True
                    left[strata[other]] -= 1
                    ids[filled] = other
                    filled += 1
    return ids[:filled]


@njit(cache=True, nogil=True)
def _ties_among(indptr, indices, ids, directed):  # type: ignore[no-untyped-def]
    place = np.full(indptr.size - 1, -1, np.int64)
    for k in range(ids.size):
        place[ids[k]] = k
    pairs = np.empty((0, 2), np.uint32)
    for fill in range(2):
        ties = 0
        for k in range(ids.size):
            for e in range(indptr[ids[k]], indptr[ids[k] + 1]):
                other = place[indices[e]]
                if other >= 0 and (directed or other > k):
                    if fill == 1:
                        pairs[ties, 0] = k
                        pairs[ties, 1] = other
                    ties += 1
        if fill == 0:
            pairs = np.empty((ties, 2), np.uint32)
    return pairs


def _complete_pairs(n: int, seed: int) -> IdArray:
    total = n * (n - 1) // 2
    if total <= MAX_DRAWN_COMPLETE_TIES:
        return np.stack(np.triu_indices(n, 1), axis=1).astype(np.uint32)
    rng = stream_rng(seed, "layout/complete", 0)
    first = rng.integers(0, n, 2 * MAX_DRAWN_COMPLETE_TIES)
    second = (first + rng.integers(1, n, first.size)) % n
    codes = np.unique(np.minimum(first, second) * n + np.maximum(first, second))
    kept = np.sort(rng.permutation(codes)[:MAX_DRAWN_COMPLETE_TIES])
    return np.stack([kept // n, kept % n], axis=1).astype(np.uint32)


def _thinned(pairs: IdArray, most: int, seed: int) -> IdArray:
    if len(pairs) <= most:
        return pairs
    kept = stream_rng(seed, "layout/ties", 0).permutation(len(pairs))[:most]
    return pairs[np.sort(kept)]


def _circle(n: int) -> NDArray[np.float32]:
    angle = np.pi / 2 - 2 * np.pi * np.arange(n) / max(n, 1)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def _grid_positions(ids: NDArray[np.int64], lattice: tuple[int, ...]) -> NDArray[np.float32]:
    row, column = np.divmod(ids, lattice[1])
    place = np.stack([column, -row], axis=1).astype(np.float64)
    place -= (place.max(axis=0) + place.min(axis=0)) / 2
    return (place / max(float(np.abs(place).max()), 1.0)).astype(np.float32)


def _force_positions(n: int, pairs: IdArray, seed: int) -> NDArray[np.float32]:
    rng = stream_rng(seed, "layout/forces", 0)
    order = rng.permutation(n)
    ties = order[pairs].astype(np.uint32).reshape(-1, 2)
    place = _smoothed(rng.normal(size=(n, 2)), ties, 60)
    samples = n - 1 if n <= _EXACT_BELOW else _SAMPLES
    shifts = rng.integers(1, max(n, 2), size=(_ROUNDS, samples))
    if n <= _EXACT_BELOW:
        shifts = np.broadcast_to(np.arange(1, max(n, 1)), (_ROUNDS, samples)).copy()
    _spread(place, ties, shifts)
    return _fitted(place[order])


def _smoothed(place: Positions, ties: IdArray, rounds: int) -> Positions:
    """Move agents towards the middle of their neighbours, keeping two independent directions of unit size.

    This is power iteration towards the slowest modes of a lazy random walk: groups end up apart from one another.
    """
    n = len(place)
    both = np.concatenate([ties, ties[:, ::-1]])
    adjacency = scipy.sparse.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n))
    degree = np.asarray(adjacency.sum(axis=1)).reshape(n, 1)
    for _ in range(rounds):
        place = np.where(degree > 0, 0.5 * (place + (adjacency @ place) / np.maximum(degree, 1)), place)
        place = place - place.mean(axis=0)
        overlap, size = (place[:, 0] * place[:, 1]).sum(), (place[:, 0] ** 2).sum()
        place[:, 1] -= place[:, 0] * (overlap / max(float(size), 1e-300))
        place /= np.maximum(np.sqrt((place**2).mean(axis=0)), 1e-300)
    return place


@njit(cache=True, nogil=True)
def _spread(place, ties, shifts):  # type: ignore[no-untyped-def]
    """Balance, in place, the pull of ties with the push of all others, weighed by their ties, and a weak gravity.

    Each round an agent is pushed by the agents that `shifts` places behind it in the (shuffled) order, so the push is
    an unbiased sample of the sum over all; steps shrink from round to round.

    Args:
        place: float64 (n, 2).
        ties: uint32 (e, 2).
        shifts: int64 (rounds, samples), each from 1 to n - 1.

    Source: Jacomy, Venturini, Heymann, Bastian (2014), PLoS ONE 9(6) e98679, the force law; the sampling is ours.
    """
    n = place.shape[0]
    mass = np.ones(n)
    for e in range(ties.shape[0]):
        mass[ties[e, 0]] += 1.0
        mass[ties[e, 1]] += 1.0
    rounds, samples = shifts.shape
    push = _PUSH * n / max(samples, 1) / mass.sum()
    nearest = 0.3 / n
    force = np.zeros_like(place)
    for r in range(rounds):
        step = 0.9 * (1.0 - r / rounds) + 0.02
        force[:] = 0.0
        for e in range(ties.shape[0]):
            a, b = ties[e, 0], ties[e, 1]
            for axis in range(2):
                pull = place[b, axis] - place[a, axis]
                force[a, axis] += pull
                force[b, axis] -= pull
        for i in range(n):
            x, y = place[i, 0], place[i, 1]
            push_x, push_y = 0.0, 0.0
            for s in range(samples):
                j = i + shifts[r, s]
                if j >= n:
                    j -= n
                dx, dy = x - place[j, 0], y - place[j, 1]
                weight = mass[j] / (dx * dx + dy * dy + nearest)
                push_x += dx * weight
                push_y += dy * weight
            force[i, 0] = force[i, 0] / mass[i] + push * push_x - _GRAVITY * x
            force[i, 1] = force[i, 1] / mass[i] + push * push_y - _GRAVITY * y
        for i in range(n):
            for axis in range(2):
                place[i, axis] += step * force[i, axis]


def _fitted(place: Positions) -> NDArray[np.float32]:
    """Centre and scale so that nearly all fill the square; the farthest two percent are drawn in."""
    place = place - np.quantile(place, [0.02, 0.98], axis=0).mean(axis=0)
    radius = np.hypot(place[:, 0], place[:, 1])
    most = float(np.quantile(radius, 0.98)) if radius.size else 0.0
    if most <= 0:
        return np.zeros(place.shape, np.float32)
    scaled = radius / most
    kept = np.where(scaled > 1, 0.9 + 0.1 * (1 - 1 / np.maximum(scaled, 1)), 0.9 * scaled)
    fitted: NDArray[np.float32] = (place * (kept / np.maximum(radius, 1e-12))[:, None]).astype(np.float32)
    return fitted
