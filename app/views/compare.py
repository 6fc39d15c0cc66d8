"""Compare: groups of runs side by side, and what one arm changes against another, with its band over pairs of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import streamlit as st

from app import session
from app.charts import show_chart
from app.comparing import (
    ARM,
    Groups,
    State,
    curve_frame,
    curves,
    differing,
    group_runs,
    group_table,
    nearest_run,
    outcomes,
    pairs_of,
    state_of,
)
from app.consent import show_consent
from app.contrasts import chosen_pair, show_contrast, show_difference
from app.figures import plot_curves
from app.forms import safe, title_of
from app.observing import show_observed
from app.queue_view import show_queue
from app.reading import all_runs
from app.survival import events_of, show_survival
from app.verbs import show_fork_all
from engine.analysis import REDUCTIONS
from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError
from engine.experiment import read_experiment
from engine.loading import scenario_info
from engine.runs import RunInfo, list_experiments, read_otree

BY_HAND = "Runs chosen by hand"
MAX_RUNS = 200
WATCH_S = 1.0
ROW, LONG_NAME = 35, 20  # height of a table row in pixels; characters of a name above which it takes two lines
READINGS = {
    "last": "at the end",
    "max": "largest",
    "min": "smallest",
    "mean": "mean over steps",
    "step_of_max": "step of the largest",
    "step": "at a step",
}


def show() -> None:
    """Draw the page."""
    runs = all_runs(session.workspace())
    if not runs:
        st.subheader("Compare")
        st.caption("Comparing takes runs that differ in something. Start from a template, and run it more than once.")
        st.page_link("views/home.py", label="Choose a template", icon=":material/home:")
        return
    show_consent()
    top = st.container()
    experiment = _choose_source(top, runs)
    try:
        chosen = _experiment_runs(experiment, runs) if experiment else _by_hand(runs)
        if not chosen:
            st.caption("No run is chosen. Choose at least one above.")
            return
        if not experiment:
            _watch(chosen)
        if experiment:
            show_queue(experiment, sum(info.status == "done" for info in chosen))
        if len({info.scenario for info in chosen}) > 1:
            st.info("These runs are of different scenarios, which share no outcome. Choose runs of one scenario.")
            return
        _compare(chosen, experiment)
    except MicrocosmError as error:
        st.info(safe(error))


# -- which runs -------------------------------------------------------------------------------------------------------
def _choose_source(top: st.delta_generator.DeltaGenerator, runs: Sequence[RunInfo]) -> str:
    """Let one choose an experiment, or runs by hand; returns the experiment's id or an empty text."""
    titles = {info.experiment_id: info.title or info.scenario for info in runs if info.experiment_id}
    ids = [key for key in list_experiments(session.workspace()) if key in titles]
    asked = session.address("experiment")
    folder = session.current_run()
    belongs = next((info.experiment_id for info in runs if folder is not None and info.folder == folder), None)
    by_hand = bool(session.address("runs"))
    first = asked if asked in ids else ("" if by_hand else belongs or (ids[0] if ids and folder is None else ""))
    options = [*ids, ""]
    with top:
        left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        chosen = st.selectbox(
            "What is compared",
            options,
            index=options.index(first) if first in options else len(options) - 1,
            format_func=lambda key: f"{titles[key]} · {key}" if key else BY_HAND,
            key=f"compare_source_{first}",
        )
    if chosen != first:
        session.set_address(experiment=chosen or None, runs=None if chosen else "chosen")
        st.rerun()
    with right:
        words = {"experiment": chosen} if chosen else {"runs": "compared"}
        st.page_link("views/report.py", label="Next: Report", icon=":material/description:", query_params=words)
    return str(chosen)


def _experiment_runs(experiment: str, runs: Sequence[RunInfo]) -> list[RunInfo]:
    """Return an experiment's runs, arm by arm in the order of its study."""
    found = read_experiment(session.workspace(), experiment)
    by_folder = {info.folder: info for info in runs}
    folders = [folder for arm in found.arms for folder in found.folders_of(arm)]
    return [by_folder[folder] for folder in folders if folder in by_folder]


