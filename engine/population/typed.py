"""From given values to typed columns: the codebook's type where it knows the name, an inferred one elsewhere."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.population.columns import Column, Kind
from engine.population.schema import DTYPES, MAX_CATEGORIES, SchemaColumn, load_schema
from engine.population.text import DEFAULT_LIMIT, LABEL_LIMIT, clean_text, quoted

MAX_REPORTED = 12
MAX_WHOLE = 2**63
MAX_FLOAT = float(np.finfo(np.float64).max)


class TypedColumn(NamedTuple):
    """A column and its values, one per row: codes for a category, an object array of str for text."""

    column: Column
    values: NDArray[Any]


def type_values(name: str, given: Sequence[Any], problems: list[str], row: Callable[[int], str]) -> TypedColumn | None:
    """Return the typed column of a list of values, or None after adding every problem to `problems`.

    Args:
        name: Column name.
        given: Values as TOML or Python holds them: numbers, booleans, texts.
        problems: Receives one sentence per bad value, at most a dozen and a count of the rest.
        row: Index -> words for the row in an error, for example a person's name.
    """
    known = load_schema().get(name)
    kind = known.column.kind if known else _infer_kind(given)
    if kind is None:
        kinds = sorted({_word(value) for value in given})
        problems.append(f"column {quoted(name)} mixes {' and '.join(kinds)}; give values of one type")
        return None
    if kind in ("text", "category"):
        return _type_texts(name, given, kind, known, problems, row)
    if kind == "boolean":
        return TypedColumn(Column("boolean", "bool"), np.array(given, dtype=bool))
    column = known.column if known else Column(kind, DTYPES[kind])
    checked = check_values(name, column, given, problems, row)
    return TypedColumn(column, np.array(given, dtype=column.dtype)) if checked else None


def check_values(
    name: str, column: Column, given: Sequence[Any], problems: list[str], row: Callable[[int], str]
) -> bool:
    """Tell whether all numbers have the column's type and range; the others are added to `problems`."""
    bad = [(index, allowed) for index, value in enumerate(given) if (allowed := _refusal(value, column))]
    for index, allowed in bad[:MAX_REPORTED]:
        problems.append(f"{row(index)}: {name} = {quoted(given[index])} is not {allowed}")
    if len(bad) > MAX_REPORTED:
        problems.append(f"column {quoted(name)}: {len(bad) - MAX_REPORTED} more values are not allowed")
    return not bad


def is_number(value: Any) -> bool:
    """Tell whether a value is an integer or float that float64 holds as a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= MAX_FLOAT


def _refusal(value: Any, column: Column) -> str:
    if not is_number(value):
        return "a finite number"
    if column.kind == "integer" and (value != int(value) or abs(value) >= MAX_WHOLE):
        return "a whole number below 2^63"
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high
    return "" if low <= value <= high else f"in {range_words(column)}"


def range_words(column: Column) -> str:
    """Return the allowed range of a number as an interval, for example `[0, 110]`."""
    low = "(-inf" if column.low is None else f"[{column.low:g}"
    high = "inf)" if column.high is None else f"{column.high:g}]"
    return f"{low}, {high}"


def _infer_kind(given: Sequence[Any]) -> Kind | None:
    if all(isinstance(value, bool) for value in given):
        return "boolean"
    if any(isinstance(value, bool) for value in given):
        return None
    if all(isinstance(value, int) for value in given):
        return "integer"
    if all(isinstance(value, int | float) for value in given):
        return "float"
    if all(isinstance(value, str) for value in given):
        return "category" if len(set(given)) <= MAX_CATEGORIES else "text"
    return None


def _word(value: Any) -> str:
    words = {bool: "booleans", int: "numbers", float: "numbers", str: "texts"}
    return words.get(type(value), f"values of type {type(value).__name__}")


def _type_texts(
    name: str,
    given: Sequence[Any],
    kind: Kind,
    known: SchemaColumn | None,
    problems: list[str],
    row: Callable[[int], str],
) -> TypedColumn | None:
    limit = known.limit if known else DEFAULT_LIMIT
    if kind == "category":
        limit = LABEL_LIMIT
    cleaned: list[str] = []
    before = len(problems)
    for index, value in enumerate(given):
        if not isinstance(value, str):
            problems.append(f"{row(index)}: {name} = {quoted(value)} is not a text")
            continue
        text = clean_text(value, max(len(value), 1))
        if len(text) > limit:
            problems.append(f"{row(index)}: {name} has {len(text)} characters, at most {limit} are allowed")
        cleaned.append(text)
        if len(problems) - before >= MAX_REPORTED:
            break
    if len(problems) > before:
        return None
    if kind == "text":
        return text_column(cleaned, known)
    return _type_categories(name, cleaned, known, problems, row)


def text_column(texts: Sequence[str], known: SchemaColumn | None) -> TypedColumn:
    """Return a text column over cleaned texts."""
    values = np.empty(len(texts), dtype=object)
    values[:] = texts
    return TypedColumn(known.column if known and known.column.kind == "text" else Column("text", "object"), values)


def _type_categories(
    name: str,
    texts: Sequence[str],
    known: SchemaColumn | None,
    problems: list[str],
    row: Callable[[int], str],
) -> TypedColumn | None:
    distinct = tuple(dict.fromkeys(texts))
    if known is None or known.is_open:
        if len(distinct) > MAX_CATEGORIES:
            return text_column(texts, None)
        column = dataclasses.replace(known.column if known else Column("category", "int16"), labels=distinct)
    else:
        column = known.column
        bad = [index for index, text in enumerate(texts) if text not in column.labels]
        allowed = ", ".join(f"'{label}'" for label in column.labels)
        for index in bad[:MAX_REPORTED]:
            problems.append(f"{row(index)}: {name} = {quoted(texts[index])} is not one of {allowed}")
        if bad:
            return None
    codes = {label: code for code, label in enumerate(column.labels)}
    return TypedColumn(column, np.array([codes[text] for text in texts], dtype=column.dtype))
