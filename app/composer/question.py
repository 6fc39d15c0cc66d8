"""First part: the question, the scenario and its knobs."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import session
from app.drafts import Draft
from app.forms import Problems, model_fields, safe, show_problems, text_field
from engine.loading import default_study, dump_study, load_study, preset_names, scenario_info


def show_question(draft: Draft, problems: Problems) -> None:
    """Draw title, question, scenario and knobs."""
    info = scenario_info(str(draft.get("scenario")))
    left, right = st.columns([3, 2], gap="large")
    with left:
        text_field(draft, "title", "Title", help="How you will find this study again. `title`")
        show_problems(problems, "title")
        text_field(
            draft,
            "question",
            "Question",
            tall=True,
            help="What you want to find out; it opens the report. `question`",
            placeholder="For example: do stubborn hubs keep a small world divided?",
        )
        show_problems(problems, "question")
    with right, st.container(border=True):
        st.markdown(f"**{safe(info.title)}**")
        st.text(info.promise)
        st.caption(f"Source: {safe(info.source)}. One step is a {safe(info.unit)}.")
        with st.popover("How it works", type="tertiary", icon=":material/menu_book:"):
            st.text(info.document.strip())
        show_problems(problems, "scenario")
        _presets(draft)
    st.markdown("**Knobs**")
    model_fields(info.params, "params", draft, problems)
    known = set(info.params.model_fields)
    for name in [name for name in (draft.table("params")) if name not in known]:
        with st.container(horizontal=True, vertical_alignment="center"):
            show_problems(problems, f"params.{name}")
            st.button(
                f"Remove {safe(name)}",
                key=f"drop_{name}",
                on_click=session.change_draft,
                args=(partial(Draft.put, key=f"params.{name}", value=None),),
            )


def _presets(draft: Draft) -> None:
    scenario = str(draft.get("scenario"))
    names = preset_names(scenario)
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Back to the defaults",
            key="to_defaults",
            icon=":material/restart_alt:",
            type="tertiary",
            help="Replaces every part of this study; undo brings it back.",
            on_click=lambda: session.change_draft(lambda held: held.replace(dump_study(default_study(scenario)))),
        )
        if names:
            chosen = st.menu_button(
                "Take a preset", names, key="to_preset", type="tertiary", icon=":material/bookmark:"
            )
            if chosen:
                session.change_draft(partial(Draft.replace, text=dump_study(load_study(str(chosen)))))
                st.rerun()
