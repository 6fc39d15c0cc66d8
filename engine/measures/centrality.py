"""Where an agent stands in a network: centralities, cores and local clustering, one number per agent.

Weights play no part but in the strength, and ties count without direction but in PageRank.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.draws import stream_rng
from engine.network import Graph

EXACT_BELOW = 2_000
PIVOTS = 256
_DAMPING = 0.85
_ROUNDS = 1_000

Numbers = NDArray[np.float64]


def undirected(graph: Graph) -> Graph:
    """Return a graph whose ties have no direction and no weights."""
    if not graph.directed:
        return graph
    source, target, _ = graph.edges()
    return Graph.from_edges(graph.n, source, target)


def measure_strength(graph: Graph) -> Numbers:
    """Return the sum of the weights of each agent's ties; the number of ties where there are no weights."""
    if graph.weights is None:
        return graph.degree().astype(np.float64)
    rows = np.repeat(np.arange(graph.n), np.diff(graph.indptr))
    return np.bincount(rows, weights=graph.weights.astype(np.float64), minlength=graph.n).astype(np.float64)


def measure_betweenness(graph: Graph, seed: int = 0, pivots: int | None = None) -> Numbers:
    """Return the share of shortest paths between pairs of others that lead past each agent, float64 (n,) in [0, 1].

    Args:
        graph: Any graph.
        seed: Seed of the sample.
        pivots: Random agents from whom paths are followed, scaled up to all; None for everyone below 2,000 agents and
            256 above.

    Source: Brandes (2001), Journal of Mathematical Sociology 25, p. 163; sampled by pivots as in Brandes and Pich
    (2007), International Journal of Bifurcation and Chaos 17, p. 2303.
    """
    return _paths(graph, seed, pivots)[0]


def measure_closeness(graph: Graph, seed: int = 0, pivots: int | None = None) -> Numbers:
    """Return the inverse of the mean distance to those who can be reached, times their share of the others.

    Arguments as for `measure_betweenness`; from pivots it is an estimate.

    Source: Wasserman and Faust (1994), Social Network Analysis, equation 5.22 and p. 201; Eppstein and Wang (2004),
    Journal of Graph Algorithms and Applications 8, p. 39.
    """
    return _paths(graph, seed, pivots)[1]


def _paths(graph: Graph, seed: int, pivots: int | None) -> tuple[Numbers, Numbers]:
    n = graph.n
    if graph.complete:
        return np.zeros(n), np.full(n, 1.0 if n > 1 else 0.0)
    held = undirected(graph)
    if pivots is None:
        pivots = n if n <= EXACT_BELOW else PIVOTS
    starts = np.sort(stream_rng(seed, "measures/pivots", 0).permutation(n)[:pivots]).astype(np.int64)
    between, distance, reached = _follow_paths(held.indptr, held.indices, starts)
    pairs = max((n - 1) * (n - 2), 1)
    others = np.full(n, starts.size, np.float64)
    others[starts] -= 1  # a pivot's distance to itself says nothing
    mean = np.divide(distance, reached, out=np.zeros(n), where=reached > 0)
    share = np.divide(reached, others, out=np.zeros(n), where=others > 0)
    closeness = np.divide(share, mean, out=np.zeros(n), where=mean > 0)
    return np.minimum(between * (n / max(starts.size, 1)) / pairs, 1.0), np.minimum(closeness, 1.0)


@njit(cache=True, nogil=True)
def _follow_paths(indptr, indices, starts):  # type: ignore[no-untyped-def]
    """Return (dependencies, sums of distances, numbers of starts that reach) of each agent, float64 (n,) each."""
    n = indptr.size - 1
    between, far, reached = np.zeros(n), np.zeros(n), np.zeros(n)
    distance, paths = np.empty(n, np.int64), np.empty(n)
    owed, queue = np.empty(n), np.empty(n, np.int64)
    for start in starts:
        distance[:] = -1
        paths[:] = 0.0
        owed[:] = 0.0
        distance[start], paths[start], queue[0] = 0, 1.0, start
        head, tail = 0, 1
        while head < tail:
            agent = queue[head]
            head += 1
            for e in range(indptr[agent], indptr[agent + 1]):
                other = indices[e]
                if distance[other] < 0:
                    distance[other] = distance[agent] + 1
                    queue[tail] = other
                    tail += 1
                if distance[other] == distance[agent] + 1:
                    paths[other] += paths[agent]
        for k in range(tail - 1, 0, -1):
            agent = queue[k]
            far[agent] += distance[agent]
            reached[agent] += 1
            for e in range(indptr[agent], indptr[agent + 1]):
                other = indices[e]
                if distance[other] == distance[agent] - 1:
                    owed[other] += paths[other] / paths[agent] * (1.0 + owed[agent])
            between[agent] += owed[agent]
    return between, far, reached


