"""The picture of a run: agents and ties on a canvas, fed over a WebSocket, with its own transport bar and legend."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.figures import CATEGORICAL, RAMP


def _asset(name: str) -> str:
    return (importlib.resources.files("app.components") / name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "microcosm_network", html=_asset("network_view.html"), css=_asset("network_view.css"), js=_asset("network_view.js")
)


def network_view(
    run_id: str,
    *,
    columns: Sequence[dict[str, Any]],
    column: str,
    selected: int | None,
    note: str,
    unit: str,
    rate: int,
    height: int,
    on_pick: Callable[[], None],
    key: str,
    grid: bool = False,
    marks: Sequence[dict[str, Any]] = (),
    goto: dict[str, Any] | None = None,
) -> Any:
    """Mount the picture of one run.

    Args:
        run_id: The run.
        columns: Drawn columns: name, labels or low and high, help.
        column: Column whose colours are shown first.
        selected: Agent with a ring, or None.
        note: Words on the sample that is shown, or an empty string.
        unit: What one step stands for.
        rate: Steps a second of the replay at first.
        height: Height of the canvas in pixels.
        on_pick: Called when an agent is clicked; the result's `picked` holds {agent, step}.
        key: Widget key; the result's `kept` holds {step} of a step that was bookmarked.
        grid: Whether the agents live in cells, so that they can be shown there.
        marks: Marks on the timeline: step, text, and kind (event or bookmark).
        goto: Step to show, with a token that is new each time one asks.
    """
    shown = {
        "run": run_id,
        "columns": list(columns),
        "column": column,
        "selected": selected,
        "note": note,
        "unit": unit,
        "rate": rate,
        "height": height,
        "grid": grid,
        "marks": list(marks),
        "goto": goto,
        "palette": list(CATEGORICAL),
        "ramp": [list(colour) for colour in RAMP],
    }
    return _COMPONENT(data=shown, key=key, on_picked_change=on_pick, on_kept_change=on_pick)
