"""One DuckDB connection over a run: views over its committed segments, or the tables of `run.duckdb`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from engine.store import schema
from engine.store.catalog import Catalog, Segment
from engine.store.schema import PLAIN_TABLES, SEGMENT_TABLES, literal, quoted, table_columns

DATABASE_NAME = "run.duckdb"
KEPT_TABLES = (
    "states",
    "decisions",
    "decision_counts",
    "situation_parts",
    "texts",
    "messages",
    "events",
    "memories",
    "surveys",
    "file_ids",
)
"""Segment tables that `run.duckdb` has under their own names; the others become `agents` and `edges`."""


def connect(path: Path | None = None, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a database file, or one in memory, that never downloads an extension."""
    spill = Path(tempfile.gettempdir()) / "microcosm-duckdb"
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "temp_directory": str(spill),
    }
    return duckdb.connect(":memory:" if path is None else str(path), read_only=read_only, config=settings)


def fill(
    connection: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    *,
    materialise: bool,
    edge_limit: int | None = None,
    status: Mapping[str, Any] | None = None,
) -> None:
    """Define every table of a run on a connection.

    Args:
        connection: An empty database.
        catalog: The run's catalog.
        materialise: Copy the rows into tables; False makes views over the committed segments.
        edge_limit: Leave the edges out when there are more static ties than this.
        status: Replaces the catalog's status values.
    """
    known = {**catalog.read_status(), **(status or {})}
    dynamic = known.get("dynamic") or {}
    by_name: dict[str, list[Segment]] = {name: [] for name in SEGMENT_TABLES}
    for segment in catalog.segments():
        by_name[segment.name].append(segment)
    kind = "table" if materialise else "view"
    for name, segments in by_name.items():
        own = "temp view" if name not in KEPT_TABLES else kind
        columns = table_columns(name, dynamic)
        if segments:
            later = schema.LATER_COLUMNS.get(name, frozenset())
            source = _parquet(catalog.folder, segments, mixed=bool(later))
            held = set(connection.sql(f"select * from {source}").columns) if later else set()
            chosen = ", ".join(f"{'null' if c in later - held else quoted(c)}::{t} as {quoted(c)}" for c, t in columns)
            connection.execute(f"create {own} {name} as select {chosen} from {source}")
        else:
            empty = ", ".join(f"null::{t} as {quoted(c)}" for c, t in columns)
            connection.execute(f"create {own} {name} as select {empty} where false")
    n_ties = sum(segment.rows for segment in by_name["network_start"])
    changing = bool(by_name["tie_changes"])
    edges = schema.EDGES_CHANGING if changing else schema.EDGES_STATIC
    if edge_limit is not None and n_ties > edge_limit:
        edges = f"select * from ({edges}) limit 0"
    agents = schema.AGENTS if by_name["departures"] else schema.AGENTS_STAYING
    temporary = "" if materialise else "temp "
    connection.execute(f"create {temporary}{kind} agents as {agents}")
    connection.execute(f"create {temporary}{kind} edges as {edges}")
    connection.execute(f"create view situations as {schema.SITUATIONS}")
    _insert_plain(connection, catalog, known)
    connection.execute(schema.STATES_AT)


def _parquet(folder: Path, segments: Sequence[Segment], *, mixed: bool = False) -> str:
    """Return the SQL that reads segments; `mixed` where some may lack columns that others have."""
    files = ", ".join(literal(str((folder / segment.path).resolve())) for segment in segments)
    return f"read_parquet([{files}]{', union_by_name = true' if mixed else ''})"


def _insert_plain(connection: duckdb.DuckDBPyConnection, catalog: Catalog, status: Mapping[str, Any]) -> None:
    study = catalog.folder / "study.toml"
    text = study.read_text(encoding="utf-8") if study.is_file() else None
    rows: dict[str, Sequence[Sequence[Any]]] = {
        "run": [run_row(status, text)],
        "columns": status.get("columns") or [],
        "layers": status.get("layers") or [],
        "measures": catalog.measures(),
        "digests": list(catalog.digests().items()),
    }
    for name, columns in PLAIN_TABLES.items():
        connection.execute(schema.create_table(name, columns))
        types = {column: schema.polars_type(kind) for column, kind in columns}
        incoming = pl.DataFrame(rows[name], schema=types, orient="row")
        connection.register("incoming_rows", incoming.to_arrow(compat_level=pl.CompatLevel.oldest()))
        connection.execute(f"insert into {quoted(name)} select * from incoming_rows")
        connection.unregister("incoming_rows")


def run_row(status: Mapping[str, Any], study: str | None) -> list[Any]:
    """Return the one row of the table `run`.

    Args:
        status: Status values of the catalog.
        study: The study as TOML.
    """
    special = {"study": study, "steps": status.get("step")}
    special |= {key: json.dumps(status.get(key)) for key in ("seeds", "versions", "model")}
    special |= {key: _moment(status.get(key)) for key in ("started_at", "ended_at")}
    return [special[name] if name in special else status.get(name) for name, _ in PLAIN_TABLES["run"]]


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def has_database(folder: Path, catalog: Catalog) -> bool:
    """Tell whether `run.duckdb` is there and stands for everything that the run committed."""
    return (folder / DATABASE_NAME).is_file() and bool(catalog.read_status().get("consolidated"))
