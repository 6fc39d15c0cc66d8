"""Sentences that the program says by itself, wherever results of a language model are shown."""

from __future__ import annotations

import streamlit as st

from app.forms import safe
from engine.runs import RunInfo, read_result

LANGUAGE_NOTICE = (
    "These are the model's answer probabilities, not the share of people who would choose so. "
    "No human data were compared."
)
POCKET_NOTICE = (
    "Demonstration model with built-in rules: its answers follow known rules that it was trained on, not people. "
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


def model_count_words(model_calls: int, situations: int, cache_hits: int) -> str:
    """Return in words what a run asked its language model.

    Args:
        model_calls: Batches of questions.
        situations: Distinct situations that the model was asked about.
        cache_hits: Situations whose answer was known already.
    """
    needed = situations + cache_hits
    if needed == 0:
        return "The language model has not been asked yet."
    return (
        f"Language model: {situations:,} distinct situations in {model_calls:,} model calls; "
        f"{cache_hits:,} of {needed:,} answers from the cache ({cache_hits / needed:.0%})."
    )


def show_model_counts(info: RunInfo) -> None:
    """Say how often a run asked its language model, and how often the cache answered instead."""
    found = read_result(info.folder)
    st.caption(safe(model_count_words(found.model_calls, found.situations, found.cache_hits)))
