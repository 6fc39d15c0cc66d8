"""Recipes: distributions and conditional tables as a small acyclic graph of columns.

A recipe is a TOML file with a title, a source and `[columns.NAME]` tables. A column is one distribution, or a `given`
of one to four parent columns and a `table` whose keys are the parents' categories (several joined by `|`), their
intervals (`<25`, `25..65`, `>=65`: lower bound included, upper excluded) or `*` for all others. A cell holds
a distribution, or only the numbers that differ from the column's own, or a list of weights, or one value.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.population.columns import Column
from engine.population.distributions import Distribution, build_distribution
from engine.population.schema import DTYPES, load_schema
from engine.population.text import quoted
from engine.population.typed import type_values
from engine.registry import nearest

MAX_PARENTS = 4
_OWN_KEYS = frozenset({"given", "table", "kind", "unit", "help"})

Cells = Mapping[str, Any]


@dataclass(frozen=True)
class Leaf:
    """One cell of a column: its distribution and, for listed outcomes, their values in the column's dtype."""

    distribution: Distribution
    outcomes: NDArray[Any] | None = None


@dataclass(frozen=True)
class DrawnColumn:
    """A column that is drawn, one uniform number per agent.

    Attributes:
        name: Column name; the stream of its draws.
        column: Its type.
        given: Names of its parents, at most two.
        cells: The leaf, or nested tables of leaves, one level per parent.
        where: Dotted key for errors.
    """

    name: str
    column: Column
    given: tuple[str, ...]
    cells: Leaf | Cells
    where: str


def build_drawn(name: str, given: Mapping[str, Any], problems: list[str], where: str) -> DrawnColumn | None:
    """Return the drawn column that a table describes, or None after adding every problem to `problems`.

    Parents are checked later, by `build_partitions` of `tables`, once all columns are known.
    """
    parents = _parents(given, problems, where)
    if parents is None:
        return None
    before = len(problems)
    base = {key: value for key, value in given.items() if key not in _OWN_KEYS}
    range_ = _range(name)
    if parents:
        table = given["table"]
        cells: Any = _build_cells(table, len(parents), base, problems, f"{where}.table", range_)
    else:
        cells = build_distribution(base, problems, where, range_)
    if len(problems) > before:
        return None
    return _typed(name, given, parents, cells, problems, where)


def _parents(given: Mapping[str, Any], problems: list[str], where: str) -> tuple[str, ...] | None:
    parents = given.get("given", ())
    parents = (parents,) if isinstance(parents, str) else tuple(parents) if isinstance(parents, Sequence) else (0,)
    if len(parents) > MAX_PARENTS or any(not isinstance(p, str) for p in parents) or len(set(parents)) < len(parents):
        problems.append(f"given = {quoted(given['given'])} is not one to four different column names @ {where}.given")
        return None
    table = given.get("table")
    if bool(parents) != (table is not None) or (parents and (not isinstance(table, Mapping) or not table)):
        problems.append(f"'given' and a 'table' that is not empty belong together @ {where}")
        return None
    return parents


def _range(name: str) -> tuple[float, float]:
    known = load_schema().get(name)
    if known is None:
        return -math.inf, math.inf
    low, high = known.column.low, known.column.high
    return (-math.inf if low is None else low), (math.inf if high is None else high)


def _build_cells(
    table: Any, depth: int, base: Mapping[str, Any], problems: list[str], where: str, range_: tuple[float, float]
) -> dict[str, Any]:
    if not isinstance(table, Mapping) or not table:
        problems.append(f"{quoted(table)} is not a table with one key per category or interval @ {where}")
        return {}
    if depth > 1:
        return {
            str(key): _build_cells(rows, depth - 1, base, problems, f'{where}."{key}"', range_)
            for key, rows in table.items()
        }
    cells = {}
    for key, cell in table.items():
        if isinstance(cell, Mapping):
            merged = dict(cell) if "distribution" in cell or "value" in cell else {**base, **cell}
        elif isinstance(cell, list | tuple):
            merged = {**base, "weights": cell}
        else:
            merged = {"value": cell}
        cells[str(key)] = build_distribution(merged, problems, f'{where}."{key}"', range_)
    return cells


def leaves_of(cells: Any) -> list[Any]:
    """Return all cells of nested tables, in order."""
    return [leaf for cell in cells.values() for leaf in leaves_of(cell)] if isinstance(cells, Mapping) else [cells]


