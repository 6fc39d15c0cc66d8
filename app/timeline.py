"""The timeline of a run: what happened when, what one wants to find again, and the numbers that one keeps an eye on."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import polars as pl
import streamlit as st

from app import session
from app.actions import ask
from app.bookmarks import drop_bookmark, put_bookmark, read_bookmarks
from app.forms import safe, title_of
from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError
from engine.runs import RunInfo

BEGINS = re.compile(r"\d+\. |[-*] |[A-Z][A-Za-z ]{2,30}: ")
MAX_MARKS = 60
MONITORS_PER_ROW = 3
DEFAULT_MONITORS = 3
EVENTS = (
    "select step, kind, max(detail) as detail, count(*) as n from events "
    "group by step, kind order by kind <> 'intervention', step limit 60"
)


def event_marks(info: RunInfo) -> list[dict[str, Any]]:
    """Return one mark per step and kind of event: interventions first, at most 60."""
    try:
        frame = ask(info, EVENTS)
    except MicrocosmError:  # a run that has not begun has no events
        return []
    return [
        {"step": int(step), "text": _words(str(kind), detail, int(n)), "kind": "event"}
        for step, kind, detail, n in frame.iter_rows()
    ]


def _words(kind: str, detail: Any, n: int) -> str:
    try:
        name = str(json.loads(detail).get("name", "")) if kind == "intervention" else ""
    except (TypeError, ValueError, AttributeError):
        name = ""
    return (name or title_of(kind))[:80] + (f" ({n} times)" if n > 1 else "")


def event_rows(frame: pl.DataFrame, unit: str) -> list[dict[str, Any]]:
    """Return events as rows that one can read: when, what, who, and the details in words.

    Args:
        frame: step, kind, agent_id (-1 for nobody in particular) and detail (JSON).
        unit: What a step stands for.
    """
    rows = []
    for step, kind, agent, detail in frame.select("step", "kind", "agent_id", "detail").iter_rows():
        held = _detail(detail)
        name = held.pop("name", "")
        if kind == "intervention" and "n_agents" in held:
            held = {"agents reached": held["n_agents"], "effect": title_of(str(held.get("effect", "")))}
        parts = [f"{title_of(key)} {_value(value)}" for key, value in held.items() if value not in (None, "", [])]
        row = {unit: step, "event": title_of(str(kind)), "what": str(name), "details": ", ".join(parts)}
        rows.append(row | {"agent": agent if agent is not None and agent >= 0 else None})
    empty = {key for key in ("what", "agent") if all(row[key] in (None, "") for row in rows)}
    return [{key: value for key, value in row.items() if key not in empty} for row in rows]


def _detail(detail: Any) -> dict[str, Any]:
    try:
        held = json.loads(detail)
    except (TypeError, ValueError):
        return {"": detail} if detail else {}
    return held if isinstance(held, dict) else {"": held}


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def marks_of(info: RunInfo) -> list[dict[str, Any]]:
    """Return the marks on a run's timeline: events and bookmarks."""
    kept = read_bookmarks(session.workspace(), info.run_id)
    return [*event_marks(info), *({"step": b.step, "text": b.text, "kind": "bookmark"} for b in kept)]


def keep_step(info: RunInfo, step: int) -> None:
    """Bookmark a step, and show the list of them."""
    put_bookmark(session.workspace(), info, step, f"bookmark at {step}")
    session.remember("side_wanted", "Events")


def show_bookmarks(info: RunInfo, unit: str) -> None:
    """Draw the bookmarks of a run, each with its words, a way there, and a way to forget it."""
    kept = read_bookmarks(session.workspace(), info.run_id)
    if not kept:
        st.caption("No bookmarks yet: the flag beside the timeline keeps the step that is shown.")
        return
    for mark in kept:
        key = f"mark_{info.run_id}_{mark.step}"
        where, words, go, drop = st.columns([2, 6, 1, 1], vertical_alignment="center", gap="small")
        where.text(f"{unit} {mark.step}")
        words.text_input(
            f"Words for {unit} {mark.step}", mark.text, key=key, label_visibility="collapsed", on_change=_rename,
            args=(info, mark.step, key),
        )  # fmt: skip
        with go:
            if st.button("", key=f"go_{key}", icon=":material/play_arrow:", help="Show this step", type="tertiary"):
                go_to(mark.step)
        with drop:
            if st.button("", key=f"drop_{key}", icon=":material/close:", help="Forget it", type="tertiary"):
                drop_bookmark(session.workspace(), info.run_id, mark.step)
                st.rerun(scope="app")


def go_to(step: int) -> None:
    """Let the picture show a step."""
    session.remember("goto", {"step": step, "token": time.monotonic_ns() % 2**40})
    st.rerun(scope="app")


def _rename(info: RunInfo, step: int, key: str) -> None:
    put_bookmark(session.workspace(), info, step, str(session.value_of(key, "")))


def show_monitors(frame: pl.DataFrame, names: list[str], scenario: ScenarioInfo) -> None:
    """Draw the newest values of chosen measures as numbers.

    Args:
        frame: Column step and one column per measure.
        names: Measures that can be chosen, in order.
        scenario: The run's scenario.
    """
    key = f"monitors_{scenario.name}"
    held = [name for name in session.recall(key, names[:DEFAULT_MONITORS]) if name in names]
    known = {measure.name: measure for measure in scenario.measures}
    cells = st.columns([*[4] * MONITORS_PER_ROW, 1], gap="small", vertical_alignment="center")
    with cells[-1], st.popover("", icon=":material/tune:", help="Choose the numbers shown here"):
        chosen = st.multiselect("Monitors", names, default=held, key=key, select_all=False)
        session.remember(key, chosen)
    for place, name in enumerate(chosen):
        value = frame[name].drop_nulls()
        unit = known[name].unit if name in known else ""
        shown = f"{value[-1]:.4g}" + (f" {unit}" if unit else "") if len(value) else "–"
        with cells[place % MONITORS_PER_ROW]:
            st.metric(
                safe(title_of(name)),
                safe(shown).replace("\\.", "."),
                help=safe(known[name].help) if name in known else None,
            )


def flowing(text: str) -> str:
    """Return a text without the line breaks of its file: only paragraphs, numbered points and headings begin a line."""
    lines: list[str] = []
    for line in map(str.strip, text.splitlines()):
        begins = not lines or not line or not lines[-1] or BEGINS.match(line)
        if begins:
            lines.append(line)
        else:
            lines[-1] += f" {line}"
    return "\n".join(lines)


def show_rule(scenario: ScenarioInfo) -> None:
    """Draw the rule of the scenario as its file states it, and where it comes from."""
    st.text(flowing(scenario.document or scenario.promise))
    st.caption(f"Source: {safe(scenario.source)}.")
