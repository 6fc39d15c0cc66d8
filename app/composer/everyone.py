"""All people of a draft, built once and kept between looks; what filters and tables need of them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from app.composer.people import first_part, seed_of
from app.drafts import Draft
from app.surveys import file_state
from engine.decision import Words
from engine.errors import ExpressionError
from engine.expressions import parse_expression
from engine.loading import scenario_info
from engine.population import Population, build_population, load_schema
from engine.spec import PopulationSpec

MOST_PEOPLE = 200_000
"""More people are looked at through the first so many; the study still has them all."""
N_BINS = 12
TYPES = {"float": "number", "integer": "number", "boolean": "boolean", "category": "text", "text": "text"}


def everyone_of(draft: Draft) -> Population:
    """Return all people of a draft's population, at most `MOST_PEOPLE`.

    Raises:
        PopulationError: the settings do not hold together.
        ValidationError: they are not even of the right form.
    """
    return _build(*_key(draft))


def everyone_frame(draft: Draft) -> pl.DataFrame:
    """Return all people of a draft as a frame, errors as for `everyone_of`."""
    return _frame(*_key(draft))


def _key(draft: Draft) -> tuple[str, int, int, str, str, tuple[int, int], float]:
    scenario = scenario_info(str(draft.get("scenario")))
    size = int(scenario.defaults.get("population", {}).get("size") or 1000)
    base = draft.path.parent
    file = draft.get("population.file")
    state = file_state(base / str(file)) if file else (0, 0)
    pack = draft.personas / "packs" / f"{draft.get('population.personas')}.toml"
    changed = pack.stat().st_mtime if pack.is_file() else 0.0
    table = json.dumps(draft.table("population"), default=str)
    return table, seed_of(draft), size, str(draft.personas), str(base), state, changed


@st.cache_resource(max_entries=2, show_spinner="Building the people")
def _build(
    table: str, seed: int, default_size: int, folder: str, base: str, state: tuple[int, int], changed: float
) -> Population:
    del state, changed
    spec = PopulationSpec(**json.loads(table))
    if spec.size is not None and spec.size > MOST_PEOPLE:
        spec = first_part(spec, MOST_PEOPLE)
    return build_population(spec, seed, default_size, Path(folder), Path(base))


@st.cache_resource(max_entries=2, show_spinner=False)
def _frame(
    table: str, seed: int, default_size: int, folder: str, base: str, state: tuple[int, int], changed: float
) -> pl.DataFrame:
    return _build(table, seed, default_size, folder, base, state, changed).frame()


def find_matching(people: Population, frame: pl.DataFrame, text: str) -> pl.DataFrame:
    """Return the people for whom a condition holds; all for an empty one.

    Args:
        people: Types of the columns.
        frame: The people.
        text: A condition as in `where`, or plain words that any text or category must hold.

    Raises:
        ExpressionError: a condition that cannot be read.
    """
    wanted = text.strip()
    if not wanted:
        return frame
    if wanted.replace(" ", "").isalnum() and " and " not in f" {wanted} " and wanted not in people.columns:
        texts = [name for name, column in people.columns.items() if column.kind in ("text", "category")]
        if not texts:
            return frame.head(0)
        held = [
            pl.col(name).cast(pl.String).str.to_lowercase().str.contains(wanted.lower(), literal=True) for name in texts
        ]
        return frame.filter(pl.any_horizontal(held))
    types = {name: TYPES[column.kind] for name, column in people.columns.items()} | {"agent_id": "number"}
    labels = {name: column.labels for name, column in people.columns.items() if column.labels}
    return frame.filter(parse_expression(wanted, types, labels=labels).polars)


def problem_of(error: ExpressionError, example: str) -> str:
    """Return what is wrong with a condition, with an example."""
    return f"{error}. For example: {example}"


def example_condition(people: Population) -> str:
    """Return a condition that these people's columns allow, such as age > 40 and sex == 'female'."""
    skipped = {"persona", "source_row"}
    number = next((n for n, c in people.columns.items() if c.kind in ("integer", "float") and n not in skipped), "")
    label = next((n for n, c in people.columns.items() if c.kind == "category"), "")
    parts = [f"{number} > {float(np.median(people.values[number])):.3g}"] if number else []
    parts += [f"{label} == '{people.columns[label].labels[0]}'"] if label else []
    return " and ".join(parts) or "agent_id > 3"


def grouped(people: Population, frame: pl.DataFrame, name: str) -> pl.Series:
    """Return a column as categories: its labels, the words of its presentation, or a dozen ranges."""
    column, series = people.columns[name], frame[name]
    if column.kind in ("category", "boolean"):
        labels = list(column.labels) if column.kind == "category" else ["no", "yes"]
        codes = series.to_physical() if column.kind == "category" else series.cast(pl.Int8)
        return pl.Series(name, labels, dtype=pl.Enum(labels)).gather(codes.cast(pl.UInt32))
    if column.kind == "text":
        return series.cast(pl.String)
    known = load_schema().get(name)
    shown = known.column.presentation if known else None
    values = series.to_numpy()
    if isinstance(shown, Words):
        labels = list(shown.words)
        return pl.Series(name, labels, dtype=pl.Enum(labels)).gather(shown.codes(values).astype(np.uint32))
    edges, labels = ranges(values, whole=column.kind == "integer")
    codes = np.clip(np.searchsorted(edges[1:-1], values, side="right"), 0, len(labels) - 1)
    return pl.Series(name, labels, dtype=pl.Enum(labels)).gather(codes.astype(np.uint32))


def ranges(values: Any, *, whole: bool) -> tuple[Any, list[str]]:
    """Return the edges of at most a dozen even ranges and their names."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if whole and high - low < N_BINS:
        numbers = np.arange(low, high + 1)
        return np.append(numbers, high + 1), [f"{number:g}" for number in numbers]
    edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
    if whole:
        edges = np.unique(np.round(edges))
    labels = [f"{start:.4g} to {end:.4g}" for start, end in itertools.pairwise(edges)]
    if len(set(labels)) < len(labels):
        labels = [f"{place + 1}: {label}" for place, label in enumerate(labels)]
    return edges, labels


def two_way(people: Population, frame: pl.DataFrame, row: str, column: str) -> pl.DataFrame:
    """Return shares of each row of a two-way table, one row per value of the first column, in its order."""
    pairs = pl.DataFrame([grouped(people, frame, row).alias("row"), grouped(people, frame, column).alias("column")])
    counts = pairs.group_by("row", "column").len().sort("row", "column")
    wide = counts.pivot(on="column", index="row", values="len", sort_columns=False).fill_null(0)
    order = [name for name in grouped(people, frame, column).unique().sort().cast(pl.String) if name in wide.columns]
    total = wide.select(pl.sum_horizontal(order)).to_series()
    shares = wide.select(pl.col("row").cast(pl.String).alias(row), *(pl.col(name) / total for name in order))
    return shares.with_columns(total.alias("people"))
