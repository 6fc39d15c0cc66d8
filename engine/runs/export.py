"""Write a run in a form that other programs read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from engine.errors import NetworkError, PopulationError, ReportError
from engine.runs.graph_export import FORMS, write_ties
from engine.runs.otree import write_otree
from engine.runs.records import STUDY_NAME, read_info
from engine.runs.statistics_export import write_agents
from engine.store.catalog import Catalog
from engine.store.consolidation import build_database
from engine.store.database import connect, fill
from engine.store.disk import storage_errors
from engine.store.schema import literal, quoted

FORMATS = ("duckdb", "parquet", "csv", "sav", "dta", "otree", *FORMS)
_FILES = ("duckdb", "sav", "dta", "otree", *FORMS)
_SUFFIXES = {"sav": ".sav", "dta": ".dta", "otree": ".csv", **FORMS}
LEFT_OUT = ("situation_parts", "digests")
_FORMULA = "^[=+@\\t\\r-]"


def export_run(folder: Path, to: str, out: Path) -> Path:
    """Write every table of a run, all ties included, and return where.

    Args:
        folder: The run's folder; of a run that goes on, what it has committed so far.
        to: duckdb (one file), parquet or csv (a folder with one file per table and the study), sav or dta (the agents,
            one row each, with labels and missing codes, and a codebook beside the file); otree (one CSV of participants
            and rounds; several runs go into one file by `write_otree`); graphml, gexf, pajek or matrix (the ties of the
            last step, one file per layer, with the agents' columns where the form has them).
        out: File or folder to write; must not exist yet, an empty folder excepted.

    Raises:
        ReportError: an unknown form, a file name that does not end like the form, or `out` is there already.
        StorageFull: the disk is full.
    """
    if to not in FORMATS:
        raise ReportError(f"'{to}' is not a form of export; valid: {', '.join(FORMATS)}")
    if to in _SUFFIXES and out.suffix.lower() != _SUFFIXES[to]:
        raise ReportError(f"'{out.name}' must end in {_SUFFIXES[to]}; name the file so")
    read_info(folder)
    if out.exists() and (to in _FILES or not out.is_dir() or any(out.iterdir())):
        raise ReportError(f"{out} exists already; name another place, or delete it first")
    try:
        with storage_errors(out.parent):
            return _EXPORTS[to](folder, out)
    except OSError as error:
        raise ReportError(f"{out} cannot be written: {error}") from error


def _export_duckdb(folder: Path, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    with Catalog(folder) as catalog:
        return build_database(catalog, out)


def _export_parquet(folder: Path, out: Path) -> Path:
    return _export_tables(folder, out, "parquet", lambda name, _: f"select * from {quoted(name)}", "format parquet")


def _export_csv(folder: Path, out: Path) -> Path:
    return _export_tables(folder, out, "csv", _safe_select, "format csv, header true")


def _export_statistics(folder: Path, out: Path) -> Path:
    try:
        return write_agents(folder, out)
    except PopulationError as error:
        raise ReportError(str(error)) from None


def _export_tables(
    folder: Path, out: Path, suffix: str, select: Callable[[str, Mapping[str, str]], str], options: str
) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    with Catalog(folder) as catalog, connect() as connection:
        fill(connection, catalog, materialise=False)
        for name in sorted({*_tables(connection)} - {*LEFT_OUT}):
            path = out / f"{name}.{suffix}"
            query = select(name, _columns(connection, name))
            connection.execute(f"copy ({query}) to {literal(str(path))} ({options})")
    shutil.copyfile(folder / STUDY_NAME, out / STUDY_NAME)
    return out


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    hidden = ("arrivals", "departures", "network_start", "tie_changes")
    rows = connection.sql("select distinct table_name from information_schema.tables").fetchall()
    return [str(name) for (name,) in rows if name not in hidden]


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    rows = connection.sql(f"describe select * from {quoted(table)}").fetchall()
    columns = {str(row[0]): str(row[1]) for row in rows}
    if table == "states":
        meanings = connection.sql(
            "select \"column\", labels from columns where \"table\" = 'states' and kind = 'category'"
        ).fetchall()
        columns |= {str(name): "labels " + json.dumps(labels) for name, labels in meanings if name in columns}
    return columns


def _safe_select(table: str, columns: Mapping[str, str]) -> str:
    """Return a query whose texts no spreadsheet takes for a formula; codes of states become their labels."""
    return f"select {', '.join(_safe_column(name, kind) for name, kind in columns.items())} from {quoted(table)}"


def _safe_column(name: str, kind: str) -> str:
    value = quoted(name)
    if kind.startswith("labels "):
        labels = ", ".join(literal(label) for label in json.loads(kind[7:]))
        value, kind = f"([{labels}]::VARCHAR[])[{value}::INTEGER + 1]", "VARCHAR"
    if kind.endswith("[]"):
        value, kind = f"to_json({value})::VARCHAR", "VARCHAR"
    if kind in ("VARCHAR", "JSON"):
        text = f"{value}::VARCHAR"
        value = f"case when regexp_matches({text}, {literal(_FORMULA)}) then '''' || {text} else {text} end"
    heading = f"'{name}" if name[:1] in "=+-@\t\r" else name
    return f"{value} as {quoted(heading)}"


def _export_ties(to: str) -> Callable[[Path, Path], Path]:
    def export(folder: Path, out: Path) -> Path:
        try:
            return write_ties(folder, to, out)
        except NetworkError as error:
            raise ReportError(str(error)) from None

    return export


_EXPORTS: Mapping[str, Callable[[Path, Path], Path]] = {
    "duckdb": _export_duckdb,
    "parquet": _export_parquet,
    "csv": _export_csv,
    "sav": _export_statistics,
    "dta": _export_statistics,
    "otree": lambda folder, out: write_otree([folder], out),
    **{form: _export_ties(form) for form in FORMS},
}
