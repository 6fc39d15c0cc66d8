"""Tables of a run: their columns and types, once, for segments, views and `run.duckdb`.

All tables are append-only. `SEGMENT_TABLES` are written by the worker as Parquet; `PLAIN_TABLES` are small and come
from the catalog. Two tables depend on the study: `states` has one column per state column of the scenario, and
`arrivals` (in the end `agents`) one per persona column and one `initial_NAME` per state column.

Category columns of `states` hold codes; the table `columns` says what each code means, with unit, range and help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from engine.errors import RunError

Columns = tuple[tuple[str, str], ...]

SEGMENT_TABLES: Mapping[str, Columns] = {
    "states": (("step", "INTEGER"), ("agent_id", "INTEGER"), ("keyframe", "BOOLEAN")),
    "arrivals": (("agent_id", "INTEGER"), ("entered", "INTEGER")),
    "departures": (("step", "INTEGER"), ("agent_id", "INTEGER")),
    "decisions": (
        ("step", "INTEGER"),
        ("turn", "INTEGER"),
        ("agent_id", "INTEGER"),
        ("decision", "VARCHAR"),
        ("action", "BIGINT"),
        ("p", "FLOAT"),
        ("situation_id", "BIGINT"),
        ("policy", "VARCHAR"),
    ),
    "decision_counts": (
        ("step", "INTEGER"),
        ("decision", "VARCHAR"),
        ("situation_id", "BIGINT"),
        ("action", "BIGINT"),
        ("n", "BIGINT"),
    ),
    "situation_parts": (
        ("step", "INTEGER"),
        ("situation_id", "BIGINT"),
        ("decision", "VARCHAR"),
        ("prefix_id", "BIGINT"),
        ("suffix_id", "BIGINT"),
        ("options", "VARCHAR[]"),
        ("logp", "DOUBLE[]"),
        ("raw_logp", "DOUBLE[]"),
        ("mass", "DOUBLE"),
        ("model", "VARCHAR"),
        ("source", "VARCHAR"),
        ("debiased_logp", "DOUBLE[]"),
    ),
    "texts": (("step", "INTEGER"), ("text_id", "BIGINT"), ("text", "VARCHAR")),
    "messages": (
        ("step", "INTEGER"),
        ("turn", "INTEGER"),
        ("message_id", "BIGINT"),
        ("agent_id", "INTEGER"),
        ("parent_id", "BIGINT"),
        ("channel", "VARCHAR"),
        ("text", "VARCHAR"),
        ("situation_id", "BIGINT"),
    ),
    "events": (("step", "INTEGER"), ("kind", "VARCHAR"), ("agent_id", "INTEGER"), ("detail", "VARCHAR")),
    "network_start": (("layer", "VARCHAR"), ("source", "INTEGER"), ("target", "INTEGER"), ("weight", "FLOAT")),
    "file_ids": (("layer", "VARCHAR"), ("agent_id", "INTEGER"), ("file_id", "VARCHAR")),
    "tie_changes": (
        ("step", "INTEGER"),
        ("position", "INTEGER"),
        ("layer", "VARCHAR"),
        ("source", "INTEGER"),
        ("target", "INTEGER"),
        ("weight", "FLOAT"),
        ("added", "BOOLEAN"),
    ),
    "memories": (
        ("step", "INTEGER"),
        ("agent_id", "INTEGER"),
        ("memory_id", "BIGINT"),
        ("kind", "VARCHAR"),
        ("text", "VARCHAR"),
        ("importance", "DOUBLE"),
        ("evidence", "BIGINT[]"),
    ),
    "surveys": (
        ("step", "INTEGER"),
        ("agent_id", "INTEGER"),
        ("instrument", "VARCHAR"),
        ("item", "VARCHAR"),
        ("answer", "VARCHAR"),
        ("p", "DOUBLE[]"),
        ("order_shown", "INTEGER[]"),
    ),
}

PLAIN_TABLES: Mapping[str, Columns] = {
    "run": (
        ("run_id", "VARCHAR"),
        ("title", "VARCHAR"),
        ("scenario", "VARCHAR"),
        ("study", "VARCHAR"),
        ("study_hash", "VARCHAR"),
        ("seeds", "JSON"),
        ("replicate", "INTEGER"),
        ("experiment_id", "VARCHAR"),
        ("arm", "VARCHAR"),
        ("parent_run_id", "VARCHAR"),
        ("forked_at", "INTEGER"),
        ("status", "VARCHAR"),
        ("steps", "INTEGER"),
        ("started_at", "TIMESTAMP"),
        ("ended_at", "TIMESTAMP"),
        ("versions", "JSON"),
        ("model", "JSON"),
        ("digest", "VARCHAR"),
    ),
    "columns": (
        ("table", "VARCHAR"),
        ("column", "VARCHAR"),
        ("kind", "VARCHAR"),
        ("labels", "VARCHAR[]"),
        ("unit", "VARCHAR"),
        ("help", "VARCHAR"),
        ("low", "DOUBLE"),
        ("high", "DOUBLE"),
    ),
    "layers": (
        ("layer", "VARCHAR"),
        ("directed", "BOOLEAN"),
        ("complete", "BOOLEAN"),
        ("n_ties", "BIGINT"),
        ("stored", "BOOLEAN"),
    ),
    "measures": (("step", "INTEGER"), ("measure", "VARCHAR"), ("segment", "VARCHAR"), ("value", "DOUBLE")),
    "digests": (("step", "INTEGER"), ("digest", "VARCHAR")),
}

POLICIES = ("rule", "language", "scripted")
MAX_EDGES = 5_000_000
"""Above so many static ties `run.duckdb` leaves them in their Parquet files; an export brings them in."""

LATER_COLUMNS: Mapping[str, frozenset[str]] = {"situation_parts": frozenset({"debiased_logp"})}
"""Columns that segments of older versions lack; there they are null."""

STEP_COLUMN: Mapping[str, str] = {"arrivals": "entered"}
"""The column that says when a row came to be, where it is not `step`; `network_start`, `file_ids` have none: step 0."""

_DUCKDB_TYPES: Mapping[str, str] = {
    "float64": "DOUBLE",
    "float32": "FLOAT",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "int16": "SMALLINT",
    "int8": "TINYINT",
    "uint64": "UBIGINT",
    "uint32": "UINTEGER",
    "uint16": "USMALLINT",
    "uint8": "UTINYINT",
    "bool": "BOOLEAN",
    "object": "VARCHAR",
    "str": "VARCHAR",
}
_POLARS_TYPES: Mapping[str, pl.DataType] = {
    "BOOLEAN": pl.Boolean(),
    "VARCHAR": pl.String(),
    "JSON": pl.String(),
    "TINYINT": pl.Int8(),
    "SMALLINT": pl.Int16(),
    "INTEGER": pl.Int32(),
    "BIGINT": pl.Int64(),
    "UTINYINT": pl.UInt8(),
    "USMALLINT": pl.UInt16(),
    "UINTEGER": pl.UInt32(),
    "UBIGINT": pl.UInt64(),
    "FLOAT": pl.Float32(),
    "DOUBLE": pl.Float64(),
    "TIMESTAMP": pl.Datetime("us"),
}


def duckdb_type(dtype: str) -> str:
    """Return the DuckDB type of a numpy dtype name.

    Raises:
        RunError: arrays of that dtype cannot be recorded.
    """
    name = "str" if np.dtype(dtype).kind == "U" else np.dtype(dtype).name
    if name not in _DUCKDB_TYPES:
        raise RunError(f"columns of dtype {name} cannot be recorded; use one of {', '.join(_DUCKDB_TYPES)}")
    return _DUCKDB_TYPES[name]


def polars_type(sql_type: str) -> pl.DataType:
    """Return the polars type of a DuckDB type used in this module."""
    return pl.List(_POLARS_TYPES[sql_type[:-2]]) if sql_type.endswith("[]") else _POLARS_TYPES[sql_type]


def table_columns(table: str, dynamic: Mapping[str, Sequence[Sequence[str]]]) -> Columns:
    """Return (name, DuckDB type) of every column of a segment or plain table.

    Args:
        table: Name of the table.
        dynamic: (name, type) pairs that the study adds, by table.
    """
    fixed = SEGMENT_TABLES[table] if table in SEGMENT_TABLES else PLAIN_TABLES[table]
    return fixed + tuple((str(name), str(kind)) for name, kind in dynamic.get(table, ()))


def check_column_names(table: str, names: Sequence[str]) -> None:
    """Check that the study's own columns do not hide the recorder's.

    Raises:
        RunError: a name is taken, whatever its case (SQL does not tell cases apart).
    """
    seen = {name.lower() for name, _ in SEGMENT_TABLES[table]}
    for name in names:
        if name.lower() in seen:
            raise RunError(f"a column '{name}' cannot be recorded in the table {table}: the name is taken; rename it")
        seen.add(name.lower())


def quoted(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a quoted SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def create_table(table: str, columns: Columns) -> str:
    """Return the statement that creates a table."""
    return f"create table {quoted(table)} ({', '.join(f'{quoted(name)} {kind}' for name, kind in columns)})"


AGENTS = """select arrivals.*, departures.step as "left" from arrivals left join departures using (agent_id)
    order by agent_id"""

AGENTS_STAYING = 'select *, null::INTEGER as "left" from arrivals order by agent_id'

EDGES_STATIC = "select layer, source, target, weight, 0 as from_step, null::INTEGER as to_step from network_start"

EDGES_CHANGING = """select layer, source, target, weight, step as from_step, next_step as to_step
    from (
        select *, lead(step) over (partition by layer, source, target order by step, position) as next_step
        from (
            select layer, source, target, weight, 0 as step, true as added, -1 as position from network_start
            union all
            select layer, source, target, weight, step, added, position from tie_changes
        )
    )
    where added"""

SITUATIONS = """select situation_id, decision, coalesce(prefixes.text, '') || coalesce(suffixes.text, '') as prompt,
        options, logp, raw_logp, mass, model, source, debiased_logp
    from situation_parts
    left join texts prefixes on prefixes.text_id = prefix_id
    left join texts suffixes on suffixes.text_id = suffix_id"""

STATES_AT = """create macro states_at(at_step) as table
    select at_step::INTEGER as step, * exclude (step, keyframe)
    from states
    where states.step <= at_step
        and states.step >= coalesce((select max(k.step) from states k where k.keyframe and k.step <= at_step), 0)
        and agent_id not in (select agents.agent_id from agents where agents."left" <= at_step)
    qualify row_number() over (partition by agent_id order by states.step desc) = 1
    order by agent_id"""
