"""Compare: groups of runs, one contrast, what is said where there is too little; bookmarks and light lists of runs."""

import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import app
from app.bookmarks import Bookmark, drop_bookmark, put_bookmark, read_bookmarks
from app.comparing import differing, group_runs, group_table, nearest_event, nearest_pair, nearest_run, state_of
from app.contrasts import pairing_words
from app.frames import cells, grid_columns, load_layout, load_meta, read_frame, read_recording
from app.laying_out import ensure_picture
from app.reading import all_runs
from app.timeline import flowing
from engine.analysis import outcome_table, pair_outcomes, paired_contrast
from engine.experiment import create_experiment, queue_status, start_experiment
from engine.loading import load_study
from engine.runs import create_run, create_runs, list_runs, open_workspace, read_info
from engine.runs.execution import Worker, execute_run
from engine.store import read_measures

MAIN = str(Path(app.__file__).with_name("main.py"))
SENTENCE = "More runs shrink any p-value: report the effect and its Monte Carlo error."


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Return an experiment of two arms with three replicates each, all done."""
    workspace = open_workspace(tmp_path_factory.mktemp("compare") / "workspace")
    study = load_study(
        {
            "scenario": "sir",
            "title": "Slower",
            "steps": 15,
            "replicates": 3,
            "population": {"size": 80},
            "arms": [{"name": "as it is"}, {"name": "<b>slower</b>", "set": {"params.p_transmit": 0.01}}],
        }
    )
    made = create_experiment(workspace, study)
    start_experiment(made, 1)
    end = time.monotonic() + 90
    while queue_status(workspace, made.experiment_id).n_done < 6 and time.monotonic() < end:
        time.sleep(0.1)
    assert queue_status(workspace, made.experiment_id).n_done == 6
    return made


def open_compare(monkeypatch, workspace, **address):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(workspace.path))
    test = AppTest.from_file(MAIN, default_timeout=60).run()
    for name, value in address.items():
        test.query_params[name] = value
    test.switch_page("views/compare.py")
    test.run()
    assert not test.exception, test.exception
    return test


def words(test):
    items = [*test.markdown, *test.caption, *test.info]
    return "\n".join(str(item.value) for item in items).replace("\\", "")


def test_an_empty_workspace_says_what_to_do(monkeypatch, tmp_path):
    assert "template" in words(open_compare(monkeypatch, open_workspace(tmp_path / "w")))


def test_the_contrast_is_that_of_the_analysis(monkeypatch, experiment):
    test = open_compare(monkeypatch, experiment.workspace, experiment=experiment.experiment_id)
    table = outcome_table({arm: experiment.folders_of(arm) for arm in experiment.arms}, "susceptible_share")
    pairs = pair_outcomes(table, *experiment.arms)
    found = paired_contrast(pairs.a, pairs.b)
    shown = {metric.label: metric.value for metric in test.metric}
    assert shown["Difference"] == f"{found.difference:.4g}"
    assert shown["Monte Carlo error"] == f"{found.monte_carlo_error:.4g}"
    assert shown["Variance reduction"].endswith("×")
    assert SENTENCE in words(test)
    assert "equal up to day" in words(test)


def test_a_margin_tests_equivalence(monkeypatch, experiment):
    test = open_compare(monkeypatch, experiment.workspace, experiment=experiment.experiment_id)
    test.number_input(key="margin").set_value(0.9).run()
    assert "equivalent (two one-sided t tests" in words(test)


def test_one_pair_has_a_sentence_and_no_band(monkeypatch, experiment):
    ids = ",".join(experiment.folders[(arm, 0)].name for arm in experiment.arms)
    test = open_compare(monkeypatch, experiment.workspace, runs=ids)
    assert "One pair of runs gives a difference but no band" in words(test)
    assert [metric.label for metric in test.metric] == ["Difference"]


def test_runs_are_grouped_by_what_differs_but_never_by_the_seed(experiment):
    infos = list_runs(experiment.workspace)
    table = differing(infos)
    assert set(table) == {"arm", "params.p_transmit"}
    groups = group_runs(infos, ["params.p_transmit"])
    assert sorted(len(own) for own in groups.values()) == [3, 3]
    assert list(group_runs(infos, [])) == ["all runs"]
    outcome = outcome_table({name: list(own) for name, own in groups.items()}, "susceptible_share")
    rows = group_table(outcome)
    assert rows["n"].to_list() == [3, 3]
    assert (rows["low"] <= rows["mean"]).all()
    assert (rows["mean"] <= rows["high"]).all()


def test_light_lists_agree_with_full_ones_and_notice_changes(experiment, tmp_path):
    assert all_runs(experiment.workspace) == list_runs(experiment.workspace)
    workspace = open_workspace(tmp_path / "w")
    assert all_runs(workspace) == []
    folder = create_run(workspace, load_study({"scenario": "sir", "population": {"size": 40}}))
    assert [info.status for info in all_runs(workspace)] == ["queued"]
    assert all_runs(workspace)[0].run_id == folder.name


def test_bookmarks_are_kept_per_run_and_survive_a_broken_file(experiment):
    workspace = experiment.workspace
    info = read_info(next(iter(experiment.folders.values())))
    put_bookmark(workspace, info, 7, "the  peak\n")
    put_bookmark(workspace, info, 3)
    put_bookmark(workspace, info, 7, "<b>top</b>")
    assert read_bookmarks(workspace, info.run_id) == [Bookmark(3, "bookmark"), Bookmark(7, "<b>top</b>")]
    drop_bookmark(workspace, info.run_id, 3)
    assert [mark.step for mark in read_bookmarks(workspace, info.run_id)] == [7]
    (workspace.path / "bookmarks" / f"{info.run_id}.json").write_text("{", encoding="utf-8")
    assert read_bookmarks(workspace, info.run_id) == []


def test_a_queued_run_gets_its_picture_afterwards(experiment):
    folder = next(iter(experiment.folders.values()))
    assert load_layout(folder) is None
    ensure_picture(folder)
    layout = load_layout(folder)
    column = load_meta(folder)["columns"][0]
    assert layout.ids.tolist() == list(range(80))
    recording = read_recording(folder, column, layout.ids)
    for step in (0, 4, 15):
        assert np.array_equal(read_frame(folder, column, layout.ids, step), recording.codes[recording.row(step)])


def test_cells_come_back_from_bytes():
    board = np.arange(0, 200)
    codes = np.rint((board - 0) / 199 * 255).astype(np.uint8)
    assert np.array_equal(cells(codes, (0.0, 199.0)), board)
    columns = [{"name": "x", "unit": "cells"}, {"name": "y", "unit": "cells"}, {"name": "group", "unit": ""}]
    assert [column["name"] for column in grid_columns(columns)] == ["x", "y"]
    assert grid_columns(columns[:1]) is None


def test_a_rule_flows_over_the_line_breaks_of_its_file():
    text = "Question: how large\nis it?\n\n1. A person is\n   infected.\n2. Others recover.\nSource: a,\nb."
    wanted = "Question: how large is it?\n\n1. A person is infected.\n2. Others recover.\nSource: a, b."
    assert flowing(text) == wanted


def test_a_point_of_the_difference_opens_the_pair_nearest_to_it(experiment):
    infos = {folder: read_info(folder) for folder in experiment.folders.values()}
    state = state_of(group_runs(list(infos.values()), ["arm"]), infos)
    values = {
        (info.arm, info.replicate): read_measures(folder).filter(measure="infected_share", step=7)["value"][0]
        for folder, info in infos.items()
    }
    (first, _), (second, _) = state
    differences = {r: values[second, r] - values[first, r] for r in range(3)}
    run, step = nearest_pair(state, "infected_share", 7, differences[2])
    found = next(info for info in infos.values() if info.run_id == run)
    assert step == 7
    assert found.arm == second
    assert differences[found.replicate] == differences[2]
    assert nearest_run(state, "infected_share", "&lt;b&gt;slower&lt;/b&gt;", 7, 0.1), "a name as the chart draws it"


def test_a_point_of_survival_opens_the_run_whose_event_is_nearest(tmp_path):
    study = load_study({"scenario": "fishery", "params": {"rule": "fixed", "fixed_request": 12}, "steps": 8})
    workspace = open_workspace(tmp_path / "workspace")
    folders = create_runs(workspace, study)
    with Worker(live=False) as worker:
        execute_run(folders[0], worker)
    infos = {folder: read_info(folder) for folder in folders}
    state = state_of(group_runs(list(infos.values()), []), infos)
    frame = read_measures(folders[0]).filter(measure="collapsed", value=1.0)
    assert nearest_event(state, "collapsed", state[0][0], 8) == (folders[0].name, frame["step"].min())


def test_what_a_variance_reduction_says():
    assert "without pairs, 3.2 times the runs" in pairing_words(3.2)
    assert pairing_words(0.5).startswith("below 1")
    assert pairing_words(1.02).startswith("about 1")
    found = paired_contrast([1.0, 2.0, 3.0], [3.0, 2.0, 1.5], n_draws=50)
    assert found.variance_reduction < 1
    assert "Pairing did not help" in found.sentence
    still = paired_contrast([1.0, 1.0], [1.0, 1.0], n_draws=50)
    assert pairing_words(still.variance_reduction).startswith("no pair tells")
