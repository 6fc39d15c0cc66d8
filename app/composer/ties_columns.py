"""Columns that a layer gives the agents: degree, centralities, community."""

from __future__ import annotations

from functools import partial

import polars as pl
import streamlit as st

from app import session
from app.composer.ties_preview import Look
from app.drafts import Draft
from app.forms import Problems, safe, show_problems, title_of
from engine.layer_checks import MEASURED
from engine.measures.centrality import EXACT_BELOW, PIVOTS
from engine.measures.places import measure_agents

SHOWN = 200


def show_columns(draft: Draft, prefix: str, look: Look, problems: Problems) -> None:
    """Draw the choice of measures, the columns there are, and the agents with the largest values."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        measure = st.selectbox("Measure of an agent", list(MEASURED), format_func=title_of, key="agent_measure")
        st.caption(safe(MEASURED[measure].help) + _how_exact(measure, look))
        with st.form(f"agent_column_{measure}", border=False):
            words, button = st.columns([3, 2], vertical_alignment="bottom")
            name = words.text_input("Name of the column", value=free_name(draft, prefix, measure))
            if button.form_submit_button("Add to the study", icon=":material/add:"):
                session.change_draft(partial(put_column, prefix=prefix, name=name.strip(), measure=measure))
                st.rerun()
        _held(draft, prefix)
        show_problems(problems, f"{prefix}.agent_columns")
    with right:
        if not look.whole:
            st.caption(f"Values of the preview among the first {look.graph.n:,} of {look.size:,} agents.")
        values = measure_agents(look.graph, measure)
        frame = pl.DataFrame({"agent": range(look.graph.n), title_of(measure): values})
        if "display_name" in look.people.columns:
            frame = frame.insert_column(1, look.people.decoded("display_name").alias("name"))
        st.dataframe(
            frame.sort([title_of(measure), "agent"], descending=[True, False]).head(SHOWN),
            hide_index=True,
            height=360,
            alt=f"Agents by {title_of(measure)}",
        )


def _how_exact(measure: str, look: Look) -> str:
    if measure in ("betweenness", "closeness") and look.size > EXACT_BELOW:
        return f" Above {EXACT_BELOW:,} agents it is estimated from {PIVOTS} of them."
    return ""


def free_name(draft: Draft, prefix: str, measure: str) -> str:
    """Return a name for a new column that the layer's other columns do not have."""
    held = draft.table(f"{prefix}.agent_columns")
    layer = str(draft.get(f"{prefix}.name") or "")
    first = f"{layer}_{measure}" if prefix != "network" and layer.isidentifier() else f"net_{measure}"
    return next(name for name in [first, *(f"{first}_{k}" for k in range(2, 99))] if name not in held)


def put_column(draft: Draft, prefix: str, name: str, measure: str) -> None:
    """Store a column that the layer gives the agents."""
    if not draft.table(prefix):
        draft.put(prefix, {"kind": "complete"})
    draft.put(f"{prefix}.agent_columns", {**draft.table(f"{prefix}.agent_columns"), name: measure})


def drop_column(draft: Draft, prefix: str, name: str) -> None:
    """Leave a column out again."""
    rest = {key: value for key, value in draft.table(f"{prefix}.agent_columns").items() if key != name}
    draft.put(f"{prefix}.agent_columns", rest or None)


def _held(draft: Draft, prefix: str) -> None:
    columns = draft.table(f"{prefix}.agent_columns")
    if not columns:
        st.caption(
            "None yet. A column is computed when the run starts, from the finished layer, anew where the network is "
            "drawn per replicate; conditions, the best connected of an intervention, and prompts can use it."
        )
    for name, measure in columns.items():
        words, drop = st.columns([5, 1], vertical_alignment="center")
        words.markdown(f"**{safe(name)}**: {safe(title_of(str(measure)))}")
        drop.button(
            "", key=f"drop_column_{name}", icon=":material/delete:", help="Leave this column out", type="tertiary",
            on_click=session.change_draft, args=(partial(drop_column, prefix=prefix, name=name),),
        )  # fmt: skip
