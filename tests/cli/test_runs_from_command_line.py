"""The verbs that act on runs, with real workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from app.cli import main
from app.progress import describe_rate, describe_run
from engine.llm import needs_consent
from engine.loading import load_study
from engine.runs import create_run, launch, list_runs, open_workspace, pause_run, read_info
from engine.store import read_events, read_measures

RESULT_KEYS = {
    *("run_id", "database", "status", "steps", "wall_s", "step_s", "digest", "measures", "n_agents"),
    *("agent_steps_per_s", "recorded_bytes", "changes", "peak_rss_bytes", "model_calls", "situations", "cache_hits"),
}
SMALL = ("--set", "population.size=80", "--set", "params.epsilon=0.3")

INTERVENTION = """
[[interventions]]
name = "push"
whom = { sample = { n = 10 } }
do = { effect = "set", column = "opinion", value = 1.0 }
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module", autouse=True)
def workers_end():
    """Wait for the workers of this module, so that none is left when the tests end."""
    yield
    for process in launch._started:
        process.wait(timeout=60)


@pytest.fixture
def microcosm(workspace, capsys):
    """Return a function that carries out one command line: (status, JSON rows or text, err)."""

    def call(*words, as_json=True):
        arguments = [*map(str, words), "--workspace", str(workspace), *(["--json"] if as_json else [])]
        status = main(arguments)
        captured = capsys.readouterr()
        rows = [json.loads(line) for line in captured.out.splitlines()] if as_json else captured.out
        return status, rows, captured.err

    return call


