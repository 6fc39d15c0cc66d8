"""How two arms part over time: the band of their difference, and the first step at which two runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.analysis.bands import MIN_RUNS, bootstrap_band
from engine.analysis.outcomes import outcome_table, pair_outcomes, split_segment
from engine.analysis.tables import stack_measure
from engine.errors import ReportError
from engine.runs import read_info
from engine.store.catalog import Catalog

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class DifferenceBand:
    """Difference of a measure between two arms by step: mean over pairs of runs and bootstrap interval.

    Attributes:
        steps: Ascending, shape (n_steps,).
        mean, low, high: Of b - a, shape (n_steps,); NaN where no pair has a value.
        n_runs: Pairs with a value, shape (n_steps,).
        level: Confidence level at each step by itself, in (0, 1).
    """

    steps: NDArray[np.int64]
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    n_runs: NDArray[np.int64]
    level: float


def difference_band(
    a: Sequence[Path], b: Sequence[Path], measure: str, *, level: float = 0.95, n_draws: int = 4000
) -> DifferenceBand:
    """Return how a measure differs between two arms at each step, over their pairs of runs that are done.

    Whole runs are resampled, the same at all steps. A run that ended by itself keeps its last value.

    Args:
        a: Runs of the arm that is compared with.
        b: Runs of the other arm; pairs have the same replicate and seed.
        measure: Name of a measure; of one segment as `measure[segment]`.
        level: Confidence level.
        n_draws: Number of resamples.

    Raises:
        StudyError: the scenario does not measure it; names the nearest.
        ReportError: fewer than two pairs are done.
    """
    table = outcome_table({"a": a, "b": b}, measure)
    pairs = pair_outcomes(table, "a", "b")
    if pairs.replicates.size < MIN_RUNS:
        found = f"{pairs.replicates.size} replicates are" if pairs.replicates.size != 1 else "one replicate is"
        raise ReportError(f"{found} done in both arms, and a band takes at least {MIN_RUNS}; run more of each arm")
    paired = [_by_replicate(folders, pairs.replicates) for folders in (a, b)]
    stack = stack_measure([*paired[0], *paired[1]], *split_segment(measure))
    n = pairs.replicates.size
    band = bootstrap_band(stack.values[n:] - stack.values[:n], level=level, n_draws=n_draws)
    return DifferenceBand(stack.steps, band.mean, band.low, band.high, band.n_runs, level)


def _by_replicate(folders: Sequence[Path], replicates: NDArray[np.int64]) -> list[Path]:
    found = {read_info(folder).replicate: Path(folder) for folder in folders}
    return [found[replicate] for replicate in replicates.tolist()]


def first_divergence(a: Path, b: Path) -> int | None:
    """Return the first step at which two runs differ, by their digests; None while all that both have done is equal.

    The digest of step t covers states, environment, actions, messages and measures of all steps up to t.
    """
    with Catalog(Path(a)) as first, Catalog(Path(b)) as second:
        one, other = first.digests(), second.digests()
    return next((step for step in sorted(one.keys() & other.keys()) if one[step] != other[step]), None)
