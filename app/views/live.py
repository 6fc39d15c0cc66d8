"""Live: a run's bar, its picture, ticking measures, messages, events, and one agent's reasons."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import session
from app.actions import ask, asks_model, attempt, ordered_measures, show_attempt, study_of, wide_measures
from app.charts import show_behind
from app.components.network_view import network_view
from app.composer.plan import duration
from app.consent import attempt_with_consent, consent_is_wanted, show_consent
from app.everyone import counts_everyone, show_everyone
from app.figures import short_words, ticking_lines
from app.forms import safe, title_of
from app.frames import grid_columns, load_meta
from app.inspector import agent_names, show_agent
from app.notices import show_language_notice, show_model_counts
from app.reading import all_runs
from app.seat import question_key, seats_of, show_seat
from app.timeline import event_marks, event_rows, keep_step, marks_of, show_bookmarks, show_monitors, show_rule
from app.verbs import show_fork, show_inject
from engine.contract import ScenarioInfo
from engine.loading import scenario_info
from engine.runs import RunInfo, cancel_run, pause_run, read_info, resume_run
from engine.store import FAILURES, describe_failures

ACTIVE = frozenset({"queued", "running", "paused", "waiting"})
COLOURS = {"running": "green", "done": "blue", "failed": "red", "paused": "orange", "waiting": "orange"}
TICK_S = 0.8
SHOWN_MESSAGES = 40
PICTURE_HEIGHT = 528
SIDE_HEIGHT = 580
MONITOR_HEIGHT = 90
COUNTS_HEIGHT = 58
SEAT = "Your seat"
CHART_POINTS = 400
RATES = (1, 2, 5, 10, 20, 50)


def show() -> None:
    """Draw the page."""
    folder = session.current_run()
    if folder is None:
        st.subheader("Live")
        st.caption("No run to watch yet. Start one from a template; it takes one click.")
        st.page_link("views/home.py", label="Choose a template", icon=":material/home:")
        return
    info = read_info(folder)
    session.choose_run(info.run_id)
    study = study_of(str(folder))
    scenario = scenario_info(study.scenario)
    active = info.status in ACTIVE
    show_consent()
    name, bar = st.columns([26, 74], vertical_alignment="center", gap="medium")
    with name:
        _choose_run(info)
    with bar:
        st.fragment(run_bar, run_every=TICK_S if active else None)(info.run_id, active)
    picture, side = st.columns([58, 42], gap="medium")
    with picture:
        _picture(info, scenario)
    with side:
        _side(info, scenario, active)


def run_bar(run_id: str, was_active: bool) -> None:
    """Draw progress and buttons; ticks while the run goes on."""
    fork = session.recall("go_to_run")
    if fork:
        session.remember("go_to_run", None)
        session.choose_run(fork)
        st.rerun(scope="app")
    folder = session.run_folder(run_id)
    if folder is None:
        st.error("This run is no longer in the workspace.")
        return
    info = read_info(folder)
    state, buttons = st.columns([42, 32], vertical_alignment="center", gap="medium")
    with state:
        _progress(info)
    with buttons, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
        _buttons(info)
    show_attempt()
    if info.status == "failed":
        st.error(safe(info.message or "The run failed."))
    interventions = len(event_marks(info)) if was_active else session.recall("marks_drawn", 0)
    asked, now = session.recall("question_drawn"), question_key(info)
    if asked is not None and asked != now:
        session.remember("question_drawn", now)
        if now:
            session.remember("side_wanted", SEAT)
        st.rerun(scope="app")
    if consent_is_wanted() or was_active != (info.status in ACTIVE) or interventions > session.recall("marks_drawn", 0):
        st.rerun(scope="app")


def _choose_run(info: RunInfo) -> None:
    runs = {run.run_id: run for run in [info, *all_runs(session.workspace())[:40]]}

    def words(run_id: str) -> str:
        run = runs[run_id]
        # The field is narrow: what tells runs of one study apart must stay to be seen.
        arm = f" · {short_words(run.arm, 16)}" if run.arm else ""
        title = short_words(run.title or run.scenario, 14 if run.arm else 26)
        return f"{title}{arm} · {run_id[:4]}" + (f" · {run.replicate}" if run.replicate else "")

    chosen = st.selectbox(
        "Run", list(runs), index=0, format_func=words, key=f"choose_{info.run_id}", label_visibility="collapsed"
    )
    if chosen != info.run_id:
        session.choose_run(chosen)
        st.rerun()


def _progress(info: RunInfo) -> None:
    part = 1.0 if info.status == "done" else min(info.step / max(info.steps, 1), 1.0)
    words = [f"step {info.step:,} of {info.steps:,}"]
    if info.status == "running":
        words.append(info.phase or "running")
        if info.steps_per_s:
            words.append(f"{info.steps_per_s:,.{0 if info.steps_per_s >= 10 else 1}f} steps/s")
        if info.remaining_s is not None:
            words.append(f"{duration(info.remaining_s)} left")
    elif info.message and info.status != "failed":
        words.append(info.message)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(info.status, color=COLOURS.get(info.status, "gray"))
        st.progress(part, text=safe(" · ".join(words)))


def _buttons(info: RunInfo) -> None:
    if info.status in ("running", "waiting"):
        st.button("Pause", key="pause", icon=":material/pause:", on_click=attempt, args=(pause_run, info.folder))
    elif info.status in ("paused", "interrupted", "cancelled", "failed"):
        st.button(
            "Resume",
            key="resume",
            icon=":material/play_arrow:",
            on_click=attempt_with_consent,
            args=(study_of(str(info.folder)), resume_run, info.folder),
        )
    scenario = scenario_info(info.scenario)
    if info.status in ("running", "paused"):
        show_inject(info, scenario)
    elif info.status == "done":
        show_fork(info, scenario)
    if info.status in ACTIVE:
        with st.popover("Cancel", icon=":material/stop:", key="cancel_ask"):
            st.caption("What is recorded so far stays; the run can be resumed later.")
            st.button("Cancel this run", key="cancel", type="primary", on_click=attempt, args=(cancel_run, info.folder))
    else:
        st.page_link("views/explore.py", label="Next: Explore", icon=":material/monitoring:")


def _picture(info: RunInfo, scenario: ScenarioInfo) -> None:
    meta = load_meta(info.folder)
    columns = meta["columns"] or declared_columns(scenario)
    names = [column["name"] for column in columns]
    agent = session.address("agent")
    marks = marks_of(info)
    session.remember("marks_drawn", sum(mark["kind"] == "event" for mark in marks))
    wanted = session.recall("goto")
    session.remember("goto", None)
    result = network_view(
        info.run_id,
        columns=columns,
        column=scenario.display if scenario.display in names else (names[0] if names else ""),
        selected=int(agent) if agent.isdigit() else None,
        note=meta["note"],
        unit=scenario.unit,
        rate=replay_rate(info),
        height=PICTURE_HEIGHT,
        on_pick=lambda: None,
        key=f"picture_{info.run_id}",
        grid=grid_columns(columns) is not None,
        marks=marks,
        goto=wanted,
    )
    kept = getattr(result, "kept", None)
    if kept:
        keep_step(info, int(kept["step"]))
        st.rerun()
    picked = getattr(result, "picked", None)
    if picked:
        session.set_address(agent=int(picked["agent"]), step=int(picked["step"]))
        session.remember("side_wanted", "Agent")
        st.rerun()


def replay_rate(info: RunInfo) -> int:
    """Return the steps a second at which a replay takes about a quarter of a minute."""
    steps = info.step if info.status == "done" else info.steps
    return min(RATES, key=lambda rate: abs(rate - steps / 15))


def declared_columns(scenario: ScenarioInfo) -> list[dict[str, Any]]:
    """Return the scenario's columns in the picture's terms, for the moments before the worker has written its own."""
    return [
        {
            "name": name,
            "labels": list(column.labels) or (["no", "yes"] if column.kind == "boolean" else []),
            "low": column.low,
            "high": column.high,
            "shown": [column.low, column.high],
            "unit": column.unit,
            "help": column.help,
        }
        for name, column in scenario.columns.items()
        if column.kind != "text"
    ]


def _side(info: RunInfo, scenario: ScenarioInfo, active: bool) -> None:
    wanted = session.recall("side_wanted")
    if wanted:
        session.set_value("side", wanted)
        session.remember("side_wanted", None)
    seated = [SEAT] if seats_of(info) else []
    session.remember("question_drawn", question_key(info) if seated else None)
    everyone = ["Everyone"] if counts_everyone(info) else []
    options = [*seated, "Measures", *everyone, "Messages", "Events", "Agent", "Rule"]
    held = session.value_of("side")
    if held not in options:
        agent = ["Agent"] if session.address("agent") else []
        session.set_value("side", [*(seated if active else []), *agent, "Measures"][0])
    chosen = st.segmented_control(
        "Shown beside the picture", options, key="side", label_visibility="collapsed", required=True
    )
    known = {"Everyone": _everyone, "Messages": _messages, "Events": _events, "Agent": _agent, "Rule": _rule}
    draw = (known | {SEAT: _seat}).get(str(chosen), _measures)
    ticking = active and draw not in (_agent, _rule, _seat)
    st.fragment(draw, run_every=TICK_S if ticking else None)(info.run_id, scenario.name)


def _now(run_id: str) -> RunInfo | None:
    folder = session.run_folder(run_id)
    return read_info(folder) if folder else None


def _measures(run_id: str, scenario_name: str) -> None:
    info, scenario = _now(run_id), scenario_info(scenario_name)
    if info is None:
        return
    frame = wide_measures(info, CHART_POINTS)
    names = ordered_measures(scenario, frame.columns)
    if not names:
        st.caption("The measures appear with the first step.")
        return
    groups = measure_groups(scenario, names)
    for sentence in describe_failures(ask(info, FAILURES).iter_rows(named=True)):
        st.caption(f":orange[{safe(sentence)}]")
    show_monitors(frame, names, scenario)
    room = SIDE_HEIGHT - MONITOR_HEIGHT
    if asks_model(study_of(str(info.folder))):
        show_model_counts(info)
        room -= COUNTS_HEIGHT
    height = 400 if len(groups) == 1 else (room - 24) // min(len(groups), 3)
    with st.container(height=room, border=False, gap=None):
        for label, members in groups:
            st.echarts_chart(
                ticking_lines(frame.select("step", *members), members, unit=scenario.unit, dark=session.is_dark()),
                height=height,
                key=f"ticking_{run_id}_{label}",
                alt=f"{label} by {scenario.unit}",
            )
        show_behind(frame, names, key=f"ticking_{run_id}")


def measure_groups(scenario: ScenarioInfo, names: list[str]) -> list[tuple[str, list[str]]]:
    """Return measures that share a range and a unit in one group, so that they can share an axis."""
    known = {measure.name: measure for measure in scenario.measures}
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name in names:
        measure = known.get(name)
        unit = (measure.unit, measure.low, measure.high) if measure else ("", None, None)
        alone = unit[1:] != (0, 1)
        groups.setdefault((*unit, name if alone else ""), []).append(name)
    return [(title_of(", ".join(members)), members) for members in groups.values()]


def _messages(run_id: str, scenario_name: str) -> None:
    info = _now(run_id)
    if info is None:
        return
    frame = ask(info, f"select * from messages order by message_id desc limit {SHOWN_MESSAGES}")
    if frame.is_empty():
        speaks = scenario_info(scenario_name).writings
        st.caption("Nobody has said anything yet." if speaks else "In this scenario nobody speaks.")
        return
    names = agent_names(info)
    study = study_of(str(info.folder))
    with st.container(height=SIDE_HEIGHT, border=False):
        if asks_model(study):
            show_language_notice(study.model.file)
        for row in frame.iter_rows(named=True):
            speaker = "moderator" if row["agent_id"] < 0 else names.get(row["agent_id"], f"agent {row['agent_id']}")
            with st.container(border=True, gap="xsmall"):
                st.caption(safe(f"{speaker} · step {row['step']} · {row['channel']}"))
                st.text(row["text"])


def _events(run_id: str, scenario_name: str) -> None:
    info = _now(run_id)
    if info is None:
        return
    with st.container(height=SIDE_HEIGHT, border=False):
        st.markdown("**Bookmarks**")
        show_bookmarks(info, scenario_info(scenario_name).unit)
        st.markdown("**Events**")
        frame = ask(info, "select step, kind, agent_id, detail from events order by step desc limit 200")
        if frame.is_empty():
            st.caption("No events yet. Interventions and what the scenario reports appear here.")
            return
        rows = event_rows(frame, scenario_info(scenario_name).unit)
        widths = {"details": st.column_config.TextColumn(width="large"), "what": st.column_config.TextColumn(width=200)}
        st.dataframe(
            rows,
            hide_index=True,
            height=min(42 + 35 * len(rows), 380),
            placeholder="–",
            column_config=widths,
            alt="Events of this run",
        )


def _everyone(run_id: str, scenario_name: str) -> None:
    info = _now(run_id)
    if info is not None:
        with st.container(height=SIDE_HEIGHT, border=False):
            show_everyone(info, scenario_info(scenario_name).unit)


def _seat(run_id: str, scenario_name: str) -> None:
    info = _now(run_id)
    if info is not None:
        with st.container(height=SIDE_HEIGHT, border=False):
            show_seat(info, scenario_info(scenario_name))


def _rule(run_id: str, scenario_name: str) -> None:
    del run_id
    with st.container(height=SIDE_HEIGHT, border=False):
        show_rule(scenario_info(scenario_name))


def _agent(run_id: str, scenario_name: str) -> None:
    info = _now(run_id)
    if info is None:
        return
    agent = session.address("agent")
    with st.container(height=SIDE_HEIGHT, border=False):
        if not agent.isdigit() or int(agent) >= max(info.n_agents, 1):
            st.caption("Click an agent in the picture, or type a number.")
            typed = st.number_input("Agent", 0, max(info.n_agents - 1, 0), value=None, key="type_agent", width=160)
            if typed is not None:
                session.set_address(agent=int(typed))
                st.rerun()
            return
        step = session.address("step")
        show_agent(
            info, scenario_info(scenario_name), int(agent), min(int(step) if step.isdigit() else info.step, info.step)
        )


if __name__ == "__main__":
    show()
