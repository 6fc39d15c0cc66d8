"""Structural balance of signed ties: balanced triads, and how many ties a division into two camps would offend."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.network import Graph, Network

_SWEEPS = 200
_ROOTS = 8
_FOUND: WeakKeyDictionary[Graph, tuple[int, int, int, int]] = WeakKeyDictionary()
"""Counts of graphs that were looked at; graphs never change, so they are counted once."""

Rows = tuple[NDArray[np.int64], NDArray[Any], NDArray[np.bool_]]


def measure_balance(graph: Graph) -> float:
    """Return the share of triangles whose signs multiply to plus, in [0, 1]; NaN without triangles.

    Source: Cartwright and Harary (1956), Psychological Review 63, p. 277.
    """
    if graph.complete:
        return 1.0 if graph.n > 2 else float("nan")
    balanced, total = _count_balanced(*_signed_rows(graph))
    return float(balanced / total) if total else float("nan")


def measure_frustration(graph: Graph) -> float:
    """Return the share of ties that the best division into two camps found offends, in [0, 0.5]; NaN without ties.

    A positive tie across the camps, or a negative one inside a camp, is offended. The smallest number of them (the line
    index of balance) is hard to find; this is an upper bound by local search, 0 exactly where ties are balanced.

    Source: Harary (1959), Behavioral Science 4, p. 316; local search as in Facchetti, Iacono and Altafini (2011), PNAS
    108, p. 20953.
    """
    if graph.complete:
        return 0.0
    offended, ties = _count_offended(*_signed_rows(graph), _SWEEPS)
    return float(offended / ties) if ties else float("nan")


def triads_balanced(network: Network) -> dict[str, float]:
    """Return the share of balanced triads over all layers, with one segment a layer where there are several.

    Empty where no tie is negative, or no three are tied in one layer.
    """
    return _shares(network, 0)


def ties_frustrated(network: Network) -> dict[str, float]:
    """Return the share of offended ties over all layers, as `measure_frustration` has it; segments likewise."""
    return _shares(network, 2)


def _shares(network: Network, first: int) -> dict[str, float]:
    layers = network.layers
    if not any(graph.is_signed for graph in layers.values()):
        return {}
    counts = {name: _counts(graph)[first : first + 2] for name, graph in layers.items() if not graph.complete}
    part, whole = (sum(pair[place] for pair in counts.values()) for place in (0, 1))
    if not whole:
        return {}
    single = {name: pair[0] / pair[1] for name, pair in counts.items() if pair[1]} if len(layers) > 1 else {}
    return {"": part / whole} | single


def _counts(graph: Graph) -> tuple[int, int, int, int]:
    """Return balanced triangles, all triangles, offended ties and all ties of a graph with stored ties."""
    if graph not in _FOUND:
        rows = _signed_rows(graph)
        counted = (*_count_balanced(*rows), *_count_offended(*rows, _SWEEPS))
        _FOUND[graph] = (int(counted[0]), int(counted[1]), int(counted[2]), int(counted[3]))
    return _FOUND[graph]


def _signed_rows(graph: Graph) -> Rows:
    """Return indptr, indices and which ties are positive, undirected; of two directions the first one's sign holds."""
    if graph.directed:
        source, target, weight = graph.edges()
        order = np.lexsort((np.maximum(source, target), np.minimum(source, target)))
        ends = np.sort(np.stack([source, target], axis=1)[order], axis=1)
        kept = np.append(True, (np.diff(ends.astype(np.int64), axis=0) != 0).any(axis=1))[: len(ends)]
        held = Graph.from_edges(graph.n, ends[kept, 0], ends[kept, 1])
        signs = np.sign(weight[order][kept])
        rows = np.repeat(np.arange(held.n), np.diff(held.indptr))
        first, second = np.minimum(rows, held.indices), np.maximum(rows, held.indices)
        codes = ends[kept, 0].astype(np.int64) * held.n + ends[kept, 1]
        return held.indptr, held.indices, signs[np.searchsorted(codes, first * held.n + second)] >= 0
    if graph.weights is None:
        return graph.indptr, graph.indices, np.ones(graph.indices.size, np.bool_)
    return graph.indptr, graph.indices, graph.weights >= 0


@njit(cache=True, nogil=True)
def _count_balanced(indptr, indices, positive):  # type: ignore[no-untyped-def]
    n = indptr.size - 1
    sign = np.zeros(n, np.int64)
    balanced, total = 0, 0
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            sign[indices[e]] = 1 if positive[e] else -1
        for e in range(indptr[i], indptr[i + 1]):
            j = np.int64(indices[e])
            if j <= i:
                continue
            for f in range(indptr[j], indptr[j + 1]):
                k = indices[f]
                if k > j and sign[k] != 0:
                    total += 1
                    balanced += sign[j] * sign[k] * (1 if positive[f] else -1) > 0
        for e in range(indptr[i], indptr[i + 1]):
            sign[indices[e]] = 0
    return balanced, total


@njit(cache=True, nogil=True)
def _count_offended(indptr, indices, positive, sweeps):  # type: ignore[no-untyped-def]
    """Return the fewest offended ties found, and all ties: local search from one camp and from trees of ties."""
    n = indptr.size - 1
    camp, queue = np.ones(n, np.int8), np.empty(n, np.int64)
    least = _improve(indptr, indices, positive, camp, sweeps)
    for start in range(_ROOTS):
        if least == 0:
            break
        _spread_camps(indptr, indices, positive, camp, queue, start * n // _ROOTS)
        least = min(least, _improve(indptr, indices, positive, camp, sweeps))
    return least, indices.size // 2


@njit(cache=True, nogil=True)
def _spread_camps(indptr, indices, positive, camp, queue, first):  # type: ignore[no-untyped-def]
    n = camp.size
    camp[:] = 0
    for k in range(n):  # camps along a tree of ties: right everywhere where the ties are balanced
        root = (first + k) % n
        if camp[root] != 0:
            continue
        camp[root] = 1
        queue[0], read, filled = root, 0, 1
        while read < filled:
            i = queue[read]
            read += 1
            for e in range(indptr[i], indptr[i + 1]):
                j = np.int64(indices[e])
                if camp[j] == 0:
                    camp[j] = camp[i] if positive[e] else -camp[i]
                    queue[filled] = j
                    filled += 1


@njit(cache=True, nogil=True)
def _improve(indptr, indices, positive, camp, sweeps):  # type: ignore[no-untyped-def]
    n = camp.size
    for _ in range(sweeps):
        moved = 0
        for i in range(n):
            gain = 0
            for e in range(indptr[i], indptr[i + 1]):
                gain -= camp[i] * camp[indices[e]] * (1 if positive[e] else -1)
            if gain > 0:
                camp[i] = -camp[i]
                moved += 1
        if moved == 0:
            break
    offended = 0
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            offended += camp[i] * camp[indices[e]] * (1 if positive[e] else -1) < 0
    return offended // 2
