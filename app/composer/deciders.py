"""Fourth part: who decides each decision, what is shown to a language model, and which model it is."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from app import session
from app.composer.answering import show_answering, show_budget
from app.composer.people import people_of
from app.composer.regression import can_be_regression, show_regression
from app.drafts import Draft
from app.forms import Problems, choice_field, model_fields, number_field, safe, several_field, show_problems, title_of
from app.notices import LANGUAGE_NOTICE, show_model_notice
from engine.contract import ScenarioInfo
from engine.decision import Decision, Writing
from engine.errors import MicrocosmError
from engine.loading import scenario_info
from engine.policy.prompt import build_prefix, build_suffix, render_preamble
from engine.population import Population, field_phrase, shown_text
from engine.spec import ModelSpec, Study

POLICIES = {
    "rule": "The scenario's rule",
    "language": "The language model",
    "mixture": "A share by language model, the rest by rule",
    "surrogate": "A regression fitted to the language model's answers",
    "human": "A person plays some of them, the rest decide by rule",
    "scripted": "Scripted random answers (for tests)",
}


TIMEOUTS = {"pause": "the run pauses", "rule": "the rule decides, and an event says so"}


def show_deciders(draft: Draft, problems: Problems, study: Study | None) -> None:
    """Draw one block per decision and the model's settings."""
    info = scenario_info(str(draft.get("scenario")))
    if info.mechanism_only:
        st.markdown("**Nobody decides here.**")
        st.text(
            "Everything that happens in this scenario is a mechanism: it follows from the rule and the draws. "
            "So there is nothing that a language model could decide, and no question to ask it."
        )
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        for decision in info.decisions:
            _decision(draft, decision, problems, study)
        if asks_model(draft):
            _model(draft, problems)
    with right:
        _prompt(draft, info)


def asks_model(draft: Draft) -> bool:
    """Tell whether any decision of the draft goes to a language model."""
    table = draft.table("decisions")
    return any(
        isinstance(held, dict) and held.get("policy") in ("language", "mixture", "surrogate") for held in table.values()
    )


def _decision(draft: Draft, decision: Decision, problems: Problems, study: Study | None) -> None:
    key = f"decisions.{decision.name}"
    with st.container(border=True):
        st.markdown(f"**{safe(title_of(decision.name).capitalize())}**")
        st.text(decision.question)
        policy = draft.get(f"{key}.policy", "rule")
        choice_field(
            draft,
            f"{key}.policy",
            "Who decides",
            list(POLICIES),
            policy,
            words=lambda name: POLICIES.get(name, name),
            help=f"`{key}.policy`",
        )
        if policy == "mixture":
            number_field(
                draft,
                f"{key}.share",
                "Share by language model",
                draft.get(f"{key}.share", 0.5),
                whole=False,
                help=f"0 to 1; which agents is drawn once, by the seed. `{key}.share`",
            )
        if policy == "human":
            _seats(draft, key)
        if policy in ("language", "mixture", "surrogate"):
            columns = list(persona_sample(draft).columns) if persona_sample(draft) else []
            fields = draft.get(f"{key}.persona_fields")
            several_field(
                draft,
                f"{key}.persona_fields",
                "Traits shown in the prompt",
                columns,
                list(fields if fields is not None else decision.persona_fields),
                help=f"Fewer traits mean fewer distinct prompts. `{key}.persona_fields`",
            )
            show_answering(draft, decision, problems)
        if policy in ("rule", "mixture") and can_be_regression(decision):
            show_regression(draft, decision, problems, study)
        apart = (f"{key}.regression", f"{key}.calibration")
        own = tuple(problem for problem in problems if not problem.key.startswith(apart))
        show_problems(own, key)


