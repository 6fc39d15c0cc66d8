"""The SQL box: one reading query over one run, answered by a separate process that can do nothing else.

The process opens the run's tables, then gives up access to all other files, freezes its settings, and answers one
SELECT within limits on memory, rows and time. It never writes a file.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb
import polars as pl

from engine.errors import RunError, RunNotFound
from engine.store.catalog import CATALOG_NAME, Catalog
from engine.store.database import DATABASE_NAME, fill, has_database
from engine.store.schema import literal
from engine.store.segments import SEGMENT_FOLDER

MAX_ROWS = 10_000
MAX_SECONDS = 10.0
MEMORY_MB = 256
MAX_SQL = 20_000
MAX_ANSWER_BYTES = 64_000_000
_ADDRESS_SPACE = 4 << 30
_START_S = 10.0
_ANSWER, _CUT, _REFUSED = b"A", b"C", b"R"


@dataclass(frozen=True)
class SqlAnswer:
    """What a query gave.

    Attributes:
        frame: At most `MAX_ROWS` rows.
        is_cut: Whether there were more.
        seconds: Time that it took, with the start of the process.
    """

    frame: pl.DataFrame
    is_cut: bool
    seconds: float


def run_sql(folder: Path, sql: str, *, max_rows: int = MAX_ROWS, seconds: float = MAX_SECONDS) -> SqlAnswer:
    """Answer one SELECT over a run's tables, in a process of its own.

    Args:
        folder: The run's folder.
        sql: One statement that reads.
        max_rows: Most rows that come back.
        seconds: Most seconds that the query may take.

    Raises:
        RunNotFound: the folder is no run.
        RunError: the statement writes, reads something else, is wrong, or needs too much; one sentence says which.
    """
    if not (folder / CATALOG_NAME).is_file():
        raise RunNotFound(f"{folder} is not a run: it has no {CATALOG_NAME}; `microcosm list runs` names the runs")
    if len(sql) > MAX_SQL:
        raise RunError(f"the query has {len(sql):,} characters; at most {MAX_SQL:,} are taken")
    began = time.monotonic()
    asked = json.dumps({"folder": str(folder.absolute()), "sql": sql, "max_rows": max_rows, "seconds": seconds})
    command = [sys.executable, "-P", "-m", "engine.store.sql_box"]
    try:
        ended = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=seconds + _START_S)
    except subprocess.TimeoutExpired as error:
        raise RunError(_too_long(seconds)) from error
    except OSError as error:
        raise RunError(f"the process that answers queries cannot be started: {error}") from error
    kind, content = ended.stdout[:1], ended.stdout[1:]
    if kind == _REFUSED:
        raise RunError(content.decode("utf-8", "replace"))
    if ended.returncode != 0 or kind not in (_ANSWER, _CUT):
        raise RunError(
            f"the query ended its process (status {ended.returncode}), most likely for lack of memory; {_LESS}"
        )
    return SqlAnswer(pl.read_ipc(io.BytesIO(content)), kind == _CUT, time.monotonic() - began)


_LESS = "ask for less at a time, for example one step or one column"


def _too_long(seconds: float) -> str:
    return f"the query took longer than {seconds:g} s and was stopped; {_LESS}"


def answer(asked: IO[bytes], out: IO[bytes]) -> None:
    """Answer the query that `asked` holds; the child's side of `run_sql`."""
    wish = json.loads(asked.read())
    seconds = float(wish["seconds"])
    try:
        with _opened(Path(wish["folder"])) as connection:
            frame = _query(connection, str(wish["sql"]), int(wish["max_rows"]) + 1, seconds)
        is_cut = frame.height > int(wish["max_rows"])
        kept = frame.head(int(wish["max_rows"]))
        if kept.estimated_size() > MAX_ANSWER_BYTES:
            raise RunError(f"the answer is larger than {MAX_ANSWER_BYTES // 1_000_000} MB; {_LESS}")
        content = io.BytesIO()
        kept.write_ipc(content)
        out.write((_CUT if is_cut else _ANSWER) + content.getvalue())
    except RunError as error:
        out.write(_REFUSED + str(error).encode())


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a run's tables and lock the door behind them."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_unsigned_extensions": "false",
        "temp_directory": "",
        "memory_limit": f"{MEMORY_MB}MB",
        "threads": 1,
    }
    with Catalog(folder) as catalog:
        whole = has_database(folder, catalog)
        path = str(folder / DATABASE_NAME) if whole else ":memory:"
        connection = duckdb.connect(path, read_only=whole, config=settings)
        try:
            if not whole:
                fill(connection, catalog, materialise=False)
        except BaseException:
            connection.close()
            raise
    with contextlib.closing(connection):
        allowed = [] if whole else [str((folder / SEGMENT_FOLDER).resolve())]
        connection.execute(f"set allowed_directories = [{', '.join(map(literal, allowed))}]")
        connection.execute("set enable_external_access = false")
        connection.execute("set enable_progress_bar = false")  # it would write into the answer
        connection.execute("set lock_configuration = true")
        _limit_this_process()
        yield connection


def _limit_this_process() -> None:
    """Take from this process what it does not need: writing files, new files' room, and memory without end."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; DuckDB's own remain
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))


def _query(connection: duckdb.DuckDBPyConnection, sql: str, limit: int, seconds: float) -> pl.DataFrame:
    def read() -> pl.DataFrame:
        _check_reads(connection, sql)
        frame: pl.DataFrame = connection.sql(sql).limit(limit).pl()
        return frame

    stop = threading.Timer(seconds, connection.interrupt)
    stop.daemon = True
    stop.start()
    try:
        return _in_words(read, seconds)
    finally:
        stop.cancel()


def _check_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse everything that is not one SELECT.

    Raises:
        RunError: none, several, or another kind of statement.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        given = "no statement" if not statements else f"{len(statements)} statements"
        raise RunError(f"the box answers one statement at a time and was given {given}; write one SELECT")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise RunError(
            f"{kind.name.replace('_', ' ')} is refused: the box only reads this run's tables; write one SELECT"
        )


def _in_words(read: Callable[[], pl.DataFrame], seconds: float) -> pl.DataFrame:
    """Do a read; whatever goes wrong becomes one sentence."""
    try:
        return read()
    except duckdb.InterruptException as error:
        raise RunError(_too_long(seconds)) from error
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise RunError(f"the query needs more than {MEMORY_MB} MB of memory; {_LESS}") from error
    except duckdb.PermissionException as error:
        raise RunError(
            "the query asks for a file, a setting or an extension; the box reads this run's tables and nothing else"
        ) from error
    except duckdb.Error as error:
        text = str(error)
        if "file system operations are disabled" in text or "external access" in text.lower():
            raise RunError(
                "the query asks for another file; the box reads this run's tables and nothing else"
            ) from error
        raise RunError(f"the query cannot be answered: {' '.join(text.split())[:300]}") from error
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise RunError(f"the answer cannot be shown ({str(error)[:120]}); cast the columns to plain types") from error


if __name__ == "__main__":
    answer(sys.stdin.buffer, sys.stdout.buffer)
