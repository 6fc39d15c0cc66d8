"""Hints to the processor change how fast a kernel is, and nothing else."""

import itertools

import numpy as np
import pytest
from numba import njit

from engine import read_ahead
from engine.hints import AHEAD, NEAR_BYTES


@njit
def add_neighbours(indptr, indices, x):
    total = np.zeros(indptr.size - 1)
    for i in range(total.size):
        for e in range(indptr[i], indptr[i + 1]):
            read_ahead(x, indices, e)
            total[i] += x[indices[e]]
    return total


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "bool"])
@pytest.mark.parametrize("size", [10, 2 * NEAR_BYTES])
def test_sums_over_neighbours_are_those_of_numpy(size, dtype):
    """Also within the last `AHEAD` ties, where a hint would reach beyond the end."""
    rng = np.random.default_rng(1)
    x = (rng.random(size) * 100).astype(dtype)
    degrees = np.array([0, 3, 1, AHEAD + 7, 0, 2])
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    indices = rng.integers(0, size, indptr[-1]).astype(np.uint32)
    expected = [x[indices[a:b]].astype(float).sum() for a, b in itertools.pairwise(indptr)]
    assert add_neighbours(indptr, indices, x) == pytest.approx(expected, rel=1e-12)


def test_the_hint_is_in_the_machine_code():
    add_neighbours(np.array([0, 1]), np.array([0], np.uint32), np.zeros(1))
    assert any("prefetch" in code for code in add_neighbours.inspect_asm().values())
