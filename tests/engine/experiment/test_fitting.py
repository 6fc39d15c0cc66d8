"""A fit finds the knobs behind a series that the scenario itself made, under another seed; errors by hand."""

import json
import math

import numpy as np
import pytest

from app.cli import main
from engine import load_study, simulate
from engine.analysis import Series, forecast_error, read_series
from engine.errors import ReportError, StudyError
from engine.experiment import fit_series
from engine.loading import parse_study

TOWN = ["population.size=3000", "steps=84", "params.testing=0.3"]


def town(*overrides):
    """Return a small city."""
    return load_study("epidemic_city", [*TOWN, *overrides])


@pytest.fixture(scope="module")
def observed():
    """Weekly cases of a town with r0 = 3.5 and 40 first cases, the mean of three runs under a seed of its own."""
    study = town("seed=99", "params.r0=3.5", "params.initial_infected=40")
    runs = [[record.measures["weekly_cases", ""] for record in simulate(study, replicate=r)] for r in range(3)]
    steps = np.arange(7, 85, 7)
    return Series(steps, np.mean(runs, axis=0)[steps], "cases")


def test_errors_by_hand():
    """Errors 1, -2, 2 on a mean of 4: RMSE sqrt(3), MAE 5/3, NRMSE sqrt(3)/4."""
    error = forecast_error(np.array([3.0, 2.0, 8.0]), np.array([2.0, 4.0, 6.0]))
    assert math.isclose(error.rmse, math.sqrt(3)) and math.isclose(error.mae, 5 / 3)
    assert math.isclose(error.nrmse, math.sqrt(3) / 4) and error.n == 3


def test_the_fit_finds_the_knobs_behind_a_series(observed):
    knobs = {"r0": (1.2, 6.0), "initial_infected": (5, 120)}
    study = town("seed=1")
    found = fit_series(study, observed, knobs, held_out=3, replicates=2, trials=40)
    assert 4 <= len(found.trials) <= 40
    assert abs(found.best.knobs["r0"] - 3.5) < 0.6
    assert 15 <= found.best.knobs["initial_infected"] <= 90 and isinstance(found.best.knobs["initial_infected"], int)
    assert found.fitted.n == 9 and found.held_out.n == 3
    assert found.fitted.nrmse < 0.2
    assert found.study.params == {**study.params, **found.best.knobs} and study.params == town("seed=1").params
    poor = fit_series(study, observed, {"r0": (1.2, 1.5)}, replicates=1, trials=4)
    assert poor.fitted.nrmse > 3 * found.fitted.nrmse


def test_what_cannot_be_fitted_is_said(observed):
    study = town()
    with pytest.raises(StudyError, match="'r00' is not a numeric knob of epidemic_city; did you mean 'r0'"):
        fit_series(study, observed, {"r00": (1, 2)})
    with pytest.raises(StudyError, match="'quarantine' is not a numeric knob"):
        fit_series(study, observed, {"quarantine": (0, 1)})
    with pytest.raises(StudyError, match="testing = 2 is not allowed"):
        fit_series(study, observed, {"testing": (0, 2)})
    with pytest.raises(StudyError, match="3 to 1 is not a range"):
        fit_series(study, observed, {"r0": (3, 1)})
    with pytest.raises(StudyError, match="'cases' is not a measure"):
        fit_series(study, observed, {"r0": (1, 3)}, measure="cases")
    with pytest.raises(StudyError, match="11 values held out of 12"):
        fit_series(study, observed, {"r0": (1, 3)}, held_out=11)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("week,cases\n1,5\n", "needs 3 to"),
        ("week,cases\n1,5\n2,x\n3,4\n", "must hold a number in every row"),
        ("week,cases\n1,5\n1,6\n3,4\n", "ascending whole numbers"),
        ("week,cases\n1,5\n2,\n3,4\n", "must hold a number in every row"),
    ],
)
def test_a_misshapen_series_is_refused(tmp_path, text, message):
    path = tmp_path / "cases.csv"
    path.write_text(text)
    with pytest.raises(ReportError, match=message):
        read_series(path)
    with pytest.raises(ReportError, match="cannot be read"):
        read_series(tmp_path / "absent.csv")


def test_the_command_line_writes_a_fitted_study(tmp_path, observed, capsys):
    path, out = tmp_path / "cases.csv", tmp_path / "fitted.toml"
    weeks = (observed.steps // 7).tolist()
    path.write_text("week,cases\n" + "".join(f"{w},{v}\n" for w, v in zip(weeks, observed.values, strict=True)))
    words = ["fit", "epidemic_city", str(path), "--knob", "params.r0=2:5", "--trials", "4", "--runs", "1", "--json"]
    words += [part for change in TOWN for part in ("--set", change)]
    words += ["--held-out", "2", "-o", str(out), "--workspace", str(tmp_path / "workspace")]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert parse_study(out.read_text()).params["r0"] == told["knobs"]["r0"]
    assert told["held_out"]["n"] == 2 and len(told["simulated"]) == 12
    assert main(words) == 1, "a file is never overwritten"
    assert main([*words[:3], "--knob", "r0=high"]) == 2
