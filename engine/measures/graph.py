"""Numbers that describe a graph; directed ties count as undirected in all of them but the mean degree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.draws import stream_rng
from engine.network import Graph
from engine.population.columns import Column


def measure_mean_degree(graph: Graph) -> float:
    """Return the mean number of neighbours of an agent; with directed ties, of those observed."""
    if graph.complete:
        return float(graph.n - 1)
    return graph.indices.size / graph.n


def find_components(graph: Graph) -> NDArray[np.int64]:
    """Return the connected component of each agent, int64 (n,), numbered from 0 by their lowest agent id."""
    if graph.complete:
        return np.zeros(graph.n, np.int64)
    held = _undirected(graph)
    labels: NDArray[np.int64] = _label_components(held.indptr, held.indices)
    return labels


def measure_largest_component_share(graph: Graph) -> float:
    """Return the share of agents in the largest connected component, in (0, 1]."""
    return float(np.bincount(find_components(graph)).max()) / graph.n


def measure_clustering(graph: Graph) -> float:
    """Return the mean over agents of the share of their pairs of neighbours that are tied, in [0, 1].

    An agent with fewer than two neighbours counts 0.

    Source: Watts and Strogatz (1998), Nature 393, p. 441.
    """
    if graph.complete:
        return 1.0 if graph.n > 2 else 0.0
    held = _undirected(graph)
    degree = held.degree().astype(np.float64)
    pairs = degree * (degree - 1) / 2
    triangles = _count_triangles(held.indptr, held.indices)
    return float(np.divide(triangles, pairs, out=np.zeros(held.n), where=pairs > 0).mean())


def measure_degree_assortativity(graph: Graph) -> float:
    """Return the correlation of the degrees at both ends of a tie, in [-1, 1]; NaN where all ends have one degree.

    Source: Newman (2002), Physical Review Letters 89, 208701, equation 4.
    """
    if graph.complete:
        return float("nan")
    held = _undirected(graph)
    degree = held.degree().astype(np.float64)
    ends = degree.sum()
    if ends == 0:
        return float("nan")
    mean = float((degree**2).sum() / ends)
    apart = degree - mean
    variance = float((degree * apart**2).sum() / ends)
    if variance <= 1e-12 * max(mean, 1.0) ** 2:
        return float("nan")
    return float(_sum_products(held.indptr, held.indices, apart) / ends / variance)


def measure_assortativity(graph: Graph, values: NDArray[Any]) -> float:
    """Return the correlation of a number at both ends of a tie, in [-1, 1]; NaN without ties or where it is constant.

    Args:
        graph: Any graph.
        values: One number per agent, shape (n,).

    Source: Newman (2003), Physical Review E 67, 026126, equation 21.
    """
    held = np.asarray(values, np.float64)
    if graph.complete:
        return -1.0 / (graph.n - 1) if graph.n > 1 and held.min() < held.max() else float("nan")
    undirected = _undirected(graph)
    degree = undirected.degree().astype(np.float64)
    ends = degree.sum()
    if ends == 0:
        return float("nan")
    apart = held - (degree @ held) / ends
    variance = float(degree @ apart**2 / ends)
    scale = float(np.abs(held).max())
    if variance <= 1e-24 * scale**2:
        return float("nan")
    return float(_sum_products(undirected.indptr, undirected.indices, apart) / ends / variance)


def measure_ei_index(graph: Graph, groups: NDArray[Any]) -> float:
    """Return (ties across groups - ties inside) / all ties, in [-1, 1]; NaN without ties.

    Args:
        graph: Any graph.
        groups: Group of each agent, shape (n,): codes, booleans or texts.

    Source: Krackhardt and Stern (1988), Social Psychology Quarterly 51, p. 127.
    """
    group = np.unique(groups, return_inverse=True)[1]
    if graph.complete:
        return expect_ei_index(groups)
    undirected = _undirected(graph)
    ends = undirected.indices.size
    if ends == 0:
        return float("nan")
    inside = int((np.repeat(group, undirected.degree()) == group[undirected.indices]).sum())
    return 1.0 - 2.0 * inside / ends


def expect_ei_index(groups: NDArray[Any]) -> float:
    """Return the E-I index that is expected when groups are dealt out at random among the agents; NaN for one agent.

    Args:
        groups: Group of each agent, shape (n,).
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    n = sizes.sum()
    return float(1.0 - 2.0 * (sizes * (sizes - 1)).sum() / (n * (n - 1))) if n > 1 else float("nan")


