"""Large networks: threads change nothing, ordered ties, places, communities, sampled clustering."""

import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Graph, MicrocosmError, load_study
from engine.errors import NetworkError
from engine.measures import graph as measures
from engine.measures.opinion import cluster_sizes
from engine.network import Network, build_network
from engine.network.graph import MERGE_SHARE
from engine.network.spatial import _tie_near, place_agents, radius_of
from engine.simulation import build_world
from engine.spec import LayerSpec


def built(kind, n, seed=1, **params):
    return build_network([LayerSpec(kind=kind, params=params)], n, seed).layer()


ACROSS_THREADS = """
import hashlib, sys
import numpy as np
from engine import load_study, simulate
from engine.network import Network, build_network
from engine.network.graph import MERGE_SHARE
from engine.spec import LayerSpec
from engine.threads import cut_ranges
found = [len(cut_ranges(200_003))]
for scenario, extra in (("sir", []), ("sir", ["params.mixing=well_mixed"]), ("degroot", []),
                        ("bounded_confidence", []), ("bounded_confidence", ["params.rule=hegselmann_krause"])):
    first = ["params.initial_infected=20000"] if scenario == "sir" else []
    study = load_study(scenario, ["population={size=200003}", "network.kind=erdos_renyi", "steps=3", *first, *extra])
    *_, last = simulate(study)
    found.append(last.digest)
for kind in ("erdos_renyi", "watts_strogatz", "barabasi_albert", "spatial"):
    graph = build_network([LayerSpec(kind=kind, params={})], 200_003, 1).layer()
    found.append(hashlib.blake2b(graph.indices.tobytes() + graph.indptr.tobytes()).hexdigest())
print(*found)
"""


def test_the_number_of_threads_changes_nothing(monkeypatch):
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        done = subprocess.run([sys.executable, "-c", ACROSS_THREADS], capture_output=True, text=True, check=True)
        found.append(done.stdout.split())
    assert (found[0][0], int(found[1][0]) > 1) == ("1", True)
    assert found[0][1:] == found[1][1:]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(lambda tie: tie[0] != tie[1]), max_size=80))
def test_ordered_ties_make_the_same_rows(ties):
    lower = sorted({(max(tie), min(tie)) for tie in ties})
    ordered = np.array(lower, np.uint32).reshape(-1, 2)
    one_pass = Graph.from_edges(31, ordered[:, 0].copy(), ordered[:, 1].copy())
    shuffled = ordered[::-1, ::-1].astype(np.int64)
    sorted_twice = Graph.from_edges(31, shuffled[:, 0], shuffled[:, 1])
    np.testing.assert_array_equal(one_pass.indptr, sorted_twice.indptr)
    np.testing.assert_array_equal(one_pass.indices, sorted_twice.indices)


def test_ordered_ties_are_still_checked():
    with pytest.raises(NetworkError, match="unknown agents in row 1"):
        Graph.from_edges(3, np.array([1, 7], np.uint32), np.array([0, 1], np.uint32))
    with pytest.raises(NetworkError, match="self loops in row 0"):
        Graph.from_edges(3, np.array([1], np.uint32), np.array([1], np.uint32))


pairs_of_20 = st.lists(
    st.tuples(st.integers(0, 19), st.integers(0, 19)).filter(lambda tie: tie[0] != tie[1]), max_size=4
)


@settings(deadline=None)
@given(
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(pairs_of_20, pairs_of_20, st.integers(0, 3)), min_size=1, max_size=12),
)
def test_waiting_changes_of_ties_are_those_made_at_once(directed, weighted, changes):
    source, target = np.arange(19), np.arange(1, 20)
    graph = Graph.from_edges(20, source, target, np.full(19, 2.5) if weighted else None, directed)
    network = Network({"ties": graph})
    for add, cut, looks in changes:
        network.change_ties("ties", add, cut)
        graph = graph.with_ties(add, cut)
        if not looks:
            network.layers["ties"]
    for name in ("indptr", "indices", "weights") if weighted else ("indptr", "indices"):
        np.testing.assert_array_equal(getattr(network.layer(), name), getattr(graph, name))


