"""The SQL box on a page: one query over one run, its answer as a table, and the tables that there are."""

from __future__ import annotations

import streamlit as st

from app import session
from app.actions import ask
from app.forms import safe
from engine.errors import MicrocosmError
from engine.runs import RunInfo
from engine.store.sql_box import MAX_ROWS, MAX_SECONDS, MEMORY_MB, SqlAnswer, run_sql

FIRST = "select step, measure, value\nfrom measures\nwhere segment = ''\norder by step, measure"
HIDDEN = ("arrivals", "departures", "network_start", "tie_changes")


def show_sql_box(info: RunInfo) -> None:
    """Draw the box: query, tables, answer."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        sql = st.text_area("One SELECT over this run's tables", FIRST, height=150, key=f"sql_{info.run_id}")
        asked = st.button("Ask", key="ask_sql", type="primary", icon=":material/database:")
        st.caption(
            f"Reads this run and nothing else, in a process of its own: at most {MAX_ROWS:,} rows, "
            f"{MAX_SECONDS:g} s and {MEMORY_MB} MB."
        )
    with right:
        _tables(info)
    key = f"sql_answer_{info.run_id}"
    if asked:
        session.remember(key, _ask(info, sql))
    held = session.recall(key)
    if isinstance(held, str):
        st.error(safe(held))
    elif held is not None:
        _answer(held)


def _ask(info: RunInfo, sql: str) -> SqlAnswer | str:
    try:
        with st.spinner("Asking"):
            return run_sql(info.folder, sql)
    except MicrocosmError as error:
        return str(error)[:1].upper() + str(error)[1:] + "."


def _answer(answer: SqlAnswer) -> None:
    rows = f"{answer.frame.height:,} rows" if answer.frame.height != 1 else "1 row"
    st.caption(
        f"{'The first ' if answer.is_cut else ''}{rows} in {answer.seconds:.1f} s"
        + (", there are more." if answer.is_cut else ".")
    )
    st.dataframe(answer.frame, hide_index=True, height=min(38 + 35 * max(answer.frame.height, 1), 320), alt="Answer")
    flat = answer.frame.select(name for name, kind in answer.frame.schema.items() if not kind.is_nested())
    st.download_button("CSV", flat.write_csv(), "answer.csv", "text/csv", key="csv_sql", on_click="ignore")


def _tables(info: RunInfo) -> None:
    sql = (
        "select table_name as \"table\", string_agg(column_name, ', ' order by ordinal_position) as columns "
        "from information_schema.columns group by table_name order by table_name"
    )
    try:
        frame = ask(info, sql)
    except MicrocosmError as error:
        st.caption(safe(error))
        return
    shown = [row for row in frame.iter_rows(named=True) if row["table"] not in HIDDEN]
    st.dataframe(shown, hide_index=True, height=250, alt="Tables of this run with their columns")
    st.caption("The table columns says what each code means; states_at(10) is everyone's state at step 10.")
