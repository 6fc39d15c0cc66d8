"""Figures of a report as inline SVG: drawn without a display, the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Okabe and Ito (2008), without the yellow that vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
MAX_POINTS = 400
MAX_THIN_LINES = 20
MAX_LEGEND = 60
STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#22262c",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e7e9ec",
    "grid.linewidth": 0.8,
    "xtick.color": "#565c66",
    "ytick.color": "#565c66",
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "legend.frameon": False,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Line:
    """One trajectory of a chart.

    Attributes:
        label: Name in the legend.
        x, y: Points, shape (n,).
        low, high: Ends of a band, shape (n,), or None.
        thin: Trajectories of single runs drawn behind it, each of shape (n,).
    """

    label: str
    x: NDArray[Any]
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    thin: tuple[FloatArray, ...] = ()


def draw_lines(
    name: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    low: float | None = None,
    high: float | None = None,
    marks: Sequence[int] = (),
    zero: bool = False,
    legend: bool = False,
) -> str:
    """Return an SVG of trajectories over steps.

    Args:
        name: Prefix of the ids inside the SVG, unique within the page.
        lines: Trajectories, at most seven.
        x_label: Meaning of the horizontal axis.
        y_label: Meaning of the vertical axis.
        low: Lower end of the measure's range; the axis keeps to the range where values fill a third of it.
        high: Upper end of the range.
        marks: Steps at which something was changed from outside.
        zero: Draw a line at zero, for differences.
        legend: Name a single line, too.
    """
    with _styled(name):
        figure = Figure(figsize=(5.0, 2.9), layout="constrained")
        axes = figure.add_subplot()
        for mark in list(marks)[:50]:
            axes.axvline(mark, color="#8a8f98", linewidth=0.8, linestyle=(0, (2, 2)))
        if zero:
            axes.axhline(0, color="#22262c", linewidth=0.9)
        for position, line in enumerate(lines[: len(COLOURS)]):
            colour = COLOURS[position]
            rows = thin_out(line.x.size)
            for single in line.thin[:MAX_THIN_LINES]:
                axes.plot(line.x[rows], single[rows], color=colour, alpha=0.22, linewidth=0.7)
            if line.low is not None and line.high is not None:
                axes.fill_between(
                    line.x[rows], line.low[rows], line.high[rows], color=colour, alpha=0.2, linewidth=0, label=None
                )
            axes.plot(
                line.x[rows],
                line.y[rows],
                color=colour,
                linewidth=1.7,
                linestyle=DASHES[position % len(DASHES)],
                label=clean(line.label, MAX_LEGEND),
                marker="o" if rows.size == 1 else None,
            )
        _set_range(axes, lines, low, high)
        axes.set_xlabel(clean(x_label))
        axes.set_ylabel(clean(y_label))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        if len(lines) > 1 or legend:
            _add_legend(figure, [clean(line.label, MAX_LEGEND) for line in lines])
        return as_svg(figure, name)


def draw_distributions(
    name: str, groups: Sequence[tuple[str, FloatArray]], labels: Sequence[str], *, x_label: str, as_bars: bool
) -> str:
    """Return an SVG of shares per bin or category, one colour per group.

    Args:
        name: Prefix of the ids inside the SVG.
        groups: (label, shares) with one share per bin, each in [0, 1].
        labels: Text of each bin.
        x_label: Meaning of the horizontal axis.
        as_bars: Bars side by side (categories) rather than steps (bins of a number).
    """
    with _styled(name):
        figure = Figure(figsize=(5.0, 2.9), layout="constrained")
        axes = figure.add_subplot()
        places = np.arange(len(labels), dtype=np.float64)
        width = 0.8 / max(1, len(groups)) if as_bars else 1.0
        for position, (label, shares) in enumerate(groups):
            shift = (position - (len(groups) - 1) / 2) * width if as_bars else 0.0
            colour = COLOURS[position % len(COLOURS)]
            axes.bar(
                places + shift,
                shares,
                width * 0.94,
                color=colour,
                alpha=0.85 if as_bars else 0.5,
                label=clean(label, MAX_LEGEND),
                linewidth=0,
            )
        shown = places if len(labels) <= 8 else places[:: max(1, len(labels) // 5)]
        axes.set_xticks(
            shown,
            [clean(labels[int(i)], 30) for i in shown],
            rotation=25 if max(len(label) for label in labels) > 9 else 0,
        )
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(clean(x_label))
        axes.set_ylabel("share of agents")
        axes.set_ylim(bottom=0)
        if len(groups) > 1:
            _add_legend(figure, [clean(label, MAX_LEGEND) for label, _ in groups])
        return as_svg(figure, name)


def draw_bars(name: str, labels: Sequence[str], shares: FloatArray) -> str:
    """Return a small SVG of horizontal bars, one share in [0, 1] per label, without axes."""
    with _styled(name, {"axes.grid": False}):
        figure = Figure(figsize=(4.2, 0.26 * len(labels) + 0.1), layout="constrained")
        axes = figure.add_subplot()
        places = np.arange(len(labels))[::-1]
        axes.barh(places, shares, 0.72, color=COLOURS[0], linewidth=0)
        for place, share in zip(places, shares, strict=True):
            axes.text(float(share) + 0.01, place, f"{share:.3f}", va="center", fontsize=7.5)
        axes.set_yticks(places, [clean(label, 40) for label in labels], fontsize=7.5)
        axes.set_xlim(0, 1.12)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        return as_svg(figure, name)


def clean(text: str, longest: int = 200) -> str:
    """Return a label without what cannot stand in an SVG (control characters, lone surrogates), cut to a length."""
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+", " ", text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _add_legend(figure: Figure, labels: Sequence[str]) -> None:
    """Put the legend below, in as many columns as its longest label leaves room for."""
    columns = max(1, min(len(labels), 4, 76 // (max(len(label) for label in labels) + 6)))
    figure.legend(loc="outside lower center", ncols=columns, fontsize=8)


def thin_out(n: int) -> NDArray[np.int64]:
    """Return at most `MAX_POINTS` row numbers of n, the first and the last among them."""
    return np.unique(np.linspace(0, max(n - 1, 0), min(n, MAX_POINTS)).round().astype(np.int64))


def as_svg(figure: Figure, name: str) -> str:
    """Return a figure as an `<svg>` element whose ids begin with `name`, without header, date or metadata."""
    out = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    with warnings.catch_warnings():
        # A script that no font at hand covers: the SVG keeps the text, and the reader's own fonts may have it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*pt" ', r"<svg \1", re.sub(r'height="[^"]*pt" ', "", text, count=1), count=1
    )


def _styled(name: str, more: Mapping[str, Any] | None = None) -> AbstractContextManager[None]:
    settings: Any = {**STYLE, "svg.hashsalt": name, **(more or {})}
    return rc_context(settings)


def _set_range(axes: Any, lines: Sequence[Line], low: float | None, high: float | None) -> None:
    parts = [part for line in lines for part in (line.y, line.low, line.high) if part is not None]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return
    if low is not None and high is not None and np.ptp(values) >= (high - low) / 3:
        margin = 0.03 * (high - low)
        axes.set_ylim(low - margin, high + margin)
    elif np.ptp(values) == 0:
        centre = float(values[0])
        axes.set_ylim(centre - max(0.5, abs(centre) * 0.05), centre + max(0.5, abs(centre) * 0.05))
