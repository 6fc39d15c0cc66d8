"""How well people resemble what the study asked for, and what was not matched."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import streamlit as st
from pydantic import ValidationError

from app.composer.people import seed_of
from app.drafts import Draft
from app.forms import safe
from app.surveys import file_state
from engine.errors import MicrocosmError
from engine.population import (
    FitReport,
    Population,
    describe_fit,
    describe_people,
    people_origins,
    render_codebook,
)
from engine.population.survey_writer import neutralised
from engine.spec import PopulationSpec


def show_fit_report(draft: Draft, people: Population) -> None:
    """Draw target against achieved, the weights' figures, the sentences, and the downloads."""
    table = json.dumps(draft.table("population"), default=str)
    file = draft.get("population.file")
    state = file_state(draft.path.parent / str(file)) if file else (0, 0)
    try:
        found = _report(table, seed_of(draft), str(draft.path.parent), str(draft.personas), state, people.n, people)
    except (MicrocosmError, ValidationError) as error:
        st.markdown(f":red[{safe(error)}]")
        return
    cells = st.columns(4)
    cells[0].metric("People", f"{people.n:,}")
    cells[1].metric(
        "Effective n",
        "–" if found.effective_n is None else f"{found.effective_n:,.0f}",
        help="What the weights leave of those who are drawn from: (sum of w) squared by the sum of w squared",
    )
    cells[2].metric("Largest weight by smallest", "–" if found.weight_ratio is None else f"{found.weight_ratio:,.1f}")
    empty = f"{found.n_empty:,} of {found.n_cells:,}" if found.n_cells else "–"
    cells[3].metric("Empty cells", empty, help="Combinations of the targets' categories that nobody has")
    for note in found.notes:
        st.markdown(f":material/info: {safe(note)}")
    if found.rounds:
        st.caption(f"Raking took {found.rounds} rounds; the largest difference left is {found.difference:.1e}.")
    if found.frame.height:
        st.dataframe(
            found.frame.rename({"standard_error": "standard error"}),
            hide_index=True,
            height=min(38 + 35 * found.frame.height, 330),
            placeholder="–",
            column_config={
                name: st.column_config.NumberColumn(format="%.4g")
                for name in ("target", "achieved", "difference", "standard error")
            },
            alt="Target and achieved figures of the people",
        )
    else:
        st.caption("Nothing was matched to a target: there is nothing to compare these people with.")
    _downloads(draft, people)


@st.cache_data(max_entries=8, show_spinner="Comparing")
def _report(
    table: str, seed: int, base: str, personas: str, state: tuple[int, int], n: int, _people: Population
) -> FitReport:
    del state, n
    return describe_fit(PopulationSpec(**json.loads(table)), _people, seed, base=Path(base), folder=Path(personas))


def _downloads(draft: Draft, people: Population) -> None:
    spec = PopulationSpec(**draft.table("population"))
    frame = people.frame()
    described = describe_people(
        frame.head(10_000),
        people.columns,
        people_origins(spec, draft.personas, draft.path.parent),
        label=str(draft.get("title") or ""),
    )
    provenance = {name: str(column.provenance) for name, column in people.columns.items()}
    with st.container(horizontal=True):
        st.download_button(
            "People as CSV",
            lambda: pl.DataFrame([neutralised(_texts(series)) for series in frame]).write_csv(),
            "people.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Codebook (DDI)",
            render_codebook(described, provenance),
            "people.codebook.xml",
            "application/xml",
            icon=":material/menu_book:",
            on_click="ignore",
        )
    st.caption("SPSS and Stata files of a run's agents: `microcosm export RUN --to sav -o agents.sav`.")


def _texts(series: pl.Series) -> pl.Series:
    return series.cast(pl.String) if series.dtype == pl.Enum else series