@pytest.fixture(scope="module")
def finished(workspace):
    """Return the ids of two replicates of a small study, run once for this module."""
    command = [
        sys.executable,
        "-m",
        "app.cli",
        "run",
        "bounded_confidence",
        *SMALL,
        "--steps",
        "12",
        "--replicates",
        "2",
    ]
    result = subprocess.run(
        [*command, "--json", "--workspace", str(workspace)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=workspace,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress where standard error is no terminal
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_run_prints_one_object_per_run(finished):
    assert len(finished) == 2
    for row in finished:
        assert set(row) >= RESULT_KEYS
        assert row["status"] == "done"
        assert row["steps"] == 12
        assert Path(row["database"]).is_file()
        assert "polarization" in row["measures"]
    assert finished[0]["digest"] != finished[1]["digest"]


def test_runs_are_listed_and_found_by_a_beginning(microcosm, finished):
    status, rows, _ = microcosm("list", "runs")
    assert status == 0
    assert {row["run_id"] for row in rows} >= {row["run_id"] for row in finished}
    status, rows, _ = microcosm("replay", finished[0]["run_id"][:6])
    assert status == 0
    assert rows[0]["identical"] is True
    assert rows[0]["digest"] == rows[0]["replayed"] == finished[0]["digest"]


def test_replay_of_another_digest_leaves_with_1(microcosm, finished, monkeypatch):
    from app.commands import running
    from engine.runs import ReplayResult

    other = ReplayResult(False, False, 3, "aa", "bb", 12)
    monkeypatch.setattr(running, "replay_run", lambda folder, on_step=None: other)
    status, out, errors = microcosm("replay", finished[0]["run_id"], as_json=False)
    assert status == 1
    assert "aa" in out
    assert "bb" in out
    assert "step 3" in errors


def test_fork_shares_the_past(microcosm, workspace, finished):
    status, rows, _ = microcosm("fork", finished[0]["run_id"], "--at", 5, "--set", "params.epsilon=0.05")
    assert status == 0
    parent, child = (workspace / "runs" / row["run_id"] for row in (finished[0], rows[0]))
    shared = pl.col("step") <= 5
    assert read_measures(parent).filter(shared).equals(read_measures(child).filter(shared))
    assert rows[0]["digest"] != finished[0]["digest"]
    assert microcosm("fork", finished[0]["run_id"], "--at", 99)[0] == 1


@pytest.mark.parametrize(("to", "name"), [("csv", "tables"), ("duckdb", "out.duckdb")])
def test_export(microcosm, finished, tmp_path, to, name):
    out = tmp_path / name
    assert microcosm("export", finished[0]["run_id"], "--to", to, "-o", out)[0] == 0
    assert out.exists()
    status, _, errors = microcosm("export", finished[0]["run_id"], "--to", to, "-o", out)
    assert status == 1
    assert errors.count("\n") == 1


def test_export_of_several_runs_as_one_table_of_participants_and_rounds(microcosm, finished, tmp_path):
    ids, out = [row["run_id"] for row in finished], tmp_path / "groups.csv"
    status, rows, _ = microcosm("export", *ids, "--to", "otree", "-o", out)
    assert status == 0
    assert rows[0]["runs"] == ids
    frame = pl.read_csv(out)
    assert sorted(frame["group.id_in_subsession"].unique()) == [1, 2]
    assert frame["subsession.round_number"].max() == 12
    status, _, errors = microcosm("export", *ids, "--to", "csv", "-o", tmp_path / "two")
    assert status == 1
    assert "takes one run, not 2" in errors


def test_report(microcosm, finished, tmp_path):
    out = tmp_path / "report.html"
    ids = [row["run_id"] for row in finished]
    status, rows, _ = microcosm("report", *ids, "-o", out)
    assert status == 0
    assert rows[0]["runs"] == ids
    assert all(run_id in out.read_text() for run_id in ids)
    before = out.read_bytes()
    status, _, errors = microcosm("report", *ids, "-o", out)
    assert status == 1
    assert "--force" in errors
    assert microcosm("report", *ids, "-o", out, "--force")[0] == 0
    assert out.read_bytes() == before
    assert microcosm("report", ids[0], "-o", tmp_path)[0] == 1
    assert microcosm("report", ids[0], "-o", tmp_path / "report.pdf")[0] == 0
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    status, _, errors = microcosm("report", ids[0], "-o", tmp_path / "report.docx")
    assert status == 1
    assert ".pdf" in errors


def test_pause_inject_resume_cancel(microcosm, workspace, tmp_path):
    study = _study(tmp_path, "--steps", "8")
    space = open_workspace(workspace)
    folder = create_run(space, study)
    assert microcosm("pause", folder.name)[0] == 0
    assert read_info(folder).status == "paused"
    (tmp_path / "push.toml").write_text(INTERVENTION)
    status, rows, _ = microcosm("inject", folder.name, tmp_path / "push.toml")
    assert status == 0
    assert rows[0]["request"] == "inject"
    status, rows, _ = microcosm("resume", folder)
    assert status == 0
    assert set(rows[0]) >= RESULT_KEYS
    assert rows[0]["status"] == "done"
    assert any("push" in detail for detail in read_events(folder)["detail"])
    assert microcosm("replay", folder.name)[0] == 0
    other = create_run(space, study)
    assert microcosm("cancel", other.name)[0] == 0
    assert read_info(other).status == "cancelled"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("steps = 3", "holds steps"),
        ("", "holds nothing"),
        ("[[interventions]\n", "not TOML"),
        (INTERVENTION.replace('"opinion"', '"opinoin"'), "opinion"),
        (INTERVENTION.replace('"set"', '"sett"'), "set"),
    ],
)
def test_a_wrong_injection_is_refused(microcosm, finished, tmp_path, text, complaint):
    (tmp_path / "push.toml").write_text(text)
    status, rows, errors = microcosm("inject", finished[0]["run_id"], tmp_path / "push.toml")
    assert (status, rows) == (2, [])
    assert complaint in errors
    assert "Traceback" not in errors


def test_a_failing_run_leaves_with_1(microcosm, tmp_path):
    (tmp_path / "ties.csv").write_text("source,target\n0,1\n1,0\n5,900\n")
    (tmp_path / "study.toml").write_text(
        'format = 1\nscenario = "sir"\nsteps = 3\n[population]\nsize = 10\n'
        f'[network]\nkind = "file"\npath = "{tmp_path}/ties.csv"\n'
    )
    status, _, errors = microcosm("run", tmp_path / "study.toml")
    assert status == 1
    assert "failed at step 0: ties.csv: unknown agents in row 4" in errors
    assert errors.count("\n") == 1


def test_a_missing_model_is_told_before_a_run_is_made(microcosm, workspace):
    before = len(list((workspace / "runs").iterdir()))
    status, rows, errors = microcosm("run", "fishery", "--model", "no_such_model")
    assert (status, rows) == (1, [])
    assert "no_such_model" in errors
    assert errors.count("\n") == 1
    assert len(list((workspace / "runs").iterdir())) == before


