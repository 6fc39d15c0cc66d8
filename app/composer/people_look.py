"""Look at everyone: a filter, the table, how a column is distributed, two columns together, and one person."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import session
from app.composer.deciders import example_prompt
from app.composer.everyone import everyone_frame, example_condition, find_matching, grouped, problem_of, two_way
from app.drafts import Draft
from app.figures import PLOT_OPTIONS, bars
from app.forms import safe, title_of
from engine.errors import ExpressionError
from engine.loading import scenario_info
from engine.population import Population, list_languages, render_card
from engine.population.languages import load_language

PAGE_ROWS = 500
MOST_VALUES = 40
NUMBERS = ("persona", "source_row", "source_ref", "weight", "household_id")
"""Columns that number people: they tell nothing of a person."""


def show_look(draft: Draft, people: Population) -> None:
    """Draw the filter, the table and the person beside it, then the tables of all who match."""
    frame = everyone_frame(draft)
    text = st.text_input(
        "Show those with",
        key="people_filter",
        placeholder=f"{example_condition(people)}, or any word",
        help="A condition on columns, as in the study's `where`, or a word that some text holds.",
    )
    try:
        matching = find_matching(people, frame, text or "")
    except ExpressionError as error:
        st.markdown(f":red[:material/error: {safe(problem_of(error, example_condition(people)))}]")
        matching = frame
    left, right = st.columns([3, 2], gap="large")
    with left:
        agent = _table(matching, people)
    with right, st.container(border=True):
        _person(draft, people, agent)
    if matching.is_empty():
        return
    _distribution(people, matching)
    _together(people, matching)


def _table(matching: pl.DataFrame, people: Population) -> int:
    share = matching.height / people.n
    st.caption(f"**{matching.height:,}** of {people.n:,} people ({share:.1%}). Choose a row to see the person.")
    shown = _page_of(matching)
    chosen = st.dataframe(
        shown,
        hide_index=True,
        height=360,
        key="people_table",
        on_select="rerun",
        selection_mode="single-row",
        alt="People who match the condition",
    )
    rows = chosen.selection.rows
    if rows and rows[0] < shown.height:
        session.remember("person", int(shown["agent_id"][rows[0]]))
    held = int(session.recall("person", 0))
    return held if held < people.n else 0


def _page_of(matching: pl.DataFrame) -> pl.DataFrame:
    """Draw order and page of a long list, and return the rows of the page."""
    if matching.height <= PAGE_ROWS:
        return matching
    pages = -(-matching.height // PAGE_ROWS)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.selectbox("Order by", matching.columns, key="people_order", format_func=title_of, width=220)
        falling = st.toggle("Largest first", key="people_falling")
        page = st.number_input(f"Page, of {pages:,}", 1, pages, 1, key=f"people_page_{pages}", width=150)
    if order != "agent_id" or falling:
        matching = matching.sort(str(order), descending=falling, maintain_order=True)
    return matching.slice((int(page) - 1) * PAGE_ROWS, PAGE_ROWS)


def _person(draft: Draft, people: Population, agent: int) -> None:
    head, spoken = st.columns([3, 2], vertical_alignment="bottom")
    with head:
        name = people.values["display_name"][agent] if "display_name" in people.columns else f"Person {agent}"
        st.markdown(f"**{safe(name)}**, number {agent}")
    languages = list_languages()
    with spoken:
        lang = st.selectbox(
            "Language",
            languages,
            index=languages.index(people.lang) if people.lang in languages else 0,
            key=f"card_language_{people.lang}",
            format_func=_language_title,
            label_visibility="collapsed",
        )
    fields = [name for name in people.columns if name not in NUMBERS]
    _relations(people, agent)
    st.text(render_card(people, agent, fields, lang))
    info = scenario_info(str(draft.get("scenario")))
    asks = [*info.decisions, *info.writings]
    if asks:
        with st.expander("How a prompt shows this person", icon=":material/chat:"):
            st.code(example_prompt(draft, info, asks[0], people, agent), language=None, wrap_lines=True, height=260)
            st.caption(
                "Compose, part 5, chooses the fields. Words in angle brackets stand for what the run shows there."
            )


def _language_title(code: str) -> str:
    return "English" if code == "en" else load_language(code).title


def _relations(people: Population, agent: int) -> None:
    if people.relations is None or "persona" not in people.columns:
        if "household_id" in people.columns:
            house = people.values["household_id"]
            others = [int(i) for i in (house == house[agent]).nonzero()[0] if int(i) != agent]
            told = ", ".join(f"{other} ({people.values['age'][other]} years)" for other in others[:8])
            st.caption(safe(f"Lives with: {told}" if others else "Lives alone."))
        return
    person = int(people.values["persona"][agent])
    names = people.values.get("display_name")
    pack = {int(place): row for row, place in reversed(list(enumerate(people.values["persona"][:5000])))}
    told: dict[str, list[str]] = {}
    for other, kind, _ in people.relations.of(person):
        row = pack.get(other)
        told.setdefault(kind, []).append(str(names[row]) if names is not None and row is not None else f"{other}")
    lines = [f"**{safe(kind)}**: {safe(', '.join(others))}" for kind, others in told.items()]
    st.markdown("  \n".join(lines) if lines else "No relations are known.")


def _countable(people: Population) -> list[str]:
    """Return the columns that can be counted: everything but texts of one's own."""
    return [name for name, column in people.columns.items() if column.kind != "text" and name not in NUMBERS]


