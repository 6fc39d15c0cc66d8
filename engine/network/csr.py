"""Compiled kernels that build and change rows of neighbours (CSR); single-threaded, so results never vary.

Arrays: `indptr` int64 (n + 1,), `indices` uint32 (m,), `weights` float32 (m,) or (0,) where a graph has none.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def look_over(n, source, target):  # type: ignore[no-untyped-def]
    """Return (valid, ordered) of uint32 ties.

    Valid: all ends are below n and no tie is a loop. Ordered: each tie leads to a lower id, and they ascend by source,
    then target, without duplicates.
    """
    valid = ordered = True
    for e in range(source.size):
        s, t = source[e], target[e]
        valid &= (s < n) & (t < n) & (s != t)
        if t > s or (e > 0 and (s < source[e - 1] or (s == source[e - 1] and t <= target[e - 1]))):
            ordered = False
    return valid, ordered


@njit(cache=True, nogil=True)
def build_ordered_rows(n, source, target):  # type: ignore[no-untyped-def]
    """Return (indptr, indices) of undirected ties that `look_over` calls ordered: one pass, no second copy."""
    indptr = np.zeros(n + 1, np.int64)
    for e in range(source.size):
        indptr[source[e] + 1] += 1
        indptr[target[e] + 1] += 1
    for i in range(n):
        indptr[i + 1] += indptr[i]
    place = indptr[:-1].copy()
    indices = np.empty(2 * source.size, np.uint32)
    for e in range(source.size):
        s, t = source[e], target[e]
        indices[place[s]] = t
        place[s] += 1
        indices[place[t]] = s
        place[t] += 1
    return indptr, indices


@njit(cache=True, nogil=True)
def build_rows(n, source, target, weights, mirror):  # type: ignore[no-untyped-def]
    """Return (indptr, indices, weights) with ascending rows from ties in any order; duplicates stay.

    Two counting sorts, first by target and then by source, order the rows in O(n + m) without comparisons.

    Args:
        n: Number of agents.
        source: uint32 (k,), all below n.
        target: uint32 (k,), all below n.
        weights: float32 (k,) or (0,).
        mirror: Whether each tie is stored in both directions.
    """
    weighted = weights.size > 0
    m = source.size * (2 if mirror else 1)
    back = np.zeros(n + 1, np.int64)
    for e in range(source.size):
        back[target[e] + 1] += 1
        if mirror:
            back[source[e] + 1] += 1
    for i in range(n):
        back[i + 1] += back[i]
    place = back[:-1].copy()
    rows = np.empty(m, np.uint32)
    row_weights = np.empty(m if weighted else 0, np.float32)
    for e in range(source.size):
        s, t = source[e], target[e]
        rows[place[t]] = s
        if weighted:
            row_weights[place[t]] = weights[e]
        place[t] += 1
        if mirror:
            rows[place[s]] = t
            if weighted:
                row_weights[place[s]] = weights[e]
            place[s] += 1
    return _transpose(n, back, rows, row_weights)


@njit(cache=True, nogil=True)
def _transpose(n, indptr, indices, weights):  # type: ignore[no-untyped-def]
    weighted = weights.size > 0
    out_ptr = np.zeros(n + 1, np.int64)
    for e in range(indices.size):
        out_ptr[indices[e] + 1] += 1
    for i in range(n):
        out_ptr[i + 1] += out_ptr[i]
    place = out_ptr[:-1].copy()
    out = np.empty(indices.size, np.uint32)
    out_weights = np.empty(weights.size, np.float32)
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            out[place[j]] = i
            if weighted:
                out_weights[place[j]] = weights[e]
            place[j] += 1
    return out_ptr, out, out_weights


@njit(cache=True, nogil=True)
def drop_duplicates(indptr, indices, weights):  # type: ignore[no-untyped-def]
    """Compact ascending rows in place so that each neighbour appears once.

    Returns:
        (stored, source, target): ties left, and the first pair that appears with two different weights, or -1, -1.
    """
    weighted = weights.size > 0
    kept = 0
    begin = indptr[0]
    for i in range(indptr.size - 1):
        end = indptr[i + 1]
        row = kept
        for e in range(begin, end):
            if kept > row and indices[kept - 1] == indices[e]:
                if weighted and weights[kept - 1] != weights[e]:
                    return kept, i, np.int64(indices[e])
                continue
            indices[kept] = indices[e]
            if weighted:
                weights[kept] = weights[e]
            kept += 1
        begin = end
        indptr[i + 1] = kept
    return kept, -1, -1


@njit(cache=True, nogil=True)
def merge_rows(indptr, indices, weights, add_ptr, add, cut_ptr, cut, weight):  # type: ignore[no-untyped-def]
    """Return new (indptr, indices, weights): rows without the ties of `cut` and with those of `add`.

    All three sets of rows ascend without duplicates. A tie that is both cut and added stays, with the new weight.
    """
    n = indptr.size - 1
    weighted = weights.size > 0
    out_ptr = np.zeros(n + 1, np.int64)
    out = np.empty(indices.size + add.size, np.uint32)
    out_weights = np.empty(out.size if weighted else 0, np.float32)
    kept = 0
    copied = 0  # rows before this one are done
    for i in range(n):
        if add_ptr[i + 1] == add_ptr[i] and cut_ptr[i + 1] == cut_ptr[i] and i < n - 1:
            continue
        first, last = indptr[copied], indptr[i]
        out[kept : kept + last - first] = indices[first:last]  # untouched rows in one piece
        if weighted:
            out_weights[kept : kept + last - first] = weights[first:last]
        for row in range(copied, i):
            out_ptr[row + 1] = indptr[row + 1] + kept - first
        kept += last - first
        copied = i + 1
        a, c = add_ptr[i], cut_ptr[i]
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            while a < add_ptr[i + 1] and add[a] < j:
                out[kept] = add[a]
                if weighted:
                    out_weights[kept] = weight
                kept += 1
                a += 1
            while c < cut_ptr[i + 1] and cut[c] < j:
                c += 1
            if c < cut_ptr[i + 1] and cut[c] == j:
                continue
            if a < add_ptr[i + 1] and add[a] == j:
                a += 1
            out[kept] = j
            if weighted:
                out_weights[kept] = weights[e]
            kept += 1
        while a < add_ptr[i + 1]:
            out[kept] = add[a]
            if weighted:
                out_weights[kept] = weight
            kept += 1
            a += 1
        out_ptr[i + 1] = kept
    return out_ptr, out[:kept].copy(), out_weights[: kept if weighted else 0].copy()


@njit(cache=True, nogil=True)
def build_guide(indptr, shift):  # type: ignore[no-untyped-def]
    """Return the row that holds every 2**shift-th stored tie, uint32, so that `find_rows` starts next to the answer.

    Source: Chen and Asau (1974), "On generating random variates from an empirical distribution", the guide table.
    """
    size = ((indptr[-1] - 1) >> shift) + 1 if indptr[-1] > 0 else 0
    guide = np.empty(size, np.uint32)
    row = 0
    for part in range(size):
        first = np.int64(part) << shift
        while indptr[row + 1] <= first:
            row += 1
        guide[part] = row
    return guide


@njit(cache=True, nogil=True)
def find_rows(begin, end, indptr, indices, guide, shift, places, rows, others):  # type: ignore[no-untyped-def]
    """Write the row and the neighbour of each stored tie `places[begin:end]` into `rows` and `others`."""
    for k in range(begin, end):  # two passes, so that each one's memory is read far ahead
        rows[k] = guide[places[k] >> shift]
        others[k] = indices[places[k]]
    for k in range(begin, end):
        row = rows[k]
        while indptr[row + 1] <= places[k]:
            row += 1
        rows[k] = row
