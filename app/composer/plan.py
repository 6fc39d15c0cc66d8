"""Last part: steps, seeds and replicates, what is recorded, and what it will take."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

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
        show_estimate(draft, study)


def _numbers(draft: Draft, problems: Problems, unit: str) -> None:
    n_arms = max(len(draft.rows("arms")), 1)
    runs = "Runs" if n_arms == 1 else f"Runs of each of the {n_arms} arms"
    cells = st.columns(3, gap="medium")
    words = {
        "steps": (f"Steps (each a {unit})", "How long the run is. `steps`"),
        "replicates": (runs, "The same study with another seed each; one run says little. `replicates`"),
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


def show_estimate(draft: Draft, study: Study | None) -> None:
    """Draw what one run, and all of them, will take."""
    with st.container(border=True):
        st.markdown("**What it will take**")
        if study is None:
            st.caption("The estimate appears when the study has no open problem.")
            return
        try:
            found = estimate(draft.text(), str(draft.path.parent), str(draft.personas))
        except MicrocosmError as error:
            st.markdown(f":red[{safe(error)}]")
            return
        st.table(estimate_rows(found, study), border="horizontal", width="stretch")
        for note in found.notes:
            st.caption(safe(note))
        if study.arms:
            st.caption("Estimated from the study without its arms; arms may differ in what they take.")


def estimate_rows(found: Estimate, study: Study) -> dict[str, str]:
    """Return the estimate as label -> words: first one run, then all arms and replicates."""
    rows = {
        "Agents": f"{found.n_agents:,}",
        "Ties": f"{found.n_ties:,}",
        "Situations for the model": "none" if not found.situations else f"about {found.situations:,}",
        "Tokens": "none" if not found.model_tokens else f"about {found.model_tokens:,}",
        "Time of one run": duration(found.seconds),
        "Memory": size(found.memory_bytes),
        "Disk of one run": size(found.disk_bytes),
    }
    n_runs = study.replicates * max(len(study.arms), 1)
    if n_runs > 1:
        rows[f"Time of all {n_runs:,} runs, one after another"] = duration(found.seconds * n_runs)
        rows[f"Disk of all {n_runs:,} runs"] = size(float(found.disk_bytes) * n_runs)
    return rows


@st.cache_data(max_entries=32, show_spinner="Estimating")
def estimate(text: str, base: str, personas: str) -> Estimate:
    """Estimate a study given as TOML, without its arms.

    Args:
        text: The study.
        base: Folder that its relative paths start from.
        personas: The user's own personas folder.
    """
    study = parse_study(text, base=Path(base), personas=Path(personas))
    return estimate_study(study.model_copy(update={"arms": ()}), Path(base), Path(personas))


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
