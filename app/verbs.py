"""Two verbs on a run: change something while it goes on (inject), and let it go on differently from a step (fork)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import streamlit as st

from app import session
from app.actions import attempt, start_together, study_of
from app.consent import attempt_with_consent
from app.forms import label_of, plain_type, safe
from engine.contract import ScenarioInfo
from engine.loading import load_interventions
from engine.population.columns import Column
from engine.runs import RunInfo, fork_run, inject, inputs_of, start_worker
from engine.spec import InterventionSpec

INJECT, FORK, FORK_ALL = "inject_ask", "fork_ask", "fork_all_ask"
KNOB, PEOPLE = "A knob", "Some people"
EVERYONE, AT_RANDOM, BEST_CONNECTED = "everyone", "a share at random", "those with the most ties"


def plainly(name: str) -> str:
    """Return a column's name as words."""
    return name.replace("_", " ")


def show_inject(info: RunInfo, scenario: ScenarioInfo) -> None:
    """Draw the button that changes a knob or some people at the next step."""
    with st.popover("Change", icon=":material/bolt:", key=INJECT, on_change="rerun"):
        st.caption("Acts at the next step, and is recorded as an intervention of this run.")
        change = _change(info, scenario, "inject")
        st.button("Apply now", key="inject", type="primary", on_click=attempt, args=(_inject, info, change))


