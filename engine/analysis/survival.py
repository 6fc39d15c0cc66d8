"""Survival over runs: how large a share of them an event has not reached by a step.

Source: Kaplan and Meier (1958), J. Am. Stat. Assoc. 53; variance by Greenwood (1926), band on the log(-log) scale as in
Kalbfleisch and Prentice (1980), section 1.4; log-rank test of Mantel (1966).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from engine.analysis.outcomes import split_segment
from engine.errors import ReportError
from engine.store.catalog import Catalog

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Survival:
    """The share of runs that an event has not reached, by step.

    Attributes:
        steps: Steps from 0 on at which the share changes, and the last one at which a run was seen; int64 (k,).
        share: Share that the event has not reached after each of them, in [0, 1].
        low, high: Band around it; NaN where no event has happened yet or none is left.
        at_risk: Runs without the event that were seen up to each step, int64.
        events: Runs that the event reached at each step, int64.
    """

    steps: NDArray[np.int64]
    share: FloatArray
    low: FloatArray
    high: FloatArray
    at_risk: NDArray[np.int64]
    events: NDArray[np.int64]


def event_times(folders: Sequence[Path], measure: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return (step, whether the event happened there) of each run; the event is the first step with a value of 1.

    A run that ended by itself without the event is without it up to the study's last step; one that goes on is
    without it up to its newest step.

    Args:
        folders: Folders of runs.
        measure: A measure that is 0 before and 1 from the event on, for example collapsed.

    Raises:
        ReportError: the measure takes other values, or a run has none.
    """
    name, segment = split_segment(measure)
    steps, happened = [], []
    for folder in folders:
        with Catalog(folder) as catalog:
            status = catalog.read_status()
            sql = "select step, value from measures where measure = ? and segment = ? order by step"
            found = catalog.select(sql, (name, segment))
        if not found:
            raise ReportError(f"run {status['run_id']} has recorded no '{measure}' yet")
        strange = [value for _, value in found if value not in (0, 1)]
        if strange:
            raise ReportError(f"'{measure}' is no event: it takes the value {strange[0]:g}, not only 0 and 1")
        first = next((int(step) for step, value in found if value == 1), None)
        last = int(status["steps"]) if status["status"] == "done" else int(found[-1][0])
        steps.append(last if first is None else first)
        happened.append(first is not None)
    return np.array(steps, np.int64), np.array(happened, bool)


def survival_curve(steps: NDArray[np.int64], happened: NDArray[np.bool_], level: float = 0.95) -> Survival:
    """Return the Kaplan-Meier estimate with Greenwood's band.

    Args:
        steps: Step of the event, or the last one seen, of each run; shape (n,).
        happened: Whether it was the event, shape (n,).
        level: Coverage of the band, in (0, 1).

    Raises:
        ReportError: no run is given.
    """
    if steps.size == 0:
        raise ReportError("no run is given, so there is no survival to show")
    places = np.unique(np.concatenate([[0], steps[happened], [steps.max()]]))
    at_risk = np.array([(steps >= place).sum() for place in places])
    events = np.array([(happened & (steps == place)).sum() for place in places])
    share = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(events / (at_risk * (at_risk - events)))
        spread = np.sqrt(greenwood) / np.log(share)
        z = stats.norm.ppf((1 + level) / 2)
        low, high = share ** np.exp(-z * spread), share ** np.exp(z * spread)
    known = (share > 0) & (share < 1)
    low, high = np.where(known, low, np.nan), np.where(known, high, np.nan)
    return Survival(places.astype(np.int64), share, low, high, at_risk, events)


def logrank_test(groups: Mapping[str, tuple[NDArray[np.int64], NDArray[np.bool_]]]) -> float:
    """Return the p value of the hypothesis that all groups have the same survival; NaN where it cannot be told.

    Args:
        groups: (step, whether the event happened) of each run, by group.

    Raises:
        ReportError: fewer than two groups.
    """
    if len(groups) < 2:
        raise ReportError("a comparison of survival takes two groups")
    steps = np.concatenate([times for times, _ in groups.values()])
    happened = np.concatenate([events for _, events in groups.values()])
    label = np.repeat(np.arange(len(groups)), [times.size for times, _ in groups.values()])
    n_groups = len(groups)
    excess, variance = np.zeros(n_groups), np.zeros((n_groups, n_groups))
    for place in np.unique(steps[happened]):
        at_risk = np.array([((steps >= place) & (label == g)).sum() for g in range(n_groups)], np.float64)
        events = np.array([(happened & (steps == place) & (label == g)).sum() for g in range(n_groups)], np.float64)
        n, d = at_risk.sum(), events.sum()
        share = at_risk / n
        excess += events - d * share
        if n > 1:
            variance += d * (n - d) / (n - 1) * (np.diag(share) - np.outer(share, share))
    kept = variance[:-1, :-1]
    if np.linalg.matrix_rank(kept) < n_groups - 1:
        return float("nan")
    statistic = float(excess[:-1] @ np.linalg.solve(kept, excess[:-1]))
    return float(stats.chi2.sf(statistic, n_groups - 1))
