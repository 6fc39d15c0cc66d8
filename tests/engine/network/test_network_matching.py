"""Ties whose ends are names in a column of the population."""

import numpy as np
import pytest

from engine.errors import MicrocosmError, NetworkError
from engine.loading import load_study
from engine.network import build_network
from engine.network.formats import write_gexf
from engine.network.graph import Graph
from engine.population import build_population
from engine.simulation import simulate
from engine.spec import LayerSpec, PopulationSpec

NAMES = ["Ada", "Ben", "Cleo", "Dan"]


@pytest.fixture
def people():
    columns = {"display_name": NAMES, "number": [104, 101, 103, 102]}
    return build_population(PopulationSpec(size=4, columns=columns), 1)


def build(people, tmp_path, **params):
    return build_network([LayerSpec(kind="file", params=params)], 4, 1, tmp_path, people).layer()


def test_names_and_numbers_find_their_people(people, tmp_path):
    (tmp_path / "a.csv").write_text("source,target,weight\nDan,Ada,2\n Ben ,Dan,3\n", encoding="utf-8")
    graph = build(people, tmp_path, path="a.csv", match="display_name", weight="weight")
    assert [part.tolist() for part in graph.edges()] == [[0, 1], [3, 3], [2.0, 3.0]]
    (tmp_path / "b.csv").write_text("source;target\n102;104\n101;102\n", encoding="utf-8")
    assert [part.tolist() for part in build(people, tmp_path, path="b.csv", match="number").edges()[:2]] == [
        [0, 1],
        [3, 3],
    ]


def test_other_forms_are_matched_by_their_node_names(people, tmp_path):
    (tmp_path / "a.net").write_text('*Vertices 3\n1 "Dan"\n2 "Ada"\n3 "Ben"\n*Edges\n1 2\n3 1\n', encoding="utf-8")
    graph = build(people, tmp_path, path="a.net", match="display_name")
    assert [part.tolist() for part in graph.edges()[:2]] == [[0, 1], [3, 3]] and graph.degree()[2] == 0


@pytest.mark.parametrize(
    ("content", "params", "sentence"),
    [
        ("source,target\nAda,Eve\nMax,Ben\n", {"match": "display_name"}, "nobody's display_name is 'Eve' in rows 2, 3"),
        ("source,target\nAda,Ben\n", {"match": "nick"}, "'nick' is not a column of the population"),
        (
            "source,target,w\nAda,Ben,x\n",
            {"match": "display_name", "weight": "w"},
            "cells that are no numbers in row 2",
        ),
        ("source,target\nAda,Ada\n", {"match": "display_name"}, "self"),
    ],
)
def test_what_is_wrong_is_one_sentence(people, tmp_path, content, params, sentence):
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    with pytest.raises(NetworkError, match=sentence):
        build(people, tmp_path, path="a.csv", **params)


def test_node_names_that_nobody_has(people, tmp_path):
    write_gexf(Graph.from_edges(2, [0], [1]), tmp_path / "g.gexf")
    with pytest.raises(NetworkError, match="nobody's display_name is '0', '1'"):
        build(people, tmp_path, path="g.gexf", match="display_name")


def test_two_people_of_one_name_cannot_be_told_apart(tmp_path):
    twice = build_population(PopulationSpec(size=4, columns={"display_name": ["Ada", "Ben", "Ada", "Dan"]}), 1)
    (tmp_path / "a.csv").write_text("source,target\nAda,Ben\n", encoding="utf-8")
    with pytest.raises(NetworkError, match="'Ada' in column 'display_name' is both agent 0 and agent 2"):
        build(twice, tmp_path, path="a.csv", match="display_name")


def test_a_study_runs_on_matched_ties(tmp_path):
    (tmp_path / "t.csv").write_text("source,target\nAda,Ben\nBen,Cleo\nCleo,Dan\n", encoding="utf-8")
    study = """scenario = "voter"
steps = 2
[population]
size = 4
columns = { display_name = ["Ada", "Ben", "Cleo", "Dan"] }
[network]
kind = "file"
path = "t.csv"
match = "display_name"
"""
    (tmp_path / "study.toml").write_text(study, encoding="utf-8")
    last = list(simulate(load_study(tmp_path / "study.toml"), base=tmp_path))[-1]
    assert np.array_equal(last.world.network.layer().degree(), [1, 2, 2, 1])
    (tmp_path / "study.toml").write_text(
        study.replace('match = "display_name"', 'match = "display_nam"'), encoding="utf-8"
    )
    with pytest.raises(MicrocosmError, match="did you mean 'display_name'"):
        load_study(tmp_path / "study.toml")
