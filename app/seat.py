"""A seat: what a waiting run asks the person at the keyboard, and the field that answers it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import session
from app.actions import attempt, study_of
from app.forms import safe, title_of
from engine.contract import ScenarioInfo
from engine.policy.human import MAX_TEXT, Question
from engine.runs import RunInfo, answer_run, read_info, read_question

NEXT_S = 2.0
"""How long one waits for the next question after an answer, before the page is drawn again."""
LOOK_S = 0.05
TEXT_HEIGHT = 150


def seats_of(info: RunInfo) -> list[int]:
    """Return the agents of a run whom people play, ascending."""
    specs = study_of(str(info.folder)).decisions.values()
    return sorted({seat for spec in specs if spec.policy == "human" for seat in spec.seats})


def question_key(info: RunInfo) -> str:
    """Return what tells a run's present question from others; an empty text where it asks nothing."""
    question = read_question(info.folder) if info.status == "waiting" else None
    return "" if question is None else f"{question.step} {question.key}"


def show_seat(info: RunInfo, scenario: ScenarioInfo) -> None:
    """Draw the question that a run waits with, what the agent sees, and the field for the answer."""
    question = read_question(info.folder) if info.status == "waiting" else None
    if question is None:
        st.caption(_quiet(info))
        return
    st.markdown(f"**You are {safe(question.who)}** · agent {question.agent} · {safe(scenario.unit)} {question.step}")
    _answer(info, question)
    _seen(question)


def _quiet(info: RunInfo) -> str:
    """Return why nothing is asked."""
    if info.status == "done":
        return f"The run is over after {info.step:,} steps. The tab Agent shows what each person came to."
    if info.status in ("paused", "interrupted"):
        return "The run rests. Resume it, and it asks again."
    return "The others are deciding; the question comes here."


def _answer(info: RunInfo, question: Question) -> None:
    place = f"seat_{info.run_id}_{question.agent}_{question.decision}"
    with st.form(place, clear_on_submit=True, border=True):
        st.text(question.question)
        _field(question, f"{place}_answer")
        st.form_submit_button(
            "Answer",
            key=f"{place}_submit",
            type="primary",
            icon=":material/keyboard_return:",
            on_click=_submit,
            args=(info.folder, question, f"{place}_answer"),
        )


def _field(question: Question, key: str) -> None:
    if question.kind == "number":
        whole = all(float(value).is_integer() for value in (question.low, question.high, question.increment))
        as_type: Any = int if whole else float
        bounds = f"{question.low:g} to {question.high:g}" + (f" {question.unit}" if question.unit else "")
        st.number_input(
            f"Your answer ({safe(bounds)}), Enter submits",
            as_type(question.low),
            as_type(question.high),
            value=None,
            step=as_type(question.increment),
            key=key,
        )
    elif question.kind == "choice":
        st.radio("Your answer", question.options, index=None, key=key, format_func=safe)
    elif question.kind == "text":
        st.text_input("What you write, Enter submits", max_chars=MAX_TEXT, key=key)
    else:
        words = "In your order" if question.kind == "ranking" else "Any of these, or none"
        most = question.places if question.kind == "ranking" else None
        st.multiselect(words, question.options, key=key, max_selections=most, select_all=False)


def _submit(folder: Path, question: Question, key: str) -> None:
    given = session.value_of(key)
    if given is None:
        return
    several = isinstance(given, Sequence) and not isinstance(given, str)
    answer = "; ".join(given) if several else f"{given:.10g}" if isinstance(given, int | float) else str(given)
    attempt(answer_run, folder, answer, question)
    end = time.monotonic() + NEXT_S
    while time.monotonic() < end:
        now = read_question(folder)
        if now is not None and (now.step, now.key) != (question.step, question.key):
            return
        if read_info(folder).is_finished:
            return
        time.sleep(LOOK_S)


def _seen(question: Question) -> None:
    """Draw what the agent sees, in the order of a prompt."""
    if question.seen:
        rows = {safe(title_of(label)): safe(text).replace("\\.", ".") for label, text in question.seen}
        st.table(rows, border="horizontal", width="stretch")
    if question.announcement:
        st.info(safe(question.announcement))
    for name, text in question.texts:
        st.caption(safe(title_of(name).capitalize()))
        with st.container(height=TEXT_HEIGHT):
            st.text(text)
    with st.expander("The situation, and who you are", icon=":material/menu_book:", expanded=question.step <= 1):
        st.text(question.preamble)
        if question.persona:
            st.text(" ".join(question.persona))
