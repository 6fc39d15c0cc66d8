"""A network that is edited by hand: agents are clicked, lassoed and dragged on a canvas."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray


def _asset(name: str) -> str:
    return (importlib.resources.files("app.components") / name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "microcosm_ties", html=_asset("ties_canvas.html"), css=_asset("ties_canvas.css"), js=_asset("ties_canvas.js")
)


def ties_canvas(
    ids: NDArray[np.int64],
    xy: NDArray[np.float32],
    ties: NDArray[np.int64],
    *,
    foes: NDArray[np.int64],
    colours: Sequence[str],
    sizes: Sequence[float],
    legend: Sequence[tuple[str, str]],
    selected: Sequence[int],
    token: str,
    height: int,
    alt: str,
    on_choose: Callable[[], None],
    key: str,
) -> Any:
    """Mount the picture.

    Args:
        ids: Agents shown.
        xy: Their places in [-1, 1], shape (k, 2).
        ties: Pairs of positions in `ids`, shape (e, 2).
        foes: Positions in `ties` of those drawn dashed.
        colours: One colour per agent.
        sizes: One radius per agent in pixels.
        legend: Words and colour of each entry.
        selected: Agents that are chosen.
        token: Tells pictures apart; places that were dragged are kept until it changes.
        height: Height in pixels.
        alt: What the picture shows, in words.
        on_choose: Called when the choice changes; the result's `chosen` holds {ids}.
        key: Widget key.
    """
    shown = {
        "ids": ids.tolist(),
        "xy": np.round(xy.astype(np.float64), 4).tolist(),
        "ties": ties.tolist(),
        "foes": foes.tolist(),
        "colours": list(colours),
        "sizes": [round(float(size), 2) for size in sizes],
        "legend": [list(entry) for entry in legend],
        "selected": list(selected),
        "token": token,
        "height": height,
        "alt": alt,
    }
    return _COMPONENT(data=shown, key=key, on_chosen_change=on_choose)
