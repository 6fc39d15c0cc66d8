"""Calibrate: knobs of a run's study are fitted to a series that somebody observed, and taken over into a new study."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import streamlit as st
from pydantic.fields import FieldInfo

from app import session
from app.actions import attempt, show_attempt, study_of
from app.calibration_work import (
    Calibration,
    Request,
    find_calibration,
    read_columns,
    start_calibration,
    stop_calibration,
)
from app.charts import show_chart
from app.composer.plan import duration
from app.consent import attempt_with_consent, show_consent
from app.contrasts import number
from app.drafts import Draft
from app.figures import Curve, plot_curves
from app.forms import help_of, label_of, plain_type, safe, title_of
from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError
from engine.runs import RunInfo

TICK_S = 1.0
MOST_KNOBS = 4
WORDS = (
    "Calibration: knobs are chosen so that the study follows a series that was observed. That it then does says "
    "little; what counts are the values held out, which the fit did not see, and what it says about something else."
)


def show_calibration(info: RunInfo, scenario: ScenarioInfo) -> None:
    """Draw the form, and below it the newest calibration of this run's study."""
    show_consent()
    show_attempt()
    st.markdown("**Calibrate to an observed series**")
    st.caption(WORDS)
    found = find_calibration(session.workspace(), info.run_id)
    if found is None or (found.result is None and not found.is_running):
        _form(info, scenario)
    if found is None:
        st.caption("Upload a series and press Fit: the progress, the fitted knobs and their error appear here.")
    elif found.is_running:
        st.fragment(_progress, run_every=TICK_S)(info.run_id)
    elif found.result is None:
        st.error(safe(f"The last fit gave no result: {found.problem}"))
    else:
        _result(found, found.result, info, scenario)
        with st.expander("Fit again", icon=":material/target:"):
            _form(info, scenario)


# -- what is asked ----------------------------------------------------------------------------------------------------
def _form(info: RunInfo, scenario: ScenarioInfo) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        upload = st.file_uploader(
            "Observed series (CSV)", type=["csv"], key="series_upload", help="A column of time and one of values."
        )
        try:
            columns = list(read_columns(upload.getvalue()).columns) if upload is not None else []
        except MicrocosmError as error:
            st.error(safe(error))
            columns = []
        own = upload.file_id if upload is not None else ""  # fields of another file start afresh
        times, values = st.columns(2)
        when = times.selectbox("Its time", columns, key=f"series_time_{own}", placeholder="after the upload")
        value = values.selectbox(
            "Its values", columns, index=min(1, len(columns) - 1) if columns else 0, key=f"series_value_{own}",
            placeholder="after the upload",
        )  # fmt: skip
        names = [measure.name for measure in scenario.measures]
        measure = str(st.selectbox("Measure that the series shows", names, key="series_measure", format_func=title_of))
        period = times.number_input(
            f"{title_of(scenario.unit).capitalize()}s per unit of time", 1, 10_000, 1, key="series_period",
            help=f"For example 7 where the series counts weeks and a step is a {scenario.unit}.",
        )  # fmt: skip
        held = values.number_input(
            "Last values held out", 0, 10_000, 0, key="series_held", help="The fit does not see them; they judge it."
        )
    with right:
        knobs = _knobs(info, scenario)
        runs, trials = st.columns(2)
        n_runs = runs.number_input("Runs per point", 1, 50, 3, key="series_runs", help="The same seeds at each point.")
        n_trials = trials.number_input("Most points", 4, 2_000, 60, key="series_trials")
        st.caption(f"At most {int(n_runs * n_trials):,} runs of {info.n_agents:,} agents, computed without recording.")
    if upload is not None and columns and when == value:
        st.info("Time and values are the same column; choose two.")
    ready = upload is not None and bool(columns) and when != value and bool(knobs)
    asked = Request(
        measure, knobs, str(when), str(value), int(period), int(held), int(n_runs), int(n_trials)
    )  # fmt: skip
    study = study_of(str(info.folder))
    st.button(
        "Fit",
        key="fit_series",
        type="primary",
        icon=":material/target:",
        disabled=not ready,
        help=None if ready else "Upload a series, and choose its columns and at least one knob.",
        on_click=attempt_with_consent,
        args=(study, start_calibration, session.workspace(), info, study, upload.getvalue() if upload else b"", asked),
    )


def fitted_fields(scenario: ScenarioInfo) -> dict[str, FieldInfo]:
    """Return the knobs that can be fitted: those that are numbers."""
    fields = scenario.params.model_fields
    return {name: field for name, field in fields.items() if plain_type(field.annotation) in (int, float)}


def _knobs(info: RunInfo, scenario: ScenarioInfo) -> dict[str, tuple[float, float]]:
    """Ask which knobs are fitted, and between which values each."""
    fields = fitted_fields(scenario)
    chosen = st.multiselect(
        f"Knobs to fit, at most {MOST_KNOBS}",
        list(fields),
        max_selections=MOST_KNOBS,
        format_func=lambda name: label_of(name, fields[name]).replace("\\", ""),
        key="series_knobs",
        select_all=False,
        placeholder="choose one or a few" if fields else "this scenario has no numeric knob",
    )
    held = study_of(str(info.folder)).params
    found = {}
    for name in chosen:
        low, high = usual_range(fields[name], float(held.get(name, fields[name].default)))
        label = label_of(name, fields[name])
        one, other = st.columns(2)
        words = help_of(name, fields[name])
        a = one.number_input(f"{label}: lowest", value=low, key=f"low_{name}", format="%g", help=words)
        b = other.number_input(f"{label}: highest", value=high, key=f"high_{name}", format="%g")
        if a >= b:
            st.info(f"{label}: the lowest value must lie below the highest.")
            return {}
        found[name] = (float(a), float(b))
    return found


