"""Durable files, and one clear error when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import polars as pl

from engine.errors import StorageFull

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PHRASES = ("no space left", "disk is full", "disk quota", "os error 28", "errno 28")


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error means that the disk took no more; polars, SQLite and DuckDB each say it their way."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    kinds = (OSError, pl.exceptions.ComputeError, sqlite3.OperationalError, duckdb.Error)
    return isinstance(error, kinds) and any(phrase in str(error).lower() for phrase in _PHRASES)


@contextlib.contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn every form of "disk full" in the block into `StorageFull`.

    Raises:
        StorageFull: the disk that holds `folder` refused a write.
    """
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        free = f"{shutil.disk_usage(folder).free / 1e6:.0f} MB free" if folder.exists() else "space unknown"
        raise StorageFull(
            f"the disk that holds {folder} is full ({free}); all committed steps are kept and can be read: "
            "free some space there, then resume the run"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, write: Callable[[Path], None]) -> int:
    """Write a file under a temporary name, flush it to the disk and rename it; return its bytes.

    The folder's own entry is not yet durable: the caller ends a group of files with `sync_folder`.

    Args:
        path: Final name.
        write: Writes the content to the path that it is given.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        handle = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(handle)
            size = os.fstat(handle).st_size
        finally:
            os.close(handle)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return size
