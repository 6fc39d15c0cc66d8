"""Network: who is tied to whom in the open study; generators, edits by hand, columns, files."""

from __future__ import annotations

import math

import polars as pl
import streamlit as st
from pydantic import ValidationError

from app import session
from app.actions import show_attempt
from app.composer.ties import choose_layer, columns_of, show_layers
from app.composer.ties_city import city_layers, put_city
from app.composer.ties_columns import show_columns
from app.composer.ties_edit import show_editing
from app.composer.ties_export import show_export
from app.composer.ties_import import show_import
from app.composer.ties_likeness import likeness_of
from app.composer.ties_preview import Look, likeness, look_at
from app.drafts import Draft, problem_at
from app.figures import PLOT_OPTIONS, plot_degrees, plot_network
from app.forms import Problems, safe, title_of
from engine.errors import MicrocosmError
from engine.registry import discover, scenarios

TABS = {
    "look": "Generate and look",
    "edit": "Edit by hand",
    "columns": "Measures as columns",
    "import": "From a file",
    "export": "To a file",
}


def show() -> None:
    """Draw the page."""
    discover()
    try:
        draft = session.draft()
    except MicrocosmError as error:
        st.error(safe(error))
        return
    if draft is None or draft.get("scenario") not in scenarios:
        st.subheader("Network")
        st.caption("No study is open. Choose a template first; its ties appear here.")
        st.page_link("views/home.py", label="Choose a template", icon=":material/home:")
        return
    _, problems = draft.check()
    _head(draft)
    wanted = session.address("tab")
    tab = st.segmented_control(
        "Part",
        list(TABS),
        default=None if session.value_of("network_tab") else (wanted if wanted in TABS else "look"),
        format_func=TABS.__getitem__,
        key="network_tab",
        label_visibility="collapsed",
        required=True,
    )
    show_attempt()
    if tab != wanted:
        session.set_address(tab=tab)
    if tab == "look":
        _look_tab(draft, problems)
        return
    prefix = choose_layer(draft)
    if tab == "import":
        show_import(draft, prefix, problems)
        return
    look = _try_look(draft, prefix, problems)
    if look is None:
        return
    if tab == "edit":
        show_editing(draft, prefix, look, problems)
    elif tab == "columns":
        show_columns(draft, prefix, look, problems)
    else:
        show_export(draft, prefix, look)


def _head(draft: Draft) -> None:
    title, tools = st.columns([3, 2], vertical_alignment="center")
    with title:
        st.subheader(f"Ties of “{safe(draft.get('title') or draft.get('scenario'))}”")
    with tools, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
        st.button(
            "", key="network_undo", icon=":material/undo:", help="Undo", disabled=not draft.can_undo,
            on_click=lambda: session.change_draft(Draft.undo),
        )  # fmt: skip
        st.button(
            "", key="network_redo", icon=":material/redo:", help="Redo", disabled=not draft.can_redo,
            on_click=lambda: session.change_draft(Draft.redo),
        )  # fmt: skip
        st.page_link("views/compose.py", label="Back to the study", icon=":material/tune:")


def _try_look(draft: Draft, prefix: str, problems: Problems) -> Look | None:
    try:
        return look_at(draft, prefix)
    except (MicrocosmError, ValidationError, ValueError, TypeError) as error:
        st.caption("The picture appears when the settings hold together.")
        told = problem_at(problems, prefix) or [str(error)] if isinstance(error, MicrocosmError) else []
        for message in told:
            st.markdown(f":red[:material/error: {safe(message)}]")
        return None


def _look_tab(draft: Draft, problems: Problems) -> None:
    left, right = st.columns([2, 3], gap="large")
    with left:
        prefix = show_layers(draft, problems)
        _city(draft)
    with right:
        look = _try_look(draft, prefix, problems)
        if look is not None:
            _figures(look)
            _pictures(look)
            _likeness(draft, prefix, look)


