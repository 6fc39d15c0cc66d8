"""Charts of a run: plotly figures at rest, echarts specifications that tick; colours safe for colour blindness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

# Okabe and Ito (2008), toned so that each stands out on the light and on the dark background.
CATEGORICAL = ("#2B79A8", "#C98A00", "#D55E00", "#009E73", "#8E62A8", "#46A5DC", "#6F7B82", "#A39300")
RAMP = ((38, 104, 166), (110, 140, 170), (160, 146, 140), (205, 130, 70), (226, 112, 10))
FEW_STEPS = 12
"""A run of up to so many steps has each of them on its axis."""
ROUNDING = 1e-9  # share of a value below which a difference is none
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
# No link to a chart service, no logo; CSV comes from the buttons below each chart.
PLOT_OPTIONS: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["sendDataToCloud", "sendChartToCloud", "lasso2d", "select2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "microcosm"},
}


def plot_options(name: str, kind: str = "svg") -> dict[str, Any]:
    """Return plotly's options with the file that its own camera button writes: svg or png, under a chart's name."""
    picture = {"format": kind, "filename": name, **({"scale": 2} if kind == "png" else {})}
    return {**PLOT_OPTIONS, "toImageButtonOptions": picture, "displayModeBar": True}


def colour(index: int) -> str:
    """Return the categorical colour of an index, going round."""
    return CATEGORICAL[index % len(CATEGORICAL)]


def _tint(hexadecimal: str, alpha: float) -> str:
    red, green, blue = (int(hexadecimal[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _base(dark: bool, height: int) -> go.Figure:
    ink, grid = ("#E3E9E8", "rgba(227,233,232,.12)") if dark else ("#1E2A2F", "rgba(30,42,47,.10)")
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 12, "r": 12, "t": 28, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": ink, "size": 12},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "font": {"size": 12}},
        colorway=list(CATEGORICAL),
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#8A979C", "activecolor": ink},
    )
    figure.update_xaxes(gridcolor=grid, zeroline=False, automargin=True, showline=True, linecolor=grid)
    figure.update_yaxes(gridcolor=grid, zeroline=False, automargin=True)
    return figure


def _calm(figure: go.Figure) -> None:
    """Give lines that differ by nothing but rounding an axis on which they lie flat."""
    drawn = np.concatenate([np.asarray(trace.y, float) for trace in figure.data] or [np.empty(0)])
    values = drawn[np.isfinite(drawn)]
    size = float(np.abs(values).max(initial=0.0))
    if values.size and np.ptp(values) <= ROUNDING * size:
        middle, room = float(values.mean()), 0.05 * size if size else 1.0
        figure.update_yaxes(range=[middle - room, middle + room])


def plot_measures(
    series: Mapping[tuple[str, str], tuple[Sequence[float], Sequence[float]]],
    *,
    unit: str,
    dark: bool,
    height: int = 380,
    event_steps: Sequence[tuple[int, str]] = (),
) -> go.Figure:
    """Plot measures over steps.

    Args:
        series: (measure, run) -> (steps, values); colour tells measures apart, dashes tell runs apart.
        unit: What a step stands for.
        dark: Whether the page is dark.
        height: Height in pixels.
        event_steps: Steps with a marker and its words.
    """
    figure = _base(dark, height)
    measures = list(dict.fromkeys(measure for measure, _ in series))
    runs = list(dict.fromkeys(run for _, run in series))
    for (measure, run), (steps, values) in series.items():
        figure.add_scatter(
            x=list(steps),
            y=list(values),
            mode="lines" if len(steps) > 1 else "markers",
            name=plain_name(measure if len(runs) == 1 else f"{measure} · {run}"),
            line={
                "color": colour(measures.index(measure)),
                "dash": DASHES[runs.index(run) % len(DASHES)],
                "width": 2,
            },
        )
    for step, words in event_steps[:12]:
        figure.add_vline(
            x=step, line={"color": "#8A979C", "dash": "dot", "width": 1}, annotation_text=plain_name(short_words(words))
        )
    _calm(figure)
    _name_steps(figure, unit)
    return figure


def plot_band(
    steps: Sequence[int], values: NDArray[np.float64], *, name: str, unit: str, dark: bool, height: int = 380
) -> go.Figure:
    """Plot the mean of replicates with the range from the lowest to the highest.

    Args:
        steps: The common steps.
        values: Shape (n_runs, n_steps).
        name: The measure.
        unit: What a step stands for.
        dark: Whether the page is dark.
        height: Height in pixels.
    """
    figure = _base(dark, height)
    x = list(steps)
    figure.add_scatter(x=x, y=values.min(axis=0), mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip")
    figure.add_scatter(
        x=x,
        y=values.max(axis=0),
        mode="lines",
        line={"width": 0},
        fill="tonexty",
        fillcolor=_tint(CATEGORICAL[0], 0.2),
        name=f"lowest to highest of {len(values)} runs",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=values.mean(axis=0),
        mode="lines",
        line={"color": CATEGORICAL[0], "width": 2.5},
        name=plain_name(f"mean of {name}"),
    )
    _name_steps(figure, unit)
    return figure


@dataclass(frozen=True)
class Curve:
    """A mean over runs by step, with its band; NaN ends where there is none."""

    name: str
    steps: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def plot_curves(
    curves: Sequence[Curve],
    *,
    unit: str,
    dark: bool,
    height: int = 340,
    zero: bool = False,
    marks: Sequence[tuple[int, str]] = (),
    stairs: bool = False,
) -> go.Figure:
    """Plot means over runs with their bands.

    Args:
        curves: One per group of runs; colours and dashes tell them apart.
        unit: What a step stands for.
        dark: Whether the page is dark.
        height: Height in pixels.
        zero: Whether to draw the line of no difference.
        marks: Steps with a marker and its words.
        stairs: Whether values hold from one step to the next, as shares of survivors do.
    """
    figure = _base(dark, height)
    shape = {"shape": "hv"} if stairs else {}
    for index, curve in enumerate(curves):
        x = curve.steps.tolist()
        edge = {"mode": "lines", "line": {"width": 0, **shape}, "showlegend": False, "hoverinfo": "skip", "x": x}
        if np.isfinite(curve.low).any():
            figure.add_scatter(y=curve.low, **edge)
            figure.add_scatter(y=curve.high, fill="tonexty", fillcolor=_tint(colour(index), 0.2), **edge)
        line = {"color": colour(index), "width": 2.5, "dash": DASHES[index % len(DASHES)], **shape}
        figure.add_scatter(x=x, y=curve.mean, mode="lines", line=line, name=plain_name(curve.name))
    if zero:
        figure.add_hline(y=0, line={"color": "#8A979C", "width": 1})
    for step, words in marks:
        figure.add_vline(
            x=step, line={"color": "#8A979C", "dash": "dot", "width": 1}, annotation_text=plain_name(short_words(words))
        )
    figure.update_layout(showlegend=True)
    _calm(figure)
    _name_steps(figure, unit)
    return figure


def plot_shares(frame: pl.DataFrame, *, labels: Sequence[str], unit: str, dark: bool, height: int = 380) -> go.Figure:
    """Plot how the categories of a column share the agents at each step.

    Args:
        frame: Columns step, value (label), share in [0, 1].
        labels: Order of the categories.
        unit: What a step stands for.
        dark: Whether the page is dark.
        height: Height in pixels.
    """
    figure = _base(dark, height)
    for index, label in enumerate(labels):
        part = frame.filter(pl.col("value") == label).sort("step")
        figure.add_scatter(
            x=part["step"].to_list(),
            y=part["share"].to_list(),
            stackgroup="all",
            mode="lines",
            line={"width": 0.5, "color": colour(index)},
            fillcolor=_tint(colour(index), 0.75),
            name=plain_name(label),
        )
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    _name_steps(figure, unit)
    return figure


def plot_spread(frame: pl.DataFrame, *, name: str, unit: str, dark: bool, height: int = 380) -> go.Figure:
    """Plot the spread of a number over the agents: median, middle half, and 5th to 95th percentile at each step.

    Args:
        frame: Columns step, p05, p25, p50, p75, p95.
        name: The column.
        unit: What a step stands for.
        dark: Whether the page is dark.
        height: Height in pixels.
    """
    figure = _base(dark, height)
    x = frame["step"].to_list()
    for low, high, alpha, words in (("p05", "p95", 0.14, "5 % to 95 %"), ("p25", "p75", 0.3, "middle half")):
        figure.add_scatter(
            x=x, y=frame[low].to_list(), line={"width": 0}, mode="lines", showlegend=False, hoverinfo="skip"
        )
        figure.add_scatter(
            x=x,
            y=frame[high].to_list(),
            line={"width": 0},
            mode="lines",
            fill="tonexty",
            fillcolor=_tint(CATEGORICAL[0], alpha),
            name=words,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=x,
        y=frame["p50"].to_list(),
        mode="lines",
        line={"color": CATEGORICAL[0], "width": 2.5},
        name=plain_name(f"median of {name}"),
    )
    _name_steps(figure, unit)
    return figure


def plot_degrees(degrees: NDArray[np.int64], *, dark: bool, height: int = 220) -> go.Figure:
    """Plot how many agents have how many ties."""
    figure = _base(dark, height)
    values, counts = np.unique(degrees, return_counts=True)
    if len(values) > 60:
        counts, edges = np.histogram(degrees, bins=40)
        values = (edges[:-1] + edges[1:]) / 2
    figure.add_bar(x=values.tolist(), y=counts.tolist(), marker={"color": CATEGORICAL[0]}, name="agents")
    figure.update_layout(bargap=0.12, showlegend=False, hovermode="x")
    figure.update_xaxes(title="ties of an agent")
    figure.update_yaxes(title="agents")
    return figure


def plot_network(
    xy: NDArray[np.float32], ties: NDArray[np.uint32], *, dark: bool, height: int = 380, limit: int = 4000
) -> go.Figure:
    """Plot a network's layout; beyond `limit` ties an even part of them is drawn."""
    figure = _base(dark, height)
    if len(ties) > limit:
        ties = ties[np.linspace(0, len(ties) - 1, limit).astype(np.int64)]
    gap = np.full(len(ties), np.nan, np.float32)
    x, y = (np.stack([xy[ties[:, 0], axis], xy[ties[:, 1], axis], gap], axis=1).ravel() for axis in (0, 1))
    figure.add_scatter(x=x, y=y, mode="lines", line={"width": 0.5, "color": _tint("#7E8C92", 0.45)}, hoverinfo="skip")
    size = float(np.clip(160 / np.sqrt(max(len(xy), 1)), 2.5, 12))
    figure.add_scatter(
        x=xy[:, 0], y=xy[:, 1], mode="markers", marker={"size": size, "color": CATEGORICAL[0]}, hoverinfo="skip"
    )
    figure.update_layout(showlegend=False, hovermode=False, margin={"l": 0, "r": 0, "t": 0, "b": 0}, dragmode="pan")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def ticking_lines(frame: pl.DataFrame, names: Sequence[str], *, unit: str, dark: bool) -> dict[str, Any]:
    """Return an echarts specification of measures over steps, for charts that tick.

    Args:
        frame: Column step and one column per measure.
        names: Measures, in order.
        unit: What a step stands for.
        dark: Whether the page is dark.
    """
    ink = "#B9C4C6" if dark else "#4B585E"
    grid = {"lineStyle": {"color": "rgba(140,150,155,.22)"}}
    axis = {
        "axisLabel": {"color": ink},
        "splitLine": grid,
        "axisLine": {"lineStyle": {"color": "rgba(140,150,155,.5)"}},
    }
    return {
        "animation": False,
        "grid": {"left": 44, "right": 44, "top": 30, "bottom": 24},
        "color": list(CATEGORICAL),
        "legend": {
            "top": 0,
            "left": 0,
            "type": "scroll",
            "textStyle": {"color": ink},
            "icon": "roundRect",
            "itemHeight": 8,
        },
        "tooltip": {"trigger": "axis"},
        "dataset": {"source": frame},
        "xAxis": {
            "type": "value",
            "name": unit,
            "nameLocation": "end",
            "nameGap": 4,
            "min": 0,
            "minInterval": 1,
            **axis,
        },
        "yAxis": {"type": "value", "scale": True, **axis},
        "series": [
            {
                "type": "line",
                "name": name,
                "showSymbol": False,
                "lineStyle": {"width": 2},
                "encode": {"x": "step", "y": name},
            }
            for name in names
        ],
    }


