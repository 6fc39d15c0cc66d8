"""Experiments in a workspace: made, run, paused, taken up, extended; and outcomes read from them."""

import os
import signal
import time

import polars as pl
import pytest

from engine import StudyError, load_study, run_study
from engine.analysis import (
    difference_band,
    first_divergence,
    outcome_table,
    pair_outcomes,
    paired_contrast,
    stack_measure,
)
from engine.errors import ReportError, RunError, RunNotFound
from engine.experiment import (
    create_experiment,
    pause_experiment,
    queue_status,
    read_experiment,
    run_experiment,
    start_experiment,
)
from engine.runs import (
    cancel_run,
    create_run,
    fork_run,
    list_experiments,
    list_runs,
    read_info,
    read_study,
)
from engine.runs.execution import Worker, execute_run
from engine.store import query


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An experiment of 2 arms x 4 replicates, done."""
    from engine.runs import open_workspace

    study = load_study(
        {
            "scenario": "bounded_confidence",
            "steps": 12,
            "population": {"size": 100},
            "network": {"kind": "complete"},
            "arms": [
                {"name": "narrow", "set": {"params.epsilon": 0.1}},
                {"name": "wide", "set": {"params.epsilon": 0.4}},
            ],
        }
    )
    seen = []
    workspace = open_workspace(tmp_path_factory.mktemp("experiment"))
    experiment = run_experiment(workspace, study, replicates=4, workers=2, on_progress=seen.append)
    return experiment, seen


def test_every_arm_and_replicate_is_run(finished):
    experiment, seen = finished
    assert list(experiment.folders) == [(arm, r) for r in range(4) for arm in ("narrow", "wide")]
    for (arm, replicate), folder in experiment.folders.items():
        info = read_info(folder)
        assert (info.arm, info.replicate, info.status) == (arm, replicate, "done")
        assert info.experiment_id == experiment.experiment_id
        assert read_study(folder).params["epsilon"] == {"narrow": 0.1, "wide": 0.4}[arm]
    assert seen[-1].is_finished
    assert seen[-1].counts == {"done": 8}
    row = query(experiment.folders["wide", 3], "select experiment_id, arm, replicate from run").row(0)
    assert row == (experiment.experiment_id, "wide", 3)


def test_both_workers_work(finished):
    """The two logs lie in the first run of either worker's share."""
    experiment, _ = finished
    logs = [folder for folder in experiment.folders.values() if (folder / "worker.log").is_file()]
    assert logs == list(experiment.folders.values())[:2]


def test_the_same_study_goes_on_with_its_experiment(finished):
    experiment, _ = finished
    workspace, ended = experiment.workspace, {f: read_info(f).ended_at for f in experiment.folders.values()}
    again = run_experiment(workspace, experiment.study, replicates=4)
    assert again.folders == experiment.folders
    assert {f: read_info(f).ended_at for f in again.folders.values()} == ended
    assert read_experiment(workspace, experiment.study).folders == experiment.folders
    assert list_experiments(workspace) == [experiment.experiment_id]
    with pytest.raises(RunNotFound, match="is not an experiment here"):
        read_experiment(workspace, "exp-unknown")
    with pytest.raises(RunError, match="'both' is not an arm of this experiment; valid: 'narrow', 'wide'"):
        experiment.folders_of("both")


def test_outcomes_pair_by_replicate(finished):
    experiment, _ = finished
    table = outcome_table(list(experiment.folders.values()), "polarization")
    assert table.columns == ["run_id", "arm", "replicate", "seed", "value"]
    pairs = pair_outcomes(table, "narrow", "wide")
    assert pairs.replicates.tolist() == [0, 1, 2, 3]
    contrast = paired_contrast(pairs.a, pairs.b)
    assert contrast.n_runs == 4
    assert contrast.high < 0  # who listens to many ends nearer to the others
    kept = table.filter(~((pl.col("arm") == "wide") & (pl.col("replicate") == 2)))
    assert pair_outcomes(kept, "narrow", "wide").left_out == 1
    with pytest.raises(ReportError, match="no run belongs to the arm 'broad'"):
        pair_outcomes(table, "narrow", "broad")
    with pytest.raises(ReportError, match="replicate 0 more than once"):
        pair_outcomes(pl.concat([table, table]), "narrow", "wide")
    moved = table.with_columns(seed=pl.when(pl.col("arm") == "wide").then(pl.col("seed") + 1).otherwise("seed"))
    with pytest.raises(ReportError, match="have different seeds, so they are no pair"):
        pair_outcomes(moved, "narrow", "wide")


