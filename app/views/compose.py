"""Compose: one study in eight parts, each with a default and a mark, saved at every change."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import session
from app.actions import show_attempt, start_arms, start_runs
from app.annotations import Outcome, mark_seen, outcome_problem, read_outcome, read_seen, store_outcome
from app.composer.changes import show_changes
from app.composer.comparison import show_comparison
from app.composer.deciders import show_deciders
from app.composer.outcome import show_outcome
from app.composer.paste import show_paste
from app.composer.people import show_people
from app.composer.plan import show_plan
from app.composer.question import show_question
from app.composer.snapshots import show_snapshots
from app.composer.ties import show_ties
from app.consent import ask_consent, servers_to_ask
from app.drafts import Draft, normal_key
from app.forms import Problems, safe
from app.main import PAGES
from engine.errors import MicrocosmError
from engine.loading import scenario_info
from engine.registry import discover, scenarios
from engine.spec import Study

PARTS = {
    "question": ("Question", ("title", "question", "scenario", "params", "format")),
    "outcome": ("Outcome", ()),
    "people": ("People", ("population",)),
    "network": ("Ties", ("network",)),
    "deciders": ("Who decides", ("decisions", "model")),
    "changes": ("Interventions", ("interventions",)),
    "comparison": ("Comparison", ("arms", "replicates")),
    "plan": ("Runs", ("steps", "stop_when", "seed", "seeds", "redraw", "record")),
}
DRAW: dict[str, Callable[[Draft, Problems], None]] = {
    "question": show_question,
    "outcome": show_outcome,
    "people": show_people,
    "network": show_ties,
    "changes": show_changes,
    "comparison": show_comparison,
}
COMPARE = "views/compare.py"


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
    measures = scenario_info(str(draft.get("scenario"))).measures
    outcome = read_outcome(draft, measures)
    _head(draft, study, problems, outcome)
    wrong = {part_of(problem.key) for problem in problems}
    if outcome_problem(outcome, measures, ""):
        wrong.add("outcome")
    part = _parts(draft, wrong)
    _general_problems(problems)
    show_attempt()
    if part == "plan":
        show_plan(draft, problems, study)
        show_paste(draft, study, outcome)
    elif part == "deciders":
        show_deciders(draft, problems, study)
    else:
        DRAW[part](draft, problems)
    _next(part, study is not None, _standing(wrong, problems))


def _head(draft: Draft, study: Study | None, problems: Problems, outcome: Outcome) -> None:
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
        show_snapshots(draft)
        n_runs = study.replicates * max(len(study.arms), 1) if study else 1
        words = "Run" if n_runs == 1 else f"Run {n_runs} times"
        wrong = f"{len(problems)} open problem{'s' if len(problems) != 1 else ''}: see the parts marked below"
        wanted = bool(session.recall("run_wanted"))
        session.remember("run_wanted", None)
        pressed = st.button(
            words,
            key="run_study",
            type="primary",
            icon=":material/play_arrow:",
            disabled=study is None,
            help=None if study else wrong,
        )
        if pressed or wanted:
            _run(draft, study, outcome)


def _run(draft: Draft, study: Study | None, outcome: Outcome) -> None:
    if study is None:
        return
    info = scenario_info(study.scenario)
    problem = outcome_problem(outcome, info.measures, info.name)
    if problem and study.arms:
        st.error(safe(problem))
        return
    base = draft.path.parent
    try:
        servers = servers_to_ask(study, base)
        if servers:
            ask_consent(servers, session.remember, ("run_wanted", True))
            return
        if study.arms:
            experiment = start_arms(study, base)
            store_outcome(session.workspace().experiments / experiment.experiment_id, outcome)
            run_id = next(iter(experiment.folders.values())).name
        else:
            run_id = start_runs(study, base)
    except MicrocosmError as error:
        st.error(safe(error))
        return
    session.choose_run(run_id)
    named = {"measure": outcome.measure, "at": outcome.at}
    if study.arms and has_page(COMPARE):
        st.switch_page(COMPARE, query_params=named | {"experiment": experiment.experiment_id})
    elif study.replicates > 1:
        st.switch_page(COMPARE, query_params=named | {"run": run_id})
    st.switch_page("views/live.py", query_params={"run": run_id})


def has_page(path: str) -> bool:
    """Tell whether a page stands in the studio's page table."""
    return path in {page[0] for page in PAGES}


def part_of(key: str) -> str | None:
    """Return the part of the composer that a key of the study belongs to, or None."""
    first = normal_key(key).split(".")[0]
    return next((part for part, (_, keys) in PARTS.items() if first in keys), None)


def _parts(draft: Draft, wrong: set[str | None]) -> str:
    wanted = session.recall("part_wanted")
    if wanted:
        session.set_value("part", wanted)
        session.remember("part_wanted", None)
    seen = read_seen(draft)

    def words(part: str) -> str:
        number = list(PARTS).index(part) + 1
        mark = ":material/error: " if part in wrong else (":material/check: " if part in seen else "")
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
    if part not in seen:
        mark_seen(draft, part)
    return part


def _general_problems(problems: Problems) -> None:
    for problem in problems:
        if part_of(problem.key) is None:
            st.error(safe(problem))


def _standing(wrong: set[str | None], problems: Problems) -> str:
    """Return in a few words whether the parts hold together."""
    names = [words for part, (words, _) in PARTS.items() if part in wrong]
    if not names and not problems:
        return "Every part has its value; nothing is open."
    count = max(len(problems), 1)
    return f"{count} open problem{'s' if count != 1 else ''}: {', '.join(names) or 'see above'}"


def _next(part: str, ready: bool, standing: str) -> None:
    names = list(PARTS)
    place = names.index(part)
    with st.bottom, st.container(horizontal=True, vertical_alignment="center"):
        st.caption(safe(standing))
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
            st.button(
                "Next: Run",
                key="next_run",
                type="primary",
                icon=":material/play_arrow:",
                disabled=not ready,
                on_click=session.remember,
                args=("run_wanted", True),
            )


if __name__ == "__main__":
    show()
