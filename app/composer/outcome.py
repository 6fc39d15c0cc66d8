"""Second part: the outcome, one number per run that answers the question."""

from __future__ import annotations

import streamlit as st

from app import session
from app.annotations import READINGS, Outcome, outcome_problem, read_outcome, write_annotations
from app.drafts import Draft
from app.forms import Problems, safe, title_of
from engine.contract import SIGNED_MEASURES, Measure, ScenarioInfo
from engine.loading import scenario_info


def show_outcome(draft: Draft, problems: Problems) -> None:
    """Draw the choice of a measure and of how it is read."""
    del problems
    info: ScenarioInfo = scenario_info(str(draft.get("scenario")))
    measures = measures_of(draft, info)
    outcome = read_outcome(draft, info.measures)
    left, right = st.columns([2, 3], gap="large")
    with left:
        _choice(draft, info, outcome, measures)
    with right:
        st.markdown("**What this scenario measures at every step**")
        st.table(_rows(measures), border="horizontal", width="stretch")
        st.caption("All measures are recorded, whichever is the outcome; you can look at the others later.")


def measures_of(draft: Draft, info: ScenarioInfo) -> tuple[Measure, ...]:
    """Return what a run of the draft measures: balance only where a layer of its ties is signed."""
    network = draft.table("network")
    layers = network.get("layers") or [network]
    if any(layer.get("signed") for layer in layers if isinstance(layer, dict)):
        return info.measures
    return tuple(measure for measure in info.measures if measure not in SIGNED_MEASURES)


def _choice(draft: Draft, info: ScenarioInfo, outcome: Outcome, measures: tuple[Measure, ...]) -> None:
    names = [measure.name for measure in measures]
    measure_key, at_key = session.field_key("outcome.measure"), session.field_key("outcome.at")

    def store() -> None:
        measure, at = session.value_of(measure_key) or outcome.measure, session.value_of(at_key) or outcome.at
        write_annotations(draft, outcome={"measure": measure, "at": at})

    st.selectbox(
        "Outcome",
        names,
        index=names.index(outcome.measure) if outcome.measure in names else None,
        format_func=title_of,
        key=measure_key,
        on_change=store,
        help="The measure that answers your question.",
    )
    problem = outcome_problem(outcome, measures, info.name)
    if problem:
        st.markdown(f":red[:material/error: {safe(problem)}]")
    st.selectbox(
        "Read",
        list(READINGS),
        index=list(READINGS).index(outcome.at),
        format_func=lambda name: READINGS[name],
        key=at_key,
        on_change=store,
        help="One number per run: this is what the arms are compared by.",
    )
    chosen = next((measure for measure in measures if measure.name == outcome.measure), None)
    if chosen is not None:
        with st.container(border=True):
            st.text(outcome_sentence(chosen, outcome.at))
            st.caption(safe(f"{chosen.help} Source: {chosen.source}."))
    st.caption(
        "Choose it before you look at results: an outcome that is picked afterwards finds something in any noise."
    )


def outcome_sentence(measure: Measure, at: str) -> str:
    """Return what the number of a run is, in words."""
    name, unit = title_of(measure.name), f" (in {measure.unit})" if measure.unit else ""
    if at == "step_of_max":
        return f"Each run gives one number: the step at which {name} is largest."
    return f"Each run gives one number: {name}{unit}, {READINGS[at]}."


def _rows(measures: tuple[Measure, ...]) -> list[dict[str, str]]:
    return [
        {"Measure": safe(title_of(m.name)), "Range": safe(range_of(m)), "What it says": safe(m.help)} for m in measures
    ]


def range_of(measure: Measure) -> str:
    """Return the range of a measure with its unit, for example `0 to 1`."""
    unit = f" {measure.unit}" if measure.unit else ""
    if measure.low is not None and measure.high is not None:
        return f"{measure.low:g} to {measure.high:g}{unit}"
    if measure.low is not None:
        return f"from {measure.low:g}{unit}"
    return f"up to {measure.high:g}{unit}" if measure.high is not None else (measure.unit or "any number")
