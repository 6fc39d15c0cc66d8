"""Answers that a workspace has had from its models: a SQLite file that makes every question be asked once.

A key is a hash of everything that an answer depends on: the model file (sha256, which covers its chat template and
tokenizer), the whole text, the options, the order of listing, and for written texts the sampler's settings and seed.
The first value committed under a key stays. The file may be deleted at any time while nothing runs: runs keep their
answers in their own journals.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from engine.errors import ModelError
from engine.llm.protocol import ModelIdentity

CACHE_NAME = "answers.sqlite"
FORMAT = 1
ANSWERS = "1"
"""Part of every key; raised when the way in which answers are read from a model changes."""
MOST_BYTES = 2**30
"""Size from which the answers that were used longest ago are dropped."""
KEPT_SHARE = 0.9
SIZE_CHECK_ENTRIES = 2000  # new answers between two looks at the size
USED_GRAIN_S = 3600  # how exactly the last use is known: a hit within the hour writes nothing
CHECK_BYTES = 8
LOOKUP = 500
_TABLES = """
create table if not exists answers (key blob primary key, value blob not null, used integer not null) without rowid;
create index if not exists answers_by_use on answers (used);
"""


Result = TypeVar("Result")


class DamagedCache(Exception):
    """The file holds something that was not written so; caught here, where it is set aside."""


def hash_parts(parts: Sequence[str]) -> bytes:
    """Return the BLAKE2b-256 of some texts, unambiguous in their borders."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()


def score_keys(
    identity: ModelIdentity, variants: Sequence[str], suffixes: Sequence[str], options: Sequence[str], lead: str
) -> list[bytes]:
    """Return the key of each situation's scores."""
    shared = hash_parts(["score", ANSWERS, identity.sha256, identity.template, lead, str(len(variants)), *variants])
    ending = hash_parts(options)
    return [hash_parts([shared.hex(), suffix, ending.hex()]) for suffix in suffixes]


def text_keys(
    identity: ModelIdentity, prefix: str, suffixes: Sequence[str], seeds: Sequence[int], settings: Sequence[str]
) -> list[bytes]:
    """Return the key of each written text; `settings` are those of the sampler."""
    shared = hash_parts(["write", ANSWERS, identity.sha256, identity.template, prefix, *settings])
    return [hash_parts([shared.hex(), suffix, str(seed)]) for suffix, seed in zip(suffixes, seeds, strict=True)]


class AnswerCache:
    """The answers of one workspace; threads may share it.

    Attributes:
        notices: What the user should know: a damaged file that was set aside. Taken by whoever tells.
    """

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.path = folder / CACHE_NAME
        self.notices: list[str] = []
        self._most_bytes = most_bytes
        self._lock = threading.RLock()
        self._n_new = 0
        self._connection: sqlite3.Connection | None = None
        self._attempt(lambda connection: None)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have one."""
        return self._attempt(lambda connection: _find(connection, keys))

    def commit(self, values: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Store values durably and return what is now held: the first value of a key wins."""

        def store(connection: sqlite3.Connection) -> dict[bytes, bytes]:
            rows = [(key, value + _check(key, value), int(time.time())) for key, value in values.items()]
            with _transaction(connection):
                connection.executemany("insert or ignore into answers values (?, ?, ?)", rows)
                return _find(connection, list(values))

        held = self._attempt(store)
        self._n_new += len(values)
        if self._n_new >= SIZE_CHECK_ENTRIES:
            self.trim()
        return held

    def trim(self) -> None:
        """Drop the answers that were used longest ago while the file is larger than allowed."""
        self._n_new = 0
        self._attempt(lambda connection: _trim(connection, self._most_bytes))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
                os.close(handle)
                connection = sqlite3.connect(self.path, timeout=20, isolation_level=None, check_same_thread=False)
            except (OSError, sqlite3.OperationalError) as error:
                raise ModelError(
                    f"the cache of answers {self.path} cannot be opened: {error}; free space or set its permissions"
                ) from error
            self._connection = connection
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=full")
            held = connection.execute("pragma user_version").fetchall()[0][0]
            if held not in (0, FORMAT):
                raise DamagedCache(f"it has format {held}, and this version reads format {FORMAT}")
            with _transaction(connection):
                for statement in _TABLES.strip().split(";\n"):
                    connection.execute(statement)
                connection.execute(f"pragma user_version={FORMAT}")
        return self._connection

    def _attempt(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do something with the file; a damaged one is set aside first, and the action then meets an empty one.

        Raises:
            ModelError: the file cannot be opened or written.
        """
        with self._lock:
            for _ in range(2):
                try:
                    return action(self._open())
                except DamagedCache as error:
                    self._set_aside(str(error))
                except sqlite3.OperationalError as error:
                    raise ModelError(
                        f"the cache of answers {self.path} cannot be written: {error}; free space there, or delete it "
                        "while nothing runs"
                    ) from error
                except sqlite3.DatabaseError as error:
                    self._set_aside(str(error))
        raise ModelError(f"the cache of answers {self.path} is damaged again; check the disk that holds it")

    def _set_aside(self, reason: str) -> None:
        self.close()
        aside = self.path.with_name(f"answers.damaged-{time.time_ns() // 1_000_000}.sqlite")
        with contextlib.suppress(FileNotFoundError):  # another service has moved it already
            self.path.rename(aside)
        for ending in ("-wal", "-shm"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)
        self.notices.append(
            f"the cache of answers was damaged ({reason}) and is set aside as {aside.name}; a new one is begun, so "
            "questions of earlier runs are asked again"
        )


def _find(connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    now, stale, remaining = int(time.time()), [], iter(dict.fromkeys(keys))
    while part := list(islice(remaining, LOOKUP)):
        marks = ",".join("?" * len(part))
        rows = connection.execute(
            f"select key, cast(value as blob), used from answers where key in ({marks})", part
        ).fetchall()
        for key, value, used in rows:
            found[key] = _checked(key, value)
            if now - used > USED_GRAIN_S:
                stale.append((now, key))
    if stale:
        with _transaction(connection):
            connection.executemany("update answers set used = ? where key = ?", stale)
    return found


def _trim(connection: sqlite3.Connection, most_bytes: int) -> None:
    oldest = "select key from answers order by used limit ?"
    while (size := _used_bytes(connection)) > most_bytes:
        n_rows = int(connection.execute("select count(*) from answers").fetchall()[0][0])
        if not n_rows:
            return
        n_dropped = min(n_rows, int(n_rows * (1 - KEPT_SHARE * most_bytes / size)) + 1)
        with _transaction(connection):
            connection.execute(f"delete from answers where key in ({oldest})", (n_dropped,))


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free, page_bytes = (
        int(connection.execute(f"pragma {name}").fetchall()[0][0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * page_bytes


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    if connection.in_transaction:  # part of a transaction that goes on
        yield
        return
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _check(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, key=key, digest_size=CHECK_BYTES).digest()


def _checked(key: bytes, held: bytes) -> bytes:
    value = held[:-CHECK_BYTES]
    if held[-CHECK_BYTES:] != _check(key, value):
        raise DamagedCache("an answer does not fit its checksum")
    return value
