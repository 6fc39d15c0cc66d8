"""Read tables of a run at any moment without waiting for its measures, of which a long run has millions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from engine import store
from engine.errors import RunError
from engine.store.catalog import Catalog
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