def bars(labels: Sequence[str], values: Sequence[float], *, dark: bool, marked: int | None = None) -> go.Figure:
    """Plot the probabilities of options as lying bars; the drawn option is marked."""
    figure = _base(dark, 28 * len(labels) + 36)
    figure.add_bar(
        y=[plain_name(label) for label in labels],
        x=list(values),
        orientation="h",
        marker={"color": [CATEGORICAL[2] if index == marked else CATEGORICAL[0] for index in range(len(labels))]},
        text=[f"{value:.3f}" for value in values],
        textposition="auto",
    )
    figure.update_layout(showlegend=False, hovermode=False, bargap=0.25, margin={"l": 0, "r": 0, "t": 4, "b": 4})
    figure.update_xaxes(range=[0, 1], visible=False)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def short_words(text: str, most: int = 36) -> str:
    """Return a text, cut at a word and marked with dots where it is longer than `most` characters."""
    words = str(text)
    if len(words) <= most:
        return words
    return f"{words[:most].rsplit(' ', 1)[0].rstrip()}…"


def _name_steps(figure: go.Figure, unit: str) -> None:
    """Name the axis of steps, which has whole numbers only, also in a short run."""
    ends = [max(trace.x) for trace in figure.data if trace.x is not None and len(trace.x)]
    whole = {"tickmode": "linear", "dtick": 1} if ends and max(ends) <= FEW_STEPS else {}
    figure.update_xaxes(title=plain_name(unit), **whole)


def plain_name(text: str) -> str:
    """Return text without the characters that plotly would read as markup."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
