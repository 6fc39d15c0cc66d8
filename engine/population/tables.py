"""Conditional tables: which cell an agent falls into, by its parents' values, and the draw within it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.draws import draw_uniform
from engine.errors import PopulationError
from engine.population.columns import Column
from engine.population.recipes import DrawnColumn, Leaf, leaves_of
from engine.population.schema import load_schema
from engine.population.text import quoted
from engine.population.typed import MAX_WHOLE, range_words
from engine.registry import nearest

OTHERS = "*"


@dataclass(frozen=True)
class Partition:
    """The keys of one table level, as a map from a parent's value to the key's position.

    Attributes:
        slots: Position of the key for each category code, or for each segment between `cuts`.
        cuts: Ascending cut points of a numeric parent; None for categories and booleans.
    """

    slots: NDArray[np.int64]
    cuts: NDArray[np.float64] | None = None

    def positions(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return the position of the key that each value falls under, int64, same shape."""
        if self.cuts is None:
            return self.slots[values.astype(np.int64)]
        return self.slots[np.searchsorted(self.cuts, values, side="right")]


Partitions = Mapping[tuple[str, ...], Partition]


def parse_interval(key: str) -> tuple[float, float] | None:
    """Return the bounds [low, high) of `<25`, `25..65` or `>=65`, or None where the key is none of these."""
    text = key.strip()
    try:
        if text.startswith("<"):
            return -math.inf, float(text[1:])
        if text.startswith(">="):
            return float(text[2:]), math.inf
        low, dots, high = text.partition("..")
        return (float(low), float(high)) if dots else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Parent:
    """What a table must know of a parent.

    Attributes:
        column: Its type.
        codes: Codes of a category that can occur; each needs a row.
        is_closed: Whether a row for any other label is a mistake; labels that were only observed in given values
            leave room for more.
    """

    column: Column
    codes: frozenset[int] = frozenset()
    is_closed: bool = True


def given_parent(name: str, column: Column, values: NDArray[Any]) -> Parent:
    """Return a parent whose values are given."""
    if column.kind != "category":
        return Parent(column)
    known = load_schema().get(name)
    return Parent(column, frozenset(np.unique(values).tolist()), is_closed=known is not None and not known.is_open)


def drawn_parent(drawn: DrawnColumn) -> Parent:
    """Return a parent whose values will be drawn; outcomes of weight 0 cannot occur."""
    if drawn.column.kind != "category":
        return Parent(drawn.column)
    outcomes = (
        zip(leaf.outcomes.tolist(), leaf.distribution.weights, strict=True)
        for leaf in leaves_of(drawn.cells)
        if leaf.outcomes is not None
    )
    return Parent(drawn.column, frozenset(code for pairs in outcomes for code, weight in pairs if weight > 0))


def build_partitions(
    drawn: DrawnColumn, parents: Mapping[str, Parent], problems: list[str]
) -> dict[tuple[str, ...], Partition]:
    """Return one partition per table of a drawn column, by the keys that lead to it.

    Args:
        drawn: The column.
        parents: Its parents, by name; one that is missing there is left to `order_columns`.
        problems: Receives unknown categories, overlaps and gaps, each with the table's key.
    """
    partitions: dict[tuple[str, ...], Partition] = {}

    def visit(cells: Any, path: tuple[str, ...]) -> None:
        if not isinstance(cells, Mapping):
            return
        parent = drawn.given[len(path)]
        if parent not in parents:
            return
        where = ".".join([f"{drawn.where}.table", *(f'"{key}"' for key in path)])
        partition = partition_values(list(cells), parent, parents[parent], problems, where)
        if partition is not None:
            partitions[path] = partition
        for key, below in cells.items():
            visit(below, (*path, key))

    visit(drawn.cells, ())
    return partitions


def partition_values(
    keys: Sequence[str], name: str, parent: Parent, problems: list[str], where: str
) -> Partition | None:
    """Return which key each value of a column falls under, or None after adding every problem to `problems`.

    Args:
        keys: Categories (several joined by `|`), intervals, or `*` for all others.
        name: The column.
        parent: Its type and the values that need a key.
        problems: Receives unknown categories, overlaps and gaps.
        where: Dotted key of the table.
    """
    column = parent.column
    if column.kind == "text":
        problems.append(f"{quoted(name)} is a text column; a table needs a category, a boolean or a number @ {where}")
        return None
    if column.kind == "boolean":
        yes_no = dataclasses.replace(column, labels=("no", "yes"))
        return _category_partition(keys, name, Parent(yes_no, frozenset({0, 1})), problems, where)
    if column.kind == "category":
        return _category_partition(keys, name, parent, problems, where)
    return _number_partition(keys, name, column, problems, where)


