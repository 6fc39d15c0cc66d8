"""A column drawn given others: a grid with one row for each combination of their values, told what is wrong with it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from app import session
from app.drafts import Draft
from app.forms import Problems, safe, title_of
from engine.population import Column, Population
from engine.population.recipes import MAX_PARENTS
from engine.population.tables import Parent, parse_interval, partition_values

MOST_ROWS = 400
INTERVALS = ("<30", "30..45", "45..60", ">=60")
MOST_TOLD = 3
_CLOSE = 0.005


def show_tables(draft: Draft, people: Population | None, columns: dict[str, Column], problems: Problems) -> None:
    """Draw the choice of a column and of those it depends on, the grid, and what is wrong with it."""
    held = {name: table for name, table in draft.table("population.columns").items() if is_conditional(table)}
    with st.expander(f"A column given others ({len(held)})", icon=":material/account_tree:", expanded=bool(held)):
        st.caption("Shares of each value, row by row: a row for each combination of the values of the other columns.")
        names = [name for name, column in columns.items() if column.kind in ("category", "boolean")]
        parents = [name for name, column in columns.items() if column.kind != "text"]
        if len(names) < 1 or len(parents) < 2:
            st.caption("There are too few columns: it takes a category, and another column that it depends on.")
            return
        first = next((place for place, one in enumerate(names) if one in held), 0)
        name = str(st.selectbox("Column", names, index=first, key="table_column", format_func=title_of))
        table = held.get(name, {})
        given = [one for one in given_of(table) if one in parents]
        chosen = st.multiselect(
            "given",
            [other for other in parents if other != name],
            default=given,
            key=f"table_given_{name}",
            format_func=title_of,
            max_selections=MAX_PARENTS,
            placeholder="Choose one to four columns",
        )
        if not chosen:
            st.caption(safe(f"Choose the columns that {title_of(name)} depends on; the grid appears then."))
        elif chosen == given and not is_shares(table):
            st.caption("This table holds numbers or distributions, not shares: edit it as text under Compose, part 3.")
        else:
            _grid(draft, name, table if chosen == given else {}, list(chosen), columns, people)
        for found in problems:
            if found.key.startswith("population.columns") or "in a circle" in found.message:
                st.markdown(f":red[:material/error: {safe(found)}]")


def _grid(
    draft: Draft, name: str, table: dict[str, Any], given: list[str], columns: dict[str, Column],
    people: Population | None,
) -> None:  # fmt: skip
    keys = {parent: _keys(parent, columns[parent], table, place) for place, parent in enumerate(given)}
    rows = int(np.prod([len(found) for found in keys.values()]))
    if rows > MOST_ROWS:
        st.caption(f"These columns have {rows:,} combinations; at most {MOST_ROWS} are edited here. Choose fewer.")
        return
    edited = st.data_editor(
        first_grid(table, name, columns, keys, people),
        num_rows="dynamic",
        hide_index=True,
        key=session.field_key(f"table_grid_{name}_{given}_{keys}"),
        column_config={f"{parent} is": st.column_config.TextColumn(required=True) for parent in given},
    )
    wrong, told = look_over(edited, given, columns)
    for sentence in wrong:
        st.markdown(f":red[:material/error: {safe(sentence)}]")
    for sentence in told:
        st.caption(safe(sentence))
    circle = find_circle(draft.table("population.columns"), name, given)
    if circle:
        st.markdown(f":red[:material/error: {safe(circle)}]")
    with st.container(horizontal=True):
        st.button(
            "Keep",
            key="table_keep",
            disabled=bool(wrong or circle),
            on_click=lambda: session.change_draft(partial(put_table, name=name, table=read_grid(edited, given))),
        )
        st.button(
            "Remove",
            key="table_drop",
            type="tertiary",
            disabled=not is_conditional(draft.table("population.columns").get(name)),
            on_click=lambda: session.change_draft(partial(put_table, name=name, table=None)),
        )


def _keys(parent: str, column: Column, table: dict[str, Any], place: int) -> list[str]:
    """Return the keys of a parent's rows; a number's intervals can be changed."""
    keys = list(dict.fromkeys(path[place] for path, _ in leaves(table.get("table", {})))) or first_keys(parent, column)
    if column.kind not in ("integer", "float"):
        return keys
    written = st.text_input(
        f"Intervals of {title_of(parent)}",
        ", ".join(keys),
        key=session.field_key(f"table_intervals_{parent}"),
        help="For example: <30, 30..45, >=45. The grid starts anew with other intervals.",
    )
    found = list(dict.fromkeys(part.strip() for part in written.split(",") if part.strip()))
    strange = [part for part in found if part != "*" and parse_interval(part) is None]
    if strange or not found:
        told = f"'{strange[0]}' is no interval" if strange else "there is no interval"
        st.markdown(f":red[:material/error: {safe(told)}; write <30, 30..45 or >=45]")
        return keys
    return found


def first_keys(name: str, column: Column) -> list[str]:
    """Return the values of a column as keys of rows: its categories, or a few intervals."""
    if column.kind == "category":
        return list(column.labels)
    if column.kind == "boolean":
        return ["no", "yes"]
    if name == "age":
        return list(INTERVALS)
    middle = ((column.low or 0.0) + (1.0 if column.high is None else column.high)) / 2
    return [f"<{middle:g}", f">={middle:g}"]


def given_of(table: Any) -> list[str]:
    """Return the columns that a table goes by."""
    given = table.get("given", []) if isinstance(table, dict) else []
    return [given] if isinstance(given, str) else [str(parent) for parent in given]


def is_conditional(table: Any) -> bool:
    """Tell whether a column of the study is drawn given others."""
    return isinstance(table, dict) and bool(given_of(table)) and isinstance(table.get("table"), dict)


def is_shares(table: dict[str, Any]) -> bool:
    """Tell whether every row of a table is a list of shares of the same values."""
    values = table.get("values")
    if not isinstance(values, list) or not isinstance(table.get("table"), dict):
        return False
    rows = [row for _, row in leaves(table["table"])]
    return all(isinstance(row, list) and len(row) == len(values) for row in rows)


def leaves(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return the rows of nested tables, each with the keys that lead to it, in order."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, below in table.items():
        step = (*path, str(key))
        found += leaves(below, step) if isinstance(below, dict) else [(step, below)]
    return found


def first_grid(
    table: dict[str, Any],
    name: str,
    columns: Mapping[str, Column],
    keys: Mapping[str, Sequence[str]],
    people: Population | None = None,
) -> pl.DataFrame:
    """Return the grid of a conditional table: what it holds, else the shares that people have now, else equal ones.

    Args:
        table: The table in the study, or an empty one.
        name: The column that is drawn.
        columns: Types of all columns.
        keys: Keys of the rows for each parent.
        people: People to take first shares from.
    """
    column = columns[name]
    labels = list(column.labels) if column.kind == "category" else ["no", "yes"]
    held = dict(leaves(table.get("table", {})))
    if held and all(path in held for path in itertools.product(*keys.values())):
        labels, paths = [str(value) for value in table.get("values", labels)], list(held)
        weights = np.array([held[path] for path in paths], np.float64)
    else:
        paths = list(itertools.product(*keys.values()))
        weights = _shares_now(name, labels, columns, keys, people)
    frame = {f"{parent} is": [path[place] for path in paths] for place, parent in enumerate(keys)}
    return pl.DataFrame({**frame, **{label: weights[:, place] for place, label in enumerate(labels)}})


def _shares_now(
    name: str, labels: list[str], columns: Mapping[str, Column], keys: Mapping[str, Sequence[str]],
    people: Population | None,
) -> Any:  # fmt: skip
    """Return shares of each value in each row, (rows, values): of the people now; of all where nobody is there."""
    shape = [len(found) for found in keys.values()]
    rows = int(np.prod(shape))
    equal = np.full((rows, len(labels)), 1 / len(labels))
    if people is None or any(one not in people.values for one in (name, *keys)):
        return equal
    place = np.zeros(people.n, np.int64)
    for parent, found in keys.items():
        partition = partition_values(list(found), parent, Parent(columns[parent]), [], "")
        if partition is None:
            return equal
        position = partition.positions(people.values[parent])
        if (position < 0).any():
            return equal
        place = place * len(found) + position
    codes = people.values[name].astype(np.int64)
    counts = np.bincount(place * len(labels) + codes, minlength=rows * len(labels)).reshape(rows, len(labels))
    overall = np.bincount(codes, minlength=len(labels)) / max(people.n, 1)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), overall).round(4)


def look_over(edited: pl.DataFrame, given: Sequence[str], columns: Mapping[str, Column]) -> tuple[list[str], list[str]]:
    """Return what keeps a grid from being used, and what is only to be told; a sentence each, naming the rows.

    Args:
        edited: The grid: one column per parent, then one per value.
        given: The parents.
        columns: Types of the parents.
    """
    wrong, told, sums = [], [], {}
    table = read_grid(edited, given)
    for row in edited.iter_rows():
        path, weights = row[: len(given)], [float(weight or 0.0) for weight in row[len(given) :]]
        words = _row_words(given, path)
        if any(not str(key or "").strip() for key in path):
            wrong.append(f"a row lacks its value: {words}; fill it in, or delete the row")
        elif min(weights) < 0:
            wrong.append(f"{words}: {min(weights):g} is below 0; shares are 0 or more")
        elif sum(weights) == 0:
            wrong.append(f"{words}: all shares are 0; at least one must be above 0")
        else:
            sums[words] = sum(weights)
    if len(leaves(table["table"])) < edited.height and not wrong:
        wrong.append("two rows stand for the same values; delete one of them")
    if not wrong:
        wrong += _gaps(table["table"], given, columns, ())
    whole = 100.0 if sums and min(sums.values()) > 50 else 1.0
    off = [f"{words} to {total:.6g}" for words, total in sums.items() if abs(total - whole) > _CLOSE * whole]
    if off:
        more = f" and {len(off) - MOST_TOLD} more rows" if len(off) > MOST_TOLD else ""
        listed = "; ".join(off[:MOST_TOLD])
        told.append(
            f"Not every row sums to {whole:g}: {listed}{more}. Shares are read in proportion to their row's sum."
        )
    return wrong[:MOST_TOLD], told


def _row_words(given: Sequence[str], path: Sequence[Any]) -> str:
    return ", ".join(f"{parent} {key or '(empty)'}" for parent, key in zip(given, path, strict=True))


def _gaps(
    table: Mapping[str, Any], given: Sequence[str], columns: Mapping[str, Column], path: tuple[str, ...]
) -> list[str]:
    """Return one sentence for each level of a table where a value of its parent has no row."""
    parent = given[len(path)]
    column = columns[parent]
    codes = frozenset(range(len(column.labels)))
    found: list[str] = []
    partition_values(list(table), parent, Parent(column, codes), found, "")
    where = f" where {_row_words(given[: len(path)], path)}" if path else ""
    told = [f"{sentence.removesuffix(' @ ')}{where}" for sentence in found]
    for key, below in table.items():
        if isinstance(below, dict):
            told += _gaps(below, given, columns, (*path, key))
    return told


def find_circle(held: Mapping[str, Any], name: str, given: Sequence[str]) -> str:
    """Return a sentence where a column would depend on itself through the study's other tables, else an empty text."""
    parents = {other: given_of(table) for other, table in held.items() if is_conditional(table)} | {name: list(given)}
    stack = [(parent, (name, parent)) for parent in given]
    seen: set[str] = set()
    while stack:
        at, path = stack.pop()
        if at == name:
            return f"columns would depend on each other in a circle: {' -> '.join(path)}; take one of them out"
        if at not in seen:
            seen.add(at)
            stack += [(parent, (*path, parent)) for parent in parents.get(at, [])]
    return ""


def read_grid(edited: pl.DataFrame, given: Sequence[str]) -> dict[str, Any]:
    """Return the table of a column's distribution given others, as the study holds it.

    Args:
        edited: The grid; rows that lack a key are left out.
        given: The parents, as many as the grid's first columns.
    """
    table: dict[str, Any] = {}
    for row in edited.iter_rows():
        path = [str(key).strip() for key in row[: len(given)] if str(key or "").strip()]
        if len(path) < len(given):
            continue
        at = table
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = [float(weight or 0.0) for weight in row[len(given) :]]
    return {
        "given": given[0] if len(given) == 1 else list(given),
        "values": edited.columns[len(given) :],
        "table": table,
    }


def put_table(draft: Draft, name: str, table: dict[str, Any] | None) -> None:
    """Store a column's table, or take it out."""
    held = {key: value for key, value in draft.table("population.columns").items() if key != name}
    draft.put("population.columns", (held | ({name: table} if table else {})) or None)
