"""How well drawn agents resemble the survey that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.population.building import load_recipe, raked_weights
from engine.population.households import describe_sizes
from engine.population.mapping import Mapped
from engine.population.population import Population
from engine.population.respondents import SOURCE_ROW, Respondents, load_respondents, summarise_weights
from engine.population.spreading import spread_points
from engine.population.targets import read_marginals
from engine.spec import PopulationSpec, SpreadSpec

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


@dataclass(frozen=True)
class FitReport:
    """How people resemble what a study asked for, whatever they come from.

    Attributes:
        frame: As in `DrawReport`.
        effective_n: (sum w)^2 / sum w^2 of the weights that people were drawn by; None where there are none.
        weight_ratio: Largest of these weights by the smallest; None likewise.
        n_cells, n_empty: With raking, cells of the cross-table of all targets, and those without anybody.
        rounds: Rounds of raking; 0 without.
        difference: Largest difference that raking left.
        notes: Sentences for the reader: what was matched, what was not.
    """

    frame: pl.DataFrame
    effective_n: float | None
    weight_ratio: float | None
    n_cells: int
    n_empty: int
    rounds: int
    difference: float
    notes: tuple[str, ...]


def describe_fit(
    spec: PopulationSpec, population: Population, seed: int, *, base: Path | None = None, folder: Path | None = None
) -> FitReport:
    """Compare people with the survey, recipe, targets, household sizes or ranges that they were made from.

    Args:
        spec: The population.
        population: What `build_population` made of it.
        seed: Seed of the population.
        base: Folder that the survey file's path starts from.
        folder: The user's own personas folder.

    Raises:
        PopulationError: the population has problems.
    """
    rows: list[tuple[Any, ...]] = []
    notes: list[str] = []
    effective_n = ratio = raked = None
    if spec.file is not None:
        drawn = describe_draw(spec, population, base=base, folder=folder)
        targets = spec.rake.targets if spec.rake else {}
        rows += [row for row in drawn.frame.iter_rows() if row[0] not in targets]
        notes += drawn.notes
        effective_n, ratio = drawn.effective_n, drawn.weight_ratio
    if spec.recipe is not None:
        rows += list(_recipe_rows(spec, population, folder))
        notes.append(
            "Drawn from a recipe: its tables tie some columns to a few others; beyond these ties columns are "
            "independent, which is an assumption."
        )
    if spec.rake is not None:
        raked = raked_weights(spec, population.n, seed, folder, base)
        effective_n, ratio = summarise_weights(raked.weights)
        rows += list(_target_rows(spec, population))
        names = ", ".join(spec.rake.targets)
        kept = "the survey's respondents" if spec.file else "the pack" if spec.personas else "the recipe"
        notes.append(
            f"Only the shares of {names} were matched, one column at a time. How these columns go together, and all "
            f"other columns, follow {kept} and were matched to nothing."
        )
    if spec.households is not None:
        rows += [
            ("hh_size", "share of households", label, target, achieved, achieved - target, None)
            for label, target, achieved in describe_sizes(spec.households, population.values)
        ]
        notes.append(
            "Households have the given sizes; who lives with whom follows rules of ours on ages and partnership. "
            "Traits such as schooling or views of people who live together are not tied to each other."
        )
    if spec.spread is not None:
        rows += list(_spread_rows(spec.spread, population.n, seed))
        notes.append(
            f"{', '.join(spec.spread.columns)} cover their ranges evenly and in all combinations: these people are "
            "meant for exploring a model, and their shares resemble no population."
        )
    if spec.personas is not None and not spec.rake:
        notes.append("Written people, taken in order: their shares were matched to nothing.")
    return FitReport(
        frame=pl.DataFrame(rows, schema=_SCHEMA, orient="row"),
        effective_n=effective_n,
        weight_ratio=ratio,
        n_cells=raked.n_cells if raked else 0,
        n_empty=raked.n_empty if raked else 0,
        rounds=raked.rounds if raked else 0,
        difference=raked.difference if raked else 0.0,
        notes=tuple(notes),
    )


def _share_row(name: str, label: str, target: float, achieved: float, n: int) -> tuple[Any, ...]:
    return name, "share", label, target, achieved, achieved - target, (target * (1 - target) / n) ** 0.5


def _target_rows(spec: PopulationSpec, population: Population) -> Iterator[tuple[Any, ...]]:
    """Return target and achieved shares of the agents."""
    if spec.rake is None:
        return
    people = {name: (population.columns[name], population.values[name]) for name in spec.rake.targets}
    for marginal in read_marginals(spec.rake, people, []):
        found = np.bincount(marginal.codes, minlength=len(marginal.labels)) / population.n
        for label, target, share in zip(marginal.labels, marginal.shares, found, strict=True):
            yield _share_row(marginal.name, label, float(target), float(share), population.n)


def _recipe_rows(spec: PopulationSpec, population: Population, folder: Path | None) -> Iterator[tuple[Any, ...]]:
    """Return the shares of the recipe's columns that depend on no other and that nothing else changed."""
    changed = {*spec.columns, *(spec.rake.targets if spec.rake else ()), *(spec.spread.columns if spec.spread else ())}
    changed |= {"age", "marital", "employment", "education"} if spec.households else set()
    for name, table in load_recipe(spec.recipe or "", folder).tables.items():
        column = population.columns.get(name)
        if name in changed or column is None or column.provenance != "sampled" or "given" in table:
            continue
        values, weights = table.get("values"), table.get("weights")
        if column.kind != "category" or not isinstance(values, list):
            continue
        shares = np.array(weights if weights else [1.0] * len(values), np.float64)
        shares = shares / shares.sum()
        found = np.bincount(population.values[name], minlength=len(column.labels)) / population.n
        for label, share in zip(values, shares, strict=True):
            yield _share_row(name, str(label), float(share), float(found[column.labels.index(label)]), population.n)


def _spread_rows(spec: SpreadSpec, n: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Return the largest distance of each trait's points from an even spread, and the one that chance would leave.

    Source: Kolmogorov's distribution has the mean sqrt(pi / 2) ln 2 = 0.8687.
    """
    places = np.arange(1, n + 1) / n
    for name, points in spread_points(spec, np.arange(n, dtype=np.int64), seed).items():
        ordered = np.sort(points)
        gap = float(max(np.abs(places - ordered).max(), np.abs(places - 1 / n - ordered).max()))
        yield name, "unevenness", "", 0.0, gap, gap, 0.8687 / n**0.5
