"""Ties out of the studio: the layer that is shown, or the whole of it, in the forms of other programs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from app.composer.everyone import everyone_of
from app.composer.ties_preview import Look, layer_spec, layer_table, network_seed
from app.drafts import Draft
from engine.network import Graph, build_network, export_edges, write_graphml
from engine.network.formats import MOST_MATRIX_AGENTS, write_gexf, write_matrix, write_pajek
from engine.population import Population

FORMS = {
    "CSV list": ("csv", "text/csv"),
    "GraphML": ("graphml", "application/xml"),
    "GEXF (Gephi)": ("gexf", "application/xml"),
    "Pajek": ("net", "text/plain"),
    "Matrix": ("csv", "text/csv"),
}


def show_export(draft: Draft, prefix: str, look: Look) -> None:
    """Draw the choice of form and the download; a file is written when it is asked for."""
    form = st.segmented_control("Form", list(FORMS), default="CSV list", key="export_form", required=True) or "CSV list"
    whole = look.whole
    if not look.whole:
        words = {False: f"the {look.graph.n:,} that are shown", True: f"all {look.size:,}"}
        whole = bool(
            st.radio("Agents", [False, True], format_func=words.__getitem__, key="export_whole", horizontal=True)
        )
    n = look.size if whole else look.graph.n
    if form == "Matrix" and n > MOST_MATRIX_AGENTS:
        st.caption(f"A matrix holds at most {MOST_MATRIX_AGENTS:,} agents; take another form.")
        return
    suffix, kind = FORMS[form]
    st.download_button(
        f"Download as {form}",
        content_of(draft, prefix, look, form, whole=whole),
        f"{draft.name}-ties.{suffix}",
        kind,
        key="export_ties",
        icon=":material/download:",
        on_click="ignore",
    )
    told = "Columns of the people go along." if form in ("GraphML", "GEXF (Gephi)") else "Ties and weights alone."
    st.caption(f"{told} Agents are numbered from 0" + (", vertices of Pajek from 1." if form == "Pajek" else "."))


def content_of(draft: Draft, prefix: str, look: Look, form: str, *, whole: bool) -> Callable[[], bytes]:
    """Return what writes the file; where all agents are asked for, their network is built then."""
    table, base, seed = layer_table(draft, prefix), draft.path.parent, network_seed(draft)
    if whole and not look.whole:
        people = everyone_of(draft)

        def build() -> bytes:
            graph = build_network([layer_spec(table, people.n)], people.n, seed, base, people).layer()
            return write_form(graph, people, form)

        return build
    return lambda: write_form(look.graph, look.people, form)


def write_form(graph: Graph, people: Population, form: str) -> bytes:
    """Return a network as the bytes of a file.

    Raises:
        NetworkError: more ties or agents than the form can hold.
    """
    if form == "CSV list":
        table = export_edges(graph)
        return (table if graph.weights is not None else table.drop("weight")).write_csv().encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"ties.{FORMS[form][0]}"
        columns = {name: _plain(people, name) for name in people.columns}
        if form == "GraphML":
            write_graphml(graph, path, columns)
        elif form == "GEXF (Gephi)":
            write_gexf(graph, path, columns)
        elif form == "Pajek":
            names = [str(name) for name in columns.get("display_name", [])]
            write_pajek(graph, path, names if names and len(set(names)) == len(names) else None)
        else:
            write_matrix(graph, path)
        return path.read_bytes()


def _plain(people: Population, name: str) -> list[object]:
    column, values = people.columns[name], people.values[name]
    if column.kind == "category":
        return [column.labels[code] for code in values.tolist()]
    return [None if isinstance(value, float) and np.isnan(value) else value for value in values.tolist()]
