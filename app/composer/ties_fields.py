"""Fields of networks that go by the people: relations of a pack, households, and places such as work and school."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st
from pydantic import BaseModel, ValidationError

from app import session
from app.composer.people import people_of
from app.drafts import Draft
from app.forms import Problems, choice_field, model_fields, safe, show_problems, text_field, title_of
from engine.errors import MicrocosmError
from engine.population import Column

NUMBERS = ("source_row", "persona")


def show_relations(
    draft: Draft, prefix: str, params: type[BaseModel], columns: dict[str, Column], problems: Problems
) -> None:
    """Draw the choice among the kinds of relations that the pack states."""
    try:
        held = people_of(draft).relations
    except (MicrocosmError, ValidationError, TypeError):
        held = None
    known = list(held.kinds) if held is not None else []
    empty = "All kinds" if known else "This pack states none"
    words = f"Relations to take; none chosen means all. `{prefix}.kinds`"
    _several(draft, f"{prefix}.kinds", "Kinds of relations", known, empty, words)
    model_fields(params, prefix, draft, problems, per_row=2, skip=("kinds",))


def show_households(
    draft: Draft, prefix: str, params: type[BaseModel], columns: dict[str, Column], problems: Problems
) -> None:
    """Draw the columns that say who lives with whom."""
    numbers = [name for name, column in columns.items() if column.kind in ("integer", "float")]
    groups = ["", *(name for name, column in columns.items() if column.kind in ("category", "integer"))]
    fields = (
        ("size", "people in the household", numbers, "hh_size"),
        ("age", "age", numbers, "age"),
        ("area", "area that they share", groups, ""),
    )
    for name, label, options, default in fields:
        key = f"{prefix}.{name}"
        value = draft.get(key, default)
        held = list(dict.fromkeys([*options, value]))
        words = f"{params.model_fields[name].description} `{key}`"
        choice_field(draft, key, label, held, value, help=words, words=lambda one: title_of(one) or "none")
        show_problems(problems, key)
    model_fields(params, prefix, draft, problems, per_row=2, skip=("size", "age", "area"))


def show_places(
    draft: Draft, prefix: str, params: type[BaseModel], columns: dict[str, Column], problems: Problems
) -> None:
    """Draw who takes part, who is kept together, and how large places are."""
    words = f"{params.model_fields['where'].description} `{prefix}.where`"
    text_field(draft, f"{prefix}.where", "who takes part", help=words, placeholder="everyone, or age >= 18", tall=True)
    show_problems(problems, f"{prefix}.where")
    model_fields(params, prefix, draft, problems, per_row=1, skip=("where", "sizes", "weights"))
    alike = [name for name, column in columns.items() if column.kind not in ("text", "float") and name not in NUMBERS]
    if alike:
        st.caption(safe(f"Columns to go by: {', '.join(alike)}."))
    model_fields(params, prefix, draft, problems, per_row=2, skip=("where", "by"))


def _several(draft: Draft, key: str, label: str, options: Sequence[str], empty: str, words: str) -> None:
    """Draw a choice of several names; none drops the key."""
    chosen: list[Any] = [str(one) for one in draft.get(key) or []]
    widget = session.field_key(key)

    def change() -> None:
        session.change_draft(lambda study: study.put(key, list(session.value_of(widget) or []) or None))

    st.multiselect(
        label,
        list(dict.fromkeys([*options, *chosen])),
        default=chosen,
        key=widget,
        on_change=change,
        format_func=title_of,
        placeholder=empty,
        help=words,
    )


FIELDS: dict[str, Callable[[Draft, str, type[BaseModel], dict[str, Column], Problems], None]] = {
    "relations": show_relations,
    "households": show_households,
    "groups": show_places,
}
"""What draws the parameters of a kind of network, where it is more than a row of fields."""
