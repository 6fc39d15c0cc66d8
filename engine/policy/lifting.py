"""Lifting: group agents for whom everything shown is the same, and draw for each its own action.

Grouping works on mixed-radix integer codes of the presentations, never on rendered texts, so its cost does not
depend on the length of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.decision import FloatArray, IntArray

_TABLE_LIMIT = 1 << 24


def group_codes(parts: Sequence[tuple[IntArray, int]], n: int) -> tuple[IntArray, IntArray]:
    """Group rows by several code columns.

    Args:
        parts: (codes of shape (n,), number of codes) for each shown column.
        n: Number of rows.

    Returns:
        (first, group): the first row of each group, shape (n_groups,), and each row's group, shape (n,).
        Groups are numbered in ascending order of their codes.
    """
    code = np.zeros(n, np.int64)
    radix = 1
    for codes, n_codes in parts:
        if radix * n_codes >= 2**62:
            _, code = _group(code, radix)
            radix = int(code.max(initial=0)) + 1
        code = code * n_codes + codes
        radix *= n_codes
    return _group(code, radix)


def _group(code: IntArray, radix: int) -> tuple[IntArray, IntArray]:
    if radix <= max(_TABLE_LIMIT, 4 * code.size):
        first_of = np.full(radix, -1, np.int64)
        _first_rows(code, first_of)
        present = np.flatnonzero(first_of >= 0)
        number = np.empty(radix, np.int64)
        number[present] = np.arange(present.size)
        return first_of[present], number[code]
    _, first, group = np.unique(code, return_index=True, return_inverse=True)
    return first.astype(np.int64), group.astype(np.int64)


@njit(cache=True, nogil=True)
def _first_rows(code, first_of):  # type: ignore[no-untyped-def]
    for i in range(code.size - 1, -1, -1):
        first_of[code[i]] = i


@njit(cache=True, nogil=True)
def _draw(cumulative, row, u, index, p):  # type: ignore[no-untyped-def]
    k = cumulative.shape[1]
    for i in range(u.size):
        r = row[i]
        target = u[i] * cumulative[r, k - 1]
        low, high = 0, k - 1
        while low < high:
            middle = (low + high) // 2
            if cumulative[r, middle] > target:
                high = middle
            else:
                low = middle + 1
        index[i] = low
        below = cumulative[r, low - 1] if low > 0 else 0.0
        p[i] = (cumulative[r, low] - below) / cumulative[r, k - 1]


def draw_options(log_weights: FloatArray, row: IntArray, u: FloatArray) -> tuple[IntArray, NDArray[np.float32]]:
    """Draw one option per agent by inversion.

    Args:
        log_weights: Shape (n_rows, n_options); -inf excludes an option.
        row: Row of each agent, shape (n,).
        u: One uniform in [0, 1) per agent.

    Returns:
        (option index, probability of that option), both of shape (n,).
    """
    top = log_weights.max(axis=1, keepdims=True)
    cumulative = np.cumsum(np.exp(log_weights - top), axis=1)
    index = np.empty(u.size, np.int64)
    p = np.empty(u.size, np.float32)
    _draw(cumulative, row, u, index, p)
    return index, p


def object_codes(values: NDArray[Any]) -> tuple[IntArray, list[str]]:
    """Return codes and the distinct texts of a text column, in order of first appearance."""
    texts: dict[str, int] = {}
    codes = np.fromiter((texts.setdefault(str(v), len(texts)) for v in values), np.int64, len(values))
    return codes, list(texts)
