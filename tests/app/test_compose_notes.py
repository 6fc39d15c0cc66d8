"""What stands beside a study: outcome, parts that were looked at, snapshots; and the study in forms that run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.annotations import (
    MAX_SNAPSHOTS,
    READINGS,
    Outcome,
    annotation_path,
    drop_snapshot,
    mark_seen,
    outcome_problem,
    read_outcome,
    read_seen,
    read_snapshots,
    restore_snapshot,
    save_snapshot,
    store_outcome,
    write_annotations,
)
from app.composer.outcome import outcome_sentence
from app.composer.paste import as_command, as_python, changes_as_command, changes_between, inline_toml, steps_of
from app.drafts import Draft
from engine.analysis import REDUCTIONS
from engine.loading import default_study, load_study, scenario_info, study_tables
from engine.runs import list_experiments, list_runs, open_workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(tmp_path / "a work space"))
    return open_workspace(tmp_path / "a work space")


@pytest.fixture
def draft(workspace):
    return Draft.new(workspace.studies, "bounded_confidence")


def test_the_outcome_is_kept_and_begins_with_the_first_measure(draft):
    measures = scenario_info("bounded_confidence").measures
    assert read_outcome(draft, measures) == Outcome(measures[0].name, "last")
    write_annotations(draft, outcome={"measure": "polarization", "at": "max"})
    assert read_outcome(Draft.open(draft.path), measures) == Outcome("polarization", "max")


def test_an_outcome_that_is_not_measured_is_named(draft):
    measures = scenario_info("sir").measures
    problem = outcome_problem(Outcome("polarization"), measures, "sir")
    assert "'polarization' is not measured by sir" in problem
    assert measures[0].name in problem
    assert outcome_problem(Outcome(measures[0].name), measures, "sir") == ""


def test_every_reading_of_the_engine_has_words():
    assert set(READINGS) == set(REDUCTIONS)
    measure = scenario_info("sir").measures[0]
    assert all(outcome_sentence(measure, at).endswith(".") for at in READINGS)


def test_damaged_notes_count_as_none(draft):
    annotation_path(draft).write_text("{ not JSON", encoding="utf-8")
    assert read_seen(draft) == set()
    assert read_snapshots(draft) == []
    assert mark_seen(draft, "people") == {"people"}


def test_snapshots_are_saved_restored_and_forgotten(draft):
    before = draft.text()
    assert save_snapshot(draft, "  before   the survey ") == "before the survey"
    draft.put("params.epsilon", 0.4)
    assert save_snapshot(draft, "") == "snapshot 1"
    draft.put("seed", 9)
    restore_snapshot(draft, "before the survey")
    assert draft.text() == before
    draft.undo()
    assert draft.get("seed") == 9
    drop_snapshot(draft, "before the survey")
    assert [held.name for held in read_snapshots(draft)] == ["snapshot 1"]


def test_a_name_is_kept_once_and_old_snapshots_go(draft):
    for number in range(MAX_SNAPSHOTS + 3):
        save_snapshot(draft, f"number {number}")
    save_snapshot(draft, f"number {MAX_SNAPSHOTS}")
    names = [held.name for held in read_snapshots(draft)]
    assert len(names) == len(set(names)) == MAX_SNAPSHOTS
    assert names[0] == f"number {MAX_SNAPSHOTS}"


def test_the_outcome_goes_with_the_experiment(tmp_path):
    store_outcome(tmp_path, Outcome("polarization", "mean"))
    held = json.loads((tmp_path / "outcome.json").read_text(encoding="utf-8"))
    assert held == {"measure": "polarization", "at": "mean"}


def test_changes_between_tables():
    before = {"a": 1, "b": {"c": 2, "d": 3}, "gone": 1}
    assert changes_between(before, {"a": 1, "b": {"c": 5, "d": 3}, "new": [1]}) == {"b.c": 5, "new": [1], "gone": None}
    assert inline_toml({"x y": [True, 0.5, 'a "b"']}) == '{"x y" = [true, 0.5, "a \\"b\\""]}'


def test_the_command_of_changes_is_the_same_study(draft):
    draft.put("params.epsilon", 0.35)
    draft.put("title", 'it\'s "quoted" and $HOME')
    draft.put("arms", [{"name": "a"}, {"name": "b", "set": {"network": {"k": 4}}}])
    study = draft.check()[0]
    changes = changes_between(study_tables(default_study("bounded_confidence")), study_tables(study))
    assert load_study("bounded_confidence", [f"{key}={inline_toml(value)}" for key, value in changes.items()]) == study
    assert "--set" in changes_as_command(draft, study)


def test_what_cannot_be_said_as_changes_says_so(draft):
    draft.put("population", {"size": 20})
    study = draft.check()[0]
    assert changes_as_command(draft, study).startswith(("# This study takes", "microcosm run"))


def test_the_steps_of_a_session_are_listed_in_order(draft):
    assert "nothing was changed" in steps_of(draft)
    draft.put("params.epsilon", 0.35)
    draft.put("question", "why?")
    draft.put("question", None)
    assert steps_of(draft).splitlines() == [
        "# step 1",
        "params.epsilon = 0.35",
        "# step 2",
        'question = "why?"',
        "# step 3",
        "# without question",
    ]


def test_command_and_script_run_as_they_are_shown(draft, workspace, tmp_path):
    draft.put("steps", 2)
    draft.put("population.size", 20)
    draft.put("replicates", 2)
    draft.put("arms", [{"name": "base"}, {"name": "open", "set": {"params": {"epsilon": 0.5}}}])
    study = draft.check()[0]
    microcosm = f"alias microcosm='{sys.executable} -m app.cli'\nshopt -s expand_aliases\n"
    told = f"set -e\n{microcosm}{as_command(draft, study)}"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        ["bash", "-c", told], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list_runs(workspace)) == 4
    script = as_python(draft, study, Outcome("polarization", "last"))
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "open compared with base" in found.stdout
    assert "The outcome differs by" in found.stdout
    assert len(list_runs(workspace)) == 4, "what is done is not made again"
    assert len(list_experiments(workspace)) == 1
