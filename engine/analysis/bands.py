"""Bands over runs: runs are the independent units, agents within one run are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.draws import stream_rng

FloatArray = NDArray[np.float64]
MIN_RUNS = 2
N_DRAWS = 4000


@dataclass(frozen=True)
class Band:
    """Mean over runs and the interval around it, point by point.

    Attributes:
        n_runs: Number of runs with a finite value, shape (n_points,).
        mean: Mean over those runs, NaN where there is none.
        low, high: Ends of the interval, NaN where fewer than two runs have a value.
        level: Confidence level of the interval, in (0, 1).
    """

    n_runs: NDArray[np.int64]
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    level: float


def bootstrap_band(values: FloatArray, *, level: float = 0.95, n_draws: int = N_DRAWS) -> Band:
    """Return the mean over runs with its percentile bootstrap interval.

    All points share the same resamples of runs, so the band of a trajectory resamples whole runs. The resamples are
    drawn from a fixed stream: equal values give an equal band.

    Args:
        values: Shape (n_runs, n_points), or (n_runs,) for one point; NaN where a run has no value.
        level: Confidence level.
        n_draws: Number of resamples.

    Source: Efron (1979), "Bootstrap methods: another look at the jackknife", section 1; percentile interval after
    Efron and Tibshirani (1993), chapter 13.
    """
    table = np.atleast_2d(np.asarray(values, np.float64).T).T
    present = np.isfinite(table)
    n_runs = present.sum(axis=0)
    filled = np.where(present, table, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / n_runs
    low, high = np.full(mean.shape, np.nan), np.full(mean.shape, np.nan)
    enough = n_runs >= MIN_RUNS
    if enough.any():
        n = table.shape[0]
        drawn = stream_rng(0, "analysis:bootstrap", 0).integers(0, n, size=(n_draws, n))
        weights = np.apply_along_axis(np.bincount, 1, drawn, minlength=n).astype(np.float64)
        tail = (1.0 - level) / 2.0
        for columns in np.array_split(np.flatnonzero(enough), max(1, int(enough.sum()) // 256)):
            counts = weights @ present[:, columns].astype(np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                means = (weights @ filled[:, columns]) / counts
            low[columns], high[columns] = np.nanquantile(means, [tail, 1.0 - tail], axis=0)
    return Band(n_runs, mean, low, high, level)
