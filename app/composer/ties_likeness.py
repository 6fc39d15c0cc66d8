"""Homophily in a form: the columns in which tied agents are alike, each with its target."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import session
from app.drafts import Draft
from app.forms import Problems, number_field, safe, show_problems
from engine.population import Column


def show_likeness(draft: Draft, prefix: str, columns: dict[str, Column], problems: Problems) -> None:
    """Draw the choice of columns and one target per column; one column keeps the short form of the study file."""
    held, targets = likeness_of(draft, prefix)
    key = session.field_key(f"{prefix}.likeness")

    def change() -> None:
        wanted = list(session.value_of(key) or [])
        session.change_draft(lambda study: put_likeness(study, prefix, wanted))

    usable = [name for name, column in columns.items() if column.kind != "text" and name != "source_row"]
    st.multiselect(
        "columns in which tied agents are alike",
        list(dict.fromkeys([*usable, *held])),
        default=held,
        key=key,
        on_change=change,
        help="Each column gets a target of its own; all are met at once. "
        f"`{prefix}.column` and `target`, or `columns` and `targets`",
        placeholder="Choose columns",
    )
    cells = st.columns(2, gap="medium")
    for place, (name, target) in enumerate(zip(held, targets, strict=True)):
        with cells[place % 2]:
            column = columns.get(name)
            numeric = column is not None and column.kind in ("integer", "float")
            label = f"target for {safe(name)} ({'correlation' if numeric else 'E-I index'})"
            field = f"{prefix}.target" if len(held) == 1 else f"{prefix}.targets.{place}"
            words = (
                "How alike tied agents are in the number: 0 as by chance, towards 1 ever more alike."
                if numeric
                else "(Ties across groups - ties inside) / all ties: -1 all inside a group, 1 all across."
            )
            number_field(draft, field, label, target, whole=False, help=f"{words} `{field}`")
    number_field(
        draft, f"{prefix}.mean_degree", "mean degree (ties)", draft.get(f"{prefix}.mean_degree", 10.0), whole=False,
        help=f"Number of ties of an agent, on average. `{prefix}.mean_degree`",
    )  # fmt: skip
    for name in ("column", "target", "columns", "targets", "mean_degree"):
        show_problems(problems, f"{prefix}.{name}")


def likeness_of(draft: Draft, prefix: str) -> tuple[list[str], list[float]]:
    """Return the columns of a homophilous layer and their targets, from either form of the study file."""
    table = draft.table(prefix)
    columns = [str(name) for name in table.get("columns") or []]
    targets: list[Any] = list(table.get("targets") or [])
    if not columns and table.get("column"):
        columns, targets = [str(table["column"])], [table.get("target", 0.0)]
    numbers = [float(value) if isinstance(value, int | float) else 0.0 for value in targets]
    return columns, (numbers + [0.0] * len(columns))[: len(columns)]


def put_likeness(draft: Draft, prefix: str, wanted: list[str]) -> None:
    """Store a new choice of columns; those that stay keep their targets."""
    held = dict(zip(*likeness_of(draft, prefix), strict=True))
    targets = [held.get(name, 0.0) for name in wanted]
    rest = {
        key: value
        for key, value in draft.table(prefix).items()
        if key not in ("column", "target", "columns", "targets")
    }
    if len(wanted) <= 1:
        chosen: dict[str, Any] = {"column": wanted[0], "target": targets[0]} if wanted else {}
    else:
        chosen = {"columns": wanted, "targets": targets}
    draft.put(prefix, rest | chosen)
