"""Numbers that describe a graph; directed ties count as undirected in all of them but the mean degree."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.draws import keyed_uniform, stream_key, stream_rng
from engine.errors import MicrocosmError
from engine.network import Graph
from engine.population.columns import Column

_MAX_SWEEPS = 100


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


def estimate_clustering(graph: Graph, seed: int = 0, samples: int = 100_000) -> float:
    """Estimate `measure_clustering` from random pairs of neighbours; its standard error is at most 0.5 / sqrt(samples).

    Each sample draws an agent, all alike, and two of its neighbours, and asks whether they are tied.

    Args:
        graph: Any graph.
        seed: Seed of the sample.
        samples: Pairs drawn, at least 1.

    Source: Schank and Wagner (2005), Journal of Graph Algorithms and Applications 9, section 3.
    """
    if graph.complete:
        return measure_clustering(graph)
    held = _undirected(graph)
    closed: int = _sample_pairs(held.indptr, held.indices, stream_key(seed, "measures/clustering"), samples)
    return closed / samples


def find_communities(graph: Graph, seed: int = 0, *, method: str = "label_propagation") -> NDArray[np.int64]:
    """Return the community of each agent, int64 (n,), numbered from 0 by their lowest agent id.

    Args:
        graph: Any graph; weights of ties play no part.
        seed: Seed of the order in which agents change and of ties between labels.
        method: label_propagation: agents take over, one after another in random order, the commonest label among
            their neighbours until nobody changes (at most 100 rounds); nearly linear in the ties. leiden: highest
            modularity, by the package igraph.

    Raises:
        MicrocosmError: an unknown method, or igraph is missing.

    Source: Raghavan, Albert and Kumara (2007), Physical Review E 76, 036106; Traag, Waltman and van Eck (2019),
    Scientific Reports 9, 5233.
    """
    if method not in ("label_propagation", "leiden"):
        raise MicrocosmError(f"'{method}' is not a way to find communities; valid: label_propagation, leiden")
    if graph.complete:
        return np.zeros(graph.n, np.int64)
    held = _undirected(graph)
    if method == "leiden":
        return _number_by_lowest(_leiden(held, seed))
    labels = np.arange(held.n)
    key = stream_key(seed, "measures/communities")
    for sweep in range(_MAX_SWEEPS):
        order = stream_rng(seed, "measures/communities", sweep).permutation(held.n)
        if not _propagate(held.indptr, held.indices, labels, order, key, sweep):
            break
    return _number_by_lowest(labels)


def measure_modularity(graph: Graph, groups: NDArray[Any]) -> float:
    """Return the share of ties inside groups, less what random ties with the same degrees would have; NaN without ties.

    Args:
        graph: Any graph.
        groups: Group of each agent, shape (n,).

    Source: Newman (2006), PNAS 103, 8577, equation 4 in its form for any number of groups.
    """
    held = _undirected(graph)
    degree = held.degree().astype(np.float64)
    ends = degree.sum()
    if ends == 0:
        return float("nan")
    group = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    shares = np.bincount(group, weights=degree) / ends
    if graph.complete:
        sizes = np.bincount(group).astype(np.float64)
        return float((sizes * (sizes - 1)).sum() / ends - (shares**2).sum())
    return float(_count_inside(held.indptr, held.indices, group) / ends - (shares**2).sum())


def _leiden(graph: Graph, seed: int) -> NDArray[np.int64]:
    try:
        import igraph
    except ImportError:
        raise MicrocosmError(
            "communities by method leiden need the package igraph: pip install 'microcosm-studio[graphs]', or use the "
            "method label_propagation"
        ) from None
    source, target, _ = graph.edges()
    held = igraph.Graph(n=graph.n, edges=np.stack([source, target], axis=1))
    igraph.set_random_number_generator(random.Random(int(stream_key(seed, "measures/leiden"))))
    try:
        found = held.community_leiden(objective_function="modularity", n_iterations=-1)
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, np.int64)


def _number_by_lowest(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return labels numbered from 0 in the order in which agents first show them."""
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[place]


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
def _sample_pairs(indptr, indices, key, samples):  # type: ignore[no-untyped-def]
    """Return in how many of the samples an agent's two random neighbours are tied."""
    closed = 0
    for k in range(samples):
        i = int(keyed_uniform(key, 0, 0, k, 0) * (indptr.size - 1))
        own = indptr[i + 1] - indptr[i]
        if own < 2:
            continue
        first = int(keyed_uniform(key, 0, 0, k, 1) * own)
        second = int(keyed_uniform(key, 0, 0, k, 2) * (own - 1))
        second += second >= first
        a, b = indices[indptr[i] + first], indices[indptr[i] + second]
        low, high = indptr[a], indptr[a + 1]
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < b:
                low = middle + 1
            else:
                high = middle
        closed += low < indptr[a + 1] and indices[low] == b
    return closed


@njit(cache=True, nogil=True)
def _propagate(indptr, indices, labels, order, key, sweep):  # type: ignore[no-untyped-def]
    """Let each agent in turn take over the commonest label around it, in place; return how many changed.

    Among labels that are equally common, one's own stays, and else one is drawn.
    """
    seen = np.zeros(labels.size, np.int64)
    changed = 0
    for i in order:
        begin, end = indptr[i], indptr[i + 1]
        most, n_most = 0, 0
        for e in range(begin, end):
            label = labels[indices[e]]
            seen[label] += 1
            if seen[label] > most:
                most, n_most = seen[label], 1
            elif seen[label] == most:
                n_most += 1
        if most and seen[labels[i]] < most:
            chosen = int(keyed_uniform(key, sweep, 0, i, 0) * n_most)
            for e in range(begin, end):
                label = labels[indices[e]]
                if seen[label] == most:
                    if chosen == 0:
                        labels[i] = label
                        changed += 1
                        break
                    chosen -= 1
                    seen[label] = 0
        for e in range(begin, end):
            seen[labels[indices[e]]] = 0
    return changed


@njit(cache=True, nogil=True)
def _count_inside(indptr, indices, group):  # type: ignore[no-untyped-def]
    inside = 0
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            inside += group[i] == group[indices[e]]
    return inside


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
