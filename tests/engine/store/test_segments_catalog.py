"""Segments and catalog: what is committed counts, what is not does not exist."""

import errno
import sqlite3
import threading

import duckdb
import numpy as np
import polars as pl
import pytest

from engine.errors import RunError, RunNotFound, StorageFull
from engine.store import Catalog
from engine.store.disk import is_disk_full, storage_errors
from engine.store.segments import (
    Commit,
    commit,
    copy_history,
    merge_segments,
    read_segment,
    remove_dropped,
    remove_strays,
    rewind,
    write_segment,
)


@pytest.fixture
def catalog(tmp_path):
    folder = tmp_path / "run"
    (folder / "segments").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    with Catalog(folder, create=True) as catalog:
        yield catalog


def rows(first, last, n=3):
    steps = np.repeat(np.arange(first, last + 1, dtype=np.int32), n)
    ids = np.tile(np.arange(n, dtype=np.int32), last - first + 1)
    return pl.DataFrame({"step": steps, "agent_id": ids, "x": steps.astype(float)})


def put(catalog, first, last):
    steps = range(first, last + 1)
    measures = [(step, "m", "", float(step)) for step in steps]
    commit(catalog, Commit(first, last, {"states": rows(first, last)}, measures, [(s, f"{s:032x}") for s in steps]))


def stored(catalog):
    return pl.concat([read_segment(catalog.folder, segment) for segment in catalog.segments("states")])


def test_many_commits_keep_few_segments_and_every_row(catalog):
    for step in range(260):
        put(catalog, step, step)
        while merge_segments(catalog, "states"):
            pass
    assert len(catalog.segments()) < 40
    assert stored(catalog).equals(rows(0, 259))
    remove_dropped(catalog, grace_s=0)
    assert len(list((catalog.folder / "segments").iterdir())) == len(catalog.segments())


@pytest.mark.parametrize("step", [-1, 4, 6, 9])
def test_rewind_forgets_what_is_later_and_cuts_segments(catalog, step):
    for first in (0, 5):
        put(catalog, first, first + 4)
    rewind(catalog, step)
    assert catalog.last_step() == step
    assert [row[0] for row in catalog.measures()] == list(range(step + 1))
    if step >= 0:
        assert stored(catalog).equals(rows(0, step))
    else:
        assert catalog.segments() == []


def test_rewind_keeps_the_journal(catalog):
    catalog.append_journal(7, 0, "distribution", [("k", b"v")])
    rewind(catalog, -1)
    assert catalog.find_journal(7, 0, "distribution", "k") == b"v"


def test_journal_keeps_the_first_value_and_counts(catalog):
    catalog.append_journal(1, 0, "distribution", [("a", b"1"), ("b", b"2")])
    catalog.append_journal(1, 0, "distribution", [("a", b"other")])
    catalog.append_journal(2, 3, "text", [("c", b"3")])
    assert catalog.find_journal(1, 0, "distribution", "a") == b"1"
    assert catalog.find_journal(1, 1, "distribution", "a") is None
    assert catalog.journal_counts() == (2, 2)


def test_history_is_copied_up_to_a_step(catalog, tmp_path):
    put(catalog, 0, 4)
    put(catalog, 5, 9)
    for step in (6, 7):
        catalog.append_journal(step, 0, "distribution", [(f"k{step}", b"v")])
        catalog.append_journal(step, 0, "inject", [("1", b"{}")])
    folder = tmp_path / "child"
    for name in ("segments", "checkpoints"):
        (folder / name).mkdir(parents=True)
    with Catalog(folder, create=True) as child:
        copy_history(catalog, child, 7)
        assert stored(child).equals(rows(0, 7))
        assert child.last_step() == 7
        # An injection at 7 acts on the state at 7 and shows at step 8: it is after the fork.
        assert [child.journal_of(step, "inject") != [] for step in (6, 7)] == [True, False]
        assert child.find_journal(7, 0, "distribution", "k7") == b"v"
        assert child.journal_counts() == (0, 0)
    assert stored(catalog).equals(rows(0, 9))


def test_files_without_an_entry_are_removed(catalog):
    put(catalog, 0, 0)
    write_segment(catalog.folder, "states", rows(1, 1), 1, 1)
    (catalog.folder / "segments" / ".x.partial").write_bytes(b"half")
    remove_strays(catalog)
    assert [path.name for path in (catalog.folder / "segments").iterdir()] == [
        segment.path.split("/")[1] for segment in catalog.segments()
    ]


def test_changes_of_sorted_agents_take_few_bytes(tmp_path):
    (tmp_path / "segments").mkdir()
    rng = np.random.default_rng(0)
    ids = np.sort(rng.choice(1_000_000, 200_000, replace=False)).astype(np.int32)
    frame = pl.DataFrame(
        {
            "step": np.full(ids.size, 3, np.int32),
            "agent_id": ids,
            "keyframe": np.zeros(ids.size, bool),
            "state": rng.integers(0, 4, ids.size).astype(np.int8),
        }
    )
    segment = write_segment(tmp_path, "states", frame, 3, 3)
    assert segment.bytes / segment.rows < 3
    assert read_segment(tmp_path, segment).equals(frame)


def test_a_failed_write_commits_nothing(catalog, monkeypatch):
    put(catalog, 0, 0)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("engine.store.segments.write_durably", refuse)
    with pytest.raises(StorageFull, match="all committed steps are kept"):
        put(catalog, 1, 1)
    assert catalog.last_step() == 0
    assert stored(catalog).equals(rows(0, 0))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EDQUOT, "x"),
        pl.exceptions.ComputeError("No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
        duckdb.IOException("Could not write file: No space left on device"),
    ],
)
def test_every_form_of_a_full_disk_is_known(error, tmp_path):
    assert is_disk_full(error)
    with pytest.raises(StorageFull, match="free some space"), storage_errors(tmp_path):
        raise error


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "x"), ValueError("disk is full"), RunError("x")])
def test_other_errors_stay_what_they_are(error, tmp_path):
    with pytest.raises(type(error)), storage_errors(tmp_path):
        raise error
    assert not is_disk_full(error)


def test_a_folder_without_catalog_is_no_run(tmp_path):
    with pytest.raises(RunNotFound, match="microcosm list runs"):
        Catalog(tmp_path)


def test_a_strange_catalog_is_refused(tmp_path):
    (tmp_path / "catalog.sqlite").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(RunError, match="cannot be read as a catalog"):
        Catalog(tmp_path)


def test_threads_share_a_connection(catalog):
    def write(key):
        for i in range(50):
            catalog.write_status(durable=i % 2 == 0, **{key: i})

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = catalog.read_status()
    assert [status[name] for name in ("a", "b", "c")] == [49, 49, 49]


def test_requests_are_taken_once(catalog):
    catalog.ask("pause")
    catalog.ask("inject", "{}")
    assert [request.verb for request in catalog.requests()] == ["pause", "inject"]
    catalog.take(catalog.requests()[:1])
    assert [request.verb for request in catalog.requests()] == ["inject"]
