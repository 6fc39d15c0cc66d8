"""The catalog of one run: a small SQLite file that says which segments, measures and checkpoints count.

It is the commit log. A file that the catalog does not name does not exist for readers; a journalled value is
durable when `append_journal` returns. WAL lets any number of readers look while the worker writes.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.errors import RunError, RunNotFound
from engine.store.disk import storage_errors

CATALOG_NAME = "catalog.sqlite"
FORMAT = 1
OWN, INHERITED, CACHED = 0, 1, 2
"""Origin of a journalled value (column `inherited`): this run's own question, its parent, the workspace's cache."""

_TABLES = """
create table if not exists segments (
    path text primary key, name text not null, first integer not null, last integer not null, rows integer not null,
    bytes integer not null, level integer not null default 0, dropped_at real
);
create table if not exists measures (
    step integer not null, measure text not null, segment text not null, value real,
    primary key (step, measure, segment)
) without rowid;
create table if not exists digests (step integer primary key, digest text not null);
create table if not exists journal (
    step integer not null, call integer not null, kind text not null, key text not null, value blob not null,
    batch integer not null, inherited integer not null default 0, primary key (step, call, kind, key)
) without rowid;
create index if not exists journal_batches on journal (batch);
create table if not exists checkpoints (
    step integer primary key, path text not null, bytes integer not null, checksum text not null, note text not null
);
create table if not exists status (key text primary key, value text not null) without rowid;
create table if not exists control (
    id integer primary key autoincrement, verb text not null, argument text not null, asked_at real not null,
    taken integer not null default 0
);
"""


@dataclass(frozen=True)
class Segment:
    """One immutable Parquet file of a run.

    Attributes:
        path: Relative to the run's folder.
        name: Segment table.
        first, last: First and last step of its rows.
        rows, bytes: Size.
        level: How often its rows were merged.
    """

    path: str
    name: str
    first: int
    last: int
    rows: int
    bytes: int
    level: int = 0


@dataclass(frozen=True)
class CheckpointRow:
    """Where a checkpoint lies, its checksum, and what the worker noted with it."""

    step: int
    path: str
    bytes: int
    checksum: str
    note: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """Something asked of a worker: pause, cancel or inject."""

    id: int
    verb: str
    argument: str


class Catalog:
    """One connection to a run's catalog; may be shared by threads, use it in a `with` block."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        """Open the catalog of the run in `folder`.

        Args:
            folder: The run's folder.
            create: Whether to make the tables.

        Raises:
            RunNotFound: there is none, and `create` is not given.
            RunError: the file is not a catalog that this version reads.
        """
        self.folder = folder
        path = folder / CATALOG_NAME
        if not create and not path.is_file():
            raise RunNotFound(f"{folder} is not a run: it has no {CATALOG_NAME}; `microcosm list runs` names the runs")
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=20, isolation_level=None, check_same_thread=False)
        try:
            with storage_errors(folder):
                if create:
                    self._connection.execute("pragma journal_mode=wal")
                    self._connection.executescript(_TABLES)
                    self._connection.execute(f"pragma user_version={FORMAT}")
                self._connection.execute("pragma synchronous=full")
                found = self._connection.execute("pragma user_version").fetchall()[0][0]
            if found != FORMAT:
                raise RunError(f"{path} has format {found}; this version reads format {FORMAT}")
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise RunError(f"{path} cannot be read as a catalog: {error}") from error
            raise

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction.

        Args:
            durable: False lets the commit reach the disk later: it survives a crash of the program, and after a
                crash of the machine the catalog is whole but may miss it. For progress only.

        Raises:
            StorageFull: the disk took no more.
        """
        with self._lock, storage_errors(self.folder):
            if not durable:
                self._connection.execute("pragma synchronous=off")
            try:
                self._connection.execute("begin immediate")
                try:
                    yield self._connection
                    self._connection.execute("commit")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("rollback")
                    raise
            finally:
                if not durable:
                    self._connection.execute("pragma synchronous=full")

    def select(self, query: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._lock:
            return self._connection.execute(query, arguments).fetchall()

    # -- status ----------------------------------------------------------------------------------------------------

    def read_status(self) -> dict[str, Any]:
        """Return every status value by key."""
        return {key: json.loads(value) for key, value in self.select("select key, value from status")}

    def write_status(self, durable: bool = True, **values: Any) -> None:
        """Set status values; `heartbeat` is set to now."""
        with self.transaction(durable) as connection:
            put_status(connection, values)

    # -- control ---------------------------------------------------------------------------------------------------

    def ask(self, verb: str, argument: str = "") -> None:
        """Leave a request for the run's worker."""
        with self.transaction() as connection:
            connection.execute(
                "insert into control (verb, argument, asked_at) values (?, ?, ?)", (verb, argument, time.time())
            )

    def requests(self) -> list[Request]:
        """Return the requests that no worker has taken, oldest first."""
        return [
            Request(*row) for row in self.select("select id, verb, argument from control where not taken order by id")
        ]

    def take(self, requests: Sequence[Request]) -> None:
        """Mark requests as taken."""
        with self.transaction() as connection:
            connection.executemany("update control set taken = 1 where id = ?", [(r.id,) for r in requests])

    # -- segments, measures, digests -------------------------------------------------------------------------------

    def segments(self, name: str | None = None) -> list[Segment]:
        """Return the committed segments by first step, of one table or of all."""
        rows = self.select(
            "select path, name, first, last, rows, bytes, level from segments "
            "where dropped_at is null and (? is null or name = ?) order by first, last, path",
            (name, name),
        )
        return [Segment(*row) for row in rows]

    def measures(self, after: int = -1) -> list[tuple[int, str, str, float | None]]:
        """Return (step, measure, segment, value) of the steps after one; NaN is None."""
        rows = self.select("select step, measure, segment, value from measures where step > ? order by step", (after,))
        return [(int(step), str(measure), str(segment), value) for step, measure, segment, value in rows]

    def last_measures(self) -> dict[str, float | None]:
        """Return the last value of every measure; a segment's as `measure[segment]`."""
        last = self.select("select max(step) from measures")[0][0]
        if last is None:
            return {}
        return {f"{m}[{s}]" if s else m: value for _, m, s, value in self.measures(int(last) - 1)}

    def digests(self) -> dict[int, str]:
        """Return the digest chain by step."""
        return dict(self.select("select step, digest from digests order by step"))

    def digest_at(self, step: int) -> str | None:
        """Return the digest of a step, None if it is not committed."""
        rows = self.select("select digest from digests where step = ?", (step,))
        return str(rows[0][0]) if rows else None

    def last_step(self) -> int:
        """Return the last committed step, -1 before the initial state."""
        return int(self.select("select coalesce(max(step), -1) from digests")[0][0])

    # -- journal ---------------------------------------------------------------------------------------------------

    def find_journal(self, step: int, call: int, kind: str, key: str) -> bytes | None:
        """Return one journalled value, or None."""
        rows = self.select(
            "select value from journal where step = ? and call = ? and kind = ? and key = ?", (step, call, kind, key)
        )
        return bytes(rows[0][0]) if rows else None

    def append_journal(
        self, step: int, call: int, kind: str, entries: Sequence[tuple[str, bytes]], origin: int = OWN
    ) -> None:
        """Journal values under one key each; they are durable when this returns. A key keeps its first value."""
        with self.transaction() as connection:
            put_journal(connection, step, call, kind, entries, origin)

    def journal_of(self, step: int, kind: str) -> list[tuple[str, bytes]]:
        """Return the (key, value) pairs of one kind and step, in the order in which they came."""
        rows = self.select("select key, value from journal where step = ? and kind = ? order by batch", (step, kind))
        return [(str(key), bytes(value)) for key, value in rows]

    def journal_counts(self) -> tuple[int, int]:
        """Return (model calls, situations) of this run itself, without what it inherited or found in the cache."""
        rows = self.select(
            "select count(distinct batch), count(*) filter (where kind = 'distribution') from journal "
            "where kind in ('distribution', 'text') and not inherited"
        )
        return int(rows[0][0]), int(rows[0][1])

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def checkpoints(self) -> list[CheckpointRow]:
        """Return the checkpoints, latest first."""
        rows = self.select("select step, path, bytes, checksum, note from checkpoints order by step desc")
        return [
            CheckpointRow(step, path, size, checksum, json.loads(note)) for step, path, size, checksum, note in rows
        ]


def put_status(connection: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    """Write status values within a transaction."""
    rows = [(key, json.dumps(value)) for key, value in {**values, "heartbeat": time.time()}.items()]
    connection.executemany("insert or replace into status values (?, ?)", rows)


def put_journal(
    connection: sqlite3.Connection,
    step: int,
    call: int,
    kind: str,
    entries: Sequence[tuple[str, bytes]],
    origin: int = OWN,
) -> None:
    """Write journal values within a transaction."""
    batch = connection.execute("select coalesce(max(batch), 0) + 1 from journal").fetchall()[0][0]
    connection.executemany(
        "insert or ignore into journal values (?, ?, ?, ?, ?, ?, ?)",
        [(step, call, kind, key, value, batch, origin) for key, value in entries],
    )


def put_segments(connection: sqlite3.Connection, segments: Sequence[Segment]) -> None:
    """Commit segments within a transaction."""
    connection.executemany(
        "insert into segments (path, name, first, last, rows, bytes, level) values (?, ?, ?, ?, ?, ?, ?)",
        [(s.path, s.name, s.first, s.last, s.rows, s.bytes, s.level) for s in segments],
    )


def drop_segments(connection: sqlite3.Connection, segments: Sequence[Segment]) -> None:
    """Take segments out of sight within a transaction; their files stay a while for readers that hold the list."""
    connection.executemany(
        "update segments set dropped_at = ? where path = ?", [(time.time(), segment.path) for segment in segments]
    )
