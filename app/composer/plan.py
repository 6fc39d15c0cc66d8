"""Last part: steps, seeds and replicates, what is recorded, what it will cost, and the study as a file."""

from __future__ import annotations

import streamlit as st

from app import session
from app.drafts import Draft
from app.forms import Problems, model_fields, number_field, safe, several_field, show_problems, text_field
from engine.errors import MicrocosmError
from engine.loading import parse_study, scenario_info
from engine.runs import Estimate, estimate_study
from engine.spec import RecordSpec, Study


def show_plan(draft: Draft, problems: Problems, study: Study | None) -> None:
    """Draw the plan, the estimate and the study file."""
    info = scenario_info(str(draft.get("scenario")))
    left, right = st.columns([3, 2], gap="large")
    with left:
        _numbers(draft, problems, info.unit)
        _stop(draft, problems, info.measures[0].name if info.measures else "step")
        with st.expander("What is recorded", icon=":material/database:"):
            model_fields(RecordSpec, "record", draft, problems, per_row=2)
        _seeds(draft, problems)
    with right:
        _estimate(draft, study)
    _study_file(draft)


def _numbers(draft: Draft, problems: Problems, unit: str) -> None:
    cells = st.columns(3, gap="medium")
    words = {
        "steps": (f"Steps (each a {unit})", "How long the run is. `steps`"),
        "replicates": ("Runs", "The same study with another seed each; one run says little. `replicates`"),
        "seed": ("Seed", "The same seed gives the same run, draw by draw. `seed`"),
    }
    for cell, (key, (label, help_)) in zip(cells, words.items(), strict=True):
        with cell:
            number_field(draft, key, safe(label), draft.get(key), whole=True, help=help_)
            show_problems(problems, key)


def _stop(draft: Draft, problems: Problems, measure: str) -> None:
    text_field(
        draft,
        "stop_when",
        "Stop early as soon as",
        placeholder=f"{measure} < 0.1",
        help="A condition on measures and `step`; the run ends after the first step at which it holds. `stop_when`",
    )
    show_problems(problems, "stop_when")
    arms = draft.get("arms") or []
    if arms:
        names = ", ".join(str(arm.get("name", "")) for arm in arms if isinstance(arm, dict))
        st.caption(f"This study names arms to compare: {safe(names)}. They stand in the file below.")
        show_problems(problems, "arms")


def _seeds(draft: Draft, problems: Problems) -> None:
    with st.expander("Seeds given apart", icon=":material/casino:"):
        st.caption(
            "Left empty, all three follow from the seed above. Each further run adds one to the seed of dynamics."
        )
        cells = st.columns(3, gap="medium")
        for cell, part in zip(cells, ("population", "network", "dynamics"), strict=True):
            with cell:
                key = f"seeds.{part}"
                number_field(draft, key, part.capitalize(), draft.get(key), whole=True, optional=True, help=f"`{key}`")
                show_problems(problems, key)
        several_field(
            draft,
            "redraw",
            "Drawn afresh in each run as well",
            ["population", "network"],
            draft.get("redraw") or [],
            help="Otherwise all runs share people and ties. `redraw`",
        )
        show_problems(problems, "redraw")


def _estimate(draft: Draft, study: Study | None) -> None:
    with st.container(border=True):
        st.markdown("**What one run will take**")
        if study is None:
            st.caption("The estimate appears when the study has no open problem.")
            return
        try:
            found = estimate(draft.text())
        except MicrocosmError as error:
            st.markdown(f":red[{safe(error)}]")
            return
        rows = {
            "Agents": f"{found.n_agents:,}",
            "Ties": f"{found.n_ties:,}",
            "Situations for the model": "none" if not found.situations else f"about {found.situations:,}",
            "Tokens": "none" if not found.model_tokens else f"about {found.model_tokens:,}",
            "Time": duration(found.seconds),
            "Memory": size(found.memory_bytes),
            "Disk": size(found.disk_bytes),
        }
        if study.replicates > 1:
            rows["Time of all runs"] = duration(found.seconds * study.replicates)
        st.table(rows, border="horizontal", width="stretch")
        for note in found.notes:
            st.caption(safe(note))


@st.cache_data(max_entries=32, show_spinner="Estimating")
def estimate(text: str) -> Estimate:
    """Estimate a study given as TOML."""
    return estimate_study(parse_study(text))


def _study_file(draft: Draft) -> None:
    with st.expander("The study as a file", icon=":material/description:"):
        shown, pasted = st.columns(2, gap="large")
        with shown:
            st.code(draft.text(), language="toml", height=330)
            st.download_button(
                "Download",
                draft.text(),
                f"{draft.name}.toml",
                "application/toml",
                icon=":material/download:",
                on_click="ignore",
            )
        with pasted:
            key = session.field_key("pasted")
            st.text_area(
                "Paste another study here", key=key, height=300, placeholder='format = 1\nscenario = "sir"\n...'
            )
            st.button("Take it over", key="take_study", on_click=lambda: _take(session.value_of(key, "")))
            if session.recall("paste_error"):
                st.markdown(f":red[{safe(session.recall('paste_error'))}]")


def _take(text: str) -> None:
    session.remember("paste_error", "")

    def replace(draft: Draft) -> None:
        try:
            draft.replace(text)
        except MicrocosmError as error:
            session.remember("paste_error", str(error))

    if text.strip():
        session.change_draft(replace)


def duration(seconds: float) -> str:
    """Return a time in words, for example `about 3 min`."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def size(n_bytes: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            return f"{n_bytes:,.0f} {unit}" if n_bytes >= 10 or unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return ""
