"""A run's ties for network programs."""

import networkx as nx
import numpy as np
import pytest

from app.cli import FORMATS as CLI_FORMATS
from engine.errors import ReportError
from engine.loading import load_study
from engine.network.files import read_named
from engine.runs import create_run
from engine.runs.export import FORMATS, export_run
from engine.store import read_edges


def test_the_command_line_offers_every_form():
    assert CLI_FORMATS == FORMATS


@pytest.mark.parametrize(
    ("form", "name"), [("graphml", "g.graphml"), ("gexf", "g.gexf"), ("pajek", "g.net"), ("matrix", "g.csv")]
)
def test_ties_arrive_with_the_agents(finished, tmp_path, form, name):
    path = export_run(finished.folder, form, tmp_path / name)
    graph, _, columns = read_named(path)
    edges = read_edges(finished.folder, 30)
    assert graph.n == 60 and graph.n_ties == edges.height
    source, target, _ = graph.edges()
    assert np.array_equal(source, edges["source"].to_numpy()) and np.array_equal(target, edges["target"].to_numpy())
    if form in ("graphml", "gexf"):
        assert set(columns["state"]) <= {"susceptible", "exposed", "infected", "recovered"}
        assert nx.number_of_nodes(nx.read_graphml(path) if form == "graphml" else nx.read_gexf(path)) == 60


def test_each_layer_has_a_file(workspace, execute, tmp_path):
    layers = {"layers": [{"name": "home", "kind": "ring", "k": 2}, {"name": "work", "kind": "ring", "k": 4}]}
    study = load_study({"scenario": "sir", "steps": 2, "population": {"size": 20}, "network": layers})
    result = execute(create_run(workspace, study))
    path = export_run(result.folder, "gexf", tmp_path / "t.gexf")
    assert path.name == "t-home.gexf"
    assert read_named(tmp_path / "t-home.gexf")[0].n_ties == 20 and read_named(tmp_path / "t-work.gexf")[0].n_ties == 40


def test_a_wrong_ending_or_a_complete_network_is_one_sentence(finished, workspace, execute, tmp_path):
    with pytest.raises(ReportError, match=r"must end in \.net"):
        export_run(finished.folder, "pajek", tmp_path / "g.txt")
    study = load_study("sir", ["population.size=5000", "network.kind=complete", "steps=1"])
    with pytest.raises(ReportError, match="complete"):
        export_run(execute(create_run(workspace, study)).folder, "gexf", tmp_path / "g.gexf")
