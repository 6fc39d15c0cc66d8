"""The results in tables: last values with their bands, what each measure means, and studies against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.analysis import bootstrap_band
from engine.reports.contents import StudyPart
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
                    "band": _span(final.low[0], final.high[0]) if banded else "none",
                    "error": show(float(finite.std(ddof=1)) / finite.size**0.5) if banded else "none",
                    "range": _span(finite.min(), finite.max()) if finite.size > 1 else "",
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


def tabulate_contrasts(parts: Sequence[StudyPart]) -> Rows:
    """Return the difference of each further study to the first one, run by run where their seeds are the same.

    Runs of equal dynamics seed are one pair; the band is a bootstrap interval over pairs. Studies that share fewer than
    two seeds are left out.
    """
    rows = []
    for other in parts[1:]:
        first = parts[0]
        seeds = [
            {p.study.seed_of("dynamics", row.info.replicate): i for i, row in enumerate(p.counted)}
            for p in (first, other)
        ]
        shared = sorted(set(seeds[0]) & set(seeds[1]))
        for result in other.results:
            base = next((r for r in first.results if r.stack.label == result.stack.label), None)
            if base is None or len(shared) < 2:
                continue
            difference = np.array(
                [result.stack.final[seeds[1][seed]] - base.stack.final[seeds[0][seed]] for seed in shared]
            )
            band = bootstrap_band(difference)
            rows.append(
                {
                    "study": f"{other.label} minus {first.label}",
                    "measure": result.stack.label,
                    "difference": show(float(band.mean[0])),
                    "band": _span(band.low[0], band.high[0]),
                    "n_pairs": int(band.n_runs[0]),
                }
            )
    return rows


def _span(low: Any, high: Any) -> str:
    return f"{show(float(low))} to {show(float(high))}"
