"""Everyone counted: the distribution of each state column over all agents by step, where a picture shows only a part.

The counts lie in `whole.bin` beside the live frames: a line of JSON with the columns, then one record per counted step
(step; per column low and high as float64 and 64 counts; all else int64). Like frames they are for looking at, never
flushed and no part of the digest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.errors import RunError
from engine.runs.live import Shown
from engine.store.disk import storage_errors

WHOLE_NAME = "whole.bin"
BINS = 64
PAUSE_S = 0.02  # between two counts, at least
COST_SHARE = 0.04  # of the time, at most, is spent on counting
MOST_RECORDS = 1_000  # after so many the pauses double


@njit(cache=True, nogil=True)
def _count_codes(values, here, counts):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        if here.size == 0 or here[i]:
            counts[min(max(int(values[i]), 0), counts.size - 1)] += 1


@njit(cache=True, nogil=True)
def _count_numbers(values, here, low, high, counts):  # type: ignore[no-untyped-def]
    scale = counts.size / (high - low)
    for i in range(values.size):
        value = values[i]
        if value == value and (here.size == 0 or here[i]):
            place = (min(max(value, low), high) - low) * scale
            counts[min(int(place), counts.size - 1)] += 1


@njit(cache=True, nogil=True)
def _find_range(values, here):  # type: ignore[no-untyped-def]
    low, high = np.inf, -np.inf
    for i in range(values.size):
        value = values[i]
        if value == value and (here.size == 0 or here[i]):
            low, high = min(low, value), max(high, value)
    return low, high


class WholeWriter:
    """Counts all agents now and then, as often as a small part of the time allows."""

    def __init__(self, folder: Path, shown: Shown) -> None:
        """Go on with the counts of the same columns, or begin anew.

        Args:
            folder: The run's folder.
            shown: Columns with their ranges; its ids do not matter here.
        """
        self.shown = shown
        self.path = folder / WHOLE_NAME
        columns = [{"name": name, "number": name in shown.ranges} for name in shown.columns]
        head = json.dumps({"columns": columns, "bins": BINS}).encode() + b"\n"
        self._record = np.zeros(1 + (2 + BINS) * len(columns), np.int64)
        with storage_errors(folder):
            if not self.path.is_file() or not self.path.read_bytes().startswith(head):
                self.path.write_bytes(head)
            whole = (self.path.stat().st_size - len(head)) // self._record.nbytes
            with self.path.open("r+b") as file:
                file.truncate(len(head) + whole * self._record.nbytes)
        self._written = int(whole)
        self._due, self._warm = 0.0, False

    def _range(self, name: str, values: NDArray[Any], here: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the declared ends of a number's range, and where it is open those of the values."""
        column = self.shown.columns[name]
        low, high = column.low, column.high
        if low is None or high is None:
            least, most = _find_range(values, here)
            least, most = (least, most) if least <= most else (0.0, 0.0)
            low, high = least if low is None else low, most if high is None else high
        return float(low), float(high) if high > low else float(low) + 1.0

    def write(self, step: int, population: Mapping[str, NDArray[Any]], left: NDArray[np.int64], *, last: bool) -> None:
        """Count everyone who is present, if it is time or this is the last step."""
        now = time.monotonic()
        if now < self._due and not last:
            return
        here = left < 0 if (left >= 0).any() else np.zeros(0, np.bool_)
        self._record[:] = 0
        self._record[0] = step
        for k, name in enumerate(self.shown.columns):
            place = 1 + k * (2 + BINS)
            counts = self._record[place + 2 : place + 2 + BINS]
            if name in self.shown.ranges:
                low, high = self._range(name, population[name], here)
                self._record[place : place + 2].view(np.float64)[:] = low, high
                _count_numbers(population[name], here, low, high, counts)
            else:
                _count_codes(population[name], here, counts)
        spent = time.monotonic() - now if self._warm else 0.0  # the first count compiles
        self._warm = True
        with storage_errors(self.path.parent), self.path.open("ab") as file:
            file.write(self._record.tobytes())
        self._written += 1
        self._due = time.monotonic() + max(PAUSE_S, spent / COST_SHARE) * 2 ** (self._written // MOST_RECORDS)


@dataclass(frozen=True)
class Whole:
    """The counts of a run.

    Attributes:
        steps: Counted steps, ascending, int64 (s,).
        counts: By column: int64 (s, 64); of a category or a yes/no the first places are its codes.
        ranges: (low, high) over which the 64 bins of a number lie, in its unit.
    """

    steps: NDArray[np.int64]
    counts: Mapping[str, NDArray[np.int64]]
    ranges: Mapping[str, tuple[float, float]]


def read_whole(folder: Path) -> Whole | None:
    """Return a run's counts; None where nobody was counted. A step that was computed again counts once.

    Raises:
        RunError: `whole.bin` holds no counts.
    """
    path = Path(folder) / WHOLE_NAME
    if not path.is_file():
        return None
    content = path.read_bytes()
    try:
        head = json.loads(content[: content.index(b"\n")])
        columns = [(str(column["name"]), bool(column["number"])) for column in head["columns"]]
        bins = int(head["bins"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} holds no counts; delete it, the run makes a new one") from error
    width = 1 + (2 + bins) * len(columns)
    start = content.index(b"\n") + 1
    n_records = (len(content) - start) // (8 * width)
    records = np.frombuffer(content, np.int64, n_records * width, start).reshape(n_records, width)
    newest = {step: place for place, step in enumerate(records[:, 0].tolist())}
    records = records[[newest[step] for step in sorted(newest)]]
    counts, ranges = {}, {}
    for k, (name, is_number) in enumerate(columns):
        place = 1 + k * (2 + bins)
        counts[name] = records[:, place + 2 : place + 2 + bins]
        if is_number and len(records):
            spans = np.ascontiguousarray(records[:, place : place + 2]).view(np.float64)
            ranges[name] = float(spans[:, 0].min()), float(spans[:, 1].max())
            counts[name] = _rebin(counts[name], spans, *ranges[name])
    return Whole(records[:, 0], counts, ranges)


def _rebin(counts: NDArray[np.int64], spans: NDArray[np.float64], low: float, high: float) -> NDArray[np.int64]:
    """Bring counts over different ranges onto one: each bin goes where its middle lies."""
    n_records, bins = counts.shape
    middles = spans[:, :1] + (spans[:, 1:] - spans[:, :1]) * (np.arange(bins) + 0.5) / bins
    target = np.clip(np.floor((middles - low) / (high - low) * bins), 0, bins - 1).astype(np.int64)
    together = np.bincount(
        (target + bins * np.arange(n_records)[:, None]).ravel(), weights=counts.ravel(), minlength=n_records * bins
    )
    return together.reshape(n_records, bins).astype(np.int64)