def _distribution(people: Population, matching: pl.DataFrame) -> None:
    names = _countable(people)
    if not names:
        return
    name = st.selectbox("Distribution of", names, key="people_distribution", format_func=title_of)
    # A column with many values shows the most frequent ones.
    values = grouped(people, matching, name)
    counts = values.value_counts().sort(name)
    if counts.height > MOST_VALUES:
        counts = values.value_counts(sort=True).head(MOST_VALUES)
    shares = (counts["count"] / matching.height).to_list()
    labels = counts[name].cast(pl.String).to_list()
    figure = bars(labels, shares, dark=session.is_dark())
    figure.update_xaxes(range=[0, 1.1 * max(shares)])
    figure.update_traces(text=[f"{share:.1%}" for share in shares])
    st.plotly_chart(
        figure,
        key="people_distribution_chart",
        config={**PLOT_OPTIONS, "displayModeBar": False},
        alt=f"Shares of {title_of(name)}: "
        + ", ".join(f"{a} {b:.1%}" for a, b in zip(labels[:6], shares, strict=False)),
    )
    column = people.columns[name]
    if column.kind in ("float", "integer"):
        numbers = matching[name]
        unit = f" {column.unit}" if column.unit else ""
        told = f"mean {numbers.mean():.4g}{unit}, standard deviation {numbers.std() or 0:.3g}, "
        st.caption(safe(told + f"median {numbers.median():.4g}, from {numbers.min():.4g} to {numbers.max():.4g}"))


def _together(people: Population, matching: pl.DataFrame) -> None:
    names = _countable(people)
    if len(names) < 2:
        return
    with st.expander("Two columns together", icon=":material/table_chart:", expanded=True):
        left, right = st.columns(2)
        row = left.selectbox("Rows", names, key="people_rows", format_func=title_of)
        column = right.selectbox("Columns", names, index=1, key="people_columns", format_func=title_of)
        if row == column:
            st.caption("Choose two different columns.")
            return
        table = two_way(people, matching, row, column)
        config = {name: st.column_config.NumberColumn(format="percent") for name in table.columns[1:-1]}
        st.dataframe(table, hide_index=True, column_config=config, alt=f"{row} by {column}, shares of each row")
        st.caption("Shares of each row; the last column counts its people.")
