"""Frames of a run: one byte per drawn agent and step, live from the worker or read back from what was recorded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.reading import read_query
from engine.errors import RunError
from engine.loading import scenario_info
from engine.population.columns import Column
from engine.runs import read_study
from engine.runs.live import read_layout, read_meta
from engine.store.schema import quoted

MAX_FRAME_BYTES = 64_000_000
KEPT_RECORDINGS = 12
CROWDED = 120


@dataclass(frozen=True)
class Layout:
    """The drawn agents of a run: ids, places in [-1, 1] and ties as positions into `ids`."""

    ids: NDArray[np.int64]
    xy: NDArray[np.float32]
    ties: NDArray[np.uint32]

    def to_bytes(self) -> bytes:
        """Return header (n agents, n ties, both uint32), x, y, ids and tie pairs, little-endian."""
        head = np.array([len(self.ids), len(self.ties)], "<u4").tobytes()
        xy = np.asarray(self.xy, "<f4")
        places = np.ascontiguousarray(xy[:, 0]).tobytes() + np.ascontiguousarray(xy[:, 1]).tobytes()
        return head + places + self.ids.astype("<u4").tobytes() + np.ascontiguousarray(self.ties, "<u4").tobytes()


def load_layout(folder: Path) -> Layout | None:
    """Return the layout that the worker wrote, or None where it is not there yet."""
    held = read_layout(folder)
    if held is None:
        return None
    xy = spread_ring(np.stack([held["x"], held["y"]], axis=1).astype(np.float32))
    ties = np.stack([held["source"], held["target"]], axis=1).astype(np.uint32)
    return Layout(held["ids"].astype(np.int64), xy, ties)


def spread_ring(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return places in which a crowded circle is a broad ring: the angle stays, agents move inward by turns.

    A thousand agents on one line cannot be told apart; everything that is not a circle of more than 120 agents is
    returned as it is.
    """
    radius = np.hypot(xy[:, 0], xy[:, 1])
    if len(xy) <= CROWDED or radius.std() > 0.01 * max(float(radius.mean()), 1e-9):
        return xy
    inward = (np.arange(len(xy)) * 0.6180339887498949) % 1.0
    depth = min(0.55, len(xy) / 1500)
    return (xy * (1.0 - depth * inward)[:, None]).astype(np.float32)


def load_meta(folder: Path) -> dict[str, Any]:
    """Return what the drawn columns mean: `columns` with name, labels or range, help; and a note on the sample."""
    try:
        held = read_meta(folder)
    except FileNotFoundError:
        return {"columns": [], "note": ""}
    declared = scenario_info(read_study(folder).scenario).columns
    columns = [_column(entry, declared.get(entry["name"])) for entry in held["columns"]]
    return {"columns": columns, "note": str(held.get("note", ""))}


def _column(entry: dict[str, Any], declared: Column | None) -> dict[str, Any]:
    """Return one column's description.

    `low` and `high` are the declared bounds, None where open; `shown` is the range that live frames use, which for an
    open bound is what the worker saw at the first step.
    """
    return {
        "name": entry["name"],
        "labels": list(entry["labels"]),
        "low": declared.low if declared else None,
        "high": declared.high if declared else None,
        "shown": list(entry["range"]),
        "unit": entry.get("unit", ""),
        "help": entry.get("help", ""),
    }


@dataclass(frozen=True)
class Recording:
    """One state column over the recorded steps.

    Attributes:
        steps: Recorded steps, ascending.
        codes: One row per step, one byte per drawn agent.
        span: What the bytes 0 and 255 stand for; None for categories.
    """

    steps: NDArray[np.int64]
    codes: NDArray[np.uint8]
    span: tuple[float, float] | None = None

    def row(self, step: int) -> int:
        """Return the row of the last recorded step not after `step`."""
        return int(max(0, np.searchsorted(self.steps, step, side="right") - 1))


