"""Contrasts between two arms, over paired runs.

The run is the unit. Replicate r has the same seeds in both arms (common random numbers), so the differences are taken
run by run, and what chance does to both arms alike cancels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from engine.draws import stream_rng
from engine.errors import ReportError

FloatArray = NDArray[np.float64]
Interval = Literal["bca", "percentile"]
Correction = Literal["holm", "benjamini_hochberg"]
N_DRAWS = 4000
MAX_RUNS = 10_000_000
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of whether a difference lies within a margin.

    Attributes:
        margin: Largest difference that counts as none, in the unit of the outcome.
        p_value: The larger of the two one-sided p-values.
        low, high: Interval at level 1 - 2 alpha; it lies within the margin where the test says equivalent.
        equivalent: Whether `p_value` is below alpha.
    """

    margin: float
    p_value: float
    low: float
    high: float
    equivalent: bool


@dataclass(frozen=True)
class Contrast:
    """What an arm b does to an outcome, compared with an arm a.

    Attributes:
        n_runs: Number of pairs of runs.
        mean_a, mean_b: Means of the outcome.
        difference: Mean of b - a over the pairs.
        low, high: Bootstrap interval of the difference over runs; NaN where no band was asked for.
        level: Confidence level of the interval, in (0, 1).
        method: "bca" (bias-corrected and accelerated) or "percentile".
        sd: Standard deviation of the differences; NaN for one pair.
        monte_carlo_error: Standard error of `difference` over runs: what more runs would still change.
        correlation: Correlation of the two arms over pairs; NaN where an arm does not vary.
        variance_reduction: Variance of the difference with unpaired runs over that with these pairs; as many times
            more unpaired runs would be needed. Infinite where the pairs differ by a constant.
        effect_size: Difference over the root of the mean of the two variances over runs (Cohen's d_av).
        p_value: Of the paired t test of no difference, two-sided.
        equivalence: Where a margin was given.
        differences: b - a of each pair, shape (n_runs,).
    """

    n_runs: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    level: float
    method: str
    sd: float
    monte_carlo_error: float
    correlation: float
    variance_reduction: float
    effect_size: float
    p_value: float
    equivalence: Equivalence | None
    differences: FloatArray

    def runs_needed(self, half_width: float) -> int:
        """Return how many pairs an interval of this half width takes at the contrast's level; see `runs_needed`."""
        return runs_needed(self.sd, half_width, self.level)

    @property
    def sentence(self) -> str:
        """What was found, with its band, number of runs and Monte Carlo error."""
        if self.n_runs < 2:
            return f"The outcome differs by {self.difference:.4g} in the one pair of runs; one pair has no band."
        pairing = ""
        if self.variance_reduction > 1:
            pairing = f" Pairing reduced the variance {self.variance_reduction:.3g} times."
        elif self.variance_reduction < 1:
            pairing = f" Pairing did not help: variance reduction {self.variance_reduction:.3g}."
        band = f"{self.level:.0%} bootstrap interval over {self.n_runs} pairs of runs {self.low:.4g} to {self.high:.4g}"
        return (
            f"The outcome differs by {self.difference:.4g} ({band}; Monte Carlo error "
            f"{self.monte_carlo_error:.2g}).{pairing}"
        )


