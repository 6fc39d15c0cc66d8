"""Numbers of a graph against networkx and closed forms."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.measures.graph import (
    find_components,
    measure_clustering,
    measure_degree_assortativity,
    measure_largest_component_share,
    measure_mean_degree,
    measure_mean_distance,
)
from engine.network import Graph, build_network
from engine.spec import LayerSpec


def pair_of(n, ties, directed=False):
    expected = nx.DiGraph() if directed else nx.Graph()
    expected.add_nodes_from(range(n))
    expected.add_edges_from(ties)
    return Graph.from_edges(n, [a for a, _ in ties], [b for _, b in ties], directed=directed), expected


ties_of_twelve = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] != pair[1]), max_size=50
)


@settings(max_examples=60, deadline=None)
@given(ties_of_twelve)
def test_components_and_clustering_equal_networkx(ties):
    graph, expected = pair_of(12, ties)
    found = find_components(graph)
    groups = [set(np.flatnonzero(found == label).tolist()) for label in range(found.max() + 1)]
    assert groups == sorted(nx.connected_components(expected), key=min)
    assert measure_largest_component_share(graph) == max(map(len, groups)) / 12
    assert measure_clustering(graph) == pytest.approx(nx.average_clustering(expected), abs=1e-12)


def test_assortativity_and_distance_of_the_karate_club():
    graph = build_network([LayerSpec(kind="file")], 34, 0).layer()
    club = nx.karate_club_graph()
    expected = nx.degree_assortativity_coefficient(nx.Graph(club.edges()))
    assert measure_degree_assortativity(graph) == pytest.approx(expected, abs=1e-12)
    assert measure_mean_distance(graph, sources=34) == pytest.approx(nx.average_shortest_path_length(club), abs=1e-12)
    assert measure_mean_degree(graph) == pytest.approx(2 * 78 / 34)


def test_closed_forms():
    star = Graph.from_edges(6, [0] * 5, range(1, 6))
    assert measure_degree_assortativity(star) == pytest.approx(-1)
    assert measure_clustering(star) == 0
    ring = build_network([LayerSpec(kind="ring")], 9, 0).layer()
    assert math.isnan(measure_degree_assortativity(ring))
    assert measure_mean_distance(ring) == pytest.approx((1 + 2 + 3 + 4) * 2 / 8)


def test_complete_networks_need_no_stored_ties():
    graph = Graph.complete_graph(10_000_000)
    assert measure_mean_degree(graph) == 9_999_999
    assert measure_clustering(graph) == 1
    assert measure_mean_distance(graph) == 1
    assert math.isnan(measure_degree_assortativity(graph))
    small = Graph.complete_graph(5)
    stored, _ = pair_of(5, [(a, b) for a in range(5) for b in range(a)])
    for measure in (measure_mean_degree, measure_clustering, measure_largest_component_share, measure_mean_distance):
        assert measure(small) == measure(stored)


def test_directed_ties_count_as_undirected():
    graph, directed = pair_of(4, [(0, 1), (1, 2), (2, 0), (1, 0)], directed=True)
    assert measure_clustering(graph) == pytest.approx(nx.average_clustering(directed.to_undirected()))
    assert find_components(graph).tolist() == [0, 0, 0, 1]
    assert measure_mean_degree(graph) == 1


def test_without_ties():
    graph = Graph.empty(4)
    assert math.isnan(measure_mean_distance(graph))
    assert math.isnan(measure_degree_assortativity(graph))
    assert measure_clustering(graph) == 0
    assert measure_largest_component_share(graph) == 0.25
