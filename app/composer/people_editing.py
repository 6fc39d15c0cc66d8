"""Edit people one by one in a grid: they become a pack of the user's own, which the study then names."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from app import session
from app.actions import attempt
from app.drafts import Draft
from app.forms import safe
from engine.errors import PopulationError
from engine.population import Column, Population, list_packs, pack_tables, write_pack
from engine.population.files import read_toml
from engine.population.packs import MOST_PEOPLE

GRID_ROWS = 300
HISTORY = 30


def show_editing(draft: Draft, people: Population) -> None:
    """Draw the grid of an own pack, or the offer to make one of the people."""
    name = str(draft.get("population.personas") or "")
    if not name or name in list_packs():
        _offer(draft, people, name)
        return
    content = read_toml("packs", name, draft.personas)
    _toolbar(draft, name, content)
    _grid(draft, name, content, people)


def _offer(draft: Draft, people: Population, name: str) -> None:
    st.markdown("**Make these people your own**")
    st.caption(
        "They are written out one by one into a pack in your workspace, and the study then uses the pack. Undo under "
        "Compose brings the former people back."
    )
    most = min(people.n, GRID_ROWS)
    left, right = st.columns([1, 2])
    with left:
        count = st.number_input("How many people", 1, min(people.n, MOST_PEOPLE), most, key="edit_count")
    with right:
        proposed = st.text_input("Name of the pack", f"my_{name or draft.get('scenario')}", key="edit_name")
    st.button(
        "Edit a copy",
        key="edit_copy",
        type="primary",
        icon=":material/edit:",
        on_click=lambda: attempt(_copy, draft, people, int(count), str(proposed)),
    )


def _copy(draft: Draft, people: Population, count: int, name: str) -> None:
    import numpy as np

    name = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60]
    if name in list_packs(draft.personas):
        raise PopulationError(f"there is a pack '{name}' already; choose another name")
    content = pack_tables(
        people, title=name.replace("_", " "), source="people of a study, edited by hand", rows=np.arange(count)
    )
    write_pack(name, content, draft.personas)
    held = {key: value for key, value in draft.table("population").items() if key == "lang"}
    session.change_draft(partial(Draft.put, key="population", value=held | {"personas": name}))


def _toolbar(draft: Draft, name: str, content: dict[str, Any]) -> None:
    past: list[dict[str, Any]] = session.recall(f"pack_past_{name}", [])
    columns = list(content["people"][0]) if content.get("people") else []
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            "Undo",
            key="pack_undo",
            icon=":material/undo:",
            disabled=not past,
            on_click=lambda: attempt(_undo, draft, name),
        )
        row = st.number_input("Person", 1, max(len(content["people"]), 1), 1, key="pack_row", width=110)
        st.button(
            "Duplicate",
            key="pack_duplicate",
            icon=":material/content_copy:",
            help="Adds a copy of this person at the end",
            on_click=lambda: attempt(change_pack, draft, name, partial(duplicate_person, row=int(row) - 1)),
        )
        column = st.selectbox("Column", columns, key="pack_column", width=200)
        st.button(
            "Fill down",
            key="pack_fill",
            icon=":material/south:",
            help="Gives everyone below this person the same value in the column",
            on_click=lambda: attempt(
                change_pack, draft, name, partial(fill_down, row=int(row) - 1, column=str(column))
            ),
        )


def duplicate_person(content: dict[str, Any], row: int) -> None:
    """Add a copy of one person at the end, under a free name."""
    copy = dict(content["people"][row])
    if "display_name" in copy:
        taken = {person.get("display_name") for person in content["people"]}
        number = 2
        while f"{copy['display_name']} {number}" in taken:
            number += 1
        copy["display_name"] = f"{copy['display_name']} {number}"
    content["people"].append(copy)


def fill_down(content: dict[str, Any], row: int, column: str) -> None:
    """Give everyone below one person that person's value.

    Raises:
        PopulationError: a column of names, which must differ.
    """
    if column == "display_name":
        raise PopulationError("names must differ from each other; fill another column")
    value = content["people"][row].get(column)
    for person in content["people"][row + 1 :]:
        person[column] = value


def change_pack(draft: Draft, name: str, change: Any) -> None:
    """Change a pack's content and keep what it was, for undo.

    Raises:
        PopulationError: the changed pack has problems; the file stays as it was.
    """
    content = read_toml("packs", name, draft.personas)
    before = read_toml("packs", name, draft.personas)
    change(content)
    _store(draft, name, content, before)


def _store(draft: Draft, name: str, content: dict[str, Any], before: dict[str, Any]) -> None:
    write_pack(name, content, draft.personas)
    session.remember(f"pack_past_{name}", [*session.recall(f"pack_past_{name}", []), before][-HISTORY:])
    session.remember(f"pack_version_{name}", int(session.recall(f"pack_version_{name}", 0)) + 1)


def _undo(draft: Draft, name: str) -> None:
    past = list(session.recall(f"pack_past_{name}", []))
    if past:
        write_pack(name, past.pop(), draft.personas)
        session.remember(f"pack_past_{name}", past)
        session.remember(f"pack_version_{name}", int(session.recall(f"pack_version_{name}", 0)) + 1)


def _grid(draft: Draft, name: str, content: dict[str, Any], people: Population) -> None:
    start = _first_row(len(content["people"]))
    shown = content["people"][start : start + GRID_ROWS]
    frame = pl.DataFrame(shown, infer_schema_length=None)
    config = {key: column_config(key, people.columns.get(key)) for key in frame.columns}
    edited = st.data_editor(
        frame,
        num_rows="dynamic" if len(content["people"]) <= GRID_ROWS else "fixed",
        hide_index=True,
        height=430,
        column_config=config,
        key=f"pack_grid_{name}_{session.recall(f'pack_version_{name}', 0)}_{start}",
    )
    changed = read_rows(edited, shown)
    if changed is None:
        more = (
            "New people go into the empty row at the end."
            if len(content["people"]) <= GRID_ROWS
            else ("New people are copies of others: duplicate one, and change the copy on the last page.")
        )
        st.caption(f"Saved as personas/packs/{safe(name)}.toml. {more}")
        return
    st.button(
        "Keep the changes",
        key="pack_keep",
        type="primary",
        icon=":material/save:",
        on_click=lambda: attempt(change_pack, draft, name, partial(replace_rows, rows=changed, start=start)),
    )
    st.caption("The changes are checked and kept at once; a value that a column does not allow is named.")


def _first_row(n: int) -> int:
    """Draw the page of a long list of people, and return the place of its first row."""
    pages = -(-n // GRID_ROWS)
    if pages <= 1:
        return 0
    page = st.number_input(f"Page, of {pages:,}", 1, pages, 1, key=f"pack_page_{pages}", width=150)
    return (int(page) - 1) * GRID_ROWS


def replace_rows(content: dict[str, Any], rows: list[dict[str, Any]], start: int) -> None:
    """Put changed rows in place of those on the page that starts at a place; relations of people gone end."""
    content["people"] = [*content["people"][:start], *rows, *content["people"][start + GRID_ROWS :]]
    for table in content.get("columns", {}).values():
        if table.get("provenance") == "model":
            table["provenance"] = "manual"  # someone went through them by hand
    names = [str(person.get("display_name", "")) for person in content["people"]]
    kept = [
        relation
        for relation in content.get("relations", [])
        if all(person in names for person in relation["between"] if isinstance(person, str))
    ]
    if "relations" in content:
        content["relations"] = kept


def read_rows(edited: pl.DataFrame, shown: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the grid's rows as people, or None where nothing changed; empty cells of new rows take the first's value.

    Args:
        edited: What the grid holds.
        shown: What it was given.
    """
    rows = edited.to_dicts()
    if rows == shown:
        return None
    first = shown[0]
    filled = []
    for place, row in enumerate(rows):
        if all(value is None for value in row.values()):
            continue
        known = dict(row)
        for key, value in row.items():
            if value is None:
                known[key] = f"Person {place + 1}" if key == "display_name" else first[key]
        filled.append(known)
    return filled if filled != shown else None


def column_config(name: str, column: Column | None) -> Any:
    """Return how a column is edited: a choice among labels, a number in its range, or a text."""
    if column is None:
        return None
    unit = f", {column.unit}" if column.unit else ""
    words = f"{column.help}{unit}" or None
    if column.kind == "category" and column.labels and len(column.labels) <= 60:
        return st.column_config.SelectboxColumn(options=list(column.labels), help=words)
    if column.kind in ("integer", "float"):
        step = 1 if column.kind == "integer" else None
        return st.column_config.NumberColumn(min_value=column.low, max_value=column.high, step=step, help=words)
    if column.kind == "boolean":
        return st.column_config.CheckboxColumn(help=words)
    return st.column_config.TextColumn(help=words)
