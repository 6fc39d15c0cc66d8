"""Calibrate: the form's ranges, a fit in its own process, and the study that it gives."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

import app
from app.calibrating import fitted_fields, usual_range
from app.calibration_work import Request, find_calibration, start_calibration
from engine.analysis import Series
from engine.errors import ReportError
from engine.experiment import fit_series
from engine.loading import load_study, scenario_info
from engine.runs import create_runs, open_workspace, read_info, read_study
from engine.runs.execution import Worker, execute_run
from engine.store import read_measures

MAIN = str(Path(app.__file__).with_name("main.py"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished well-mixed epidemic, whose infected share is the series to find again."""
    workspace = open_workspace(tmp_path_factory.mktemp("calibrate") / "workspace")
    params = {"mixing": "well_mixed", "beta": 0.5, "gamma": 0.2}
    study = load_study({"scenario": "sir", "params": params, "population": {"size": 400}, "steps": 30})
    (folder,) = create_runs(workspace, study)
    with Worker(live=False) as worker:
        execute_run(folder, worker)
    return workspace, read_info(folder)


def series_of(info):
    frame = read_measures(info.folder).filter(measure="infected_share", segment="").sort("step")
    return pl.DataFrame({"day": frame["step"], "cases; share": frame["value"], "other": frame["value"] * 2})


def open_explore(monkeypatch, workspace, info):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(workspace.path))
    test = AppTest.from_file(MAIN, default_timeout=60).run()
    test.query_params["run"] = info.run_id
    test.switch_page("views/explore.py")
    test.run()
    test.button_group(key="explore_view").set_value("Calibrate").run()
    assert not test.exception, test.exception
    return test


def test_a_fit_finds_the_knob_and_becomes_a_study(monkeypatch, run):
    workspace, info = run
    assert open_explore(monkeypatch, workspace, info).button(key="fit_series").disabled
    content = series_of(info).write_csv().encode()
    asked = Request("infected_share", {"beta": (0.1, 1.0)}, "day", "cases; share", held_out=5, runs=1, trials=12)
    start_calibration(workspace, info, read_study(info.folder), content, asked)
    end = time.monotonic() + 60
    while (found := find_calibration(workspace, info.run_id)).is_running and time.monotonic() < end:
        time.sleep(0.1)
    assert found.problem == ""
    assert found.n_tried == found.result["trials"]
    assert found.result["knobs"]["beta"] == pytest.approx(0.5, abs=0.1)
    assert found.result["held_out"]["n"] == 5
    test = open_explore(monkeypatch, workspace, info)
    assert any(metric.label.startswith("beta") for metric in test.metric)
    test.button(key="take_fit").click().run()
    assert not test.exception
    (path,) = workspace.studies.glob("*.toml")
    taken = load_study(path)
    assert taken.params["beta"] == found.result["knobs"]["beta"]
    assert taken.params["gamma"] == 0.2
    assert taken.title.endswith("calibrated")


def test_what_is_no_series_is_said(run):
    workspace, info = run
    study = read_study(info.folder)
    asked = Request("infected_share", {"beta": (0.1, 1.0)}, "day", "value", held_out=1)
    for content, words in ((b"day;value\n1;2\n", "two columns"), (b"day,value\n2,1\n1,1\n3,1\n4,1\n", "ascending")):
        with pytest.raises(ReportError, match=words):
            start_calibration(workspace, info, study, content, asked)
    with pytest.raises(ReportError, match="fewer than 3"):
        start_calibration(workspace, info, study, b"day,value\n1,1\n2,1\n3,1\n", asked)


def test_ranges_stay_within_what_a_knob_allows():
    fields = fitted_fields(scenario_info("sir"))
    assert "mixing" not in fields
    assert usual_range(fields["gamma"], 0.8) == (0.4, 1.0)


def test_a_measure_that_may_be_negative_is_fitted_as_it_is():
    study = load_study("majority_force", ["population.size=30", "steps=4"])
    series = Series(np.arange(5), np.full(5, -0.5), "m")
    knobs = {next(iter(fitted_fields(scenario_info("majority_force")))): (0.1, 0.9)}
    found = fit_series(study, series, knobs, measure="magnetization", replicates=1, trials=4)
    gap = found.best.series - series.values
    assert found.best.misfit == pytest.approx(float(np.sqrt(np.mean(gap**2))))
