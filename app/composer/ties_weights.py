"""Weights of a layer's ties in a form: a distribution, or a column of the people."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from app import session
from app.drafts import Draft
from app.forms import Problems, choice_field, number_field, show_problems, switch_field, title_of
from engine.population import Column
from engine.spec import WeighSpec

KINDS = {
    "": "As the network has them",
    "uniform": "Even between two values",
    "normal": "Normal",
    "lognormal": "Lognormal",
    "exponential": "Exponential",
    "column": "Mean of both ends' column",
}
FIELDS = {"uniform": ("low", "high"), "normal": ("mean", "sd"), "lognormal": ("mean", "sd"), "exponential": ("mean",)}


def show_weights(
    draft: Draft, prefix: str, columns: dict[str, Column], problems: Problems, *, may_be_signed: bool
) -> None:
    """Draw how ties are weighed; signs only for scenarios with a use for them.

    Args:
        draft: The study.
        prefix: Key of the layer.
        columns: Columns of the people.
        problems: Problems of the study.
        may_be_signed: Whether the scenario has a use for negative ties.
    """
    held = draft.table(f"{prefix}.weigh")
    now = str(held.get("distribution", "uniform")) if held else ""
    with st.expander("Weights of ties", icon=":material/weight:", expanded=bool(held)):
        key = session.field_key(f"{prefix}.weigh.kind")
        st.selectbox(
            "Weights",
            list(KINDS),
            index=list(KINDS).index(now) if now in KINDS else 0,
            format_func=KINDS.__getitem__,
            key=key,
            help=f"`{prefix}.weigh`",
            on_change=lambda: session.change_draft(partial(put_weigh, prefix=prefix, kind=session.value_of(key))),
        )
        cells = st.columns(2, gap="medium")
        for cell, name in zip(cells, FIELDS.get(now, ()), strict=False):
            with cell:
                default = WeighSpec.model_fields[name].default
                number_field(draft, f"{prefix}.weigh.{name}", name, held.get(name, default), whole=False)
        if now == "column":
            names = [name for name, column in columns.items() if column.kind in ("integer", "float")]
            choice_field(draft, f"{prefix}.weigh.column", "column", names, held.get("column"))
        if may_be_signed:
            switch_field(draft, f"{prefix}.signed", "Weights may be negative", help=f"`{prefix}.signed`")
            if held and draft.get(f"{prefix}.signed"):
                _signs(draft, prefix, columns, held)
        show_problems(problems, f"{prefix}.weigh")
        show_problems(problems, f"{prefix}.signed")


def _signs(draft: Draft, prefix: str, columns: dict[str, Column], held: dict[str, Any]) -> None:
    """Draw which ties are negative: those between camps, and a share whose sign is turned."""
    key = f"{prefix}.weigh.negative_across"
    now = held.get("negative_across")
    camps = [None, *(name for name, column in columns.items() if column.kind not in ("text", "float"))]
    choice_field(
        draft,
        key,
        "negative between those who differ in",
        list(dict.fromkeys([*camps, now])),
        now,
        help=f"Friends inside and foes across: such ties are balanced where there are two camps. `{key}`",
        words=lambda name: title_of(str(name)) if name else "no column",
    )
    key = f"{prefix}.weigh.negative"
    label = "share of turned signs" if now else "share of negative ties"
    number_field(draft, key, label, held.get("negative", 0.0), whole=False, help=f"Drawn tie by tie. `{key}`")


def put_weigh(draft: Draft, prefix: str, kind: str) -> None:
    """Store another distribution of weights, or none."""
    fresh: dict[str, Any] = {"distribution": kind}
    if not draft.table(prefix):
        draft.put(prefix, {"kind": "complete"})
    draft.put(f"{prefix}.weigh", fresh if kind else None)
