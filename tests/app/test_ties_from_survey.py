"""From a survey in SPSS form to a report: people by weight, ties by likeness in two traits, a broker who is moved."""

import numpy as np
import polars as pl
import pyreadstat
import pytest

from app.composer.ties_columns import put_column
from app.composer.ties_likeness import put_likeness
from app.composer.ties_preview import likeness, look_at
from app.drafts import Draft
from app.surveys import keep_survey, open_survey, suggested_population
from engine.reports import render_report
from engine.runs import open_workspace, run_study
from engine.store import read_agents, read_edges, read_events

N = 600


@pytest.fixture
def survey(tmp_path):
    """Write 600 respondents with labels, weights and missing codes, and return the file."""
    rng = np.random.default_rng(4)
    right = rng.random(N) < 0.35
    scale = np.clip(np.rint(rng.normal(np.where(right, 7.5, 3.0), 1.4)), 0, 10)
    answered = rng.random(N) > 0.05
    rows = pl.DataFrame(
        {
            "idno": np.arange(1.0, N + 1),
            "lrscale": np.where(answered, scale, rng.choice([77.0, 88.0], N)),
            "agea": np.rint(rng.uniform(18, 90, N)),
            "gndr": rng.integers(1, 3, N).astype(float),
            "pspwght": np.where(right, 1.6, 0.7) * rng.uniform(0.8, 1.2, N),
        }
    )
    path = tmp_path / "wave.sav"
    pyreadstat.write_sav(
        rows,
        path,
        column_labels={"lrscale": "Placement on left right scale", "agea": "Age of respondent", "gndr": "Gender",
                       "pspwght": "Post-stratification weight"},
        variable_value_labels={"lrscale": {0: "Left", 10: "Right", 77: "Refusal", 88: "Don't know"},
                               "gndr": {1: "Male", 2: "Female"}},
        missing_ranges={"lrscale": [{"lo": 77, "hi": 99}]},
    )  # fmt: skip
    return path


def test_a_survey_becomes_people_ties_a_run_and_a_report(survey, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(tmp_path / "w"))
    workspace = open_workspace(tmp_path / "w")
    draft = Draft.new(workspace.studies, "bounded_confidence")
    name = keep_survey(workspace.studies, "wave.sav", survey.read_bytes())
    population = suggested_population(open_survey(workspace.studies / name, None))
    assert population["weight"] == "pspwght"
    mapping = {
        "opinion": {"variable": "lrscale", "range": [0, 10], "to": [0, 1]},
        "age": {"variable": "agea"},
        "sex": {"variable": "gndr", "labels": {"1": "male", "2": "female"}},
    }
    draft.put("population", {"file": name, "weight": "pspwght", "size": 500, "map": mapping})
    draft.put("network", {"kind": "homophily", "mean_degree": 8.0})
    put_likeness(draft, "network", ["opinion", "sex"])
    draft.put("network.targets", [0.5, -0.2])
    put_column(draft, "network", "broker", "betweenness")
    draft.put("interventions", [{"name": "move brokers", "at": 0, "whom": {"top": {"by": "broker", "n": 5}},
                                 "do": {"effect": "set", "column": "opinion", "value": 0.5}}])  # fmt: skip
    draft.put("steps", 4)
    look = look_at(draft, "network")
    assert look.whole
    assert abs(likeness(look, "opinion")["reached"] - 0.5) < 0.02
    study, problems = draft.check()
    assert study is not None, problems
    result = run_study(draft.path, workspace=workspace)[0]
    assert result.status == "done"
    agents = read_agents(result.folder)
    assert agents["broker"].max() > 0
    assert set(agents["sex"].unique()) == {"male", "female"}
    assert read_edges(result.folder, 0).height == look.graph.n_ties == 2000
    told = read_events(result.folder)
    assert told.filter(pl.col("kind") == "homophily").height == 2
    assert told.filter(pl.col("kind") == "intervention").height == 1
    report = render_report([result.folder])
    for words in ("homophily", "broker = betweenness", "0.5, -0.2"):
        assert words in report
