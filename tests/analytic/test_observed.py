"""A measure on observed respondents against numpy: weights, rescaling, missing codes, bands."""

import numpy as np
import polars as pl
import pytest

from engine import MicrocosmError, load_study
from engine.analysis import mapped_states, observe
from engine.errors import ReportError, StudyError


@pytest.fixture
def wave(tmp_path):
    """Two waves of 600 respondents who place themselves from 0 to 10; 99 is no answer."""
    rng = np.random.default_rng(4)
    held = {}
    for name, spread in (("wave1", 1.5), ("wave2", 3.0)):
        scale = np.clip(np.rint(rng.normal(5, spread, 600)), 0, 10)
        weight = rng.uniform(0.2, 2, 600)
        scale[rng.random(600) < 0.05] = 99
        pl.DataFrame({"leri": scale, "other": scale[::-1], "w": weight}).write_csv(tmp_path / f"{name}.csv")
        held[name] = scale, weight
    mapping = {"variable": "leri", "range": [0, 10], "to": [0, 1], "missing_codes": [99]}
    population = {"size": 100, "file": "wave1.csv", "weight": "w", "map": {"opinion": mapping}}
    study = load_study({"scenario": "bounded_confidence", "population": population}, base=tmp_path)
    return study, tmp_path, held


def polarization(scale, weight):
    valid = scale <= 10
    x, w = scale[valid] / 10, weight[valid]
    mean = np.average(x, weights=w)
    return 4 * np.average((x - mean) ** 2, weights=w)


@pytest.mark.parametrize("name", ["wave1", "wave2"])
def test_weighted_polarization_is_that_of_numpy(wave, name):
    study, base, held = wave
    found = observe(study, "polarization", file=f"{name}.csv", base=base)
    assert found.value == pytest.approx(polarization(*held[name]), abs=1e-4)  # each respondent to one place in 100,000
    assert found.n_respondents == (held[name][0] <= 10).sum()
    assert (found.file, dict(found.variables)) == (f"{name}.csv", {"opinion": "leri"})
    assert found.low < found.value < found.high


def test_the_band_is_the_bootstrap_of_respondents(wave):
    """Its half width is about 1.96 standard errors, these by 400 draws of numpy (their ratio within 20 %)."""
    study, base, held = wave
    found = observe(study, "polarization", file="wave2.csv", base=base)
    scale, weight = (values[held["wave2"][0] <= 10] for values in held["wave2"])
    rng = np.random.default_rng(0)
    drawn = [polarization(scale[rows], weight[rows]) for rows in rng.integers(0, scale.size, (400, scale.size))]
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.std(drawn), rel=0.2)
    again = observe(study, "polarization", file="wave2.csv", base=base)
    assert again == found


def test_another_variable_and_no_weight(wave):
    study, base, held = wave
    found = observe(study, "mean_opinion", file="wave1.csv", variables={"opinion": "other"}, weight="", base=base)
    scale = held["wave1"][0]
    assert found.value == pytest.approx(scale[scale <= 10].mean() / 10, abs=1e-4)
    assert dict(found.variables) == {"opinion": "other"}


def test_what_cannot_be_observed(wave):
    study, base, _ = wave
    assert mapped_states(study) == {"opinion": "leri"}
    with pytest.raises(StudyError, match="'polarisation' is not measured by bounded_confidence; did you mean"):
        observe(study, "polarisation", base=base)
    with pytest.raises(ReportError, match="no state of the scenario comes from a survey"):
        observe(load_study("bounded_confidence"), "polarization")
    with pytest.raises(MicrocosmError, match="wave3"):
        observe(study, "polarization", file="wave3.csv", base=base)
    with pytest.raises(MicrocosmError, match="lerri"):
        observe(study, "polarization", file="wave2.csv", variables={"opinion": "lerri"}, base=base)
