"""A chart with what belongs to every chart: its numbers as CSV, its picture as SVG or PNG, and the query behind it."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app import session
from app.figures import plot_options

MAX_ROWS = 5000


def show_chart(figure: Any, *, key: str, name: str, alt: str, frame: pl.DataFrame, sql: str) -> None:
    """Draw a chart and, below it, its numbers, the form of its picture, and its query.

    Args:
        figure: A plotly figure.
        key: Of the widgets; unique on the page.
        name: Of the files, without an ending.
        alt: The chart in words.
        frame: The numbers that are drawn.
        sql: A query that gives them from the run's tables, or says how they follow from it in comments.
    """
    kind = str(session.value_of(f"picture_{key}", "SVG")).lower()
    st.plotly_chart(figure, key=key, config=plot_options(name, kind), alt=alt)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.download_button(
            "CSV",
            frame.write_csv(),
            f"{name}.csv",
            "text/csv",
            key=f"csv_{key}",
            icon=":material/download:",
            on_click="ignore",
        )
        with st.popover("The numbers", icon=":material/table:", width="content"):
            st.dataframe(frame.head(MAX_ROWS), hide_index=True, height=280, width=560, alt=f"Numbers of: {alt}")
        with st.popover("The query", icon=":material/database:", width="content"):
            st.code(sql, language="sql", wrap_lines=True, width=560)
            st.caption("Paste it into Explore, SQL.")
        st.segmented_control(
            "The camera above the chart saves",
            ["SVG", "PNG"],
            default="SVG",
            key=f"picture_{key}",
            required=True,
            help="Form of the file that the camera button above the chart saves",
            label_visibility="collapsed",
        )
