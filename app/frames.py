"""Frames of a run: one byte per drawn agent and step, live from the worker or read back from what was recorded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine import store
from engine.errors import RunError
from engine.runs.live import read_layout, read_meta
from engine.store.schema import quoted

MAX_FRAME_BYTES = 64_000_000
KEPT_RECORDINGS = 8


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
    xy = np.stack([held["x"], held["y"]], axis=1).astype(np.float32)
    ties = np.stack([held["source"], held["target"]], axis=1).astype(np.uint32)
    return Layout(held["ids"].astype(np.int64), xy, ties)


def load_meta(folder: Path) -> dict[str, Any]:
    """Return what the drawn columns mean: `columns` with name, labels or range, help; and a note on the sample."""
    try:
        held = read_meta(folder)
    except FileNotFoundError:
        return {"columns": [], "note": ""}
    return {"columns": [_column(entry) for entry in held["columns"]], "note": str(held.get("note", ""))}


def _column(entry: dict[str, Any]) -> dict[str, Any]:
    """Return one column's description: name, labels or low and high, unit, help."""
    low, high = entry["range"] or (None, None)
    return {
        "name": entry["name"],
        "labels": list(entry["labels"]),
        "low": low,
        "high": high,
        "unit": entry.get("unit", ""),
        "help": entry.get("help", ""),
    }


@dataclass(frozen=True)
class Recording:
    """One state column over the recorded steps: `codes` has one row per step, one byte per drawn agent."""

    steps: NDArray[np.int64]
    codes: NDArray[np.uint8]

    def row(self, step: int) -> int:
        """Return the row of the last recorded step not after `step`."""
        return int(max(0, np.searchsorted(self.steps, step, side="right") - 1))


class Recordings:
    """Recordings of the runs that somebody watches, the most recently used ones kept in memory."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str, int], Recording] = OrderedDict()
        self._lock = threading.Lock()

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
    codes = encode(states["value"], column)
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
    return Recording(steps[kept].astype(np.int64), out)


def _states(folder: Path, column: str, ids: NDArray[np.int64]) -> pl.DataFrame | None:
    """Return step, agent_id, value of the drawn agents by step, or None where nothing is recorded."""
    sql = f"select step, agent_id, {quoted(column)} as value from states where agent_id <= ? order by step"
    try:
        return store.query(folder, sql, [int(ids.max(initial=0))])
    except RunError:  # a run that has not begun yet has no tables; the picture then waits
        return None


def encode(values: Any, column: dict[str, Any]) -> NDArray[np.uint8]:
    """Return one byte per value: the category's code, 0 or 1, or 0..255 over the column's range."""
    labels = column["labels"]
    if values.dtype.is_numeric():
        numbers = values.to_numpy().astype(np.float64)
        if labels:
            return np.clip(np.nan_to_num(numbers), 0, 255).astype(np.uint8)
        low, high = _range(column, numbers)
        scaled = (np.nan_to_num(numbers, nan=low) - low) / max(high - low, 1e-12)
        return np.clip(np.rint(scaled * 255), 0, 255).astype(np.uint8)
    texts = values.cast(str).to_list()
    names = labels or ["false", "true"]
    code = {name: index for index, name in enumerate(names)}
    return np.array([code.get(text, 0) for text in texts], np.uint8)


def _range(column: dict[str, Any], numbers: NDArray[np.float64]) -> tuple[float, float]:
    finite = numbers[np.isfinite(numbers)]
    low = column["low"] if column["low"] is not None else (finite.min() if finite.size else 0.0)
    high = column["high"] if column["high"] is not None else (finite.max() if finite.size else 1.0)
    return float(low), float(high)