def show_fork(info: RunInfo, scenario: ScenarioInfo) -> None:
    """Draw the button that starts a run which shares this one's history up to a step."""
    with st.popover("Fork", icon=":material/fork_right:", key=FORK, on_change="rerun"):
        st.caption("A new run with the same history up to a step, and one change from there.")
        last = max(min(info.step, info.steps - 1), 0)
        at = st.number_input(f"From {safe(scenario.unit)}", 0, last, last // 2, key="fork_at")
        change = _change(info, scenario, "fork")
        st.button(
            "Start the fork",
            key="fork",
            type="primary",
            on_click=attempt_with_consent,
            args=(study_of(str(info.folder)), _fork, info, int(at), change),
        )


def _change(info: RunInfo, scenario: ScenarioInfo, prefix: str) -> dict[str, Any]:
    """Ask for one change and return it as an intervention without a time."""
    kind = st.segmented_control(
        "What changes", [KNOB, PEOPLE], default=KNOB, required=True, key=f"{prefix}_kind", disabled=not scenario.columns
    )
    if kind != PEOPLE:
        knob, value = _knob(info, scenario, prefix)
        return {"name": f"{knob} = {value}", "do": {"effect": "set_param", "param": knob, "value": value}}
    name = st.selectbox("What they get", list(scenario.columns), format_func=plainly, key=f"{prefix}_column")
    value = _column_value(scenario.columns[name], f"{prefix}_value_{name}")
    whom = st.selectbox("Whom", [EVERYONE, AT_RANDOM, BEST_CONNECTED], key=f"{prefix}_whom")
    reached: dict[str, Any] = {}
    if whom != EVERYONE:
        share = st.number_input("Share of them", 0.01, 1.0, 0.1, key=f"{prefix}_share")
        reached = {"sample": {"share": share}} if whom == AT_RANDOM else {"top": {"by": "degree", "share": share}}
    where = st.text_input("Only where", placeholder="age > 40 and degree > 10", key=f"{prefix}_where").strip()
    if where:
        reached["where"] = where
    words = "" if whom == EVERYONE else f", {share:g} {'at random' if whom == AT_RANDOM else 'with the most ties'}"
    if where:
        words += f" where {where}"
    return {
        "name": f"{name} = {value}{words}",
        "whom": reached,
        "do": {"effect": "set", "column": name, "value": value},
    }


def _column_value(column: Column, key: str) -> float | bool | str:
    if column.kind == "category":
        return str(st.selectbox("Value", column.labels, key=key))
    if column.kind == "boolean":
        return bool(st.toggle("Value", key=key))
    low = None if column.low is None else float(column.low)
    high = None if column.high is None else float(column.high)
    return float(st.number_input("Value", low, high, "min" if low is not None else 0.0, key=key))


def _knob(info: RunInfo, scenario: ScenarioInfo, prefix: str) -> tuple[str, Any]:
    study = study_of(str(info.folder))
    fields = {
        name: field
        for name, field in scenario.params.model_fields.items()
        if not (isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("at_setup"))
    }
    name = st.selectbox(
        "Knob", list(fields), format_func=lambda key: label_of(key, fields[key]).replace("\\", ""), key=f"{prefix}_knob"
    )
    held = study.params.get(name, fields[name].default)
    kind = plain_type(fields[name].annotation)
    if get_origin(kind) is Literal:
        options = list(get_args(kind))
        place = options.index(held) if held in options else 0
        return name, st.selectbox("New value", options, index=place, key=f"{prefix}_{name}")
    if isinstance(held, bool):
        return name, st.toggle("New value", held, key=f"{prefix}_{name}")
    if isinstance(held, int | float):
        number = st.number_input(
            "New value", value=held, key=f"{prefix}_{name}", format="%d" if isinstance(held, int) else "%g"
        )
        return name, number
    return name, st.text_input("New value", str(held), key=f"{prefix}_{name}")


def show_fork_all(groups: Mapping[str, Sequence[RunInfo]], scenario: ScenarioInfo, chosen: Sequence[RunInfo]) -> None:
    """Draw the button that forks every run of a group with the same change: pairs with the runs that go on unchanged.

    Args:
        groups: Runs by group.
        scenario: Their scenario.
        chosen: All runs that are compared now; the forks join them.
    """
    with st.popover("Fork every run", icon=":material/fork_right:", key=FORK_ALL, on_change="rerun"):
        st.caption(
            "One fork of each run of a group: the same history up to a step, one change from there. A fork and its "
            "parent share their chance, so they are a pair."
        )
        name = st.selectbox("Runs of", list(groups), key="fork_all_group")
        own = [info for info in groups[name] if info.status == "done"]
        last = min((max(min(info.step, info.steps - 1), 0) for info in own), default=0)
        at = st.number_input(f"From {safe(scenario.unit)}", 0, max(last, 1), 0, key="fork_all_at")
        if not own:
            st.caption("No run of this group is done yet.")
            return
        change = _change(own[0], scenario, "fork_all")
        st.button(
            f"Start {len(own)} forks",
            key="fork_all",
            type="primary",
            on_click=attempt_with_consent,
            args=(study_of(str(own[0].folder)), _fork_all, own, int(at), change, chosen),
        )


def _fork_all(own: Sequence[RunInfo], at: int, change: dict[str, Any], chosen: Sequence[RunInfo]) -> None:
    checked = _check(own[0], change, at)
    workspace = session.workspace()
    folders = [fork_run(workspace, info.folder, at, interventions=checked) for info in own]
    start_together(folders, study_of(str(folders[0])))
    session.set_value(FORK_ALL, False)
    ids = [*(info.run_id for info in chosen), *(folder.name for folder in folders)]
    session.set_address(experiment=None, runs=",".join(ids))


def _inject(info: RunInfo, change: dict[str, Any]) -> None:
    checked = _check(info, change, info.step)
    session.set_value(INJECT, False)
    inject(info.folder, [one.model_copy(update={"at": None}) for one in checked])


def _fork(info: RunInfo, at: int, change: dict[str, Any]) -> None:
    checked = _check(info, change, at)
    folder: Path = fork_run(session.workspace(), info.folder, at, interventions=checked)
    start_worker([folder])
    session.set_value(FORK, False)
    session.remember("go_to_run", folder.name)


def _check(info: RunInfo, change: dict[str, Any], at: int) -> tuple[InterventionSpec, ...]:
    given = {"interventions": [{**change, "at": at}]}
    return load_interventions(given, study_of(str(info.folder)), personas=inputs_of(Path(info.folder)))