def test_ctrl_c_pauses_a_run_that_can_be_resumed(workspace, tmp_path):
    own = tmp_path / "own"
    command = [sys.executable, "-m", "app.cli", "run", "sir", "--set", "population.size=20000", "--steps", "100000"]
    command += ["--set", "params.gamma=0.0001", "--set", "record.states=none", "--workspace", str(own)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        folder = _wait_for_steps(own)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert f"microcosm resume {folder.name}" in errors
    assert "Traceback" not in errors
    info = read_info(folder)
    assert info.status == "paused"
    assert 0 < info.step < 100_000


def _wait_for_steps(workspace):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        going = [info for info in list_runs(open_workspace(workspace)) if info.step > 0]
        if going:
            return going[0].folder
        time.sleep(0.1)
    raise AssertionError("the run did not start")


def _study(folder, *words):
    from app.cli import build_parser
    from app.commands.studies import load_chosen

    return load_chosen(
        build_parser()[0].parse_args(["run", "bounded_confidence", "--workspace", str(folder), *SMALL, *words])
    )


def test_progress_says_rate_and_remaining_time(workspace, tmp_path):
    from dataclasses import replace

    folder = create_run(open_workspace(workspace), _study(tmp_path, "--steps", "8"))
    info = read_info(folder)
    assert describe_rate(info) == ""
    running = replace(info, status="running", phase="running", step=4, steps_per_s=2.0, remaining_s=125.0)
    assert describe_rate(running) == "2 steps/s, 2 min 05 s left"
    assert describe_run(replace(running, phase="loading model")) == f"{info.run_id} loading model"
    pause_run(folder)


ARMS = """
scenario = "sir"
seed = 3
replicates = 2
steps = 8

[population]
size = 200

[[arms]]
name = "control"

[[arms]]
name = "vaccinated"

[[arms.interventions]]
name = "vaccinate"
at = 0
whom = { where = "state == 'susceptible'", sample = { share = 0.1 } }
do = { effect = "set", column = "state", value = "recovered" }
"""


def test_a_study_with_arms_runs_all_of_them_once(microcosm, tmp_path):
    path = tmp_path / "arms.toml"
    path.write_text(ARMS)
    assert microcosm("estimate", path)[1][0]["n_runs"] == 4
    status, rows, _ = microcosm("run", path, "--workers", 2)
    assert status == 0 and len({row["run_id"] for row in rows}) == 4
    again = microcosm("run", path)[1]
    assert [row["run_id"] for row in again] == [row["run_id"] for row in rows]
    text = microcosm("run", path, as_json=False)[1]
    assert "arm vaccinated, replicate 1" in text


def test_workers_must_be_a_sensible_number(microcosm):
    status, _, err = microcosm("run", "sir", "--workers", 0)
    assert status == 1 and "--workers 0 is not in [1, 64]" in err


def test_one_plays_an_agent_from_the_command_line(microcosm):
    seat = ("--set", "decisions.harvest={policy='human',seats=[1]}", "--steps", "2")
    status, text, err = microcosm("run", "fishery", *seat, as_json=False)
    run = text.split()[0]
    assert status == 0
    assert "waiting for" in err
    assert f"microcosm answer {run} ANSWER" in err
    status, text, _ = microcosm("answer", run, as_json=False)
    assert status == 0
    assert "How many tonnes of fish" in text
    assert "Fish in the lake now" in text
    assert "a number from 0 to 100 tonnes" in text
    status, _, err = microcosm("answer", run, "plenty", as_json=False)
    assert status == 1
    assert "'plenty' is not an answer to 'harvest'" in err
    status, rows, _ = microcosm("answer", run, "17")
    assert (status, rows[0]["question"]["step"]) == (0, 2)
    status, rows, _ = microcosm("answer", run, "3")
    assert (status, rows[0]["question"]) == (0, None)
    status, _, err = microcosm("answer", run, "3", as_json=False)
    assert status == 1
    assert "asks nothing" in err


def test_a_resumed_run_may_be_allowed_to_leave_the_computer(microcosm, workspace):
    url = "http://192.168.0.9:8080"
    study = load_study("bounded_confidence", ["population.size=20", "steps=1", f"model.url='{url}'"])
    folder = create_run(open_workspace(workspace), study)
    assert needs_consent(url, workspace)
    microcosm("resume", folder.name)
    assert needs_consent(url, workspace)
    microcosm("resume", folder.name, "--allow-remote")
    assert not needs_consent(url, workspace)