def _typed(
    name: str,
    given: Mapping[str, Any],
    parents: tuple[str, ...],
    cells: Any,
    problems: list[str],
    where: str,
) -> DrawnColumn | None:
    distributions: list[Distribution] = leaves_of(cells)
    listed = list(dict.fromkeys((type(v), v) for d in distributions if d.is_listed for v in d.values))
    outcomes: dict[tuple[type, Any], Any] = {}
    known = load_schema().get(name)
    column = known.column if known else None
    if listed:
        found: list[str] = []
        typed = type_values(name, [v for _, v in listed], found, lambda index: f"value {index + 1}")
        problems += [f"{line} @ {where}" for line in found]
        if typed is None:
            return None
        column = typed.column
        outcomes = dict(zip(listed, typed.values, strict=True))
    is_numeric = column is None or column.kind in ("integer", "float")
    if not is_numeric and not all(d.is_listed for d in distributions):
        problems.append(f"column {quoted(name)} takes no numbers, but a distribution gives them @ {where}")
        return None
    if known is None:
        column = _unknown_column(given, distributions, column, problems, where)
    if column is None or not _holds_whole_numbers(column, distributions, problems, where):
        return None
    built = _with_outcomes(cells, outcomes, np.dtype(column.dtype))
    return DrawnColumn(name, column, parents, built, where)


def _unknown_column(
    given: Mapping[str, Any],
    distributions: Sequence[Distribution],
    column: Column | None,
    problems: list[str],
    where: str,
) -> Column | None:
    """Return the type of a column outside the codebook, with the range that its distributions can reach."""
    all_listed = all(d.is_listed for d in distributions)
    kind = column.kind if column and all_listed else "float"
    wanted = given.get("kind", kind)
    if wanted != kind and not (kind in ("float", "integer") and wanted in ("float", "integer")):
        problems.append(f"kind = {quoted(wanted)} does not fit values of kind {kind} @ {where}.kind")
        return None
    column = dataclasses.replace(column or Column(kind, DTYPES[kind]), kind=wanted, dtype=DTYPES[wanted])
    low = high = None
    if wanted in ("float", "integer"):
        ends = [(min(d.values), max(d.values)) if d.is_listed else d.bounds for d in distributions]
        lowest, highest = min(end[0] for end in ends), max(end[1] for end in ends)
        low, high = (lowest if math.isfinite(lowest) else None), (highest if math.isfinite(highest) else None)
    return dataclasses.replace(
        column, low=low, high=high, unit=str(given.get("unit", "")), help=str(given.get("help", ""))
    )


def _holds_whole_numbers(
    column: Column, distributions: Sequence[Distribution], problems: list[str], where: str
) -> bool:
    """Tell whether each distribution of an integer column has a whole number within its bounds."""
    for low, high in (d.bounds for d in distributions if column.kind == "integer" and not d.is_listed):
        if math.isfinite(low) and math.isfinite(high) and math.ceil(low) > math.floor(high):
            problems.append(f"there is no whole number in [{low:g}, {high:g}] @ {where}")
            return False
    return True


def _with_outcomes(cells: Any, outcomes: Mapping[tuple[type, Any], Any], dtype: np.dtype[Any]) -> Any:
    if isinstance(cells, Mapping):
        return {key: _with_outcomes(cell, outcomes, dtype) for key, cell in cells.items()}
    if not cells.is_listed:
        return Leaf(cells)
    values = np.empty(len(cells.values), dtype=dtype)
    values[:] = [outcomes[(type(value), value)] for value in cells.values]
    return Leaf(cells, values)


def order_columns(columns: Mapping[str, DrawnColumn], names: Sequence[str], problems: list[str]) -> list[str]:
    """Return the drawn columns with parents before children; adds unknown parents and circles to `problems`.

    Args:
        columns: Columns to draw, by name.
        names: All columns of the population, those with given values included.
        problems: Receives one sentence per unknown parent and per circle.
    """
    for name, drawn in columns.items():
        for parent in drawn.given:
            if parent not in names:
                others = [other for other in names if other != name]
                problems.append(f"{quoted(parent)} is not a column{nearest(parent, others)} @ {drawn.where}.given")
    ordered: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in ordered or name not in columns:
            return
        if name in path:
            circle = [*path[path.index(name) :], name]
            problems.append(f"columns depend on each other in a circle: {' -> '.join(circle)}; break it")
            ordered.extend(circle[:-1])
            return
        path.append(name)
        for parent in columns[name].given:
            visit(parent)
        path.pop()
        if name not in ordered:
            ordered.append(name)

    for name in columns:
        visit(name)
    return ordered
