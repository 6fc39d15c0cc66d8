"""Studies against each other, run by run: arms of an experiment, or studies whose runs have the same seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.analysis import Contrast, bootstrap_band, paired_contrast, runs_needed, stack_measures
from engine.errors import ReportError
from engine.reports.contents import Figure
from engine.reports.figures import COLOURS, Line, draw_lines
from engine.reports.reading import Result, StudyPart, describe_seeds
from engine.reports.study_section import show

Rows = list[dict[str, Any]]
FloatArray = NDArray[np.float64]
MAX_LINES = len(COLOURS)
MIN_BAND = 2
FEW_PAIRS = 10
ROUNDING = 1e-12
"""Values that differ by less than this part of themselves differ by rounding: sums in another order."""


@dataclass(frozen=True)
class Difference:
    """One measure in one study minus the same in the first study, over the pairs of runs that share their seeds.

    Attributes:
        label: Measure, with its segment.
        first, other: The two studies.
        seeds: Seeds of the dynamics of the pairs, ascending.
        contrast: Of the last values; None where a last value is undefined in every pair.
        steps: Shape (n_steps,).
        pairs: other - first by pair and step, shape (n_pairs, n_steps); NaN where undefined.
    """

    label: str
    first: StudyPart
    other: StudyPart
    seeds: tuple[int, ...]
    contrast: Contrast | None
    steps: NDArray[np.int64]
    pairs: FloatArray

    @property
    def title(self) -> str:
        """What is subtracted from what."""
        return f"{self.other.label} minus {self.first.label}"


def compare_parts(parts: Sequence[StudyPart]) -> list[Difference]:
    """Return the differences of every study to the first one of its experiment, by measure.

    Studies that belong to no experiment are compared with the first such study. A study that shares no seed of the
    dynamics with it has no pairs and is left out.
    """
    found = []
    for group in group_parts(parts):
        for other in group[1:]:
            found += _compare(group[0], other)
    order = {difference.label: None for difference in found}
    places = {label: place for place, label in enumerate(order)}
    return sorted(found, key=lambda difference: places[difference.label])


def group_parts(parts: Sequence[StudyPart]) -> list[list[StudyPart]]:
    """Return the studies by experiment; those without one are together."""
    groups: dict[str, list[StudyPart]] = {}
    for part in parts:
        groups.setdefault(part.experiment_id, []).append(part)
    return list(groups.values())


def _compare(first: StudyPart, other: StudyPart) -> list[Difference]:
    places = [_by_seed(part) for part in (first, other)]
    seeds = tuple(sorted(places[0].keys() & places[1].keys()))
    if not seeds:
        return []
    n = len(seeds)
    shared = {result.stack.label for result in first.results} & {result.stack.label for result in other.results}
    found = []
    for stack in stack_measures([*(places[0][seed] for seed in seeds), *(places[1][seed] for seed in seeds)]):
        if stack.label in shared:
            one, two = stack.values[:n], stack.values[n:]
            two = np.where(np.isclose(one, two, rtol=ROUNDING, atol=0.0), one, two)
            ends = (one[:, -1], two[:, -1])
            known = np.isfinite(ends[0]) & np.isfinite(ends[1])
            contrast = _contrast(ends[0][known], ends[1][known]) if known.any() else None
            pairs = np.asarray(two - one, np.float64)
            found.append(Difference(stack.label, first, other, seeds, contrast, stack.steps, pairs))
    return found


def _contrast(first: FloatArray, other: FloatArray) -> Contrast:
    return paired_contrast(first, other, level=0.95 if first.size >= MIN_BAND else None)


def _by_seed(part: StudyPart) -> dict[int, Path]:
    return {part.study.seed_of("dynamics", row.info.replicate): row.info.folder for row in part.counted}


def tabulate_arms(parts: Sequence[StudyPart]) -> Rows:
    """Return one row per measure and study, measure by measure: runs, mean, band, standard deviation over runs."""
    labels = {result.stack.label: None for part in parts for result in part.results}
    rows = []
    for label in labels:
        for part, result in _results(parts, label):
            values = result.stack.final[np.isfinite(result.stack.final)]
            banded = result.has_band
            rows.append(
                {
                    "measure": label,
                    "study": part.label,
                    "n_runs": int(result.final.n_runs[0]),
                    "mean": show(float(result.final.mean[0])),
                    "band": show_span(result.final.low[0], result.final.high[0]) if banded else "none",
                    "sd": show(float(values.std(ddof=1))) if banded else "–",
                }
            )
    return rows


def _results(parts: Sequence[StudyPart], label: str) -> list[tuple[StudyPart, Result]]:
    return [(part, result) for part in parts for result in part.results if result.stack.label == label]


def tabulate_contrasts(differences: Sequence[Difference]) -> Rows:
    """Return one row per difference: its mean, interval, effect size, variance reduction, error and runs needed."""
    rows = []
    for difference in differences:
        contrast = difference.contrast
        if contrast is None:
            continue
        rows.append(
            {
                "measure": difference.label,
                "study": difference.title,
                "n_pairs": contrast.n_runs,
                "difference": show_signed(contrast.difference),
                "band": show_span(contrast.low, contrast.high) if contrast.n_runs >= MIN_BAND else "none",
                "effect": _show_ratio(contrast.effect_size, signed=True),
                "reduction": _show_ratio(contrast.variance_reduction),
                "error": show(contrast.monte_carlo_error) if contrast.n_runs >= MIN_BAND else "none",
                "needed": _show_needed(contrast),
            }
        )
    return rows


def _show_needed(contrast: Contrast) -> str:
    """Return how many pairs an interval takes that is as wide as the difference itself is large."""
    wanted = abs(contrast.difference) / 2
    if contrast.n_runs < MIN_BAND or wanted == 0:
        return "–"
    try:
        return f"{runs_needed(contrast.sd, wanted, contrast.level):,}"
    except ReportError:
        return "over 10 million"  # a difference that is tiny beside its spread: no number of runs would settle it


def _show_ratio(value: float, *, signed: bool = False) -> str:
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    return show_signed(value) if signed else show(value)


def merge_equal(told: Sequence[tuple[str, str]]) -> str:
    """Return 'name: text' of several studies, or the text once where all of them share it."""
    if len(told) > 1 and len({text for _, text in told}) == 1:
        return f"Each of the {len(told)}: {told[0][1]}"
    return "; ".join(f"{name}: {text}" for name, text in told)


def show_signed(value: float) -> str:
    """Return a difference with its sign."""
    text = show(float(value))
    return f"+{text}" if value > 0 else text.replace("-", "−")


def show_span(low: Any, high: Any) -> str:
    """Return the two ends of an interval."""
    return f"{show(float(low))} to {show(float(high))}".replace("-", "−")


def draw_differences(differences: Sequence[Difference], notes: str = "") -> list[Figure]:
    """Return one figure per measure: the differences to the first study by step, with the band over pairs of runs.

    Args:
        differences: As compared.
        notes: Sentences that stand on every figure.
    """
    labels = {difference.label: None for difference in differences}
    figures = []
    for number, label in enumerate(labels):
        own = [difference for difference in differences if difference.label == label][:MAX_LINES]
        figures.append(_draw_difference(f"c{number}", label, own, notes))
    return figures


def _draw_difference(name: str, label: str, own: Sequence[Difference], notes: str) -> Figure:
    lines, told = [], []
    for difference in own:
        band = bootstrap_band(difference.pairs)
        n = len(difference.seeds)
        low, high = (band.low, band.high) if n >= MIN_BAND else (None, None)
        thin = tuple(difference.pairs) if n >= MIN_BAND else ()
        lines.append(Line(difference.title, difference.steps, band.mean, low, high, thin))
        s = "s" if n != 1 else ""
        told.append(
            (
                difference.title,
                f"{difference.other.n_agents:,} agents, {n} pair{s} of runs, seed{s} "
                f"{describe_seeds(difference.seeds)}",
            )
        )
    measure = next((result.measure for result in own[0].other.results if result.stack.label == label), None)
    unit = f" ({measure.unit})" if measure and measure.unit else ""
    svg = draw_lines(name, lines, x_label="step", y_label=f"difference of {label}{unit}", zero=True, legend=True)
    most = max(len(difference.seeds) for difference in own)
    what = (
        "Line: mean over pairs of runs; band: 95% bootstrap interval of that mean over pairs, at each step by itself; "
        "thin lines: single pairs."
        if most >= MIN_BAND
        else "One pair of runs has no band."
    )
    few = " With so few pairs the interval is too narrow." if MIN_BAND <= most < FEW_PAIRS else ""
    ends = ", ".join(f"{line.label} ends at {show_signed(float(line.y[-1]))}" for line in lines)
    caption = f"{merge_equal(told)}. {what}{few} {notes}".strip()
    return Figure(f"{label}: difference by step", svg, caption, f"Difference of {label} over steps: {ends}.")
