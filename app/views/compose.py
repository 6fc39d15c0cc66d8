"""Compose: one study in six parts, each with a default and a mark, saved at every change."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import session
from app.actions import start_runs
from app.composer.changes import show_changes
from app.composer.deciders import show_deciders
from app.composer.people import show_people
from app.composer.plan import show_plan
from app.composer.question import show_question
from app.composer.ties import show_ties
from app.drafts import Draft, normal_key
from app.forms import Problems, safe
from engine.errors import MicrocosmError
from engine.registry import discover, scenarios
from engine.spec import Study

PARTS = {
    "question": ("Question", ("title", "question", "scenario", "params", "format")),
    "people": ("People", ("population",)),
    "network": ("Network", ("network",)),
    "deciders": ("Who decides", ("decisions", "model")),
    "changes": ("Interventions", ("interventions",)),
    "plan": ("Plan", ("steps", "stop_when", "seed", "seeds", "replicates", "redraw", "record", "arms")),
}
DRAW: dict[str, Callable[[Draft, Problems], None]] = {
    "question": show_question,
    "people": show_people,
    "network": show_ties,
    "deciders": show_deciders,
    "changes": show_changes,
}


def show() -> None:
    """Draw the page."""
    discover()
    try:
        draft = session.draft()
    except MicrocosmError as error:
        st.error(safe(error))
        return
    if draft is None:
        st.subheader("Compose a study")
        st.caption("Nothing is open. Choose a template first; you can change every part of it here.")
        st.page_link("views/home.py", label="Choose a template", icon=":material/home:")
        return
    if draft.get("scenario") not in scenarios:
        st.error(
            safe(f"'{draft.get('scenario')}' is not a scenario of this studio. Correct the file {draft.path.name}.")
        )
        return
    study, problems = draft.check()
    _head(draft, study, problems)
    part = _parts(problems)
    _general_problems(problems)
    if part == "plan":
        show_plan(draft, problems, study)
    else:
        DRAW[part](draft, problems)
    _next(part)


def _head(draft: Draft, study: Study | None, problems: Problems) -> None:
    title, tools = st.columns([3, 2], vertical_alignment="center")
    with title:
        st.subheader(safe(draft.get("title") or draft.get("scenario")))
        st.caption(f"Saved as {safe(f'studies/{draft.path.name}')}")
    with tools, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
        st.button(
            "",
            key="undo",
            icon=":material/undo:",
            help="Undo",
            disabled=not draft.can_undo,
            on_click=lambda: session.change_draft(Draft.undo),
        )
        st.button(
            "",
            key="redo",
            icon=":material/redo:",
            help="Redo",
            disabled=not draft.can_redo,
            on_click=lambda: session.change_draft(Draft.redo),
        )
        n_runs = study.replicates if study else 1
        words = "Run" if n_runs == 1 else f"Run {n_runs} times"
        wrong = f"{len(problems)} open problem{'s' if len(problems) != 1 else ''}: see the parts marked below"
        if st.button(
            words,
            key="run_study",
            type="primary",
            icon=":material/play_arrow:",
            disabled=study is None,
            help=None if study else wrong,
        ):
            _run(study)


def _run(study: Study | None) -> None:
    if study is None:
        return
    try:
        run_id = start_runs(study)
    except MicrocosmError as error:
        st.error(safe(error))
        return
    session.choose_run(run_id)
    st.switch_page("views/live.py", query_params={"run": run_id})


def part_of(key: str) -> str | None:
    """Return the part of the composer that a key of the study belongs to, or None."""
    first = normal_key(key).split(".")[0]
    return next((part for part, (_, keys) in PARTS.items() if first in keys), None)


def _parts(problems: Problems) -> str:
    wrong = {part_of(problem.key) for problem in problems}
    wanted = session.recall("part_wanted")
    if wanted:
        session.set_value("part", wanted)
        session.remember("part_wanted", None)

    def words(part: str) -> str:
        number = list(PARTS).index(part) + 1
        mark = ":material/error: " if part in wrong else ""
        return f"{mark}{number}\\. {PARTS[part][0]}"

    wanted = session.address("part")
    chosen = st.segmented_control(
        "Part",
        list(PARTS),
        default=None if session.value_of("part") else (wanted if wanted in PARTS else "question"),
        format_func=words,
        key="part",
        label_visibility="collapsed",
        required=True,
        width="stretch",
    )
    part = chosen if chosen in PARTS else "question"
    if wanted != part:
        session.set_address(part=part)
    return part


def _general_problems(problems: Problems) -> None:
    for problem in problems:
        if part_of(problem.key) is None:
            st.error(safe(problem))


def _next(part: str) -> None:
    names = list(PARTS)
    place = names.index(part)
    with st.container(horizontal=True, horizontal_alignment="right"):
        if place + 1 < len(names):
            following = names[place + 1]
            st.button(
                f"Next: {PARTS[following][0]}",
                key="next_part",
                icon=":material/arrow_forward:",
                icon_position="right",
                on_click=session.remember,
                args=("part_wanted", following),
            )
        else:
            st.caption("All parts are done: press Run above.")


if __name__ == "__main__":
    show()
