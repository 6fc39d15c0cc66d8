"""The made-up survey that is shipped, and the preset that draws its people from it."""

import numpy as np
import polars as pl
import pytest

from engine import load_study
from engine.measures.graph import measure_assortativity
from engine.population import describe_draw, read_survey
from engine.population.respondents import find_survey_file
from engine.simulation import build_world, simulate


def test_the_shipped_survey_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    survey = read_survey(find_survey_file("example_survey.csv", None, None))
    assert survey.n_rows == 400
    assert survey.weight_candidates == ("weight",)
    assert survey.frame["weight"].mean() == pytest.approx(1, abs=1e-3)


def test_the_preset_from_file_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study("bounded_confidence_survey", ["steps=20"])
    world = build_world(study)
    table = pl.read_csv(find_survey_file("example_survey.csv", None, None))
    rows = world.persona.values["source_row"] - 1
    assert np.allclose(world.population["opinion"], table["lr"].to_numpy()[rows] / 10)
    graph = world.network.layer()
    assert measure_assortativity(graph, world.population["opinion"]) == pytest.approx(0.5, abs=0.002)
    report = describe_draw(study.population, world.persona)
    mean = report.frame.filter(column="opinion", statistic="mean").row(0, named=True)
    assert abs(mean["difference"]) < 4 * mean["standard_error"]
    assert report.dropped == {"opinion": table.filter(pl.col("lr") > 10).height}
    camps = {}
    for network in ("homophily", "erdos_renyi"):
        *_, last = simulate(load_study("bounded_confidence_survey", [f"network.kind={network}", "steps=20"]))
        camps[network] = last.measures["polarization", ""]
    assert camps["homophily"] > camps["erdos_renyi"], "like minds who meet each other stay apart"