def measure_eigenvector(graph: Graph) -> Numbers:
    """Return the leading eigenvector of the ties, scaled so that the largest entry is 1; zeros without ties.

    Source: Bonacich (1972), Journal of Mathematical Sociology 2, p. 113; by power iteration on A + I.
    """
    if graph.complete:
        return np.ones(graph.n)
    held = undirected(graph)
    if not held.indices.size:
        return np.zeros(graph.n)
    found: Numbers = _lead(held.indptr, held.indices, _ROUNDS)
    return found


@njit(cache=True, nogil=True)
def _lead(indptr, indices, rounds):  # type: ignore[no-untyped-def]
    n = indptr.size - 1
    now = np.ones(n)
    new = np.empty(n)
    for _ in range(rounds):
        largest = 0.0
        for i in range(n):
            total = now[i]
            for e in range(indptr[i], indptr[i + 1]):
                total += now[indices[e]]
            new[i] = total
            largest = max(largest, total)
        moved = 0.0
        for i in range(n):
            new[i] /= largest
            moved = max(moved, abs(new[i] - now[i]))
            now[i] = new[i]
        if moved < 1e-10:
            break
    for i in range(n):
        if now[i] < 1e-9:
            now[i] = 0.0
    return now


def measure_pagerank(graph: Graph) -> Numbers:
    """Return the share of time that a random walk spends with each agent; every seventh step or so jumps anywhere.

    The walk goes from who observes to who is observed.

    Source: Brin and Page (1998), Computer Networks 30, p. 107, with damping 0.85.
    """
    if graph.complete:
        return np.full(graph.n, 1.0 / graph.n)
    found: Numbers = _walk(graph.indptr, graph.indices, _DAMPING, _ROUNDS)
    return found


@njit(cache=True, nogil=True)
def _walk(indptr, indices, damping, rounds):  # type: ignore[no-untyped-def]
    n = indptr.size - 1
    now, new = np.full(n, 1.0 / n), np.empty(n)
    for _ in range(rounds):
        lost = 0.0
        new[:] = 0.0
        for i in range(n):
            own = indptr[i + 1] - indptr[i]
            if own == 0:
                lost += now[i]
                continue
            part = now[i] / own
            for e in range(indptr[i], indptr[i + 1]):
                new[indices[e]] += part
        moved = 0.0
        for i in range(n):
            value = damping * (new[i] + lost / n) + (1.0 - damping) / n
            moved += abs(value - now[i])
            now[i] = value
        if moved < 1e-12:
            break
    return now


def find_cores(graph: Graph) -> NDArray[np.int64]:
    """Return the largest k of each agent for which it belongs to a group in which all have k ties, int64 (n,).

    Source: Batagelj and Zaversnik (2003), arXiv:cs/0310049.
    """
    if graph.complete:
        return np.full(graph.n, graph.n - 1, np.int64)
    held = undirected(graph)
    found: NDArray[np.int64] = _peel(held.indptr, held.indices)
    return found


@njit(cache=True, nogil=True)
def _peel(indptr, indices):  # type: ignore[no-untyped-def]
    n = indptr.size - 1
    degree = indptr[1:] - indptr[:-1]
    most = degree.max()
    begins = np.zeros(most + 2, np.int64)
    for i in range(n):
        begins[degree[i] + 1] += 1
    begins = np.cumsum(begins)
    order, place, filled = np.empty(n, np.int64), np.empty(n, np.int64), begins.copy()
    for i in range(n):
        place[i] = filled[degree[i]]
        order[place[i]] = i
        filled[degree[i]] += 1
    for k in range(n):
        agent = order[k]
        for e in range(indptr[agent], indptr[agent + 1]):
            other = np.int64(indices[e])
            if degree[other] > degree[agent]:  # move it to the front of its degree, then one degree down
                front = begins[degree[other]]
                swapped = order[front]
                order[front], order[place[other]] = other, swapped
                place[swapped], place[other] = place[other], front
                begins[degree[other]] += 1
                degree[other] -= 1
    return degree


def local_clustering(graph: Graph) -> Numbers:
    """Return the share of each agent's pairs of neighbours that are tied; 0 with fewer than two neighbours.

    Source: Watts and Strogatz (1998), Nature 393, p. 441.
    """
    if graph.complete:
        return np.full(graph.n, 1.0 if graph.n > 2 else 0.0)
    held = undirected(graph)
    found: Numbers = _close(held.indptr, held.indices)
    return found


@njit(cache=True, nogil=True)
def _close(indptr, indices):  # type: ignore[no-untyped-def]
    n = indptr.size - 1
    tied = np.zeros(n, np.bool_)
    share = np.zeros(n)
    for i in range(n):
        own = indptr[i + 1] - indptr[i]
        if own < 2:
            continue
        for e in range(indptr[i], indptr[i + 1]):
            tied[indices[e]] = True
        closed = 0
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            for f in range(indptr[j], indptr[j + 1]):
                closed += tied[indices[f]]
        for e in range(indptr[i], indptr[i + 1]):
            tied[indices[e]] = False
        share[i] = closed / (own * (own - 1))
    return share
