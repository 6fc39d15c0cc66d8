"""The picture of a run: agents and ties on a canvas, fed over a WebSocket, with its own transport bar and legend."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.figures import CATEGORICAL, RAMP

HTML = """
<div class="view">
  <div class="stage" tabindex="0" role="application" aria-label="Network of agents">
    <canvas class="ties"></canvas><canvas class="nodes"></canvas><canvas class="mark"></canvas>
    <div class="zoom">
      <button type="button" data-act="in" aria-label="Zoom in" title="Zoom in">+</button>
      <button type="button" data-act="out" aria-label="Zoom out" title="Zoom out">&minus;</button>
      <button type="button" data-act="fit" aria-label="Show all" title="Show all">&#x26F6;</button>
    </div>
    <div class="note" role="status"></div>
  </div>
  <div class="bar">
    <button type="button" class="play" aria-label="Play">&#9654;</button>
    <input type="range" class="seek" min="0" max="1" value="0" step="1" aria-label="Step">
    <span class="where"></span>
    <button type="button" class="follow" title="Show the newest step">Newest</button>
  </div>
  <div class="bar second">
    <label>Colour <select class="column"></select></label>
    <label>Speed <select class="rate"></select></label>
    <label>Draw every <select class="every"></select></label>
    <div class="legend"></div>
  </div>
</div>
"""


def _asset(name: str) -> str:
    return (importlib.resources.files("app.components") / name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "microcosm_network", html=HTML, css=_asset("network_view.css"), js=_asset("network_view.js")
)


def network_view(
    run_id: str,
    *,
    columns: Sequence[dict[str, Any]],
    column: str,
    selected: int | None,
    note: str,
    unit: str,
    height: int,
    on_pick: Callable[[], None],
    key: str,
) -> Any:
    """Mount the picture of one run.

    Args:
        run_id: The run.
        columns: Drawn columns: name, labels or low and high, help.
        column: Column whose colours are shown first.
        selected: Agent with a ring, or None.
        note: Words on the sample that is shown, or an empty string.
        unit: What one step stands for.
        height: Height of the canvas in pixels.
        on_pick: Called when an agent is clicked; the result's `picked` holds {agent, step}.
        key: Widget key.
    """
    shown = {
        "run": run_id,
        "columns": list(columns),
        "column": column,
        "selected": selected,
        "note": note,
        "unit": unit,
        "height": height,
        "palette": list(CATEGORICAL),
        "ramp": [list(colour) for colour in RAMP],
    }
    return _COMPONENT(data=shown, key=key, on_picked_change=on_pick)