def _by_hand(runs: Sequence[RunInfo]) -> list[RunInfo]:
    shown = {info.run_id: info for info in runs[:MAX_RUNS]}
    folder = session.current_run()
    current = shown.get(folder.name) if folder is not None else None
    given = [key for key in session.address("runs").split(",") if key in shown]
    default = given or [info.run_id for info in kin(list(shown.values()), current or runs[0])]

    def words(run_id: str) -> str:
        info = shown[run_id]
        forked = f" · fork at {info.forked_at}" if info.forked_at is not None else ""
        return f"{info.title or info.scenario} · {run_id[:8]} · seed {info.seed + info.replicate}{forked}"

    with st.expander(f"Runs, {len(default)} chosen at first", icon=":material/checklist:", expanded=len(default) < 2):
        chosen = st.multiselect(
            "Runs to compare",
            list(shown),
            default=default,
            format_func=words,
            key=f"compare_runs_{default[0]}_{len(default)}",
            select_all=False,
        )
    session.remember("compared", chosen)
    return [shown[run_id] for run_id in chosen]


def kin(runs: Sequence[RunInfo], current: RunInfo) -> list[RunInfo]:
    """Return the runs that belong with one: the same scenario and title, its parents, and its forks."""
    family = {key for key in (current.run_id, current.parent_run_id) if key}
    family |= {info.run_id for info in runs if info.parent_run_id in family}
    same = (current.scenario, current.title)
    return [i for i in runs if i.run_id in family or ((i.scenario, i.title) == same and i.experiment_id is None)]