def test_an_outcome_is_taken_as_asked(finished):
    experiment, _ = finished
    folder = experiment.folders["narrow", 1]
    steps = query(folder, "select step, value from measures where measure = 'polarization' order by step")
    values = steps["value"].to_list()
    taken = {at: outcome_table([folder], "polarization", at)["value"][0] for at in ("last", "max", "min", 0, 5)}
    assert taken == {"last": values[-1], "max": max(values), "min": min(values), 0: values[0], 5: values[5]}
    assert outcome_table([folder], "polarization", "mean")["value"][0] == pytest.approx(sum(values) / len(values))
    assert outcome_table([folder], "polarization", "step_of_max")["value"][0] == values.index(max(values))
    with pytest.raises(ReportError, match=r"step 13 is not in \[0, 12\]"):
        outcome_table([folder], "polarization", 13)
    with pytest.raises(ReportError, match="'first' is no way to take an outcome"):
        outcome_table([folder], "polarization", "first")
    with pytest.raises(ReportError, match="no run is given"):
        outcome_table([], "polarization")


def test_an_outcome_that_is_not_measured_names_the_nearest(finished):
    experiment, _ = finished
    with pytest.raises(StudyError, match="'polarisation' is not measured by bounded_confidence; did you mean 'polariz"):
        outcome_table(experiment.folders_of("wide"), "polarisation")
    queued = create_run(experiment.workspace, load_study("sir", ["steps=3"]))
    assert outcome_table([queued], "recovered_share")["value"].to_list() == [None]
    with pytest.raises(StudyError, match="'recoverd_share' is not measured by sir; did you mean 'recovered_share'"):
        outcome_table([queued], "recoverd_share")
    waiting = create_run(experiment.workspace, read_study(experiment.folders["wide", 0]))
    with pytest.raises(ReportError, match="0 replicates are done in both arms, and a band takes at least 2"):
        difference_band([waiting], experiment.folders_of("narrow")[:1], "polarization")


def test_the_band_of_a_difference_follows_the_runs(finished):
    experiment, _ = finished
    a, b = experiment.folders_of("narrow"), experiment.folders_of("wide")
    band = difference_band(a, b[::-1], "polarization")
    differences = stack_measure(b, "polarization").values - stack_measure(a, "polarization").values
    assert band.mean.tolist() == pytest.approx(differences.mean(axis=0).tolist())
    assert band.steps.tolist() == list(range(13))
    assert (band.low <= band.mean).all()
    assert (band.mean <= band.high).all()
    assert band.low[0] == band.high[0] == 0  # the same people with the same opinions at the start
    with pytest.raises(ReportError, match="one replicate is done in both arms, and a band takes at least 2"):
        difference_band(a[:1], b[:1], "polarization")


def test_runs_part_at_the_first_step_that_differs(finished):
    experiment, _ = finished
    parent = experiment.folders["narrow", 0]
    child = fork_run(experiment.workspace, parent, 5, ["params.mu=0.1"])
    with Worker(live=False) as worker:
        execute_run(child, worker)
    assert first_divergence(parent, child) == 6
    assert first_divergence(parent, parent) is None
    assert first_divergence(parent, experiment.folders["narrow", 1]) == 0
    groups = {"as it is": [parent], "forked": [child]}  # a fork pairs with its parent
    assert pair_outcomes(outcome_table(groups, "polarization"), "as it is", "forked").replicates.tolist() == [0]


