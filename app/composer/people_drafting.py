"""Draft people with the language model: from a description, into a pack of the user's own."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

import streamlit as st

from app import session
from app.drafts import Draft
from app.forms import safe, title_of
from engine.errors import MicrocosmError
from engine.llm import load_model
from engine.llm.client import connect_model
from engine.population import can_draft, draft_people, list_packs, load_schema, model_ability, write_pack
from engine.population.drafting import DEFAULT_FIELDS, MOST_PEOPLE
from engine.spec import ModelSpec


def show_drafting(draft: Draft) -> None:
    """Draw the description, the fields, and what came of the last draft."""
    st.markdown("**Describe the people; the study's language model drafts them**")
    left, right = st.columns([3, 2], gap="large")
    with left:
        description = st.text_area(
            "Who are they?",
            key="draft_description",
            height=110,
            max_chars=2000,
            placeholder="Night-shift nurses of a small hospital in a shrinking town",
        )
        fields = st.multiselect(
            "Fields",
            [name for name in load_schema() if can_draft(name)],
            default=[*DEFAULT_FIELDS, "bio"],
            key="draft_fields",
            format_func=title_of,
        )
    with right:
        count = st.number_input("How many", 1, MOST_PEOPLE, 5, key="draft_count")
        name = st.text_input("Name of the pack", "drafted_people", key="draft_name")
        st.caption(safe(f"Model: {draft.get('model.file', 'pocket')}. {_expectation(draft)}"))
        pressed = st.button("Draft", key="draft_go", type="primary", icon=":material/edit_note:")
    if pressed:
        _draft(draft, description or "", int(count), [*fields], name or "")
    _last(draft)


def _expectation(draft: Draft) -> str:
    """Return what the study's model is known to do, before it is asked."""
    if str(draft.get("model.file", "pocket")) == "pocket":
        return "The built-in demonstration model chooses among given words only and writes no lives."
    return "Every field is chosen or written by the model and then checked; what is not usable is listed."


def _draft(draft: Draft, description: str, count: int, fields: list[str], given_name: str) -> None:
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", given_name).strip("_")[:60] or "drafted_people"
    workspace = session.workspace()
    if name in list_packs():
        st.error(safe(f"'{name}' is a pack that comes with Microcosm; choose another name"))
        return
    with st.status("Asking the model", expanded=True) as status:
        try:
            spec = ModelSpec(**draft.table("model"))
            model: Any = (
                load_model(spec)  # a stand-in without a file
                if spec.file == "scripted"
                else connect_model(spec, workspace.cache, models_folder=workspace.models, announce=status.write)
            )
            try:
                started = time.monotonic()
                found = draft_people(
                    model,
                    description,
                    count,
                    fields,
                    seed=int(draft.get("seed", 0)),
                    temperature=spec.temperature or 0.8,
                    tell=status.write,
                )
                ability = model_ability(model.identity)
            finally:
                model.close()
            content = {
                "format": 1,
                "title": description.strip()[:80] or name,
                "source": f"drafted by the language model {found.model}",
                "provenance": "model",
                "people": [dict(person) for person in found.people],
            }
            write_pack(name, content, draft.personas)
        except (MicrocosmError, ValueError) as error:
            status.update(label="The model could not draft them", state="error")
            st.error(safe(error))
            return
        took = time.monotonic() - started
        status.update(label=f"Drafted {count} people in {took:.1f} s", state="complete", expanded=False)
    kept = {"name": name, "unusable": list(found.unusable), "ability": ability, "people": content["people"]}
    session.remember("drafted", kept)


def _last(draft: Draft) -> None:
    held = session.recall("drafted")
    if not held:
        st.caption("What the model drafts goes into a pack of your own, marked as the model's; you can edit it then.")
        return
    st.markdown(f"**Drafted as pack “{safe(held['name'])}”**")
    st.caption(safe(held["ability"]))
    st.dataframe(held["people"], hide_index=True, height=240, alt="Drafted people")
    for sentence in held["unusable"][:20]:
        st.markdown(f":orange[:material/warning: {safe(sentence)}]")
    if len(held["unusable"]) > 20:
        st.caption(f"and {len(held['unusable']) - 20} more")
    st.button(
        "Use these people in the study",
        key="draft_use",
        icon=":material/check:",
        on_click=session.change_draft,
        args=(partial(Draft.put, key="population", value={"personas": held["name"]}),),
    )
