"""Live frames: a small memory-mapped file that shows the newest step, lossy and never flushed to the disk.

Two slots take turns. A writer makes a slot's sequence number odd, fills the slot, makes the number even and then
names the slot as the newest; a reader whose slot changed under its hands reads again.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import RunError
from engine.population.columns import Column
from engine.store.disk import storage_errors

LIVE_NAME, LAYOUT_NAME, META_NAME = "live.bin", "layout.npz", "meta.json"
MAGIC = b"MCLIVE01"
_HEADER = struct.Struct("<8sIIQ")  # magic, nodes, columns, newest sequence number
_SLOT = struct.Struct("<Qq")  # sequence number, step
_ATTEMPTS = 100

Codes = NDArray[np.uint8]


class LiveWriter:
    """Writes frames of one byte per shown agent and column; one writer per run."""

    def __init__(self, folder: Path, n_nodes: int, columns: Sequence[str]) -> None:
        """Make a fresh `live.bin`; readers of an older one notice.

        Args:
            folder: The run's folder.
            n_nodes: Number of shown agents.
            columns: Names of the shown columns.
        """
        self.columns, self.n_nodes = tuple(columns), n_nodes
        self._slot_size = _SLOT.size + n_nodes * len(self.columns)
        self._sequence = 0
        path, partial = folder / LIVE_NAME, folder / f".{LIVE_NAME}.partial"
        with storage_errors(folder):
            partial.write_bytes(_HEADER.pack(MAGIC, n_nodes, len(self.columns), 0) + bytes(2 * self._slot_size))
            with partial.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
            partial.replace(path)

    def write(self, step: int, values: Mapping[str, Codes]) -> None:
        """Show a step: one uint8 array of shape (n_nodes,) per column."""
        self._sequence += 1
        start = _HEADER.size + (self._sequence % 2) * self._slot_size
        _SLOT.pack_into(self._map, start, 2 * self._sequence - 1, step)
        place = start + _SLOT.size
        for name in self.columns:
            self._map[place : place + self.n_nodes] = values[name].tobytes()
            place += self.n_nodes
        _SLOT.pack_into(self._map, start, 2 * self._sequence, step)
        struct.pack_into("<Q", self._map, _HEADER.size - 8, self._sequence)

    def close(self) -> None:
        """Close the map; the last frame stays readable."""
        self._map.close()


class LiveReader:
    """Reads the newest frame of a run, in a `with` block or until `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._map: mmap.mmap | None = None
        self._inode = -1
        self._columns: tuple[str, ...] = ()

    def __enter__(self) -> LiveReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def read(self) -> tuple[int, int, dict[str, Codes]] | None:
        """Return (step, sequence number, column -> uint8 (n_nodes,)) of the newest frame; None while there is none.

        The sequence number grows by one with each frame of one worker; a worker that takes the run up again begins
        anew.

        Raises:
            RunError: `live.bin` is not a file of live frames.
        """
        live = self._open()
        if live is None:
            return None
        magic, n_nodes, n_columns, _ = _HEADER.unpack_from(live, 0)
        slot_size = _SLOT.size + n_nodes * n_columns
        if magic != MAGIC or len(live) != _HEADER.size + 2 * slot_size or n_columns != len(self._columns):
            raise RunError(f"{self.folder / LIVE_NAME} holds no live frames; delete it, the run makes a new one")
        for _ in range(_ATTEMPTS):
            newest = _HEADER.unpack_from(live, 0)[3]
            if newest == 0:
                return None
            start = _HEADER.size + (newest % 2) * slot_size
            before, step = _SLOT.unpack_from(live, start)
            content = live[start + _SLOT.size : start + slot_size]
            after, _ = _SLOT.unpack_from(live, start)
            if before == after == 2 * newest:
                rows = np.frombuffer(content, np.uint8).reshape(n_columns, n_nodes)
                return int(step), int(newest), dict(zip(self._columns, rows, strict=True))
        return None

    def _open(self) -> mmap.mmap | None:
        path = self.folder / LIVE_NAME
        try:
            inode = path.stat().st_ino
            if self._map is None or inode != self._inode:
                self.close()
                with path.open("rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._inode = inode
                self._columns = tuple(column["name"] for column in read_meta(self.folder)["columns"])
        except FileNotFoundError:
            return None
        return self._map


@dataclass(frozen=True)
class Shown:
    """Which agents a run shows live, and how their columns become bytes.

    Attributes:
        ids: Shown agents, int64 (k,).
        columns: Column of each shown name.
        ranges: (low, high) of each number, in its unit.
    """

    ids: NDArray[np.int64]
    columns: Mapping[str, Column]
    ranges: Mapping[str, tuple[float, float]]

    def encode(self, population: Mapping[str, NDArray[Any]]) -> dict[str, Codes]:
        """Return one byte per shown agent and column: codes, 0/1, or 0..255 over the range (clipped)."""
        return {name: self._encode(name, population[name][self.ids]) for name in self.columns}

    def _encode(self, name: str, values: NDArray[Any]) -> Codes:
        if name not in self.ranges:
            codes: Codes = np.clip(values, 0, 255).astype(np.uint8)
            return codes
        low, high = self.ranges[name]
        share = (values.astype(np.float64) - low) / (high - low)
        scaled: Codes = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
        return scaled


def choose_shown(
    ids: NDArray[np.int64], columns: Mapping[str, Column], population: Mapping[str, NDArray[Any]]
) -> Shown:
    """Return how a run shows its state columns; a number without a declared range takes the one present now."""
    ranges = {}
    for name, column in columns.items():
        if column.kind in ("float", "integer"):
            values = population[name]
            low = float(values.min()) if column.low is None else column.low
            high = float(values.max()) if column.high is None else column.high
            ranges[name] = (low, high if high > low else low + 1.0)
    return Shown(np.asarray(ids, np.int64), columns, ranges)


def write_meta(folder: Path, shown: Shown, n_agents: int) -> None:
    """Write `meta.json`: what the live columns mean, and which part of the agents is shown."""
    columns = [
        {
            "name": name,
            "kind": column.kind,
            "labels": ["no", "yes"] if column.kind == "boolean" else list(column.labels),
            "range": list(shown.ranges.get(name, ())),
            "unit": column.unit,
            "help": column.help,
        }
        for name, column in shown.columns.items()
    ]
    part = f"{shown.ids.size:,} of {n_agents:,} agents: neighbourhoods drawn in proportion to state and number of ties"
    note = part if shown.ids.size < n_agents else ""
    content = json.dumps({"columns": columns, "note": note, "n_agents": n_agents}, indent=1)
    partial = folder / f".{META_NAME}.partial"
    with storage_errors(folder):
        partial.write_text(content, encoding="utf-8")
        partial.replace(folder / META_NAME)


def read_meta(folder: Path) -> dict[str, Any]:
    """Return the content of `meta.json`.

    Raises:
        FileNotFoundError: the run shows nothing yet.
    """
    content: dict[str, Any] = json.loads((Path(folder) / META_NAME).read_text(encoding="utf-8"))
    return content


def write_layout(folder: Path, ids: NDArray[Any], xy: NDArray[Any], edges: NDArray[Any]) -> None:
    """Write `layout.npz`: ids, x and y in [-1, 1], and ties as positions into ids (source, target)."""
    partial = folder / f".{LAYOUT_NAME}.partial"
    with storage_errors(folder):
        with partial.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                ids=np.asarray(ids, np.int64),
                x=np.asarray(xy[:, 0], np.float32),
                y=np.asarray(xy[:, 1], np.float32),
                source=np.asarray(edges[:, 0], np.uint32),
                target=np.asarray(edges[:, 1], np.uint32),
            )
        partial.replace(folder / LAYOUT_NAME)


def read_layout(folder: Path) -> dict[str, NDArray[Any]] | None:
    """Return ids, x, y, source and target of the shown agents; None while there is no layout."""
    path = Path(folder) / LAYOUT_NAME
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
