"""Sentences that the program says by itself, wherever results of a language model are shown."""

from __future__ import annotations

import streamlit as st

from app.forms import safe

LANGUAGE_NOTICE = (
    "These are the model's answer probabilities, not the share of people who would choose so. "
    "No human data were compared."
)
POCKET_NOTICE = (
    "The embedded model has random weights: its answers are noise with a format. "
    "Use it to learn the studio and to test, not for findings."
)
RUNS_NOTICE = "More runs shrink any p-value: report the effect and its Monte Carlo error."


def show_model_notice(model: str) -> None:
    """Say what the embedded model is, where it is the one that answers."""
    if model == "pocket":
        st.caption(f":orange[:material/science: {safe(POCKET_NOTICE)}]")


def show_language_notice(model: str) -> None:
    """Say what a language model's answers are, beside every result that rests on them."""
    st.caption(safe(LANGUAGE_NOTICE))
    show_model_notice(model)