def test_many_single_changes_cost_few_copies(monkeypatch):
    network, merged = Network({"ties": built("ring", 1000, k=10)}), []
    monkeypatch.setattr(
        Graph, "with_ties", lambda self, *ties, kept=Graph.with_ties: merged.append(1) or kept(self, *ties)
    )
    for agent in range(900):
        network.change_ties("ties", [(agent, agent + 50)], [(agent, agent + 1)])
    assert network.n_ties == 5000
    assert len(merged) <= 1 + 1800 / (MERGE_SHARE * 10_000)


def test_a_change_of_an_unknown_layer_or_agent_is_refused_at_once():
    network = Network({"ties": built("ring", 10, k=2)})
    with pytest.raises(NetworkError, match="'tie' is not a layer"):
        network.change_ties("tie", [(0, 5)], None)
    with pytest.raises(NetworkError, match="unknown agents"):
        network.change_ties("ties", [(0, 10)], None)


def test_all_ties_of_an_agent_are_found():
    directed = Graph.from_edges(5, [0, 1, 3, 4], [1, 2, 1, 0], directed=True)
    assert directed.ties_of(np.array([1])).tolist() == [[0, 1], [1, 2], [3, 1]]
    assert directed.ties_of(np.array([], np.int64)).tolist() == []
    assert Graph.complete_graph(4).ties_of(np.array([1])).size == 0


def test_who_leaves_has_no_ties_any_more_and_meets_nobody():
    world = build_world(load_study("sir", ["population={size=40}", "network.k=4"]))
    world.begin_step()
    before = world.network.layer().neighbours(7).tolist()
    world.leave(np.array([7]))
    assert world.network.layer().degree()[7] == 0
    assert sorted((tie.source, tie.target) for tie in world.traces.ties) == sorted(
        (max(7, other), min(7, other))[::-1] for other in before
    )
    assert not any(tie.added for tie in world.traces.ties)


def test_stored_ties_are_found_by_their_place():
    graph = built("barabasi_albert", 500, m=3).grown(7)
    agents, others = graph.stored_ties(np.arange(graph.indices.size))
    np.testing.assert_array_equal(agents, np.repeat(np.arange(graph.n), graph.degree()))
    np.testing.assert_array_equal(others, graph.indices)


@pytest.mark.parametrize("directed", [False, True])
def test_pieces_of_ties_are_all_ties(directed):
    rng = np.random.default_rng(1)
    source, target = rng.integers(0, 60, 400), rng.integers(0, 60, 400)
    kept = source != target
    graph = Graph.from_edges(70, source[kept], target[kept], directed=directed)
    pieces = list(graph.edge_chunks(25))
    assert len(pieces) > 5
    for number, whole in enumerate(graph.edges()):
        np.testing.assert_array_equal(np.concatenate([piece[number] for piece in pieces]), whole)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("radius", [0.03, 0.2, 0.34, 0.6])
def test_spatial_ties_are_all_pairs_within_the_radius(periodic, radius):
    n, cells = 300, max(1, min(int(1 / radius), 17))
    x, y, starts = place_agents(n, cells, 3, "test")
    source, target = _tie_near(x, y, starts, cells, radius, periodic, 1)
    across, along = np.abs(x[:, None] - x), np.abs(y[:, None] - y)
    if periodic:
        across, along = np.minimum(across, 1 - across), np.minimum(along, 1 - along)
    expected = np.nonzero(np.tril(across**2 + along**2 < radius**2, -1))
    np.testing.assert_array_equal(source, expected[0])
    np.testing.assert_array_equal(target, expected[1])


