"""Kernels over ranges of agents, on several threads.

A kernel that writes only to the agents of its own range, and reads what nobody writes, gives the same result however
the range is cut, so results do not depend on the number of threads. `NUMBA_NUM_THREADS` sets that number; the
kernels are compiled with `nogil`, so plain threads run them side by side.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numba import config

SMALLEST_RANGE = 65_536
"""Agents below which another thread costs more than it saves."""
_RANGES_PER_THREAD = 4
_pools: dict[int, ThreadPoolExecutor] = {}


def count_threads() -> int:
    """Return on how many threads kernels may run: `NUMBA_NUM_THREADS`, by default the processor's cores."""
    return max(1, int(config.NUMBA_NUM_THREADS))


def cut_ranges(n: int) -> list[tuple[int, int]]:
    """Return ranges (begin, end) that cover 0..n-1: one where threads would not pay, else a few for each thread."""
    threads = count_threads()
    parts = 1 if threads == 1 else min(threads * _RANGES_PER_THREAD, n // SMALLEST_RANGE)
    borders = [n * part // max(parts, 1) for part in range(max(parts, 1) + 1)]
    return list(itertools.pairwise(borders))


def run_ranges(kernel: Callable[..., Any], n: int, *arguments: Any) -> list[Any]:
    """Call `kernel(begin, end, *arguments)` on ranges that cover 0..n-1 and return what each call returned, in order.

    Args:
        kernel: Compiled with `nogil`; writes only to places begin to end - 1 of the arrays that it changes.
        n: Number of agents.
        *arguments: Handed on.
    """
    ranges = cut_ranges(n)
    if len(ranges) == 1:
        return [kernel(0, n, *arguments)]
    return list(_pool().map(lambda ends: kernel(*ends, *arguments), ranges))


def _pool() -> ThreadPoolExecutor:
    """Return this process's threads; a forked child starts its own."""
    process = os.getpid()
    if process not in _pools:
        _pools.clear()
        _pools[process] = ThreadPoolExecutor(count_threads(), thread_name_prefix="kernel")
    return _pools[process]