class Recordings:
    """Recordings of the runs that somebody watches, the most recently used ones kept in memory."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str, int], Recording] = OrderedDict()
        self._lock = threading.Lock()

    def held(self, folder: Path, name: str, committed: int) -> Recording | None:
        """Return a recording that is in memory already, or None."""
        with self._lock:
            return self._held.get((str(folder), name, committed))

    def get(self, folder: Path, column: dict[str, Any], ids: NDArray[np.int64], committed: int) -> Recording:
        """Return the recording up to a committed step; reads the store once per (run, column, step)."""
        key = (str(folder), column["name"], committed)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        recording = read_recording(folder, column, ids)
        with self._lock:
            self._held[key] = recording
            while len(self._held) > KEPT_RECORDINGS:
                self._held.popitem(last=False)
        return recording


def read_recording(folder: Path, column: dict[str, Any], ids: NDArray[np.int64]) -> Recording:
    """Read one column's states of the drawn agents at every recorded step, change rows filled forward.

    Steps are thinned evenly where all of them would need more than 64 MB.
    """
    states = _states(folder, column["name"], ids)
    if states is None or states.is_empty():
        return Recording(np.zeros(0, np.int64), np.zeros((0, len(ids)), np.uint8))
    step = states["step"].to_numpy()
    agent = states["agent_id"].to_numpy().astype(np.int64)
    span = None if column["labels"] else value_range(states["value"], column)
    codes = encode(states["value"], span)
    place = np.full(int(max(agent.max(), ids.max())) + 1, -1, np.int64)
    place[ids] = np.arange(len(ids))
    where = place[agent]
    steps, starts = np.unique(step, return_index=True)
    ends = np.append(starts[1:], len(step))
    every = max(1, -(-len(steps) * max(1, len(ids)) // MAX_FRAME_BYTES))
    kept = np.unique(np.append(np.arange(0, len(steps), every), len(steps) - 1))
    out = np.zeros((len(kept), len(ids)), np.uint8)
    frame = np.zeros(len(ids), np.uint8)
    row = 0
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        drawn = where[start:end] >= 0
        frame[where[start:end][drawn]] = codes[start:end][drawn]
        if row < len(kept) and kept[row] == index:
            out[row] = frame
            row += 1
    return Recording(steps[kept].astype(np.int64), out, span)


def read_frame(folder: Path, column: dict[str, Any], ids: NDArray[np.int64], step: int) -> NDArray[np.uint8] | None:
    """Read one column of the drawn agents at one step, without the rest of the recording.

    Returns:
        One byte per drawn agent, or None where the column's range is open or nothing is recorded.
    """
    span = None
    if not column["labels"]:
        if column["low"] is None or column["high"] is None:
            return None
        span = (float(column["low"]), float(column["high"]))
    sql = f"select agent_id, {quoted(column['name'])} as value from states_at(?) where agent_id <= ?"
    try:
        states = read_query(folder, sql, [step, int(ids.max(initial=0))])
    except RunError:
        return None
    codes = np.zeros(int(ids.max(initial=0)) + 1, np.uint8)
    codes[states["agent_id"].to_numpy()] = encode(states["value"], span)
    return codes[ids]


def grid_columns(columns: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the columns that hold each agent's cell, `x` and `y` in cells; None where agents live on no grid."""
    found = {column["name"]: column for column in columns if column.get("unit") == "cells"}
    return (found["x"], found["y"]) if {"x", "y"} <= found.keys() else None


def cells(codes: NDArray[np.uint8], span: tuple[float, float]) -> NDArray[np.int16]:
    """Return the cells that bytes over a span stand for; exact while the span has at most 255 cells."""
    low, high = span
    return np.rint(low + codes.astype(np.float64) * (high - low) / 255).astype("<i2")


def _states(folder: Path, column: str, ids: NDArray[np.int64]) -> pl.DataFrame | None:
    """Return step, agent_id, value of the drawn agents by step, or None where nothing is recorded."""
    sql = f"select step, agent_id, {quoted(column)} as value from states where agent_id <= ? order by step"
    try:
        return read_query(folder, sql, [int(ids.max(initial=0))])
    except RunError:  # a run that has not begun yet has no tables; the picture then waits
        return None


def encode(values: pl.Series, span: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Return one byte per value: the code of a category or boolean, or 0..255 over a span of numbers."""
    numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if span is None:
        return np.clip(np.nan_to_num(numbers), 0, 255).astype(np.uint8)
    low, high = span
    scaled = (np.nan_to_num(numbers, nan=low) - low) / max(high - low, 1e-12)
    return np.clip(np.rint(scaled * 255), 0, 255).astype(np.uint8)


def value_range(values: pl.Series, column: dict[str, Any]) -> tuple[float, float]:
    """Return the range of a number: its declared bounds, and where one is open what was recorded."""
    numbers = values.cast(pl.Float64).to_numpy()
    finite = numbers[np.isfinite(numbers)]
    low = column["low"] if column["low"] is not None else float(finite.min(initial=0.0))
    high = column["high"] if column["high"] is not None else float(finite.max(initial=0.0))
    return float(low), float(high) if high > low else float(low) + 1.0
