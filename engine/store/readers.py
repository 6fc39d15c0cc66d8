"""Read what a run recorded, while it runs or afterwards, as polars frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb
import polars as pl

from engine.errors import RunError
from engine.store.catalog import CATALOG_NAME, Catalog
from engine.store.database import DATABASE_NAME, connect, fill, has_database
from engine.store.schema import quoted

T = TypeVar("T")


class HasFolder(Protocol):
    """Anything that knows its run's folder: a RunResult, a RunInfo."""

    @property
    def folder(self) -> Path:
        """Folder of the run."""


Run = str | Path | HasFolder


def folder_of(run: Run) -> Path:
    """Return the folder of a run, or the path of its database file, that was given in any form."""
    return Path(run) if isinstance(run, str | Path) else Path(run.folder)


def open_run(run: Run) -> duckdb.DuckDBPyConnection:
    """Open a run's tables for queries; close the connection after use.

    A finished run is read from `run.duckdb`; one that still goes on, from views over what it has committed so far.
    A `.duckdb` file may stand in for the run.

    Raises:
        RunNotFound: no run is there.
    """
    home = folder_of(run)
    if home.is_file() and home.name != CATALOG_NAME:
        return connect(home, read_only=True)
    if not (home / CATALOG_NAME).is_file() and (home / DATABASE_NAME).is_file():
        return connect(home / DATABASE_NAME, read_only=True)
    with Catalog(home) as catalog:
        if has_database(home, catalog):
            return connect(home / DATABASE_NAME, read_only=True)
    return open_segments(home)


def open_segments(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a run's tables as views over its committed segments."""
    with Catalog(folder) as catalog:
        connection = connect()
        try:
            fill(connection, catalog, materialise=False)
        except BaseException:
            connection.close()
            raise
    return connection


def _read(run: Run, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    """Run queries; once more where a segment was merged away, or the database replaced, in between."""
    for attempt in range(3):
        try:
            with open_run(run) as connection:
                return work(connection)
        except (duckdb.IOException, FileNotFoundError) as error:
            if attempt == 2:
                raise RunError(f"{folder_of(run)} cannot be read: {str(error).splitlines()[0]}") from error
            time.sleep(0.05)
    raise AssertionError("unreachable")


def query(run: Run, sql: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
    """Return the result of one query over a run's tables as a frame; `?` stand for the parameters.

    Raises:
        RunNotFound: no run is there.
        RunError: its files cannot be read.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
        frame: pl.DataFrame = connection.sql(sql, params=list(parameters)).pl()
        return frame

    return _read(run, work)


def read_states(run: Run, step: int | None = None, *, labels: bool = True) -> pl.DataFrame:
    """Return the agents' states.

    Args:
        run: Folder, RunResult, RunInfo or database file.
        step: The state of every agent present at that step; None returns all recorded rows: whole frames
            (`keyframe`) and, between them, the agents that changed.
        labels: Categories as their labels (polars Enum); False as codes.

    Returns:
        step, agent_id, (keyframe,) and every state column, by step and agent.

    Raises:
        RunError: the run recorded no states, or has not reached that step.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
        if step is None:
            frame = connection.sql("select * from states").pl()
        else:
            _check_step(connection, step)
            frame = connection.sql("select * from states_at(?)", params=[int(step)]).pl()
        if frame.is_empty():
            raise RunError(
                f"{folder_of(run)} holds no states: its study says record.states = 'none', or it never began"
            )
        return _labelled(connection, frame) if labels else frame

    return _read(run, work)


def _check_step(connection: duckdb.DuckDBPyConnection, step: int) -> None:
    last = connection.sql("select max(step) from digests").fetchall()[0][0]
    if last is None or not 0 <= step <= last:
        reached = "has not begun" if last is None else f"has steps 0 to {last}"
        raise RunError(f"step {step} cannot be read: the run {reached}")


def _labelled(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> pl.DataFrame:
    rows = connection.sql(
        "select \"column\", labels from columns where \"table\" = 'states' and kind = 'category'"
    ).fetchall()
    texts = {name: pl.Series(name, labels, dtype=pl.Enum(labels)) for name, labels in rows if name in frame.columns}
    return frame.with_columns(labels.gather(frame[name]) for name, labels in texts.items())


def read_columns(run: Run) -> pl.DataFrame:
    """Return what every recorded column means: table, column, kind, labels, unit, help, low, high."""
    return query(run, "select * from columns")


def read_measures(run: Run, after: int = -1) -> pl.DataFrame:
    """Return step, measure, segment ("" for everyone) and value of the steps after one; an undefined value is null."""
    home = folder_of(run)
    if not (home / CATALOG_NAME).is_file():
        return query(run, "select * from measures where step > ? order by step, measure, segment", [after])
    with Catalog(home) as catalog:
        rows = catalog.measures(after)
    schema = {"step": pl.Int32, "measure": pl.String, "segment": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("step", "measure", "segment", maintain_order=True)


def read_agents(run: Run) -> pl.DataFrame:
    """Return one row per agent that ever entered: persona, initial state, the steps of entering and leaving."""
    return query(run, "select * from agents order by agent_id")


def read_decisions(run: Run, step: int | None = None, agent: int | None = None) -> pl.DataFrame:
    """Return recorded decisions by step, turn and agent; of one step, one agent, or both, where given."""
    return query(
        run,
        "select * from decisions where (?::INTEGER is null or step = ?) and (?::INTEGER is null or agent_id = ?) "
        "order by step, decision, turn, agent_id",
        [step, step, agent, agent],
    )


def read_decision_counts(run: Run) -> pl.DataFrame:
    """Return how many chose what, by step, decision and situation, where decisions were not recorded in full."""
    return query(run, "select * from decision_counts order by step, decision, situation_id, action")


def read_situations(run: Run, ids: Sequence[int] | None = None) -> pl.DataFrame:
    """Return situations with prompt, options and log probabilities; those of some ids where given."""
    if ids is None:
        return query(run, "select * from situations")
    return query(
        run, "select * from situations where list_contains(?::BIGINT[], situation_id)", [[int(i) for i in ids]]
    )


def read_messages(run: Run, step: int | None = None) -> pl.DataFrame:
    """Return messages in the order in which they were said; of one step where given."""
    return query(run, "select * from messages where ?::INTEGER is null or step = ? order by message_id", [step, step])


def read_events(run: Run) -> pl.DataFrame:
    """Return events by step; interventions are events; `detail` is JSON."""
    return query(run, "select * from events order by step", [])


def read_edges(run: Run, step: int | None = None) -> pl.DataFrame:
    """Return ties with the steps between which they held, sorted; those that hold at one step where given.

    A large complete layer stores no ties and has no rows: everyone is tied to everyone.
    """
    home = folder_of(run)
    sql = (
        "select * from edges where ?::INTEGER is null or (from_step <= ? and (to_step is null or to_step > ?)) "
        "order by layer, source, target, from_step"
    )
    if not (home / CATALOG_NAME).is_file():
        return query(run, sql, [step, step, step])
    with open_segments(home) as connection:
        frame: pl.DataFrame = connection.sql(sql, params=[step, step, step]).pl()
    return frame


def table_names(run: Run) -> list[str]:
    """Return the names of the tables and views that `open_run` offers."""
    rows = query(run, "select distinct table_name from information_schema.tables order by table_name")
    return [str(name) for name in rows["table_name"]]


def count_rows(run: Run, table: str) -> int:
    """Return the number of rows of one table."""
    return int(query(run, f"select count(*) as n from {quoted(table)}")["n"][0])
