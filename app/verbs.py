"""Two verbs on a run: change a knob while it goes on (inject), and let it go on differently from a step (fork)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import streamlit as st

from app import session
from app.actions import attempt, study_of
from app.forms import label_of, plain_type, safe
from engine.contract import ScenarioInfo
from engine.loading import load_interventions
from engine.runs import RunInfo, fork_run, inject, start_worker

INJECT, FORK = "inject_ask", "fork_ask"


def show_inject(info: RunInfo, scenario: ScenarioInfo) -> None:
    """Draw the button that changes a knob at the next step."""
    with st.popover("Change", icon=":material/bolt:", key=INJECT, on_change="rerun"):
        st.caption("Acts at the next step, and is recorded as an intervention of this run.")
        knob, value = _knob(info, scenario, "inject")
        st.button("Apply now", key="inject", type="primary", on_click=attempt, args=(_inject, info, knob, value))


def show_fork(info: RunInfo, scenario: ScenarioInfo) -> None:
    """Draw the button that starts a run which shares this one's history up to a step."""
    with st.popover("Fork", icon=":material/fork_right:", key=FORK, on_change="rerun"):
        st.caption("A new run with the same history up to a step, and one knob changed from there.")
        at = st.number_input(f"From {safe(scenario.unit)}", 0, max(info.step, 0), info.step // 2, key="fork_at")
        knob, value = _knob(info, scenario, "fork")
        st.button(
            "Start the fork", key="fork", type="primary", on_click=attempt, args=(_fork, info, int(at), knob, value)
        )


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


def _inject(info: RunInfo, knob: str, value: Any) -> None:
    row = {"name": f"{knob} = {value}", "at": info.step, "do": {"effect": "set_param", "param": knob, "value": value}}
    checked = load_interventions({"interventions": [row]}, study_of(str(info.folder)))
    session.set_value(INJECT, False)
    inject(info.folder, [change.model_copy(update={"at": None}) for change in checked])


def _fork(info: RunInfo, at: int, knob: str, value: Any) -> None:
    # JSON's texts, numbers and truth values are TOML's too.
    folder: Path = fork_run(session.workspace(), info.folder, at, [f"params.{knob}={json.dumps(value)}"])
    start_worker([folder])
    session.set_value(FORK, False)
    session.remember("go_to_run", folder.name)