def _city(draft: Draft) -> None:
    columns = columns_of(draft)
    layers, missing = city_layers(columns)
    with st.expander("City layers in one click", icon=":material/location_city:"):
        names = ", ".join(str(layer["name"]) for layer in layers)
        st.caption(safe(f"Puts these layers in place of the ties: {names}. {' '.join(missing)}"))
        st.button(
            "Use city layers",
            key="city_layers",
            disabled=len(layers) < 2,
            on_click=session.change_draft,
            args=(lambda study: put_city(study, columns),),
        )


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


def _figures(look: Look) -> None:
    found = look.figures
    shown = (
        ("Ties", f"{found['ties']:,.0f}", ""),
        ("Mean degree", f"{found['mean degree']:.2f}", "Mean number of ties of an agent"),
        ("Components", f"{found['components']:,.0f}", f"The largest holds {found['largest share']:.1%} of the agents"),
        ("Clustering", _number(found["clustering"], ".3f"), "How often two neighbours of an agent are tied"),
        ("Mean path", _number(found["path"], ".2f"), "Mean number of ties between two agents that are connected, from "
         "64 random agents to all"),
        ("Degree correlation", _number(found["degree assortativity"], ".3f"), "Whether the well connected are tied to "
         "the well connected (assortativity)"),
        ("Communities", f"{found['communities']:,.0f}", "By label propagation"),
        ("Modularity", _number(found["modularity"], ".3f"), "Ties inside communities beyond chance"),
    )  # fmt: skip
    for start in (0, 4):
        for cell, (name, value, help) in zip(st.columns(4), shown[start : start + 4], strict=True):
            cell.metric(name, value, help=help or None)
    if not math.isnan(found["frustration"]):
        triads, ties = st.columns(2)
        balance = "–" if math.isnan(found["balance"]) else f"{found['balance']:.1%}"
        triads.metric("Balanced triangles", balance, help="Signs multiply to plus (Cartwright and Harary)")
        ties.metric(
            "Frustrated ties",
            f"{found['frustration']:.1%}",
            help="Ties that the best division into two camps found offends: friends apart or foes together (Harary)",
        )
    if not look.whole:
        st.caption(
            f"A preview: the network is drawn among the first {look.graph.n:,} of the {look.size:,} agents. A run "
            "draws it among all of them, so counts, paths and communities will differ."
        )


def _pictures(look: Look) -> None:
    dark = session.is_dark()
    picture, degrees = st.columns([3, 2])
    with picture:
        st.plotly_chart(
            plot_network(look.xy, look.ties, dark=dark, height=300),
            key="page_network",
            config={**PLOT_OPTIONS, "displayModeBar": False},
            alt="Picture of the network",
        )
    with degrees:
        st.plotly_chart(
            plot_degrees(look.graph.degree(), dark=dark, height=300),
            key="page_degrees",
            config={**PLOT_OPTIONS, "displayModeBar": False},
            alt="How many agents have how many ties",
        )


def _likeness(draft: Draft, prefix: str, look: Look) -> None:
    names = [name for name, column in look.people.columns.items() if column.kind != "text"]
    if not names:
        st.caption("The people have no columns in which they could be alike.")
        return
    targets = dict(zip(*likeness_of(draft, prefix), strict=True))
    first = [name for name in targets if name in names] or names[:3]
    chosen = st.multiselect(
        "How alike are tied agents in", names, default=first, key=f"likeness_{','.join(first)}", format_func=title_of
    )
    rows = []
    for name in chosen:
        found = likeness(look, name)
        kind = "E-I index" if "groups" in found else "correlation"
        rows.append(
            {"column": name, "measure": kind, "target": targets.get(name), "reached": found["reached"],
             "by chance": found["chance"]}
        )  # fmt: skip
    if rows:
        frame = pl.DataFrame(rows, schema_overrides={"target": pl.Float64})
        st.dataframe(
            frame if frame["target"].is_not_null().any() else frame.drop("target"),
            hide_index=True,
            column_config={
                "target": st.column_config.NumberColumn(format="%.3f"),
                "reached": st.column_config.NumberColumn(format="%.3f"),
                "by chance": st.column_config.NumberColumn(
                    format="%.3f", help="Expected where the values are dealt out at random among the agents"
                ),
            },
            alt="How alike tied agents are",
        )


if __name__ == "__main__":
    show()
