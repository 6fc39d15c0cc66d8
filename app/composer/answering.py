"""How a language model is asked and how its answers are corrected: the advanced part of a decision's block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import session
from app.drafts import Draft
from app.forms import Problems, choice_field, model_fields, number_field, show_problems, switch_field, text_field
from engine.decision import Choice, Decision, MultiSelect, Ranking
from engine.spec import BudgetSpec, CalibrationSpec

ORDERS = {
    "both": "forwards and backwards",
    "forward": "forwards only",
    "rotations": "in every rotation",
}
NORMALISATIONS = {
    "none": "as the model says",
    "pmi": "against a neutral premise",
    "bytes": "per byte of the option",
}
UNUSABLE = {
    "count": "are used, and counted",
    "rule": "go to the rule, and are counted",
    "stop": "stop the run",
}


def show_answering(draft: Draft, decision: Decision, problems: Problems) -> None:
    """Draw order of options, reason, normalisation, fit and what happens to unusable answers."""
    key = f"decisions.{decision.name}"
    with st.expander("Asking and correcting", icon=":material/tune:"):
        if decision.answer.is_number:
            st.caption("A number is drawn from the model's exact distribution over the whole range.")
        else:
            order = str(draft.get(f"{key}.option_order", "both"))
            _choice(draft, f"{key}.option_order", "Options are listed", ORDERS, order)
        switch_field(
            draft,
            f"{key}.reason",
            "A short reason first",
            help=f"One per distinct prompt; the options are scored after it. `{key}.reason`",
        )
        normalisation = str(draft.get(f"{key}.calibration.normalisation", "none"))
        _choice(draft, f"{key}.calibration.normalisation", "Options are compared", NORMALISATIONS, normalisation)
        if normalisation == "pmi":
            neutral = CalibrationSpec.model_fields["neutral"].default
            text_field(draft, f"{key}.calibration.neutral", "Neutral premise", placeholder=neutral)
        number_field(
            draft,
            f"{key}.temperature",
            "Temperature",
            draft.get(f"{key}.temperature", 1.0),
            whole=False,
            help=f"Above 1 answers become more alike, below 1 more decided. `{key}.temperature`",
        )
        if isinstance(decision.answer, Choice | MultiSelect | Ranking):
            _shares(draft, key, decision)
        number_field(
            draft,
            f"{key}.calibration.least_mass",
            "Least captured mass",
            draft.get(f"{key}.calibration.least_mass", 0.0),
            whole=False,
            help="An answer is unusable where the model puts less probability than this on all options together. "
            f"`{key}.calibration.least_mass`",
        )
        then = str(draft.get(f"{key}.calibration.unusable", "count"))
        _choice(draft, f"{key}.calibration.unusable", "Unusable answers", UNUSABLE, then)
        show_problems(problems, f"{key}.calibration")


def _choice(draft: Draft, key: str, label: str, words: Mapping[str, str], value: str) -> None:
    choice_field(draft, key, label, list(words), value, words=lambda name: words.get(name, name), help=f"`{key}`")


def _shares(draft: Draft, key: str, decision: Decision) -> None:
    place = f"{key}.calibration.shares"
    first = decision.answer.texts[0]
    st.text_area(
        "Fit to shares",
        write_shares(draft.get(place)),
        key=session.field_key(place),
        height=110,
        placeholder=f"{first} = 0.4\n...\n\nor, with a trait below:\n[its label]\n{first} = 0.4\n...",
        on_change=session.store_field,
        args=(place, read_shares),
        help=f"Shares of people who choose each option, known from elsewhere; one line each. `{place}`",
    )
    text_field(
        draft,
        f"{key}.calibration.by",
        "Trait by whose labels the shares are given",
        help=f"Then a temperature is fitted as well. Empty: shares of everyone. `{key}.calibration.by`",
    )


def read_shares(given: str) -> dict[str, Any] | str | None:
    """Return the shares of lines "option = 0.4", under "[label]" where given; other text stays, for the message."""
    shares: dict[str, Any] = {}
    table = shares
    for line in filter(None, map(str.strip, given.splitlines())):
        if line.startswith("[") and line.endswith("]"):
            table = shares.setdefault(line[1:-1].strip(), {})
            continue
        option, sign, number = line.rpartition("=")
        try:
            table[option.strip().strip("\"'")] = float(number)
        except ValueError:
            return given
        if not sign or not isinstance(table, dict):
            return given
    return shares or None


def write_shares(held: Any) -> str:
    """Return shares as lines, the inverse of `read_shares`."""
    if not isinstance(held, Mapping):
        return "" if held is None else str(held)
    lines = []
    for name, value in held.items():
        if isinstance(value, Mapping):
            lines += [f"[{name}]", *(f"{option} = {share}" for option, share in value.items())]
        else:
            lines.append(f"{name} = {value}")
    return "\n".join(lines)


def show_budget(draft: Draft, problems: Problems) -> None:
    """Draw how much of the context each part of a prompt may take."""
    st.caption("What a prompt may show, as shares of the context; what is longer is shortened, and counted.")
    model_fields(BudgetSpec, "model.budget", draft, problems, per_row=3)
    show_problems(tuple(problem for problem in problems if problem.key == "model.budget"), "model.budget")