def paired_contrast(
    a: Sequence[float] | FloatArray,
    b: Sequence[float] | FloatArray,
    *,
    level: float | None = 0.95,
    margin: float | None = None,
    method: Interval = "bca",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Contrast:
    """Compare two arms over paired runs.

    Args:
        a: Outcome of each run of the arm that is compared with, shape (n_runs,), finite.
        b: Outcome of the other arm in the same order of replicates.
        level: Confidence level of the band and of all tests (alpha = 1 - level); None asks for no band.
        margin: Test equivalence within plus or minus this much.
        method: Kind of bootstrap interval. BCa corrects bias and skewness, percentile takes plain quantiles. With
            fewer than about ten runs either is too narrow.
        n_draws: Number of resamples of runs.
        seed: Of the resampling; equal values give an equal interval.

    Raises:
        ReportError: the runs do not pair, there is none, or a band is asked of one pair.

    Source: variance under common random numbers, Law (2015), Simulation Modeling and Analysis, section 11.2; Efron
    (1987), Better bootstrap confidence intervals, section 2; effect size d_av, Lakens (2013), eq. 10.
    """
    first, second = _checked(a), _checked(b)
    if first.size != second.size:
        raise ReportError(f"{first.size} runs of one arm and {second.size} of the other are no pairs")
    n = first.size
    if n == 0:
        raise ReportError("no replicate is done in both arms, so there is nothing to compare")
    if level is not None and not 0 < level < 1:
        raise ReportError(f"a confidence level of {level:g} is not in (0, 1); 0.95 is usual")
    if n == 1 and (level is not None or margin is not None):
        raise ReportError("one replicate gives a difference but no band; run at least 2 replicates of each arm")
    found = second - first
    difference = float(found.mean())
    sd = _spread(found) if n > 1 else math.nan
    error = sd / math.sqrt(n)
    low, high = math.nan, math.nan
    if level is not None:
        low, high = bootstrap_interval(found, level=level, method=method, n_draws=n_draws, seed=seed)
    variances = (_spread(first) ** 2, _spread(second) ** 2) if n > 1 else (math.nan, math.nan)
    chosen = 0.95 if level is None else level
    return Contrast(
        n_runs=n,
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=difference,
        low=low,
        high=high,
        level=chosen,
        method=method,
        sd=sd,
        monte_carlo_error=error,
        correlation=_correlation(first, second, variances),
        variance_reduction=_ratio(sum(variances), sd**2),
        effect_size=_ratio(difference, math.sqrt(sum(variances) / 2)),
        p_value=2 * _tail(abs(difference), error, n),
        equivalence=None if margin is None else equivalence_test(found, margin, level=chosen),
        differences=found,
    )


def _checked(values: Sequence[float] | FloatArray) -> FloatArray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ReportError("the outcome of a contrast is one finite number per run")
    return array


def _spread(values: FloatArray) -> float:
    """Return the standard deviation; 0 where the values differ by rounding alone."""
    sd = float(values.std(ddof=1))
    return sd if sd > _ROUNDING * float(np.abs(values).max()) else 0.0


def _ratio(above: float, below: float) -> float:
    if below > 0 or math.isnan(below):
        return above / below
    return math.nan if above == 0 else math.copysign(math.inf, above)


def _correlation(a: FloatArray, b: FloatArray, variances: tuple[float, float]) -> float:
    if a.size < 2 or min(variances) == 0:
        return math.nan
    covariance = float(np.cov(a, b)[0, 1])
    return covariance / math.sqrt(variances[0] * variances[1])


def _tail(distance: float, error: float, n: int) -> float:
    """Return P(T > distance / error) with n - 1 degrees of freedom; without any error, 1/2 at zero, else 0 or 1."""
    if n < 2:
        return math.nan
    if error == 0:
        return 0.5 if distance == 0 else float(distance < 0)
    return float(stats.t.sf(distance / error, n - 1))


def equivalence_test(differences: Sequence[float] | FloatArray, margin: float, *, level: float = 0.95) -> Equivalence:
    """Test whether the mean of paired differences lies within plus or minus a margin: two one-sided t tests.

    Args:
        differences: One per pair of runs, at least two.
        margin: Above 0, in the unit of the outcome; to be chosen before looking.
        level: 1 - alpha.

    Raises:
        ReportError: the margin is not above 0, or there are fewer than two pairs.

    Source: Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15, p. 657.
    """
    found = _checked(differences)
    n = found.size
    if not (margin > 0 and math.isfinite(margin)):
        raise ReportError(
            f"an equivalence margin of {margin:g} is not above 0; give the largest difference that counts"
        )
    if n < 2:
        raise ReportError("one replicate cannot show equivalence; run at least 2 replicates of each arm")
    mean, error = float(found.mean()), _spread(found) / math.sqrt(n)
    p_value = max(_tail(mean + margin, error, n), _tail(margin - mean, error, n))
    reach = float(stats.t.ppf(level, n - 1)) * error
    return Equivalence(margin, p_value, mean - reach, mean + reach, p_value < 1 - level)


def bootstrap_interval(
    values: Sequence[float] | FloatArray,
    *,
    level: float = 0.95,
    method: Interval = "bca",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap interval of a mean over runs.

    Args:
        values: One finite number per run, at least two.
        level: Confidence level.
        method: "bca" or "percentile".
        n_draws: Number of resamples.
        seed: Of the resampling.

    Raises:
        ReportError: fewer than two runs, or another method.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, equations 13.3 and 14.9 to 14.15.
    """
    sample = _checked(values)
    n = sample.size
    if n < 2:
        raise ReportError("one run has no band; run at least 2 replicates")
    if method not in ("bca", "percentile"):
        raise ReportError(f"'{method}' is no bootstrap interval; valid: bca, percentile")
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    drawn = stream_rng(seed, "analysis:contrast", 0).integers(0, n, size=(n_draws, n))
    means = sample[drawn].mean(axis=1)
    if method == "bca" and sample.min() < sample.max():
        apart = sample.mean() - (sample.sum() - sample) / (n - 1)  # jackknife: mean of all less mean without i
        acceleration = float((apart**3).sum() / (6 * (apart**2).sum() ** 1.5))
        # Half of the ties count: the outcome of a discrete measure repeats itself.
        below = (np.count_nonzero(means < sample.mean()) + np.count_nonzero(means <= sample.mean())) / (2 * n_draws)
        bias = float(stats.norm.ppf(np.clip(below, 1 / n_draws, 1 - 1 / n_draws)))
        z = bias + stats.norm.ppf(tails)
        tails = stats.norm.cdf(bias + z / (1 - acceleration * z))
    low, high = np.quantile(means, tails)
    return float(low), float(high)


def runs_needed(sd: float, half_width: float, level: float = 0.95) -> int:
    """Return the smallest number of runs whose t interval of the mean has at most this half width.

    Args:
        sd: Standard deviation over runs (of the differences, for pairs), as estimated so far.
        half_width: Wanted half width, above 0, in the unit of the outcome.
        level: Confidence level.

    Raises:
        ReportError: the half width is not above 0, the standard deviation is unknown, or it takes over ten million.

    Source: Law (2015), Simulation Modeling and Analysis, section 9.4.1, eq. 9.2.
    """
    if not half_width > 0:
        raise ReportError(f"a half width of {half_width:g} is not above 0")
    if not sd >= 0:
        raise ReportError("how many runs are needed follows from how much they vary; run at least 2 replicates first")

    def wide(n: int) -> bool:
        return float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n) > half_width

    low, high = 2, 2
    while wide(high):
        low, high = high, 2 * high
        if high > MAX_RUNS:
            raise ReportError(f"a half width of {half_width:g} takes over {MAX_RUNS:,} runs; ask for a wider one")
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if wide(middle) else (low, middle)
    return high


def adjust_p_values(p_values: Sequence[float] | FloatArray, method: Correction = "holm") -> FloatArray:
    """Return p-values corrected for several outcomes; NaN stays NaN and does not count.

    Args:
        p_values: In [0, 1], shape (n_outcomes,).
        method: holm (chance of any false finding) or benjamini_hochberg (expected share of false findings).

    Raises:
        ReportError: another method, or a value outside [0, 1].

    Source: Holm (1979), Scand. J. Statistics 6, p. 65; Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57, eq. 1.
    """
    given = np.asarray(p_values, np.float64)
    known = np.flatnonzero(~np.isnan(given))
    if ((given[known] < 0) | (given[known] > 1)).any():
        raise ReportError("a p-value lies in [0, 1]")
    if method not in ("holm", "benjamini_hochberg"):
        raise ReportError(f"'{method}' is no correction; valid: holm, benjamini_hochberg")
    order = known[np.argsort(given[known], kind="stable")]
    m, ranks = order.size, np.arange(1, order.size + 1)
    adjusted = np.full(given.shape, np.nan)
    if method == "holm":
        adjusted[order] = np.minimum(1, np.maximum.accumulate(given[order] * (m - ranks + 1)))
    else:
        adjusted[order] = np.minimum(1, np.minimum.accumulate((given[order] * m / ranks)[::-1])[::-1])
    return adjusted


def contrast_table(contrasts: Mapping[str, Contrast], correction: Correction = "holm") -> pl.DataFrame:
    """Return one row per outcome, with p-values corrected for their number.

    Args:
        contrasts: By outcome.
        correction: As in `adjust_p_values`.
    """
    adjusted = adjust_p_values([contrast.p_value for contrast in contrasts.values()], correction)
    rows: list[dict[str, Any]] = []
    columns = ("n_runs", "mean_a", "mean_b", "difference", "low", "high", "level", "monte_carlo_error")
    for (outcome, contrast), p_adjusted in zip(contrasts.items(), adjusted.tolist(), strict=True):
        row = {"outcome": outcome} | {name: getattr(contrast, name) for name in columns}
        row |= {name: getattr(contrast, name) for name in ("variance_reduction", "effect_size", "p_value")}
        test = contrast.equivalence
        row |= {"p_adjusted": p_adjusted, "p_equivalence": None if test is None else test.p_value}
        rows.append(row | {"equivalent": None if test is None else test.equivalent})
    types = {"outcome": pl.String, "p_equivalence": pl.Float64, "equivalent": pl.Boolean}
    return pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None)
