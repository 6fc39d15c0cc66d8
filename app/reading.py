"""Light reads: tables of a run without its measures, of which a long run has millions, and the list of all runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from engine import store
from engine.errors import MicrocosmError, RunError
from engine.runs import RunInfo, Workspace, read_info
from engine.store.catalog import CATALOG_NAME, Catalog
from engine.store.database import connect, fill, has_database

ATTEMPTS = 3


class _WithoutMeasures(Catalog):
    """A catalog whose measures and digests stay where they are; the studio reads them step by step instead."""

    def measures(self, after: int = -1) -> list[tuple[int, str, str, float | None]]:
        """Return nothing."""
        return []

    def digests(self) -> dict[int, str]:
        """Return nothing."""
        return {}


def read_query(folder: Path, sql: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
    """Return the result of one of the studio's own queries; the tables `measures` and `digests` may be empty.

    Raises:
        RunError: the run's files cannot be read.
    """
    with Catalog(folder) as catalog:
        if has_database(folder, catalog):
            return store.query(folder, sql, parameters)
    for attempt in range(ATTEMPTS):
        try:
            with _WithoutMeasures(folder) as catalog, connect() as connection:
                fill(connection, catalog, materialise=False)
                frame: pl.DataFrame = connection.sql(sql, params=list(parameters)).pl()
                return frame
        except (duckdb.IOException, FileNotFoundError) as error:
            # The worker merges small segments now and then: the next look finds the merged one.
            if attempt == ATTEMPTS - 1:
                raise RunError(f"{folder} cannot be read: {str(error).splitlines()[0]}") from error
            time.sleep(0.05)
    raise AssertionError("unreachable")


_MARKS: dict[Path, tuple[tuple[int, ...], RunInfo]] = {}
_MARKS_LOCK = threading.Lock()
SETTLED = frozenset({"queued", "done", "cancelled", "failed", "paused", "interrupted"})
"""Statuses that only a write to the catalog ends; a run that goes on may also lose its worker without one."""


def all_runs(workspace: Workspace) -> list[RunInfo]:
    """Return the workspace's runs, newest first; only those whose catalog changed since the last look are read again.

    A folder that cannot be read as a run is left out.
    """
    found = []
    for folder in workspace.runs.iterdir() if workspace.runs.is_dir() else ():
        mark = _mark(folder / CATALOG_NAME)
        if mark is None:
            continue
        with _MARKS_LOCK:
            held = _MARKS.get(folder)
        if held is None or held[0] != mark or held[1].status not in SETTLED:
            try:
                held = (mark, read_info(folder))
            except (MicrocosmError, json.JSONDecodeError, KeyError):
                continue
            with _MARKS_LOCK:
                _MARKS[folder] = held
        found.append(held[1])
    return sorted(found, key=lambda info: (info.created_at, info.run_id), reverse=True)


def _mark(catalog: Path) -> tuple[int, ...] | None:
    """Return what tells one state of a catalog from another: times and sizes of its two files; None without any."""
    try:
        own = catalog.stat()
    except OSError:
        return None
    try:
        log = catalog.with_name(catalog.name + "-wal").stat()
    except FileNotFoundError:  # the log goes away with the last connection
        return own.st_mtime_ns, own.st_size
    return own.st_mtime_ns, own.st_size, log.st_mtime_ns, log.st_size