@pytest.mark.parametrize("periodic", [True, False])
def test_spatial_networks_have_their_mean_degree_and_clustering(periodic):
    """Dall and Christensen (2002), Phys. Rev. E 66, 016121: clustering 1 - 3 sqrt(3) / (4 pi) = .5865 on the torus."""
    n, wanted, runs = 4000, 12.0, 12
    graphs = [built("spatial", n, seed, mean_degree=wanted, periodic=periodic) for seed in range(runs)]
    degrees = [graph.indices.size / n for graph in graphs]
    assert abs(np.mean(degrees) - wanted) < 4 * np.std(degrees, ddof=1) / np.sqrt(runs)
    if periodic:
        found = [measures.measure_clustering(graph) for graph in graphs]
        # With 12 neighbours on average hardly anyone has fewer than two, who count 0: below 1e-4.
        assert (
            abs(np.mean(found) - (1 - 3 * np.sqrt(3) / (4 * np.pi))) < 4 * np.std(found, ddof=1) / np.sqrt(runs) + 1e-4
        )


def test_a_radius_solves_for_the_mean_degree():
    assert radius_of(10, 1001, True) == pytest.approx(np.sqrt(0.01 / np.pi))
    r = radius_of(10, 1001, False)
    assert np.pi * r**2 - 8 * r**3 / 3 + r**4 / 2 == pytest.approx(0.01)


def test_a_spatial_network_that_is_too_dense_is_refused():
    with pytest.raises(NetworkError, match=r"mean_degree = 90: a spatial network of 100 agents has at most 74"):
        built("spatial", 100, mean_degree=90)


def test_separate_blocks_are_communities():
    graph = built("stochastic_block", 400, sizes=(100,) * 4, p_within=0.3, p_between=0.0)
    found = measures.find_communities(graph)
    np.testing.assert_array_equal(found, np.repeat(np.arange(4), 100))
    held = nx.Graph(list(zip(*(part.tolist() for part in graph.edges()[:2]), strict=True)))
    parts = [set(np.flatnonzero(found == k).tolist()) for k in range(4)]
    assert measures.measure_modularity(graph, found) == pytest.approx(nx.community.modularity(held, parts))


def test_communities_end_where_nobody_would_change():
    graph = built("watts_strogatz", 300, k=6, p_rewire=0.2)
    found = measures.find_communities(graph, 5)
    np.testing.assert_array_equal(found, measures.find_communities(graph, 5))
    for agent in range(graph.n):
        around = np.bincount(found[graph.neighbours(agent)], minlength=found.max() + 1)
        assert around[found[agent]] == around.max()


def test_modularity_of_a_complete_network_is_that_of_its_ties():
    groups = np.array([0, 0, 0, 1, 1])
    stored = Graph.from_edges(5, *np.triu_indices(5, 1))
    complete = measures.measure_modularity(Graph.complete_graph(5), groups)
    assert complete == pytest.approx(measures.measure_modularity(stored, groups))


def test_leiden_without_igraph_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    graph = built("ring", 10, k=2)
    with pytest.raises(MicrocosmError, match="graphs"):
        measures.find_communities(graph, method="leiden")
    with pytest.raises(MicrocosmError, match="'louvain' is not a way"):
        measures.find_communities(graph, method="louvain")


def test_leiden_finds_blocks():
    pytest.importorskip("igraph")
    graph = built("stochastic_block", 400, sizes=(100,) * 4, p_within=0.3, p_between=0.002)
    np.testing.assert_array_equal(measures.find_communities(graph, method="leiden"), np.repeat(np.arange(4), 100))


@pytest.mark.parametrize(
    ("kind", "params"), [("watts_strogatz", {"k": 6, "p_rewire": 0.1}), ("barabasi_albert", {"m": 4})]
)
def test_sampled_clustering_is_within_its_error(kind, params):
    graph, samples = built(kind, 2000, **params), 40_000
    exact = measures.measure_clustering(graph)
    error = np.sqrt(exact * (1 - exact) / samples)
    assert abs(measures.estimate_clustering(graph, 1, samples) - exact) < 4 * error


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 60).map(lambda k: k / 60), min_size=1, max_size=200),
    st.sampled_from([0.0, 1 / 60, 0.05, 0.1, 0.3, 2.0]),
)
def test_camps_without_sorting_are_those_of_sorting(opinions, gap):
    x = np.sort(np.array(opinions))
    borders = np.concatenate([[0], np.flatnonzero(np.diff(x) > gap) + 1, [x.size]])
    np.testing.assert_array_equal(cluster_sizes(opinions, gap), np.diff(borders))
