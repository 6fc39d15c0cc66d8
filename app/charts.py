"""A chart with what belongs to every chart: its numbers as CSV, its picture as SVG or PNG, and the query behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import streamlit as st

from app import session
from app.figures import plot_options

MAX_ROWS = 5000


Behind = Callable[[str, int, float], tuple[str, int] | None]
"""(name of the curve, step, value) of a point -> (run id, step) behind it, or None."""


def show_chart(
    figure: Any, *, key: str, name: str, alt: str, frame: pl.DataFrame, sql: str, behind: Behind | None = None
) -> None:
    """Draw a chart and, below it, its numbers, the form of its picture, and its query.

    Args:
        figure: A plotly figure.
        key: Of the widgets; unique on the page.
        name: Of the files, without an ending.
        alt: The chart in words.
        frame: The numbers that are drawn.
        sql: A query that gives them from the run's tables, or says how they follow from it in comments.
        behind: Which run and step a point stands for; a click on one then offers to open them.
    """
    kind = str(session.value_of(f"picture_{key}", "SVG")).lower()
    if behind is None:
        st.plotly_chart(figure, key=key, config=plot_options(name, kind), alt=alt)
    else:
        figure.update_layout(clickmode="event+select", hovermode="closest")
        options = plot_options(name, kind)
        chosen = st.plotly_chart(figure, key=key, config=options, alt=alt, on_select="rerun", selection_mode="points")
        _open_behind(figure, chosen, key, behind)
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
        if behind is not None:
            st.caption("A click on a point offers to open its run there.")


def show_behind(frame: pl.DataFrame, names: Sequence[str], *, key: str) -> None:
    """Draw what belongs to charts that tick: the numbers so far as CSV, and the query that gives them.

    Args:
        frame: Column step and one column per measure.
        names: The measures shown.
        key: Of the widgets; unique on the page.
    """
    wanted = ", ".join(f"'{name}'" for name in names)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.download_button(
            "CSV",
            lambda: frame.select("step", *names).write_csv(),
            "measures.csv",
            "text/csv",
            key=f"csv_{key}",
            icon=":material/download:",
            on_click="ignore",
        )
        with st.popover("The query", icon=":material/database:", width="content"):
            st.code(
                "select step, measure, value from measures\n"
                f"where segment = '' and measure in ({wanted})\norder by step",
                language="sql",
                wrap_lines=True,
                width=440,
            )
        st.caption("Click a point in Explore to open its run and step.")


def _open_behind(figure: Any, chosen: Any, key: str, behind: Behind) -> None:
    """Offer to open the run and the step behind the point that was clicked."""
    points = (chosen or {}).get("selection", {}).get("points", [])
    if not points:
        return
    point = points[0]
    curve = figure.data[int(point.get("curve_number", 0))]
    found = behind(str(curve.name or ""), round(float(point["x"])), float(point["y"]))
    if found is None:
        return
    run_id, step = found
    if st.button(f"Open run {run_id[:8]} at step {step:,}", key=f"open_{key}", icon=":material/open_in_new:"):
        session.choose_run(run_id)
        session.remember("goto", {"step": step, "token": time.monotonic_ns() % 2**40})
        st.switch_page("views/live.py", query_params={"run": run_id})
