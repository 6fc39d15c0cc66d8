"""Checkpoints: a world between two steps as arrays, with a checksum, never pickled."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.store.catalog import Catalog, CheckpointRow
from engine.store.disk import storage_errors, sync_folder, write_durably

CHECKPOINT_FOLDER = "checkpoints"
KEPT = 24
"""Above so many, every second of the older checkpoints goes."""
KEPT_BYTES = 1_000_000_000

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A world after a step, with the digest up to it and the recorder's note."""

    step: int
    state: State
    digest: str
    note: Mapping[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> CheckpointRow:
    """Write a checkpoint durably, not yet committed.

    Raises:
        StorageFull: the disk took no more.
    """
    path = f"{CHECKPOINT_FOLDER}/{checkpoint.step:08d}.npz"
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(checkpoint.state))
    content = buffer.getbuffer()
    (folder / CHECKPOINT_FOLDER).mkdir(exist_ok=True)

    def write(partial: Path) -> None:
        partial.write_bytes(content)

    with storage_errors(folder):
        size = write_durably(folder / path, write)
        sync_folder(folder / CHECKPOINT_FOLDER)
    note = {"digest": checkpoint.digest, "recorder": dict(checkpoint.note)}
    return CheckpointRow(checkpoint.step, path, size, _checksum(content), note)


def _checksum(content: bytes | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_checkpoint(folder: Path, row: CheckpointRow) -> Checkpoint | None:
    """Return a checkpoint, or None where its file is missing or not what was written."""
    try:
        content = (folder / row.path).read_bytes()
    except FileNotFoundError:
        return None
    if _checksum(content) != row.checksum:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        state = {name: arrays[name] for name in arrays.files}
    return Checkpoint(row.step, state, str(row.note["digest"]), row.note["recorder"])


def find_checkpoint(catalog: Catalog, at_most: int | None = None) -> Checkpoint | None:
    """Return the latest whole checkpoint up to a step (any step by default), or None.

    A checkpoint counts only if the catalog's own digest of its step is the same.
    """
    for row in catalog.checkpoints():
        if at_most is not None and row.step > at_most:
            continue
        checkpoint = read_checkpoint(catalog.folder, row)
        if checkpoint is not None and checkpoint.digest == catalog.digest_at(row.step):
            return checkpoint
    return None


def thin_checkpoints(catalog: Catalog) -> None:
    """Remove every second of the older checkpoints when there are many, or much; the last two always stay."""
    rows = catalog.checkpoints()
    if len(rows) <= KEPT and (len(rows) <= 3 or sum(row.bytes for row in rows) <= KEPT_BYTES):
        return
    old = rows[2::2]
    with catalog.transaction() as connection:
        connection.executemany("delete from checkpoints where step = ?", [(row.step,) for row in old])
    for row in old:
        (catalog.folder / row.path).unlink(missing_ok=True)
