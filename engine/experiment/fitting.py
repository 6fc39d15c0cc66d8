"""Fit knobs of a study to an observed series: simulation-based least squares under common random numbers.

A point of the search is a value for each knob. Its misfit is the root mean squared difference between the square roots
of the observed values and of the mean of some replicates (the square root makes the spread of counts even); of the
values themselves where the measure may be negative. All points are simulated with the same seeds, so that two points
differ by their knobs only. The search starts from the best of a
Sobol sequence and goes on with the simplex of Nelder and Mead.

Source: Anscombe (1948), Biometrika 35, 246, for square roots of counts; Nelder and Mead (1965), The Computer Journal
7, 308.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import qmc

from engine.analysis.forecasting import ForecastError, Series, forecast_error
from engine.contract import ScenarioInfo
from engine.errors import Problem, StudyError
from engine.llm import LanguageModel
from engine.loading import scenario_info
from engine.registry import nearest
from engine.simulation import simulate
from engine.spec import Study

FloatArray = NDArray[np.float64]
Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Trial:
    """One point of the search: knob values, its misfit, and the mean series at the observed steps."""

    knobs: dict[str, float]
    misfit: float
    series: FloatArray


@dataclass(frozen=True)
class SeriesFit:
    """A study fitted to a series.

    Attributes:
        study: The study with the fitted knobs.
        measure: What was compared with the series.
        best: The point with the smallest misfit.
        trials: All points, in the order in which they were tried.
        fitted: Error on the values that the fit used.
        held_out: Error on the last values, which it did not; None where none were held out.
    """

    study: Study
    measure: str
    best: Trial
    trials: tuple[Trial, ...]
    fitted: ForecastError
    held_out: ForecastError | None


def fit_series(
    study: Study,
    series: Series,
    knobs: Bounds,
    *,
    measure: str = "weekly_cases",
    held_out: int = 0,
    replicates: int = 3,
    trials: int = 60,
    model: LanguageModel | None = None,
    base: Path | None = None,
    on_trial: Callable[[Trial], None] | None = None,
) -> SeriesFit:
    """Fit knobs so that a measure follows an observed series.

    Args:
        study: A checked study; its `steps` may be fewer than the series needs, they are raised.
        series: What was observed.
        knobs: Knob of the scenario -> (lowest, highest) value to try.
        measure: Measure that the series shows.
        held_out: Number of last values that the fit does not see.
        replicates: Runs per point, the same for all points.
        trials: Most points to try.
        model: A loaded language model, where one decides.
        base: Folder that relative paths of the study start from.
        on_trial: Called after each point.

    Raises:
        StudyError: a knob, a range or the measure that the scenario does not have; too few values.
    """
    space = _Space(study, knobs)
    _check(study, series, measure, held_out, trials)
    seen = slice(0, series.values.size - held_out)
    longer = study.model_copy(update={"steps": max(study.steps, int(series.steps[-1]))})
    tried: list[Trial] = []
    scaled = _scale(scenario_info(study.scenario), measure)

    def misfit(point: FloatArray) -> float:
        values = space.values(point)
        for held in tried:
            if held.knobs == values:
                return held.misfit
        wanted = space.put(longer, values)
        mean = np.mean([_run(wanted, series, measure, r, model, base) for r in range(replicates)], axis=0)
        gap = scaled(mean[seen]) - scaled(series.values[seen])
        tried.append(Trial(values, float(np.sqrt(np.mean(gap**2))), mean))
        if on_trial is not None:
            on_trial(tried[-1])
        return tried[-1].misfit

    first = min(trials, max(4, 2 ** int(np.log2(max(trials // 3, 4)))))
    for point in qmc.Sobol(len(knobs), seed=study.seed).random(first):
        misfit(point)
    if trials > first:
        start = space.point(min(tried, key=lambda trial: trial.misfit).knobs)
        simplex = [start] + [
            np.where(np.eye(len(start))[k] > 0, (start + 0.15) % 1.0, start) for k in range(len(start))
        ]
        options = {"maxfev": trials - first, "initial_simplex": np.array(simplex), "xatol": 1e-3, "fatol": 1e-6}
        minimize(misfit, start, method="Nelder-Mead", bounds=[(0.0, 1.0)] * len(start), options=options)
    best = min(tried, key=lambda trial: trial.misfit)
    late = slice(series.values.size - held_out, None)
    return SeriesFit(
        space.put(study, best.knobs),
        measure,
        best,
        tuple(tried),
        forecast_error(best.series[seen], series.values[seen]),
        forecast_error(best.series[late], series.values[late]) if held_out else None,
    )


def _scale(info: ScenarioInfo, measure: str) -> Callable[[FloatArray], FloatArray]:
    """Return the square root for a measure that is never negative, else the values as they are."""
    low = next(one.low for one in info.measures if one.name == measure)
    if low is None or low < 0:
        return lambda values: values
    return lambda values: np.asarray(np.sqrt(np.maximum(values, 0.0)), np.float64)


def _run(
    study: Study, series: Series, measure: str, replicate: int, model: LanguageModel | None, base: Path | None
) -> FloatArray:
    """Return a measure at the observed steps; after an early end its last value holds on."""
    values = np.full(int(series.steps[-1]) + 1, np.nan)
    last = 0.0
    for record in simulate(study, replicate=replicate, model=model, base=base):
        if record.step >= values.size:
            break
        last = values[record.step] = record.measures[measure, ""]
    values[np.isnan(values)] = last
    found: FloatArray = values[series.steps]
    return found


class _Space:
    """The knobs that are searched, each scaled to 0..1."""

    def __init__(self, study: Study, knobs: Bounds) -> None:
        info = scenario_info(study.scenario)
        self._info, self._knobs = info, dict(knobs)
        problems: list[Problem] = []
        if not knobs:
            problems.append(
                Problem("no knob is to be fitted; name at least one with its lowest and highest value", "fit")
            )
        for name, (low, high) in self._knobs.items():
            field = info.params.model_fields.get(name)
            if field is None or field.annotation not in (int, float):
                numbers = [knob for knob, held in info.params.model_fields.items() if held.annotation in (int, float)]
                problems.append(
                    Problem(f"'{name}' is not a numeric knob of {info.name}{nearest(name, numbers)}", f"fit.{name}")
                )
            elif not (np.isfinite([low, high]).all() and low < high):
                problems.append(Problem(f"{low:g} to {high:g} is not a range", f"fit.{name}"))
            else:
                for value in (low, high):
                    problems += self._refused(study, name, value)
        if problems:
            raise StudyError(problems)

    def _refused(self, study: Study, name: str, value: float) -> list[Problem]:
        try:
            self._info.params(**{**study.params, name: self._typed(name, value)})
        except ValueError:
            return [Problem(f"{name} = {value:g} is not allowed by {self._info.name}", f"fit.{name}")]
        return []

    def _typed(self, name: str, value: float) -> float:
        return round(value) if self._info.params.model_fields[name].annotation is int else float(value)

    def values(self, point: FloatArray) -> dict[str, float]:
        """Return the knobs' values at a point of the unit cube."""
        ends = zip(self._knobs.items(), np.clip(point, 0.0, 1.0).tolist(), strict=True)
        return {name: self._typed(name, low + share * (high - low)) for (name, (low, high)), share in ends}

    def point(self, values: Mapping[str, float]) -> FloatArray:
        """Return the point of the unit cube where the knobs have these values."""
        return np.array([(values[name] - low) / (high - low) for name, (low, high) in self._knobs.items()])

    def put(self, study: Study, values: Mapping[str, float]) -> Study:
        """Return the study with these values."""
        return study.model_copy(update={"params": {**study.params, **values}})


def _check(study: Study, series: Series, measure: str, held_out: int, trials: int) -> None:
    info = scenario_info(study.scenario)
    names = [one.name for one in info.measures]
    problems = []
    if measure not in names:
        problems.append(Problem(f"'{measure}' is not a measure of {info.name}{nearest(measure, names)}", "fit.measure"))
    if not 0 <= held_out <= series.values.size - 3:
        problems.append(
            Problem(f"{held_out} values held out of {series.values.size} leave fewer than 3 to fit", "fit.held_out")
        )
    if trials < 4:
        problems.append(Problem(f"trials = {trials} is not at least 4", "fit.trials"))
    if problems:
        raise StudyError(problems)