def _category_partition(
    keys: Sequence[str], name: str, parent: Parent, problems: list[str], where: str
) -> Partition | None:
    before = len(problems)
    labels = parent.column.labels
    slots = np.full(len(labels), -1, dtype=np.int64)
    for position, key in enumerate(keys):
        if key == OTHERS:
            continue
        for label in [key] if key in labels else [part.strip() for part in key.split("|")]:
            if label not in labels:
                if parent.is_closed:
                    problems.append(f"{quoted(label)} is not a value of {name}{nearest(label, labels)} @ {where}")
            elif slots[labels.index(label)] >= 0:
                problems.append(f"{quoted(label)} stands in the table twice @ {where}")
            else:
                slots[labels.index(label)] = position
    names = {code: f"'{label}'" for code, label in enumerate(labels) if code in parent.codes}
    return Partition(slots) if _covered(slots, keys, names, name, problems, where, before) else None


def _number_partition(
    keys: Sequence[str], parent: str, column: Column, problems: list[str], where: str
) -> Partition | None:
    before = len(problems)
    intervals: dict[int, tuple[float, float]] = {}
    for position, key in enumerate(keys):
        if key == OTHERS:
            continue
        interval = parse_interval(key)
        if interval is None or not interval[0] < interval[1]:
            problems.append(f"{quoted(key)} is not an interval such as '<25', '25..65' or '>=65' @ {where}")
            continue
        intervals[position] = interval
    cuts = np.array(sorted({bound for pair in intervals.values() for bound in pair if math.isfinite(bound)}))
    starts, ends = [-math.inf, *cuts.tolist()], [*cuts.tolist(), math.inf]
    slots = np.full(len(starts), -1, dtype=np.int64)
    for segment, (start, end) in enumerate(zip(starts, ends, strict=True)):
        inside = [position for position, (low, high) in intervals.items() if low <= start and end <= high]
        if len(inside) > 1:
            both = " and ".join(f"'{keys[position]}'" for position in inside)
            problems.append(f"{both} overlap @ {where}")
        if inside:
            slots[segment] = inside[0]
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high
    names = {
        segment: _interval_words(start, end)
        for segment, (start, end) in enumerate(zip(starts, ends, strict=True))
        if end > low and start <= high
    }
    words = f"{parent} in {range_words(column)}"
    return Partition(slots, cuts) if _covered(slots, keys, names, words, problems, where, before) else None


def _interval_words(low: float, high: float) -> str:
    """Return an interval as a table's key would name it."""
    if math.isinf(low):
        return f"'<{high:g}'" if math.isfinite(high) else "any number"
    return f"'>={low:g}'" if math.isinf(high) else f"'{low:g}..{high:g}'"


def _covered(
    slots: NDArray[np.int64],
    keys: Sequence[str],
    names: Mapping[int, str],
    parent: str,
    problems: list[str],
    where: str,
    before: int,
) -> bool:
    """Give what no key covers to `*`; without one, each slot in `names` that is left is a problem."""
    if OTHERS in keys:
        slots[slots < 0] = list(keys).index(OTHERS)
    missing = [name for slot, name in names.items() if slots[slot] < 0]
    if missing and len(problems) == before:
        problems.append(f"no row for {', '.join(missing)} of {parent}; add one, or '*' for all others @ {where}")
    return len(problems) == before


def draw_column(
    drawn: DrawnColumn,
    partitions: Partitions,
    values: Mapping[str, NDArray[Any]],
    agents: NDArray[np.int64],
    seed: int,
    uniforms: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """Return one value per agent, in the column's dtype, shape (len(agents),).

    Args:
        drawn: The column.
        partitions: What `build_partitions` returned for it.
        values: Arrays of its parents, each of shape (len(agents),).
        agents: Agent ids; an agent's value depends on its id, its parents' values and the seed alone.
        seed: Seed of the population.
        uniforms: Numbers in [0, 1) to draw with, one per agent; None for the column's own stream.

    Raises:
        PopulationError: a number that is not finite, or a whole number beyond 64 bits.
    """
    if uniforms is None:
        uniforms = draw_uniform(seed, f"population.{drawn.name}", 0, 0, agents)
    drawn_values = np.empty(agents.size, dtype=drawn.column.dtype)

    def fill(cells: Any, path: tuple[str, ...], rows: NDArray[np.int64] | slice) -> None:
        if not isinstance(cells, Mapping):
            drawn_values[rows] = _draw_leaf(cells, uniforms[rows], drawn)
            return
        positions = partitions[path].positions(values[drawn.given[len(path)]][rows])
        for position, (key, below) in enumerate(cells.items()):
            inside = np.flatnonzero(positions == position)
            if inside.size:
                fill(below, (*path, key), inside if isinstance(rows, slice) else rows[inside])

    fill(drawn.cells, (), slice(None))
    return drawn_values


def _draw_leaf(leaf: Leaf, uniforms: NDArray[np.float64], drawn: DrawnColumn) -> NDArray[Any]:
    if leaf.outcomes is not None:
        return np.asarray(leaf.outcomes[leaf.distribution.choices(uniforms)])
    whole = drawn.column.kind == "integer"
    numbers = leaf.distribution.quantiles(uniforms, whole)
    limit = MAX_WHOLE if whole else math.inf
    if not (np.abs(numbers) < limit).all():
        worst = numbers[~(np.abs(numbers) < limit)][0]
        raise PopulationError(
            f"{leaf.distribution.name} gives {worst:g}, more than the column holds; use smaller numbers @ {drawn.where}"
        )
    return numbers.astype(drawn.column.dtype)
