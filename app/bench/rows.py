"""What a benchmark reports, and how it takes the time."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit


@dataclass(frozen=True)
class BenchOptions:
    """What the user chose.

    Attributes:
        agents: Agents of the large workloads.
        largest: Agents up to which the growth of cost is followed.
        peers: Python of an environment with other simulators, or empty.
        out: Folder for the plot of the growth.
        threads: Processor threads of a language model; 0 leaves one core to the rest of the computer.
        quick: 1 for tiny workloads that only show that everything works.
    """

    agents: int = 1_000_000
    largest: int = 1_000_000
    peers: str = ""
    out: Path = Path()
    threads: int = 0
    quick: int = 0


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        work: What was done.
        value: The figure.
        unit: Its unit.
        aim: What to reach, or empty.
        note: What it rests on.
    """

    work: str
    value: float
    unit: str
    aim: str = ""
    note: str = ""


def take_time(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the median processor seconds of this process over some repeats, after one call that compiles."""
    work()
    taken = []
    for _ in range(repeats):
        gc.collect()
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def describe_machine() -> str:
    """Return processor, cores, load and the threads of the kernels."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{processor}, {os.cpu_count()} cores{load}, Python {platform.python_version()}"


@njit(cache=True, nogil=True)
def _gather(values, indices):
    total = 0.0
    for e in range(indices.size):
        total += values[indices[e]]
    return total


@njit(cache=True, nogil=True)
def _count(values, indices):
    total = 0
    for e in range(indices.size):
        total += values[indices[e]]
    return total


def gather_rate(n: int, dtype: str) -> float:
    """Return random reads per second of an array of n numbers, by 10 n random indices of 32 bits, on one core.

    It is the physical limit of a kernel that reads every neighbour of everyone.
    """
    rng = np.random.default_rng(1)
    indices = rng.integers(0, n, 10 * n, dtype=np.uint32)
    values = (rng.random(n) < 0.5).astype(dtype)
    read = _gather if np.dtype(dtype).kind == "f" else _count
    return indices.size / take_time(lambda: read(values, indices), 5)
