"""Survival on the compare page: how many groups an event has not reached, by step, and whether the curves differ."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import streamlit as st

from app import session
from app.charts import show_chart
from app.comparing import State, curve_frame, nearest_event
from app.contrasts import p_words
from app.figures import Curve, plot_curves
from app.forms import safe, title_of
from engine.analysis import event_times, logrank_test, survival_curve
from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError


def events_of(scenario: ScenarioInfo) -> list[str]:
    """Return the measures of a scenario that say whether something has happened."""
    return [m.name for m in scenario.measures if (m.low, m.high) == (0, 1) and m.help.startswith("1 if ")]


def show_survival(state: State, scenario: ScenarioInfo) -> None:
    """Draw the share of runs of each group that an event has not reached, with the log-rank test."""
    names = events_of(scenario)
    event = names[0]
    if len(names) > 1:
        event = str(st.selectbox("Event", names, format_func=title_of, key="survival_event", width=240))
    try:
        found, p_value = survival_of(state, event)
    except MicrocosmError as error:
        st.info(safe(error))
        return
    show_chart(
        plot_curves(found, unit=scenario.unit, dark=session.is_dark(), stairs=True),
        key="survival",
        name=f"{event}_survival",
        alt=f"Share of runs without {title_of(event)} by {scenario.unit}, with its band",
        frame=curve_frame(found),
        behind=lambda curve, step, _: nearest_event(state, event, curve, step),
        sql=f"-- in each run; the first step with value 1 is the event\nselect min(step) as step from measures "
        f"where measure = '{event}' and segment = '' and value = 1",
    )
    bound = p_words(p_value) if p_value < 0.001 else f"= {p_words(p_value)}"
    test = "" if math.isnan(p_value) else f" Log-rank test of equal curves: p {bound}."
    st.caption(
        safe(
            f"Share of runs in which '{title_of(event)}' has not happened, the run (a group of people) as the "
            f"unit; Kaplan and Meier, 95 % band by Greenwood.{test}"
        )
    )


@st.cache_data(max_entries=64, show_spinner="Reading the runs")
def survival_of(state: State, event: str) -> tuple[list[Curve], float]:
    """Return one curve per group, and the p value of the log-rank test (NaN where there is nothing to test)."""
    times = {
        name: event_times([Path(folder) for folder, step, _ in own if step >= 0], event)
        for name, own in state
        if any(step >= 0 for _, step, _ in own)
    }
    found = []
    for name, (steps, happened) in times.items():
        curve = survival_curve(steps, happened)
        low = np.where(np.isnan(curve.low), curve.share, curve.low)
        high = np.where(np.isnan(curve.high), curve.share, curve.high)
        found.append(Curve(name, curve.steps, curve.share, low, high))
    return found, logrank_test(times) if len(times) > 1 else math.nan
