"""Build `run.duckdb` from the committed segments: the artefact that people keep and query."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.store.catalog import Catalog
from engine.store.database import DATABASE_NAME, connect, fill
from engine.store.disk import storage_errors, sync_folder
from engine.store.schema import MAX_EDGES


def consolidate(folder: Path | str, *, status: Mapping[str, Any] | None = None) -> Path:
    """Build `run.duckdb` afresh under a temporary name, rename it, and return its path.

    More than 5 million static ties stay in their Parquet files; `read_edges` and an export find them there.

    Args:
        folder: The run's folder.
        status: Status values to write into the table `run` in place of the catalog's.

    Raises:
        RunNotFound: the folder is no run.
        StorageFull: the disk took no more; the segments stay readable.
    """
    home = Path(folder)
    with Catalog(home) as catalog:
        path = build_database(catalog, home / DATABASE_NAME, edge_limit=MAX_EDGES, status=status)
        catalog.write_status(consolidated=True)
    return path


def build_database(
    catalog: Catalog, path: Path, *, edge_limit: int | None = None, status: Mapping[str, Any] | None = None
) -> Path:
    """Build a database file with every table of a run and return its path.

    Raises:
        StorageFull: the disk took no more; nothing is left under `path`.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with storage_errors(path.parent):
        try:
            partial.unlink(missing_ok=True)
            with connect(partial) as connection:
                connection.execute("set memory_limit = '1GB'; set threads = 2")
                fill(connection, catalog, materialise=True, edge_limit=edge_limit, status=status)
                connection.execute("checkpoint")
            partial.replace(path)
            sync_folder(path.parent)
        finally:
            for left in path.parent.glob(f"{partial.name}*"):
                left.unlink(missing_ok=True)
    return path