def usual_range(field: FieldInfo, value: float) -> tuple[float, float]:
    """Return the range that is offered for a knob: half to twice its value, within what the knob allows."""
    low, high = (value / 2, value * 2) if value > 0 else (value - 1.0, value + 1.0)
    for limit in field.metadata:
        least = getattr(limit, "ge", getattr(limit, "gt", None))
        most = getattr(limit, "le", getattr(limit, "lt", None))
        low = low if least is None else max(low, float(least))
        high = high if most is None else min(high, float(most))
    return low, high


# -- how far it is ----------------------------------------------------------------------------------------------------
def _progress(run_id: str) -> None:
    found = find_calibration(session.workspace(), run_id)
    if found is None or not found.is_running:
        st.rerun(scope="app")
        return
    bar, stop = st.columns([5, 1], vertical_alignment="center")
    bar.progress(min(found.n_tried / found.trials, 1.0), text=safe(progress_words(found)))
    stop.button("Stop", key="stop_fit", icon=":material/stop:", on_click=attempt, args=(stop_calibration, found))


def progress_words(found: Calibration) -> str:
    """Return how far a calibration is in one line."""
    if not found.n_tried:
        return "Starting"
    took = time.time() - found.started_at
    left = took / found.n_tried * max(found.trials - found.n_tried, 0)
    best = f"best misfit {found.best:.4g}" if found.best is not None else ""
    return f"{found.n_tried} of at most {found.trials} points · {best} · {duration(left)} left at most"


# -- what came out ----------------------------------------------------------------------------------------------------
def _result(found: Calibration, result: Mapping[str, Any], info: RunInfo, scenario: ScenarioInfo) -> None:
    fields = scenario.params.model_fields
    with st.container(border=True):
        cells = st.columns(len(result["knobs"]) + 2)
        for cell, (name, value) in zip(cells, result["knobs"].items(), strict=False):
            cell.metric(label_of(name, fields[name]) if name in fields else safe(name), number(float(value)))
        for cell, part, words in ((cells[-2], "fitted", "values fitted"), (cells[-1], "held_out", "values held out")):
            error = result[part]
            nrmse = math.nan if error is None or error["nrmse"] is None else float(error["nrmse"])
            cell.metric(f"Error, {words}", "–" if math.isnan(nrmse) else f"{nrmse:.1%}", help="RMSE over the mean")
            cell.caption("none held out" if error is None else safe(f"RMSE {number(error['rmse'])}, n = {error['n']}"))
        measure = title_of(str(result["measure"]))
        st.caption(safe(f"Fitted: {measure}; {result['trials']} points tried. The last fit of this run's study."))
    _chart(result, scenario)
    st.button(
        "Take over into a new study",
        key="take_fit",
        type="primary",
        icon=":material/edit_note:",
        on_click=attempt,
        args=(_take_over, found, info),
    )
    if session.recall("fitted_study"):
        name = session.recall("fitted_study")
        session.remember("fitted_study", None)
        st.switch_page("views/compose.py", query_params={"study": name, "part": "question"})


def _chart(result: Mapping[str, Any], scenario: ScenarioInfo) -> None:
    steps = np.asarray(result["steps"], np.int64)
    none = np.full(steps.size, np.nan)
    curves = [
        Curve(name, steps, np.asarray(result[key], np.float64), none, none)
        for name, key in (("observed", "observed"), ("fitted study", "simulated"))
    ]
    frame = pl.DataFrame({"step": steps, "observed": result["observed"], "simulated": result["simulated"]})
    n_held = (result["held_out"] or {}).get("n", 0)
    marks = [(int(steps[-n_held]), "held out from here")] if n_held else []
    show_chart(
        plot_curves(curves, unit=scenario.unit, dark=session.is_dark(), marks=marks),
        key="fit_chart",
        name=f"{result['measure']}_calibration",
        alt=f"Observed and fitted {title_of(str(result['measure']))} by {scenario.unit}",
        frame=frame,
        sql="-- the fit's own runs are not recorded; take the study over and run it to query it\n"
        f"select step, value from measures where measure = '{result['measure']}' and segment = '' order by step",
    )


def _take_over(found: Calibration, info: RunInfo) -> None:
    """Begin a new study: that of the run with the fitted knobs."""
    if found.result is None:
        return
    study = study_of(str(info.folder))
    knobs = dict(found.result["knobs"])
    update = {"params": {**study.params, **knobs}, "title": f"{study.title or study.scenario}, calibrated"}
    draft = Draft.new(session.workspace().studies, study.model_copy(update=update))
    session.open_draft(draft)
    session.remember("fitted_study", draft.name)
