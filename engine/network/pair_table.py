"""A set of ties inside compiled kernels: a hash table of pairs of agents.

Open addressing with linear probing; a slot holds a pair's code, or 0 where it is free.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_HASH = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def pair_code(n, a, b):  # type: ignore[no-untyped-def]
    """Return the code of an undirected pair of different agents, uint64, never 0."""
    low, high = np.uint64(min(a, b)), np.uint64(max(a, b))
    return low * np.uint64(n) + high


@njit(cache=True, nogil=True)
def pair_table(ties):  # type: ignore[no-untyped-def]
    """Return an empty table with room for that many pairs, at most half full, and the shift of its hash."""
    bits = 3
    while (1 << bits) < 2 * ties:
        bits += 1
    return np.zeros(1 << bits, np.uint64), np.uint64(64 - bits)


@njit(cache=True, nogil=True)
def find_pair(table, shift, code):  # type: ignore[no-untyped-def]
    """Return the slot of a code, or -1 where the table does not hold it."""
    slot = np.int64((code * _HASH) >> shift)
    while table[slot] != 0:
        if table[slot] == code:
            return slot
        slot = (slot + 1) & (table.size - 1)
    return -1


@njit(cache=True, nogil=True)
def insert_pair(table, shift, code):  # type: ignore[no-untyped-def]
    """Add a code; returns False where it is there already."""
    slot = np.int64((code * _HASH) >> shift)
    while table[slot] != 0:
        if table[slot] == code:
            return False
        slot = (slot + 1) & (table.size - 1)
    table[slot] = code
    return True


@njit(cache=True, nogil=True)
def remove_pair(table, shift, code):  # type: ignore[no-untyped-def]
    """Take out a code that the table holds, and close the gap that it leaves."""
    hole = find_pair(table, shift, code)
    last = table.size - 1
    slot = (hole + 1) & last
    while table[slot] != 0:
        home = np.int64((table[slot] * _HASH) >> shift)
        if ((slot - home) & last) >= ((slot - hole) & last):
            table[hole] = table[slot]
            hole = slot
        slot = (slot + 1) & last
    table[hole] = 0