def test_more_replicates_are_added_and_rests_are_taken_up(workspace, study):
    first = create_experiment(workspace, study, 1)
    cancel_run(first.folders["wide", 0])
    status = queue_status(workspace, first.experiment_id[:8])
    assert status.counts == {"queued": 1, "cancelled": 1}
    assert (status.n_runs, status.workers, status.is_finished) == (2, 0, False)
    whole = run_experiment(workspace, study, replicates=2)
    assert set(first.folders.items()) < set(whole.folders.items())
    assert queue_status(workspace, whole.experiment_id).counts == {"done": 4}
    assert len(list_runs(workspace)) == 4
    assert read_experiment(workspace, whole.experiment_id).study.replicates == 2


def test_a_queue_goes_on_alone_pauses_and_survives_a_kill(workspace, tables):
    longer = {"steps": 1500, "replicates": 1, "population": {"size": 20_000}, "record": {"states": "none"}}
    study = load_study(tables | longer)
    experiment = create_experiment(workspace, study)
    (pid,) = start_experiment(experiment)
    assert start_experiment(experiment) == []  # who works already is enough

    def wait_for_status(wanted):
        deadline = time.monotonic() + 30
        while not wanted(status := queue_status(workspace, experiment.experiment_id)):
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
        return status

    wait_for_status(lambda status: any(info.step > 0 for info in status.running))
    pause_experiment(workspace, experiment.experiment_id)
    paused = wait_for_status(lambda status: status.workers == 0)
    assert paused.counts == {"paused": 1, "queued": 1}
    (pid,) = start_experiment(experiment)
    wait_for_status(lambda status: any(info.step > 0 for info in status.running))
    os.kill(pid, signal.SIGKILL)
    killed = wait_for_status(lambda status: status.workers == 0 and not status.running)
    assert killed.counts["interrupted"] == 1, killed
    run_experiment(workspace, study, workers=2)
    assert queue_status(workspace, experiment.experiment_id).counts == {"done": 2}


def test_a_failed_run_is_named(workspace, tables):
    spec = {
        "name": "unknown",
        "at": 2,
        "whom": {"ids": [999]},
        "do": {"effect": "set", "column": "opinion", "value": 1},
    }
    tables["arms"][1]["interventions"] = [spec]
    with pytest.raises(RunError, match=r"2 of 4 runs failed: wide, replicate 0 \(.*\): .*agent 999 is not present"):
        run_experiment(workspace, load_study(tables))
    assert sorted(info.status for info in list_runs(workspace)) == ["done", "done", "failed", "failed"]


def test_a_study_without_arms_is_an_experiment_too(workspace):
    study = load_study("bounded_confidence", ["steps=3", "population.size=30"])
    experiment = create_experiment(workspace, study, 2)
    assert list(experiment.folders) == [("", 0), ("", 1)]
    assert experiment.arms == [""]
    assert {read_info(folder).arm for folder in experiment.folders.values()} == {None}
    assert set(outcome_table(experiment.folders_of(""), "polarization")["arm"]) == {""}


def test_run_study_runs_all_arms(workspace, study):
    results = run_study(study, workspace=workspace)
    infos = [read_info(result.folder) for result in results]
    places = [(info.arm, info.replicate) for info in infos]
    assert places == [("narrow", 0), ("wide", 0), ("narrow", 1), ("wide", 1)]
    assert set(read_experiment(workspace, study).folders) == set(places)
    with pytest.raises(RunError, match="a run has one arm, but the study has 2"):
        create_run(workspace, study)


@pytest.mark.parametrize(("replicates", "workers"), [(0, 1), (1, 0), (1, 65)])
def test_numbers_out_of_range_are_refused(workspace, study, replicates, workers):
    with pytest.raises(RunError, match="give "):
        run_experiment(workspace, study, replicates=replicates, workers=workers)
