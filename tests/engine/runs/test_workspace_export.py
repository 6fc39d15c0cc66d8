"""Workspaces, exports, estimates, live frames and runs from Python."""

import csv
import json
import shutil
import threading
import time

import duckdb
import numpy as np
import polars as pl
import pytest

from engine import load_study, read_states, run_study
from engine.errors import ReportError, RunError, RunNotFound
from engine.runs import (
    create_run,
    estimate_study,
    export_run,
    find_run,
    list_runs,
    open_workspace,
    read_info,
    resume_run,
    start_worker,
)
from engine.runs.export import _safe_column
from engine.runs.live import LiveReader, LiveWriter, read_layout, read_meta
from engine.store import Catalog, query, read_agents, read_edges


def test_a_workspace_has_its_folders_and_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(tmp_path / "here"))
    workspace = open_workspace()
    assert workspace.path == tmp_path / "here"
    found = sorted(path.name for path in workspace.path.iterdir())
    assert found == ["cache", "exports", "models", "personas", "runs", "studies"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="name another one"):
        open_workspace(tmp_path / "file")


def test_runs_are_found_by_id_beginning_and_folder(workspace, small, finished):
    other = create_run(workspace, small("title=Other"))
    assert [info.run_id for info in list_runs(workspace)] == [other.name, finished.run_id]
    for key in (finished.run_id, finished.run_id[:7], finished.folder, str(finished.folder)):
        assert find_run(workspace, key) == finished.folder
    with pytest.raises(RunNotFound, match="no run 'nothing'"):
        find_run(workspace, "nothing")
    for name in ("aaaa1-sir", "aaaa2-sir"):
        shutil.copytree(other, workspace.runs / name)
    with pytest.raises(RunNotFound, match="fits 2 runs: aaaa1-sir, aaaa2-sir"):
        find_run(workspace, "aaaa")
    with pytest.raises(RunNotFound):
        find_run(workspace, "../..")


def test_a_broken_folder_does_not_hide_the_others(workspace, finished):
    broken = workspace.runs / "broken"
    broken.mkdir()
    (broken / "catalog.sqlite").write_bytes(b"no database at all" * 99)
    assert [info.run_id for info in list_runs(workspace)] == [finished.run_id]


def test_a_study_runs_from_python_in_a_worker(workspace, small):
    seen = []
    results = run_study(small("replicates=2"), workspace=workspace, on_progress=seen.append)
    assert [result.status for result in results] == ["done", "done"]
    assert results[0].digest != results[1].digest
    assert {info.run_id for info in seen} == {result.run_id for result in results}
    first = json.loads(json.dumps(results[0].to_json()))
    keys = (
        "run_id database status steps wall_s step_s digest measures n_agents agent_steps_per_s recorded_bytes changes"
    )
    assert set(first) >= {*keys.split(), "peak_rss_bytes", "model_calls", "situations", "cache_hits"}
    assert first["peak_rss_bytes"] > 50e6 and first["agent_steps_per_s"] > 0
    assert first["changes"] == read_states(results[0]).height
    assert not (results[0].folder / "live.bin").exists()


def test_a_failed_run_raises_with_its_reason(workspace, asking):
    with pytest.raises(RunError, match=r"failed: .*nowhere\.gguf"):
        run_study(asking("model.file=nowhere.gguf"), workspace=workspace)


def test_a_detached_worker_shows_frames(workspace, small):
    folder = create_run(workspace, small())
    assert start_worker([folder]) > 0
    resume = threading.Event()
    for _ in range(600):
        if read_info(folder).status in ("done", "failed"):
            break
        resume.wait(0.05)
    assert read_info(folder).status == "done"
    with LiveReader(folder) as reader:
        step, sequence, columns = reader.read()
    assert (step, sequence >= 1) == (30, True)
    layout, meta = read_layout(folder), read_meta(folder)
    assert layout["ids"].size == layout["x"].size == columns["state"].size == 60
    assert np.array_equal(columns["state"], read_states(folder, 30, labels=False)["state"].to_numpy())
    assert meta["columns"][0]["name"] == "state" and meta["columns"][0]["labels"][0] == "susceptible"
    with pytest.raises(RunError, match="done"):
        resume_run(folder)