def _watch(chosen: Sequence[RunInfo]) -> None:
    """Say how many of the chosen runs are done while some go on, and draw the page afresh as they end."""
    going = [info for info in chosen if info.status in ("queued", "running")]
    if not going:
        return
    n_done = len(chosen) - len(going)

    def look() -> None:
        now = {info.folder: info.status for info in all_runs(session.workspace())}
        still = sum(now.get(info.folder) in ("queued", "running") for info in going)
        done = len(chosen) - still
        st.progress(done / len(chosen), text=f"{done} of {len(chosen)} runs are done")
        if still == 0 or done - n_done >= max(len(chosen) // 5, 1):
            st.rerun(scope="app")

    st.fragment(look, run_every=WATCH_S)()


# -- the comparison ---------------------------------------------------------------------------------------------------
def _compare(chosen: Sequence[RunInfo], experiment: str) -> None:
    scenario = scenario_info(chosen[0].scenario)
    measure, at, factors = _outcome(chosen, scenario, experiment)
    groups = group_runs(chosen, factors)
    by_folder = {info.folder: info for info in chosen}
    state = state_of(groups, by_folder)
    table = outcomes(state, measure, at)
    left, right = st.columns([2, 3], gap="large")
    with left:
        _groups(table, measure, at, by_folder, scenario)
        show_fork_all({name: [by_folder[f] for f in own] for name, own in groups.items()}, scenario, chosen)
    with right:
        show_contrast(table, list(groups), scenario)
    _curves(state, groups, by_folder, measure, scenario)
    show_observed(state, by_folder, measure, experiment)


def _outcome(chosen: Sequence[RunInfo], scenario: ScenarioInfo, experiment: str) -> tuple[str, str | int, list[str]]:
    names = [measure.name for measure in scenario.measures]
    wanted, reading = stored_outcome(experiment) if experiment else asked_outcome()
    table = differing(chosen)
    first, second, third, fourth = st.columns([3, 2, 2, 4], vertical_alignment="bottom")
    with first:
        place = names.index(wanted) if wanted in names else 0
        measure = st.selectbox("Outcome", names, index=place, key=f"outcome_{experiment}_{scenario.name}")
    with second:
        keys = list(READINGS)
        at = st.selectbox(
            "Read", keys, index=keys.index(reading), format_func=READINGS.get, key=f"reading_{experiment}"
        )
    last = max(info.step for info in chosen)
    with third:
        step = st.number_input(
            title_of(scenario.unit).capitalize(), 0, max(last, 1), max(last, 1), key="at_step", disabled=at != "step"
        )
    with fourth:
        default = [ARM] if ARM in table else list(table)[:3]
        key = f"factors_{experiment}_{'_'.join(table)}"
        factors = st.multiselect(
            "Grouped by (the seed is never a group)",
            list(table),
            default=default,
            key=key,
            select_all=False,
            placeholder="these runs differ in the seed alone" if not table else "nothing",
        )
    return str(measure), int(step) if at == "step" else str(at), factors


def asked_outcome() -> tuple[str, str]:
    """Return (measure, reading) of the page's address; ("", "last") where it names none."""
    at = session.address("at")
    return session.address("measure"), at if at in REDUCTIONS else "last"


def stored_outcome(experiment: str) -> tuple[str, str]:
    """Return (measure, reading) that the composer stored beside an experiment; ("", "last") where there is none."""
    path = session.workspace().experiments / Path(experiment or "none").name / "outcome.json"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "", "last"
    if not isinstance(held, dict) or held.get("at") not in REDUCTIONS:
        return "", "last"
    return str(held.get("measure", "")), str(held["at"])


def _groups(
    table: pl.DataFrame, measure: str, at: str | int, by_folder: dict[Path, RunInfo], scenario: ScenarioInfo
) -> None:
    st.markdown("**Groups of runs**")
    shown = group_table(table)
    number = st.column_config.NumberColumn(format="%.3g", width=56)
    long = any(len(name) > LONG_NAME for name in shown["group"])
    if (shown["runs"] == shown["n"]).all():
        shown = shown.drop("runs")
    st.dataframe(
        shown,
        hide_index=True,
        row_height=ROW * 2 if long else ROW,  # a name of two lines
        height=min(ROW + 7 + ROW * (1 + long) * shown.height, 300),
        column_config={"group": st.column_config.TextColumn(width=150)}
        | dict.fromkeys(("mean", "low", "high", "sd"), number)
        | dict.fromkeys(("runs", "n"), st.column_config.NumberColumn(width=44)),
        placeholder="–",
        alt="Groups of runs with mean and band",
    )
    reading = READINGS.get(str(at), f"at step {at}")
    few = shown.filter(shown["n"] < 2)
    words = f"{title_of(measure)}, {reading}. n: runs with an outcome; low to high: 95 % bootstrap band over them."
    if few.height:
        words += " A group with one finished run has a value but no band: add replicates."
    st.caption(safe(words))
    with st.popover("Every run", icon=":material/table:"):
        st.dataframe(table, hide_index=True, height=300, width=620, alt="Outcome of every run")
        st.download_button("CSV", table.write_csv(), "outcomes.csv", "text/csv", key="csv_outcomes", on_click="ignore")
        _otree(by_folder, scenario)


def _otree(by_folder: dict[Path, RunInfo], scenario: ScenarioInfo) -> None:
    """Offer the runs as participants and rounds, where people decide."""
    done = [folder for folder, info in by_folder.items() if info.status == "done"]
    if scenario.mechanism_only or not done:
        return
    st.download_button(
        "CSV as oTree writes it",
        lambda: read_otree(done).write_csv(),
        f"{scenario.name}_otree.csv",
        "text/csv",
        key="csv_otree",
        on_click="ignore",
        help="One row per participant and round; a run is a group, an arm a session.",
    )


def _curves(state: State, groups: Groups, infos: dict[Path, RunInfo], measure: str, scenario: ScenarioInfo) -> None:
    pair = chosen_pair(list(groups))
    views = [
        "Groups by step",
        *(["Survival"] if events_of(scenario) else []),
        *(["Difference by step"] if pair else []),
    ]
    view = st.segmented_control(
        "Chart", views, default=views[-1], key=f"curve_view_{len(views)}", required=True, label_visibility="collapsed"
    )
    if view == "Difference by step" and pair:
        a, b = ([infos[folder] for folder in groups[name]] for name in pair)
        two = tuple(own for name in pair for own in state if own[0] == name)
        show_difference(two, measure, scenario, pairs_of(a, b))
        return
    if view == "Survival":
        show_survival(state, scenario)
        return
    found = curves(state, measure)
    if not found:
        st.caption("The curves appear with the first recorded steps.")
        return
    ids = ", ".join(f"'{folder.name}'" for _, own in groups.items() for folder in own[:3])
    show_chart(
        plot_curves(found, unit=scenario.unit, dark=session.is_dark()),
        key="group_curves",
        name=f"{measure}_by_group",
        alt=f"Mean of {measure} over the runs of each group by {scenario.unit}, with its band",
        frame=curve_frame(found),
        behind=lambda curve, step, value: nearest_run(state, measure, curve, step, value),
        sql=f"-- in each run ({ids}, ...); then mean and bootstrap over runs\n"
        f"select step, value from measures where measure = '{measure}' and segment = '' order by step",
    )


if __name__ == "__main__":
    show()