def measure_homophily(graph: Graph, column: Column, values: NDArray[Any]) -> float:
    """Return how alike tied agents are in a column: `measure_ei_index` of categories, else `measure_assortativity`.

    It is what the network kind `homophily` is built to reach.

    Args:
        graph: Any graph.
        column: Type of the column; not text.
        values: Its values, shape (n,).
    """
    if column.kind in ("category", "boolean"):
        return measure_ei_index(graph, values)
    return measure_assortativity(graph, values)


def measure_mean_distance(graph: Graph, seed: int = 0, sources: int = 16) -> float:
    """Return the mean number of ties on the shortest path between agents that are connected; NaN without ties.

    Args:
        graph: Any graph.
        seed: Seed of the sample.
        sources: Random agents from whom the distances to all others are taken; all agents where there are no more.
    """
    if graph.complete:
        return 1.0 if graph.n > 1 else float("nan")
    held = _undirected(graph)
    starts = np.sort(stream_rng(seed, "measures/distance", 0).permutation(held.n)[:sources])
    total, reached = _sum_distances(held.indptr, held.indices, starts)
    return float(total / reached) if reached else float("nan")


def _undirected(graph: Graph) -> Graph:
    if not graph.directed:
        return graph
    source, target, _ = graph.edges()
    return Graph.from_edges(graph.n, source, target)


@njit(cache=True, nogil=True)
def _label_components(indptr, indices):  # type: ignore[no-untyped-def]
    n = indptr.size - 1
    labels = np.full(n, -1, np.int64)
    waiting = np.empty(n, np.int64)
    found = 0
    for start in range(n):
        if labels[start] >= 0:
            continue
        labels[start] = found
        waiting[0] = start
        size = 1
        while size > 0:
            size -= 1
            agent = waiting[size]
            for e in range(indptr[agent], indptr[agent + 1]):
                other = indices[e]
                if labels[other] < 0:
                    labels[other] = found
                    waiting[size] = other
                    size += 1
        found += 1
    return labels


@njit(cache=True, nogil=True)
def _count_triangles(indptr, indices):  # type: ignore[no-untyped-def]
    # Each tie points to the end with more ties, so that no row is long: O(m ** 1.5) even with one hub.
    n = indptr.size - 1
    ahead_ptr = np.zeros(n + 1, np.int64)
    ahead = np.empty(indices.size // 2, np.uint32)
    filled = 0
    for i in range(n):
        own = indptr[i + 1] - indptr[i]
        for e in range(indptr[i], indptr[i + 1]):
            j = np.int64(indices[e])
            others = indptr[j + 1] - indptr[j]
            if others > own or (others == own and j > i):
                ahead[filled] = j
                filled += 1
        ahead_ptr[i + 1] = filled
    triangles = np.zeros(n, np.int64)
    marked = np.full(n, -1, np.int64)
    for i in range(n):
        for e in range(ahead_ptr[i], ahead_ptr[i + 1]):
            marked[ahead[e]] = i
        for e in range(ahead_ptr[i], ahead_ptr[i + 1]):
            j = ahead[e]
            for f in range(ahead_ptr[j], ahead_ptr[j + 1]):
                third = ahead[f]
                if marked[third] == i:
                    triangles[i] += 1
                    triangles[j] += 1
                    triangles[third] += 1
    return triangles


@njit(cache=True, nogil=True)
def _sum_products(indptr, indices, values):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            total += values[i] * values[indices[e]]
    return total


@njit(cache=True, nogil=True)
def _sum_distances(indptr, indices, starts):  # type: ignore[no-untyped-def]
    n = indptr.size - 1
    distance = np.empty(n, np.int64)
    queue = np.empty(n, np.int64)
    total, reached = 0, 0
    for start in starts:
        distance[:] = -1
        distance[start] = 0
        queue[0] = start
        head, tail = 0, 1
        while head < tail:
            agent = queue[head]
            head += 1
            total += distance[agent]
            for e in range(indptr[agent], indptr[agent + 1]):
                other = indices[e]
                if distance[other] < 0:
                    distance[other] = distance[agent] + 1
                    queue[tail] = other
                    tail += 1
        reached += tail - 1
    return total, reached
