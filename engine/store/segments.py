"""Immutable Parquet segments: written durably first, committed in the catalog last."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.store.catalog import Catalog, CheckpointRow, Segment, drop_segments, put_segments, put_status
from engine.store.disk import storage_errors, sync_folder, write_durably
from engine.store.schema import STEP_COLUMN

SEGMENT_FOLDER = "segments"
MERGE_COUNT = 8
"""So many neighbours of one level become one segment of the next: a run keeps tens of files, not thousands."""
MERGE_MAX_ROWS = 8_000_000
GRACE_S = 60.0
"""How long a file that the catalog no longer names stays for readers that still hold its name."""
_ROW_GROUP = 250_000


@dataclass
class Commit:
    """What becomes readable at once.

    Attributes:
        first, last: Steps covered.
        tables: Rows by segment table.
        measures: (step, measure, segment, value).
        digests: (step, digest).
        checkpoint: A checkpoint whose file is already durable.
        status: Status values that change with it.
        written: Segments whose files are already durable.
    """

    first: int
    last: int
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    measures: Sequence[tuple[int, str, str, float | None]] = ()
    digests: Sequence[tuple[int, str]] = ()
    checkpoint: CheckpointRow | None = None
    status: Mapping[str, Any] = field(default_factory=dict)
    written: Sequence[Segment] = ()


def write_segment(folder: Path, name: str, frame: pl.DataFrame, first: int, last: int, level: int = 0) -> Segment:
    """Write one segment file durably, not yet committed.

    Whole numbers are delta-coded, so that sorted agent ids take about a byte each.

    Args:
        folder: The run's folder.
        name: Segment table.
        frame: Its rows.
        first: First step covered.
        last: Last step covered.
        level: How often the rows were merged.
    """
    path = f"{SEGMENT_FOLDER}/{name}-{first:08d}-{last:08d}-{secrets.token_hex(3)}.parquet"
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    size = write_durably(folder / path, lambda partial: _write_parquet(table, partial))
    return Segment(path, name, first, last, frame.height, size, level)


def _write_parquet(table: pa.Table, path: Path) -> None:
    numbers = [f.name for f in table.schema if pa.types.is_int32(f.type) or pa.types.is_int64(f.type)]
    delta = [name for name in numbers if name not in ("step", "situation_id", "text_id", "prefix_id", "suffix_id")]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        row_group_size=_ROW_GROUP,
        store_schema=False,
        use_dictionary=[name for name in table.column_names if name not in delta],
        column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
    )


def commit(catalog: Catalog, content: Commit) -> None:
    """Write the tables as segments, then commit everything in one catalog transaction.

    Raises:
        StorageFull: the disk took no more; nothing of the commit is visible then.
    """
    with storage_errors(catalog.folder):
        written = [
            write_segment(catalog.folder, name, frame, content.first, content.last)
            for name, frame in content.tables.items()
            if frame.height
        ]
        if written:
            sync_folder(catalog.folder / SEGMENT_FOLDER)
    with catalog.transaction() as connection:
        put_segments(connection, [*content.written, *written])
        connection.executemany("insert into measures values (?, ?, ?, ?)", content.measures)
        connection.executemany("insert into digests values (?, ?)", content.digests)
        if content.checkpoint is not None:
            put_checkpoint(connection, content.checkpoint)
        put_status(connection, content.status)


def put_checkpoint(connection: sqlite3.Connection, row: CheckpointRow) -> None:
    """Commit a checkpoint within a transaction."""
    connection.execute(
        "insert or replace into checkpoints values (?, ?, ?, ?, ?)",
        (row.step, row.path, row.bytes, row.checksum, json.dumps(row.note)),
    )


def merge_segments(catalog: Catalog, name: str) -> bool:
    """Merge the first group of neighbouring small segments of one table, if there is one.

    Returns:
        Whether something was merged; call again until nothing is.

    Raises:
        StorageFull: the disk took no more; the old segments stay.
    """
    group = _mergeable(catalog.segments(name))
    if not group:
        return False
    with storage_errors(catalog.folder):
        rows = pl.concat([read_segment(catalog.folder, segment) for segment in group])
        level = max(segment.level for segment in group) + 1
        merged = write_segment(catalog.folder, name, rows, group[0].first, group[-1].last, level)
        sync_folder(catalog.folder / SEGMENT_FOLDER)
    with catalog.transaction() as connection:
        drop_segments(connection, group)
        put_segments(connection, [merged])
    remove_dropped(catalog)
    return True


def _mergeable(segments: Sequence[Segment]) -> list[Segment]:
    for level in sorted({segment.level for segment in segments}):
        group: list[Segment] = []
        for segment in segments:
            same = segment.level == level and sum(s.rows for s in group) + segment.rows <= MERGE_MAX_ROWS
            group = [*group, segment] if same else ([segment] if segment.level == level else [])
            if len(group) == MERGE_COUNT:
                return group
    return []


def read_segment(folder: Path, segment: Segment) -> pl.DataFrame:
    """Return the rows of one segment."""
    frame = pl.from_arrow(pq.read_table(folder / segment.path))
    assert isinstance(frame, pl.DataFrame)
    return frame


def remove_dropped(catalog: Catalog, grace_s: float = GRACE_S) -> None:
    """Delete the files of segments that were dropped long enough ago."""
    old = catalog.select("select path from segments where dropped_at < ?", (time.time() - grace_s,))
    for (path,) in old:
        (catalog.folder / path).unlink(missing_ok=True)
    if old:
        with catalog.transaction() as connection:
            connection.executemany("delete from segments where path = ? and dropped_at is not null", old)


def remove_strays(catalog: Catalog) -> None:
    """Delete what a killed worker left: files without a catalog entry. Only the worker that holds the lock may."""
    known = {path for (path,) in catalog.select("select path from segments union select path from checkpoints")}
    for name in (SEGMENT_FOLDER, "checkpoints"):
        folder = catalog.folder / name
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if f"{name}/{path.name}" not in known:
                path.unlink()


def rewind(catalog: Catalog, step: int) -> None:
    """Forget everything after a step (-1: everything), except the journal.

    A segment that covers steps on both sides is cut.

    Raises:
        StorageFull: the disk took no more.
    """
    after = [segment for segment in catalog.segments() if segment.last > step]
    with storage_errors(catalog.folder):
        kept = [_cut(catalog.folder, segment, step, catalog.folder) for segment in after if segment.first <= step]
        if kept:
            sync_folder(catalog.folder / SEGMENT_FOLDER)
    with catalog.transaction() as connection:
        drop_segments(connection, after)
        put_segments(connection, kept)
        for table in ("measures", "digests", "checkpoints"):
            connection.execute(f"delete from {table} where step > ?", (step,))
    remove_dropped(catalog)


def _cut(source: Path, segment: Segment, step: int, folder: Path) -> Segment:
    column = STEP_COLUMN.get(segment.name, "step")
    rows = read_segment(source, segment).filter(pl.col(column) <= step)
    return write_segment(folder, segment.name, rows, segment.first, step, segment.level)


def copy_history(parent: Catalog, child: Catalog, at: int) -> None:
    """Give a child run everything that its parent committed up to a step.

    Files are shared as hard links where the file system has them; segments are never changed, so both may.

    Args:
        parent: Read only.
        child: A new run's catalog.
        at: Last step that the child shares.

    Raises:
        StorageFull: the disk took no more.
    """
    with storage_errors(child.folder):
        segments = []
        for segment in parent.segments():
            if segment.last <= at:
                link_or_copy(parent.folder / segment.path, child.folder / segment.path)
                segments.append(segment)
            elif segment.first <= at:
                segments.append(_cut(parent.folder, segment, at, child.folder))
        checkpoints = [row for row in parent.checkpoints() if row.step <= at][:2]
        for row in checkpoints:
            link_or_copy(parent.folder / row.path, child.folder / row.path)
        sync_folder(child.folder / SEGMENT_FOLDER)
    measures = parent.select("select step, measure, segment, value from measures where step <= ?", (at,))
    digests = parent.select("select step, digest from digests where step <= ?", (at,))
    # An injection journalled at `at` acts on the state at `at` and shows at the next step: it is after the fork.
    journal = parent.select(
        "select step, call, kind, key, value, batch, 1 from journal where step <= ? "
        "and not (kind = 'inject' and step = ?)",
        (at, at),
    )
    with child.transaction() as connection:
        put_segments(connection, segments)
        connection.executemany("insert into measures values (?, ?, ?, ?)", measures)
        connection.executemany("insert into digests values (?, ?)", digests)
        connection.executemany("insert into journal values (?, ?, ?, ?, ?, ?, ?)", journal)
        for row in checkpoints:
            put_checkpoint(connection, row)


def link_or_copy(source: Path, target: Path) -> None:
    """Make a file appear under a second name, as a hard link if possible."""
    with contextlib.suppress(OSError):
        target.hardlink_to(source)
        return
    shutil.copyfile(source, target)
