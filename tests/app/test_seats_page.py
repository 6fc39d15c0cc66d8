"""What the pages of this part compute without drawing: seats, survival, observed people, kept steps, chart points."""

import tomllib

import numpy as np
import pytest

from app.comparing import group_runs, nearest_run, state_of
from app.composer.comparison import _present_value, add_arm, possible_changes
from app.composer.deciders import read_seats
from app.drafts import Draft, steps_path
from app.survival import events_of
from engine import load_study
from engine.loading import scenario_info
from engine.runs import create_runs, open_workspace, read_info
from engine.runs.execution import Worker, execute_run
from engine.store import read_measures


def test_seats_are_read_from_a_field():
    assert read_seats("0, 3;4") == [0, 3, 4]
    assert read_seats("  ") is None
    assert read_seats("two") == ["two"]


def test_the_steps_of_a_draft_outlive_a_refresh(tmp_path):
    draft = Draft.new(tmp_path, "voter")
    draft.put("seed", 4)
    draft.put("seed", 9)
    again = Draft.open(draft.path)
    assert len(again.past) == 2
    assert tomllib.loads(again.past[1])["seed"] == 4
    again.undo()
    assert (again.get("seed"), len(Draft.open(draft.path).past)) == (4, 1)
    steps_path(draft.path).write_text('["seed = ", 3]')
    spoilt = Draft.open(draft.path)
    spoilt.undo()
    assert spoilt.get("seed") == 4, "a kept state that is no TOML changes nothing"
    steps_path(draft.path).write_text("{}")
    assert Draft.open(draft.path).past == []


def test_arms_offer_the_parameters_of_every_layer(tmp_path):
    draft = Draft.new(tmp_path, "sir")
    layers = [{"name": "home", "kind": "ring", "k": 2}, {"name": "work", "kind": "erdos_renyi", "mean_degree": 4.0}]
    draft.put("network", {"layers": layers})
    offered = possible_changes(draft, scenario_info("sir"))
    assert offered["network.layers.1.mean_degree"] == "ties, work: mean degree"
    assert _present_value(draft, "network.layers.1.mean_degree") == 4.0
    add_arm(draft)
    draft.put("arms.1.set", {"network.layers.1.mean_degree": 9.0})
    study, problems = draft.check()
    assert problems == ()
    assert study.arms[1].set == {"network.layers.1.mean_degree": 9.0}


def test_an_arm_that_says_the_default_aloud_differs_in_nothing():
    tables = {
        "scenario": "voter",
        "arms": [{"name": "a"}, {"name": "b", "set": {"decisions.adopt.policy": "rule"}}],
    }
    with pytest.raises(Exception, match="'a' and 'b' differ in nothing"):
        load_study(tables)


def test_events_are_measures_that_happen():
    assert events_of(scenario_info("fishery")) == ["collapsed"]
    assert events_of(scenario_info("sir")) == []


def test_a_point_of_a_mean_opens_the_nearest_run(tmp_path):
    study = load_study("majority_force", ["population.size=20", "steps=4", "replicates=3"])
    folders = create_runs(open_workspace(tmp_path / "workspace"), study)
    for folder in folders:
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    infos = [read_info(folder) for folder in folders]
    groups = group_runs(infos, [])
    state = state_of(groups, {info.folder: info for info in infos})
    values = [
        read_measures(folder).filter(read_measures(folder)["measure"] == "magnetization")["value"].to_list()[3]
        for folder in folders
    ]
    (name,) = groups
    run, step = nearest_run(state, "magnetization", name, 3, values[2] + 1e-6)
    assert step == 3
    assert np.isclose(values[[folder.name for folder in folders].index(run)], values[2])
    assert nearest_run(state, "magnetization", "nobody", 3, 0.0) is None
