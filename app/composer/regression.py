"""A regression as the rule of a decision: pasted output of R, Stata or SPSS, and the terms that were read from it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import session
from app.drafts import Draft
from app.forms import Problems, choice_field, number_field, safe, show_problems, switch_field, text_field
from engine.decision import Decision, Integers
from engine.regressions import coefficient_values, describe_regression
from engine.spec import RegressionSpec, Study

KINDS = {
    "logit": "logit: two options",
    "multinomial": "multinomial: one table for each option but one",
    "ordinal": "ordinal: ordered options with thresholds",
}
EXAMPLES = {
    "logit": "(Intercept)   -1.20   0.31\nage            0.02   0.01",
    "multinomial": "some option:intercept   0.40\nsome option:age         0.01",
    "ordinal": "age            0.02   0.01\nthresholds:\nlow|middle    -0.50\nmiddle|high    1.10",
}
FIELDS = ("kind", "option", "pasted", "coefficients", "thresholds", "person_sd", "shock_sd")


def can_be_regression(decision: Decision) -> bool:
    """Tell whether a regression can take a decision: one between named options."""
    return not isinstance(decision.answer, Integers)


def show_regression(draft: Draft, decision: Decision, problems: Problems, study: Study | None) -> None:
    """Draw the switch from the scenario's rule to a regression, and the regression's form."""
    key = f"decisions.{decision.name}.regression"
    on = isinstance(draft.get(key), dict)
    widget = session.field_key(f"{key}.on")
    st.toggle(
        "A regression takes the place of the scenario's rule",
        value=on,
        key=widget,
        on_change=lambda: session.change_draft(
            partial(_switch, key=key, on=bool(session.value_of(widget)), n_options=len(decision.answer.texts))
        ),
        help=f"Coefficients that you estimated elsewhere decide. `{key}`",
    )
    if not on:
        return
    kind = draft.get(f"{key}.kind", "logit")
    choice_field(draft, f"{key}.kind", "Kind", list(KINDS), kind, words=lambda name: KINDS[name], help=f"`{key}.kind`")
    show_problems(problems, f"{key}.kind")
    if kind == "logit" and len(decision.answer.texts) == 2:
        options = list(decision.answer.texts)
        held = draft.get(f"{key}.option", options[1])
        choice_field(draft, f"{key}.option", "It gives the log odds of", options, held, help=f"`{key}.option`")
        show_problems(problems, f"{key}.option")
    _coefficients(draft, key, kind, problems)
    cells = st.columns(2, gap="medium")
    words = {"person_sd": "Spread between persons (sd)", "shock_sd": "Spread between steps (sd)"}
    for cell, (name, label) in zip(cells, words.items(), strict=True):
        with cell:
            value = draft.get(f"{key}.{name}", 0.0)
            number_field(draft, f"{key}.{name}", label, value, whole=False, help=f"In log odds. `{key}.{name}`")
            show_problems(problems, f"{key}.{name}")
    _uncertainty(draft, key, problems)
    shown = tuple(f"{key}.{name}" for name in (*FIELDS, "pasted_covariance", "draw_coefficients"))
    show_problems(tuple(p for p in problems if not p.key.startswith(shown)), key)
    _terms(decision, study)


def _switch(draft: Draft, key: str, on: bool, n_options: int) -> None:
    draft.put(key, {"kind": "logit" if n_options == 2 else "multinomial", "pasted": ""} if on else None)


def _coefficients(draft: Draft, key: str, kind: str, problems: Problems) -> None:
    if draft.get(f"{key}.coefficients"):
        st.caption("The coefficients stand in the study file; paste others to replace them.")
        st.button(
            "Paste instead",
            key=f"paste_{key}",
            on_click=session.change_draft,
            args=(partial(_empty, key=key),),
        )
    else:
        widget = session.field_key(f"{key}.pasted")
        st.text_area(
            "Paste the output of R, Stata or SPSS, or lines: name value",
            value=str(draft.get(f"{key}.pasted") or ""),
            key=widget,
            height=170,
            placeholder=EXAMPLES.get(kind, ""),
            on_change=session.store_field,
            args=(f"{key}.pasted",),
            help=f"Log odds, not odds ratios. `{key}.pasted`",
        )
    for name in ("pasted", "coefficients", "thresholds"):
        show_problems(problems, f"{key}.{name}")


def _empty(draft: Draft, key: str) -> None:
    held = {name: value for name, value in draft.get(key).items() if name not in ("coefficients", "thresholds")}
    draft.put(key, held | {"pasted": ""})


def _uncertainty(draft: Draft, key: str, problems: Problems) -> None:
    with st.expander("Uncertainty of the coefficients", icon=":material/shuffle:"):
        switch_field(
            draft,
            f"{key}.draw_coefficients",
            "Draw them once per run",
            help=f"From a normal distribution with the covariance below. `{key}.draw_coefficients`",
        )
        show_problems(problems, f"{key}.draw_coefficients")
        text_field(
            draft,
            f"{key}.pasted_covariance",
            "Covariance matrix with names, for example R's vcov(fit)",
            tall=True,
            help=f"`{key}.pasted_covariance`",
        )
        show_problems(problems, f"{key}.pasted_covariance")


def _terms(decision: Decision, study: Study | None) -> None:
    spec = study.decisions[decision.name].regression if study and decision.name in study.decisions else None
    if spec is None:
        st.caption("The terms that were read appear when the study has no open problem.")
        return
    st.markdown("**What was read**")
    st.dataframe(term_rows(spec), hide_index=True, alt="Terms and coefficients of the regression")
    st.caption(safe(f"Decides: {describe_regression(spec)}."))


def term_rows(spec: RegressionSpec) -> list[dict[str, object]]:
    """Return one row per coefficient of a checked regression: term, log odds, and odds ratio where it is one."""
    rows: list[dict[str, object]] = []
    for name, value in coefficient_values(spec).items():
        is_cut = name.startswith("/cut")
        rows.append({"term": f"threshold {name[4:]}" if is_cut else name, "log odds": value})
    return rows
