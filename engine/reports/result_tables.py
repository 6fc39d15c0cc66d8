"""The results in tables: last values with their bands, what each measure means, and studies against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.reports.comparisons import show_span
from engine.reports.reading import StudyPart
from engine.reports.study_section import show

Rows = list[dict[str, Any]]


def tabulate_final(parts: Sequence[StudyPart]) -> Rows:
    """Return one row per study and measure: last value, band over runs, Monte Carlo error, range over runs."""
    rows = []
    for part in parts:
        for result in part.results:
            final, values = result.final, result.stack.final
            finite = values[np.isfinite(values)]
            banded = result.has_band
            rows.append(
                {
                    "study": part.label,
                    "measure": result.stack.label,
                    "unit": result.measure.unit if result.measure else "",
                    "mean": show(float(final.mean[0])),
                    "band": show_span(final.low[0], final.high[0]) if banded else "none",
                    "error": show(float(finite.std(ddof=1)) / finite.size**0.5) if banded else "none",
                    "range": show_span(finite.min(), finite.max()) if finite.size > 1 else "",
                    "n_runs": int(final.n_runs[0]),
                }
            )
    return rows


def tabulate_measures(parts: Sequence[StudyPart]) -> Rows:
    """Return one row per measure: name, unit, range, meaning, source."""
    rows: dict[str, dict[str, Any]] = {}
    for part in parts:
        for measure in part.info.measures:
            open_ends = [show(None if end is None else float(end)) for end in (measure.low, measure.high)]
            rows[measure.name] = {
                "name": measure.name,
                "unit": measure.unit,
                "range": "" if measure.low is None and measure.high is None else " to ".join(open_ends),
                "help": measure.help,
                "source": measure.source,
            }
    return list(rows.values())