def _seats(draft: Draft, key: str) -> None:
    """Draw who is played by a person, and how long a question waits."""
    held = draft.get(f"{key}.seats")
    words = ", ".join(map(str, held)) if isinstance(held, list) else str(held or "")
    field = session.field_key(f"{key}.seats")
    st.text_input(
        "Seats: numbers of the agents that people play",
        words,
        key=field,
        placeholder="0",
        on_change=session.store_field,
        args=(f"{key}.seats", read_seats),
        help=f"Counted from 0; several are separated by commas. The run waits for each answer. `{key}.seats`",
    )
    number_field(
        draft,
        f"{key}.timeout_s",
        "Seconds until nobody is waited for any longer",
        draft.get(f"{key}.timeout_s"),
        whole=False,
        optional=True,
        help=f"Empty: no end. `{key}.timeout_s`",
    )
    if draft.get(f"{key}.timeout_s") is not None:
        choice_field(
            draft,
            f"{key}.on_timeout",
            "Then",
            list(TIMEOUTS),
            draft.get(f"{key}.on_timeout", "pause"),
            words=lambda name: TIMEOUTS.get(name, name),
            help=f"`{key}.on_timeout`",
        )


def read_seats(given: str) -> list[int | str] | None:
    """Return the numbers of a text like "0, 3"; what is no number stays as it is, for the message beside the field."""
    parts = [part.strip() for part in given.replace(";", ",").split(",") if part.strip()]
    return [int(part) if part.isdecimal() else part for part in parts] or None


def _model(draft: Draft, problems: Problems) -> None:
    with st.container(border=True):
        st.markdown("**Language model**")
        found = sorted(path.name for path in session.workspace().models.glob("*.gguf"))
        held = str(draft.get("model.file", "pocket"))
        options = list(dict.fromkeys(["pocket", "scripted", *found, held]))
        words = {"pocket": "The embedded demonstration model", "scripted": "Scripted double (no model, for tests)"}
        choice_field(
            draft,
            "model.file",
            "Model file",
            options,
            held,
            words=lambda name: words.get(name, name),
            help="GGUF files in the workspace's `models` folder appear here. `model.file`",
        )
        show_problems(problems, "model.file")
        show_model_notice(held)
        st.caption(safe(LANGUAGE_NOTICE))
        with st.expander("Sampling and context"):
            model_fields(ModelSpec, "model", draft, problems, per_row=2, skip=("file", "budget"))
            show_budget(draft, problems)


def persona_sample(draft: Draft) -> Population | None:
    """Return a few of the draft's people, or None while their settings do not hold together."""
    try:
        return people_of(draft)
    except (MicrocosmError, ValidationError, TypeError):
        return None


def _prompt(draft: Draft, info: ScenarioInfo) -> None:
    st.markdown("**What the model reads**")
    asks: list[Decision | Writing] = [*info.decisions, *info.writings]
    names = [ask.name for ask in asks]
    chosen = st.segmented_control(
        "Prompt of",
        names,
        default=names[0],
        key="prompt_of",
        format_func=lambda name: safe(title_of(name)),
        required=True,
    )
    ask = asks[names.index(chosen or names[0])]
    st.code(example_prompt(draft, info, ask), language=None, wrap_lines=True, height=360)
    st.caption("With the first person's traits. Words in angle brackets stand for what the run will show there.")


def example_prompt(
    draft: Draft, info: ScenarioInfo, ask: Decision | Writing, people: Population | None = None, agent: int = 0
) -> str:
    """Return the prompt of one decision for one person; by default for the first one of the preview."""
    try:
        params = info.params(**(draft.table("params")))
        preamble = render_preamble(ask.preamble, params)
    except (ValidationError, MicrocosmError):
        return "The prompt appears when the knobs hold together."
    options = ask.answer.texts if isinstance(ask, Decision) else ()
    people = persona_sample(draft) if people is None else people
    fields = draft.get(f"decisions.{ask.name}.persona_fields")
    wanted = list(fields if fields is not None else ask.persona_fields)
    persona = []
    if people is not None:
        known = [name for name in wanted if name in people.columns]
        persona = [
            field_phrase(name, people.columns[name], shown_text(people, agent, name), people.lang) for name in known
        ]
    seen = {name: f"<{title_of(name)}>" for name in ask.shows}
    texts = {name: f"<{title_of(name)}>" for name in ask.texts}
    return build_prefix(ask, preamble, options) + build_suffix(ask, "", texts, persona, seen)
