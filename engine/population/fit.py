"""How well drawn agents resemble the survey that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.population.mapping import Mapped
from engine.population.population import Population
from engine.population.respondents import SOURCE_ROW, Respondents, load_respondents, summarise_weights
from engine.spec import PopulationSpec

_SCHEMA = {
    "column": pl.String,
    "statistic": pl.String,
    "label": pl.String,
    "target": pl.Float64,
    "achieved": pl.Float64,
    "difference": pl.Float64,
    "standard_error": pl.Float64,
}
_MOST_LABELS = 100


@dataclass(frozen=True)
class DrawReport:
    """Target against achieved, and what the weights and missing answers cost.

    Attributes:
        frame: One row per number: column, statistic (mean, sd or share), label (of a share), target (weighted, over all
            respondents of the file with a valid answer and weight), achieved (over the agents), difference, and
            standard_error (of the achieved number, from drawing this many agents).
        n_agents: Agents that were drawn.
        n_respondents: Different respondents among them.
        n_rows: Respondents in the file.
        n_usable: Respondents that could be drawn.
        dropped: Respondents left out, by the column (or "weight") for which they gave no answer.
        effective_n: (sum w)^2 / sum w^2 of the usable respondents.
        weight_ratio: Largest weight of a usable respondent by the smallest.
        notes: Sentences for the reader: what was matched, what was not.
    """

    frame: pl.DataFrame
    n_agents: int
    n_respondents: int
    n_rows: int
    n_usable: int
    dropped: dict[str, int]
    effective_n: float
    weight_ratio: float
    notes: tuple[str, ...]


def describe_draw(
    spec: PopulationSpec, population: Population, *, base: Path | None = None, folder: Path | None = None
) -> DrawReport:
    """Compare agents with the survey file that they were drawn from.

    Args:
        spec: The population, with a file.
        population: What `build_population` made of it.
        base: Folder that the survey file's path starts from.
        folder: The user's own personas folder.

    Raises:
        PopulationError: the survey file is not there, or has problems.
    """
    respondents = load_respondents(spec, base, folder)
    rows = []
    for name, mapped in respondents.mapped.items():
        if name in population.values and population.columns[name] == mapped.column:
            rows += list(_compare(name, mapped, respondents, population.values[name]))
    effective_n, ratio = summarise_weights(respondents.weights[respondents.usable])
    n_usable = int(respondents.usable.sum())
    return DrawReport(
        frame=pl.DataFrame(rows, schema=_SCHEMA, orient="row"),
        n_agents=population.n,
        n_respondents=int(np.unique(population.values[SOURCE_ROW]).size),
        n_rows=respondents.usable.size,
        n_usable=n_usable,
        dropped=dict(respondents.dropped),
        effective_n=effective_n,
        weight_ratio=ratio,
        notes=tuple(_notes(spec, respondents, n_usable)),
    )


def _compare(name: str, mapped: Mapped, respondents: Respondents, values: NDArray[Any]) -> Iterator[tuple[Any, ...]]:
    answered = mapped.present & (respondents.weights > 0)
    weights = respondents.weights[answered] / respondents.weights[answered].sum()
    given, n = mapped.values[answered], values.size
    kind = mapped.column.kind
    if kind in ("integer", "float"):
        mean = float(weights @ given)
        size = float(np.abs(given - mean).max()) or 1.0  # scaled, so that squares stay within float64
        sd = size * float(np.sqrt(weights @ ((given - mean) / size) ** 2))
        achieved, spread = float(values.mean()), float(values.std())
        yield name, "mean", "", mean, achieved, achieved - mean, sd / n**0.5
        yield name, "sd", "", sd, spread, spread - sd, None
        return
    if kind == "text":
        return
    labels = mapped.column.labels if kind == "category" else ("no", "yes")
    target = np.bincount(given.astype(np.int64), weights, len(labels))
    found = np.bincount(values.astype(np.int64), minlength=len(labels)) / n
    for code in np.argsort(-target, kind="stable")[:_MOST_LABELS]:
        share, reached = float(target[code]), float(found[code])
        error = (share * (1 - share) / n) ** 0.5
        yield name, "share", labels[code], share, reached, reached - share, error


def _notes(spec: PopulationSpec, respondents: Respondents, n_usable: int) -> Iterator[str]:
    yield (
        "Respondents were drawn whole, with replacement and with a probability proportional to their weight, so "
        "relations between variables are kept up to chance."
    )
    if spec.weight is None:
        yield "No weight was given, so every respondent counted the same; shares are those of the sample."
    if respondents.dropped:
        named = ", ".join(f"{name} {n:,}" for name, n in respondents.dropped.items())
        left = respondents.usable.size - n_usable
        yield (
            f"{left:,} of {respondents.usable.size:,} respondents were left out for missing answers ({named}); targets "
            "count them wherever they did answer, so a difference beyond chance shows what leaving them out changed."
        )
    if respondents.drawn_when_missing:
        names = ", ".join(sorted(respondents.drawn_when_missing))
        yield f"Missing answers to {names} were drawn from those given, independently of all other variables."