def test_live_frames_are_never_torn(tmp_path):
    n = 50_000
    meta = {"columns": [{"name": "a"}, {"name": "b"}]}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert LiveReader(tmp_path).read() is None
    writer = LiveWriter(tmp_path, n, ["a", "b"])
    reader, stop = LiveReader(tmp_path), threading.Event()
    assert reader.read() is None

    def write():
        step = 0
        while not stop.is_set():
            step += 1
            values = np.full(n, step % 251, np.uint8)
            writer.write(step, {"a": values, "b": values})
            stop.wait(0.0002)

    thread = threading.Thread(target=write)
    thread.start()
    last = 0
    try:
        deadline = time.monotonic() + 20
        while last < 50 and time.monotonic() < deadline:
            found = reader.read()
            if found is not None:
                step, sequence, columns = found
                assert (columns["a"] == step % 251).all() and (columns["b"] == step % 251).all()
                assert sequence >= last
                last = sequence
    finally:
        stop.set()
        thread.join()
    assert last >= 50
    writer.close()
    again = LiveWriter(tmp_path, n, ["a", "b"])
    again.write(7, {"a": np.zeros(n, np.uint8), "b": np.zeros(n, np.uint8)})
    assert reader.read()[:2] == (7, 1), "a new worker's file is noticed"
    again.close()
    reader.close()


def test_exports_hold_every_table(workspace, finished, tmp_path):
    database = export_run(finished.folder, "duckdb", tmp_path / "run.duckdb")
    with duckdb.connect(str(database), read_only=True) as connection:
        assert connection.sql("select count(*) from edges").fetchall()[0][0] == read_edges(finished).height
    parquet = export_run(finished.folder, "parquet", tmp_path / "parquet")
    assert pl.read_parquet(parquet / "states.parquet").height == finished.changes
    folder = export_run(finished.folder, "csv", tmp_path / "csv")
    assert (folder / "study.toml").read_bytes() == (finished.folder / "study.toml").read_bytes()
    states = pl.read_csv(folder / "states.csv")
    assert set(states["state"]) <= {"susceptible", "exposed", "infected", "recovered"}
    assert states.height == finished.changes
    with pytest.raises(ReportError, match="exists already"):
        export_run(finished.folder, "csv", folder)
    with pytest.raises(ReportError, match="valid: duckdb, parquet, csv"):
        export_run(finished.folder, "xlsx", tmp_path / "x")


@pytest.mark.parametrize("cell", ["=1+1", "+x", "-x", "@sum", "\tx", "\rx"])
def test_no_text_becomes_a_formula(cell):
    with duckdb.connect() as connection:
        connection.execute("create table t (a varchar, b double)")
        connection.execute("insert into t values (?, -1.5)", [cell])
        text, number = _safe_column("a", "VARCHAR"), _safe_column("b", "DOUBLE")
        assert connection.sql(f"select {text}, {number} from t").fetchall() == [("'" + cell, -1.5)]


def test_exported_events_and_personas_are_escaped(workspace, small, execute, tmp_path):
    study = small("population.size=6", "params.initial_infected=1", "network.k=2")
    mottos = ["=cmd()", "fine", "=cmd()", "fine", "fine", "fine"]
    population = study.population.model_copy(update={"columns": {"motto": mottos}})
    folder = execute(create_run(workspace, study.model_copy(update={"population": population}))).folder
    assert "=cmd()" in read_agents(folder)["motto"].to_list()
    with (export_run(folder, "csv", tmp_path / "csv") / "agents.csv").open(newline="") as file:
        mottos = {row["motto"] for row in csv.DictReader(file)}
    assert mottos == {"'=cmd()", "fine"}


def test_an_estimate_is_of_the_right_size(small, asking):
    cheap = estimate_study(small())
    assert (cheap.n_agents, cheap.n_ties, cheap.situations, cheap.model_tokens) == (60, 180, None, None)
    large = estimate_study(load_study("sir", ["population.size=1000000", "steps=100"]))
    assert large.n_agents == 1_000_000 and large.n_ties == 5_000_000
    assert 100e6 < large.memory_bytes < 4e9 and large.disk_bytes > 3e6
    language = estimate_study(asking("population.size=2000"))
    assert language.situations > 0 and language.model_tokens > language.situations
    assert language.seconds > cheap.seconds


def test_the_worker_writes_what_the_model_was(workspace, asking, execute):
    result = execute(create_run(workspace, asking()))
    model = json.loads(query(result, "select model from run")["model"][0])
    assert (model["name"], model["backend"]) == ("scripted", "scripted")
    with Catalog(result.folder) as catalog:
        assert catalog.read_status()["phase"] == ""


def test_a_run_that_is_being_made_is_none_yet(workspace):
    folder = workspace.runs / "00000000-sir"
    folder.mkdir()
    with Catalog(folder, create=True):
        pass
    with pytest.raises(RunNotFound, match="being made"):
        read_info(folder)
    assert list_runs(workspace) == []
