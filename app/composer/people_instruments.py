"""Instruments: what they measure, their items, the words that the user brings, and scores from a survey."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import session
from app.actions import attempt
from app.composer.survey import survey_of
from app.drafts import Draft
from app.forms import safe
from engine.errors import MicrocosmError
from engine.population import Instrument, import_texts, list_instruments, load_instrument


def show_instruments(draft: Draft) -> None:
    """Draw one instrument, its items and, with a survey, the scoring of its answers."""
    names = list_instruments(draft.personas)
    titles = {name: load_instrument(name, draft.personas).title for name in names}
    name = st.selectbox("Instrument", names, format_func=titles.__getitem__, key="instrument")
    instrument = load_instrument(name, draft.personas)
    st.markdown(safe(instrument.help))
    st.caption(safe(f"Source: {instrument.source}. Licence: {instrument.licence}."))
    rows = [
        {
            "item": item.id,
            "text": item.text or "not free: import it",
            "scale": item.scale or "attention",
            "column": instrument.scales.get(item.scale, ""),
            "reversed": item.is_reversed,
            "usual variable": item.variable,
        }
        for item in instrument.items
    ]
    st.dataframe(rows, hide_index=True, height=300, alt="Items of the instrument")
    left, right = st.columns(2, gap="large")
    with left:
        _import(draft, instrument)
    with right:
        _scoring(draft, instrument)


def _import(draft: Draft, instrument: Instrument) -> None:
    with st.expander("Import the words of its items", icon=":material/upload:", expanded=not instrument.has_texts):
        key = session.field_key(f"texts_{instrument.name}")
        st.text_area("One item a line, numbered or in order", key=key, height=140, placeholder="1. Am ...\n2. ...")
        st.button(
            "Take over",
            key="take_texts",
            on_click=lambda: attempt(import_texts, instrument.name, str(session.value_of(key) or ""), draft.personas),
        )
        st.caption("They stay in your workspace; you answer for the right to use them.")


def _scoring(draft: Draft, instrument: Instrument) -> None:
    survey = survey_of(draft)
    held = draft.table(f"population.score.{instrument.name}")
    with st.expander("Score the answers of the survey", icon=":material/calculate:", expanded=bool(held)):
        if survey is None:
            st.caption("The people of this study come from no survey file: choose one under Compose, part 3.")
            return
        key = session.field_key(f"prefix_{instrument.name}")
        usual = all(item.variable for item in instrument.items)
        st.text_input(
            "Beginning of the variables' names, before the item's number",
            value=str(held.get("prefix", "")),
            key=key,
            placeholder="left empty: the usual names" if usual else "for example bfi_",
            help=f"`population.score.{instrument.name}.prefix`",
        )
        st.button(
            "Score them",
            key="score_instrument",
            type="primary",
            on_click=lambda: attempt(_score, instrument, str(session.value_of(key) or ""), draft),
        )
        if held:
            st.button(
                "Leave the scores out",
                key="drop_score",
                on_click=session.change_draft,
                args=(partial(Draft.put, key=f"population.score.{instrument.name}", value=None),),
            )
            st.caption(safe(f"Scored into {', '.join(instrument.scales.values())}."))


def _score(instrument: Instrument, prefix: str, draft: Draft) -> None:
    from engine.population.instruments import item_variables

    variables = item_variables(instrument, prefix, {})
    survey = survey_of(draft)
    known = {variable.name for variable in survey.variables} if survey else set()
    missing = [variable for variable in variables.values() if variable not in known]
    if missing:
        raise MicrocosmError(f"the survey has no variable {', '.join(missing[:5])}; give the beginning of their names")
    table = {"instrument": instrument.name} | ({"prefix": prefix} if prefix else {})
    session.change_draft(partial(Draft.put, key=f"population.score.{instrument.name}", value=table))
