"""A workspace of its own for each test, and small studies with two arms."""

import pytest

from engine import load_study
from engine.runs import open_workspace

VACCINATE = {
    "name": "vaccinate",
    "at": 0,
    "whom": {"where": "state == 'susceptible'", "sample": {"share": 0.1}},
    "do": {"effect": "set", "column": "state", "value": "recovered"},
}


@pytest.fixture
def workspace(tmp_path):
    return open_workspace(tmp_path / "workspace")


@pytest.fixture
def tables():
    """A study of 60 people in two arms, as tables."""
    return {
        "scenario": "bounded_confidence",
        "steps": 8,
        "replicates": 2,
        "population": {"size": 60},
        "arms": [
            {"name": "narrow", "set": {"params.epsilon": 0.1}},
            {"name": "wide", "set": {"params.epsilon": 0.4}},
        ],
    }


@pytest.fixture
def study(tables):
    return load_study(tables)


@pytest.fixture
def vaccination():
    """An epidemic with 1 % infected, and 10 % of the others vaccinated in the second arm."""
    return load_study(
        {
            "scenario": "sir",
            "steps": 300,
            "population": {"size": 1000},
            "params": {"mixing": "well_mixed", "initial_infected": 10},
            "record": {"states": "none"},
            "arms": [{"name": "nobody"}, {"name": "a tenth", "interventions": [VACCINATE]}],
        }
    )
