"""Layout: in range, deterministic, lattices in their own shape, samples with whole neighbourhoods."""

import numpy as np
import pytest

from engine.errors import NetworkError
from engine.network import Graph, build_network, layout_nodes
from engine.spec import LayerSpec


def build(kind, n, **params):
    return build_network([LayerSpec(kind=kind, params=params)], n, 1).layer()


CASES = {
    "random": ("erdos_renyi", 300, {"mean_degree": 4}),
    "sparse": ("erdos_renyi", 1200, {"mean_degree": 0.5}),
    "no ties": ("erdos_renyi", 50, {"mean_degree": 0}),
    "hubs": ("barabasi_albert", 1500, {"m": 2}),
    "small world": ("watts_strogatz", 200, {"p_rewire": 0.1}),
    "tangle": ("watts_strogatz", 200, {"p_rewire": 0.9}),
    "grid": ("grid", 120, {}),
    "complete": ("complete", 40, {}),
    "karate": ("file", 34, {}),
    "two": ("ring", 3, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_positions_are_in_range_and_deterministic(case):
    kind, n, params = CASES[case]
    graph = build(kind, n, **params)
    ids, xy, edges = layout_nodes(graph, 3)
    assert ids.tolist() == list(range(n))
    assert (ids.dtype, xy.dtype, edges.dtype) == (np.int64, np.float32, np.uint32)
    assert xy.shape == (n, 2)
    assert np.abs(xy).max() <= 1
    assert edges.shape == (graph.n_ties, 2)
    for first, second in zip((ids, xy, edges), layout_nodes(graph, 3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_moves_the_agents():
    graph = build("erdos_renyi", 300, mean_degree=4)
    assert np.abs(layout_nodes(graph, 1)[1] - layout_nodes(graph, 2)[1]).max() > 0.1


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_agents(n):
    _, xy, edges = layout_nodes(Graph.empty(n), 1)
    assert xy.shape == (n, 2)
    assert np.isfinite(xy).all()
    assert edges.shape == (0, 2)
    assert layout_nodes(Graph.complete_graph(n), 1)[2].shape == (n - 1, 2)


def test_a_grid_keeps_its_rows_and_columns():
    _, xy, edges = layout_nodes(build("grid", 12, rows=3, columns=4), 1)
    assert len(np.unique(xy[:, 0])) == 4
    assert len(np.unique(xy[:, 1])) == 3
    assert xy[0].tolist() == pytest.approx([-1, 2 / 3])
    lengths = np.linalg.norm(xy[edges[:, 0]] - xy[edges[:, 1]], axis=1)
    assert np.ptp(lengths) < 1e-6


def test_rings_and_complete_networks_become_circles():
    for graph in (build("ring", 30), build("complete", 30)):
        _, xy, _ = layout_nodes(graph, 1)
        assert np.linalg.norm(xy, axis=1) == pytest.approx(1, abs=1e-6)
    assert layout_nodes(build("watts_strogatz", 30, p_rewire=0.9), 1)[1].std() < 0.7


@pytest.mark.parametrize("n", [400, 3000])
def test_groups_lie_apart(n):
    """The mean distance between two groups exceeds that within one, exactly pushed (400) and sampled (3,000)."""
    graph = build("stochastic_block", n, p_within=24 / n, p_between=0.4 / n)
    _, xy, _ = layout_nodes(graph, 1)
    half = n // 2
    centres = np.array([xy[:half].mean(axis=0), xy[half:].mean(axis=0)])
    spread = np.linalg.norm(xy[:half] - centres[0], axis=1).mean()
    assert np.linalg.norm(centres[0] - centres[1]) > 1.5 * spread


def test_a_sample_keeps_whole_neighbourhoods():
    graph = build("watts_strogatz", 20_000, p_rewire=0.9)
    ids, xy, edges = layout_nodes(graph, 1, limit=2_000)
    assert len(ids) == len(set(ids.tolist())) == len(xy) == 2_000
    assert (np.diff(ids) > 0).all()
    assert all(graph.has_tie(int(ids[a]), int(ids[b])) for a, b in edges[:200])
    # A random sample of a tenth keeps about 1,000 of its 100,000 ties.
    assert len(edges) > 2_000


def test_samples_of_lattices_and_complete_networks():
    ids, xy, edges = layout_nodes(build("grid", 10_000), 1, limit=400)
    assert len(ids) == 400
    assert len(edges) == 2 * 20 * 19
    ids, xy, _ = layout_nodes(build("grid", 1_000, rows=2), 1, limit=100)
    assert (len(ids), len(np.unique(xy[:, 1]))) == (100, 2)
    ids, xy, edges = layout_nodes(Graph.complete_graph(5_000), 1, limit=1_000)
    assert len(ids) == 1_000
    assert len(edges) == 20_000
    assert len(np.unique(edges, axis=0)) == 20_000
    assert (edges[:, 0] < edges[:, 1]).all()
    assert len(layout_nodes(build("ring", 500), 1, limit=50)[0]) == 50


def test_drawn_ties_are_limited():
    graph = build("erdos_renyi", 2_000, mean_degree=150)
    assert graph.n_ties > 120_000
    _, _, edges = layout_nodes(graph, 1)
    assert len(edges) == 100_000
    assert len(np.unique(edges, axis=0)) == 100_000


def test_directed_ties_are_drawn():
    _, _, edges = layout_nodes(Graph.from_edges(3, [2, 0], [0, 1], directed=True), 1)
    assert edges.tolist() == [[0, 1], [2, 0]]


def test_a_limit_of_zero_is_refused():
    with pytest.raises(NetworkError, match="limit of 1 or more"):
        layout_nodes(Graph.empty(3), 1, limit=0)
