"""Traits spread evenly over their ranges: points of a scrambled low-discrepancy sequence instead of random numbers.

Agent i takes point i, so its traits depend on the seed and on i, never on the size. Such people cover the combinations
of traits; they resemble nobody's population.

Source: Owen (1998), Journal of Complexity 14, 466-489 (scrambling); scipy.stats.qmc.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.population.columns import Column
from engine.population.text import quoted
from engine.registry import nearest
from engine.spec import SpreadSpec

FloatArray = NDArray[np.float64]
MAX_SOBOL_BITS = 30
_MAX_NUMBER = 1e15


def spread_points(spec: SpreadSpec, agents: NDArray[np.int64], seed: int) -> dict[str, FloatArray]:
    """Return one number in [0, 1) per agent and column.

    Args:
        spec: Columns and method.
        agents: Agent ids.
        seed: Seed of the population.
    """
    from scipy.stats import qmc  # a second to import, and few studies need it

    n = int(agents.max()) + 1 if agents.size else 1
    rng = np.random.default_rng(seed)
    if spec.method == "sobol":
        sampler: Any = qmc.Sobol(len(spec.columns), scramble=True, bits=MAX_SOBOL_BITS, rng=rng)
    else:
        sampler = qmc.Halton(len(spec.columns), scramble=True, rng=rng)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The balance properties of Sobol")
        points = np.asarray(sampler.random(n), np.float64)
    points = np.minimum(points, 1.0 - 2.0**-53)
    return {name: points[agents, place] for place, name in enumerate(spec.columns)}


def check_spread(
    spec: SpreadSpec, columns: Mapping[str, Column], drawn: Mapping[str, Any], given: Sequence[str], problems: list[str]
) -> None:
    """Add what is wrong with the columns to spread.

    Args:
        spec: Columns and method.
        columns: Type of each column that can be spread: the population's own and the codebook's.
        drawn: Columns that distributions give.
        given: Columns whose values are given, which nothing can spread.
        problems: Receives one sentence per problem.
    """
    where = "population.spread.columns"
    for place, name in enumerate(spec.columns):
        if name in spec.columns[:place]:
            problems.append(f"{quoted(name)} stands twice @ {where}")
        elif name in given:
            problems.append(f"{quoted(name)} has given values; only drawn columns can be spread @ {where}")
        elif name not in columns:
            problems.append(f"{quoted(name)} is not a column{nearest(name, columns)} @ {where}")
        elif name not in drawn and not _has_range(columns[name]):
            problems.append(f"{quoted(name)} has no range to spread over; give it a distribution in columns @ {where}")


def _has_range(column: Column) -> bool:
    if column.kind in ("boolean",) or (column.kind == "category" and column.labels):
        return True
    bounds = (column.low, column.high)
    return column.kind in ("integer", "float") and all(b is not None and abs(b) < _MAX_NUMBER for b in bounds)


def spread_values(column: Column, points: FloatArray) -> NDArray[Any]:
    """Return values that cover a column's range evenly: its categories equally often, numbers uniformly."""
    if column.kind in ("category", "boolean"):
        n = len(column.labels) if column.kind == "category" else 2
        return np.floor(points * n).astype(column.dtype)
    low, high = float(column.low or 0.0), float(column.high or 0.0)
    if column.kind == "integer":
        return np.floor(low + points * (high - low + 1)).astype(column.dtype)
    return (low + points * (high - low)).astype(column.dtype)
