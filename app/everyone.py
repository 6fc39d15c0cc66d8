"""Everyone, where the picture shows a part: how each state is spread over all agents, now and step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import streamlit as st
from numpy.typing import NDArray

from app import session
from app.figures import CATEGORICAL, RAMP
from app.forms import safe, title_of
from app.frames import load_meta
from engine.runs import RunInfo
from engine.runs.whole import Whole, read_whole

SHOWN_STEPS = 120
SHOWN_BINS = 32
CHART_HEIGHT = 200


def counts_everyone(info: RunInfo) -> bool:
    """Tell whether a run counts all of its agents because its picture shows a part of them."""
    return bool(load_meta(info.folder)["note"])


def show_everyone(info: RunInfo, unit: str) -> None:
    """Draw one chart per state column over all agents, with the counts as CSV."""
    whole = read_whole(info.folder)
    if whole is None or not whole.steps.size:
        st.caption("Everyone is counted as soon as the run steps.")
        return
    meta = load_meta(info.folder)
    st.caption(
        safe(
            f"All {info.n_agents:,} agents at {whole.steps.size:,} counted steps, newest {whole.steps[-1]:,}; the "
            f"picture shows {meta['note']}."
        )
    )
    for column in meta["columns"]:
        name = column["name"]
        if name not in whole.counts:
            continue
        labels = [str(label) for label in column["labels"]]
        place = f"everyone_{info.run_id}_{name}"
        st.markdown(f"**{safe(title_of(name))}**" + (f" {safe(column['unit'])}" if column["unit"] else ""))
        options = (
            shares_over_time(whole, name, labels, unit, dark=session.is_dark())
            if labels
            else density_over_time(whole, name, unit, dark=session.is_dark())
        )
        st.echarts_chart(options, height=CHART_HEIGHT, key=place, alt=f"{name} of all agents by {unit}")
        st.download_button(
            "CSV",
            counts_frame(whole, name, labels).write_csv(),
            f"{name}.csv",
            "text/csv",
            key=f"csv_{place}",
            on_click="ignore",
        )


def counts_frame(whole: Whole, name: str, labels: list[str]) -> pl.DataFrame:
    """Return step, from, to (a number's bin) or value (a category's label), and n, one row per step and bin."""
    counts = whole.counts[name]
    if labels:
        n_bins = len(labels)
        keys = {"value": labels * whole.steps.size}
    else:
        n_bins = counts.shape[1]
        edges = np.linspace(*whole.ranges[name], n_bins + 1)
        keys = {"from": np.tile(edges[:-1], whole.steps.size), "to": np.tile(edges[1:], whole.steps.size)}
    return pl.DataFrame({"step": np.repeat(whole.steps, n_bins), **keys, "n": counts[:, :n_bins].ravel()})


def _thin(whole: Whole) -> NDArray[np.int64]:
    """Return the places of at most `SHOWN_STEPS` counted steps, the first and the last among them."""
    return np.unique(np.linspace(0, whole.steps.size - 1, SHOWN_STEPS).round().astype(np.int64))


def _frame(unit: str, dark: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    ink = "#B9C4C6" if dark else "#4B585E"
    axis = {"axisLabel": {"color": ink}, "axisLine": {"lineStyle": {"color": "rgba(140,150,155,.5)"}}}
    words = {"name": unit, "nameLocation": "end", "nameGap": 4, "nameTextStyle": {"color": ink}}
    return {"animation": False, "tooltip": {"trigger": "item"}, "textStyle": {"color": ink}}, {**axis, **words}


def shares_over_time(whole: Whole, name: str, labels: list[str], unit: str, *, dark: bool) -> dict[str, Any]:
    """Return an echarts specification: the shares of a category's values, stacked, by step."""
    frame, axis = _frame(unit, dark)
    places = _thin(whole)
    counts = whole.counts[name][places][:, : len(labels)].astype(np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    steps = whole.steps[places].tolist()
    return {
        **frame,
        "tooltip": {"trigger": "axis"},
        "color": list(CATEGORICAL),
        "legend": {"top": 0, "left": 0, "type": "scroll", "textStyle": frame["textStyle"], "itemHeight": 8},
        "grid": {"left": 44, "right": 44, "top": 30, "bottom": 24},
        "xAxis": {"type": "value", "min": steps[0], "max": max(steps[-1], steps[0] + 1), **axis},
        "yAxis": {"type": "value", "min": 0, "max": 1, "axisLabel": axis["axisLabel"]},
        "series": [
            {
                "type": "line",
                "name": label,
                "stack": "all",
                "areaStyle": {"opacity": 0.85},
                "lineStyle": {"width": 0},
                "showSymbol": False,
                "data": [[step, round(float(share), 5)] for step, share in zip(steps, shares[:, k], strict=True)],
            }
            for k, label in enumerate(labels)
        ],
    }


def density_over_time(whole: Whole, name: str, unit: str, *, dark: bool) -> dict[str, Any]:
    """Return an echarts specification: the density of a number over all agents as a heat map, value by step.

    Colours run with the square root of the share in a bin, so that the few are seen beside the many.
    """
    frame, axis = _frame(unit, dark)
    places = _thin(whole)
    counts = whole.counts[name][places]
    counts = counts.reshape(len(places), SHOWN_BINS, -1).sum(axis=2).astype(np.float64)
    shares = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    low, high = whole.ranges[name]
    middles = low + (high - low) * (np.arange(SHOWN_BINS) + 0.5) / SHOWN_BINS
    rows, bins = np.nonzero(shares)
    cells = [[int(i), int(k), round(float(shares[i, k]), 4)] for i, k in zip(rows, bins, strict=True)]
    ramp = ["#{:02x}{:02x}{:02x}".format(*tint) for tint in RAMP]
    return {
        **frame,
        "tooltip": {"show": False},
        "grid": {"left": 52, "right": 44, "top": 12, "bottom": 24},
        "xAxis": {"type": "category", "data": [f"{step:,}" for step in whole.steps[places].tolist()], **axis},
        "yAxis": {"type": "category", "data": [f"{middle:.3g}" for middle in middles], "axisLabel": axis["axisLabel"]},
        "visualMap": {
            "show": False,
            "min": 0,
            "max": float(shares.max()) or 1.0,
            "inRange": {"color": ramp, "opacity": [0.15, 1]},
        },
        "series": [{"type": "heatmap", "data": cells, "progressive": 0}],
    }
