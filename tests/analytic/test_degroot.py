"""`degroot` against linear algebra: DeGroot (1974); tolerances are those of float64."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from engine import Graph, MicrocosmError, load_study, simulate
from engine.network import Network
from engine.network.graph import edges_to_graph
from engine.simulation import build_world
from scenarios.degroot import average


def started(*overrides, opinions=None):
    """Return (scenario, world) after set-up, with given opinions instead of drawn ones."""
    world = build_world(load_study("degroot", overrides))
    instance = world.info.build()
    instance.setup(world)
    if opinions is not None:
        world.population["opinion"] = np.asarray(opinions, np.float64)
    return instance, world


def advance(instance, world, steps=1):
    """Run some steps, or until the scenario stops, and return the opinions."""
    for _ in range(steps):
        world.begin_step()
        instance.step(world)
        if world.settled:
            break
    return world.population["opinion"]


def dense_matrix(network, n, self_weight):
    """Return W from its definition, layer by layer and tie by tie."""
    ties = np.zeros((n, n))
    for graph in network.layers.values():
        if graph.complete:
            ties += 1 - np.eye(n)
            continue
        for i in range(n):
            row = slice(graph.indptr[i], graph.indptr[i + 1])
            ties[i, graph.indices[row]] += 1 if graph.weights is None else graph.weights[row]
    strength = ties.sum(axis=1)
    w = np.eye(n)
    tied = strength > 0
    w[tied] = self_weight * np.eye(n)[tied] + (1 - self_weight) * ties[tied] / strength[tied, None]
    return w


@pytest.mark.parametrize(
    ("network", "size", "self_weight"),
    [
        ("{kind='erdos_renyi',mean_degree=3.0}", 200, 0.3),
        ("{kind='stochastic_block',p_within=0.1,p_between=0.0}", 200, 0.5),
        ("{kind='barabasi_albert',m=2}", 500, 0.05),
        ("{kind='complete'}", 300, 0.2),
        ("{kind='ring',k=2}", 20, 1 / 3),
        ("{layers=[{name='a',kind='ring',k=2},{name='b',kind='erdos_renyi',mean_degree=2.0}]}", 100, 0.4),
    ],
)
def test_consensus_is_the_degree_weighted_mean_of_each_component(network, size, self_weight):
    instance, world = started(f"population.size={size}", f"network={network}", f"params.self_weight={self_weight}")
    first = world.population["opinion"].copy()
    last = advance(instance, world, 20_000)
    assert world.settled == "no opinion moves any more"
    degree = sum(graph.degree() for graph in world.network.layers.values())
    both = np.zeros((size, size), bool)
    for graph in world.network.layers.values():
        source, target, _ = graph.edges()
        both[source, target] = both[target, source] = True
    n_parts, part = connected_components(csr_array(both))
    for number in range(n_parts):
        members = part == number
        if members.sum() == 1:
            assert last[members] == first[members]
            continue
        expected = (degree[members] * first[members]).sum() / degree[members].sum()
        np.testing.assert_allclose(last[members], expected, rtol=1e-12)


def second_eigenvalue(n, k, self_weight):
    """Return the second eigenvalue of W on a ring of n with k neighbours (circulant matrix)."""
    turns = 2 * np.pi / n * np.arange(1, k // 2 + 1)
    return self_weight + (1 - self_weight) * np.cos(turns).mean()


def test_the_published_eigenvalue():
    assert second_eigenvalue(20, 2, 1 / 3) == pytest.approx(1 / 3 + 2 / 3 * np.cos(2 * np.pi / 20), rel=1e-15)
    assert second_eigenvalue(20, 2, 1 / 3) == pytest.approx(0.967371, abs=5e-7)


@pytest.mark.parametrize(("n", "k", "self_weight"), [(20, 2, 1 / 3), (20, 4, 1 / 3), (31, 2, 0.7), (50, 6, 0.1)])
def test_error_shrinks_by_the_second_eigenvalue(n, k, self_weight):
    overrides = [f"population.size={n}", f"network={{kind='ring',k={k}}}", f"params.self_weight={self_weight}"]
    rate = second_eigenvalue(n, k, self_weight)
    mode = 0.4 * np.cos(2 * np.pi * np.arange(n) / n)
    instance, world = started(*overrides, opinions=0.5 + mode)
    for t in range(1, 40):
        np.testing.assert_allclose(advance(instance, world), 0.5 + rate**t * mode, rtol=0, atol=1e-14)
    instance, world = started(*overrides)  # from any start, late ratios of errors tend to it
    mean = world.population["opinion"].mean()
    errors = [np.linalg.norm(advance(instance, world) - mean) for _ in range(400)]
    late = [t for t in range(150, 399) if errors[t + 1] > 1e-9][-1]
    assert errors[late + 1] / errors[late] == pytest.approx(rate, abs=1e-6)


def test_complete_network_shrinks_every_difference_alike():
    n, w = 40, 0.3
    instance, world = started(f"population.size={n}", "network.kind=complete", f"params.self_weight={w}")
    first = world.population["opinion"].copy()
    after = advance(instance, world, 3)
    rate = w - (1 - w) / (n - 1)
    np.testing.assert_allclose(after - first.mean(), rate**3 * (first - first.mean()), rtol=0, atol=1e-14)


@pytest.mark.parametrize("directed", [False, True])
def test_steps_follow_the_matrix_with_weights_and_layers(directed):
    rng = np.random.default_rng(7)
    n = 60
    pairs = np.unique(rng.integers(0, n, (150, 2)), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    weighted = Graph.from_edges(n, pairs[:, 0], pairs[:, 1], rng.random(len(pairs)), directed=directed)
    network = Network({"weighted": weighted, "plain": Graph.from_edges(n, [0, 1, 2], [1, 2, 3])})
    w = dense_matrix(network, n, 0.35)
    x, expected = rng.random(n), None
    expected = x.copy()
    for _ in range(25):
        x, expected = average(network, x, 0.35), w @ expected
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-14)
    with_all = Network({**network.layers, "all": Graph.complete_graph(n)})
    np.testing.assert_allclose(average(with_all, x, 0.35), dense_matrix(with_all, n, 0.35) @ x, rtol=0, atol=1e-14)


def test_who_listens_only_to_themselves_stays():
    last = list(simulate(load_study("degroot", ["params.self_weight=1.0", "steps=9"])))[-1]
    assert last.step == 1 and last.stopped
    assert last.measures["spread", ""] > 0.9


def test_measures_and_given_opinions():
    study = {"scenario": "degroot", "network": {"kind": "complete"}, "steps": 1}
    opinions = [0.0, 0.25, 1.0]
    record = next(simulate(load_study(study | {"population": {"size": 3, "columns": {"opinion": opinions}}})))
    assert record.measures["mean_opinion", ""] == pytest.approx(1.25 / 3)
    assert record.measures["spread", ""] == 1.0
    bad = study | {"population": {"size": 3, "columns": {"opinion": [0.0, 0.25, 1.5]}}}
    with pytest.raises(MicrocosmError, match=r"1\.5.*\[0, 1\]"):
        next(simulate(load_study(bad)))


def signed_network(n, p_foe_inside=0.0, seed=3):
    """Return (network, camps): weighted ties of two camps, foes across; turned signs make it unbalanced."""
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(n, 1)
    kept = rng.random(first.size) < 0.2
    kept |= second == first + 1  # connected
    first, second = first[kept], second[kept]
    camps = np.where(rng.random(n) < 0.4, -1.0, 1.0)
    weights = rng.uniform(0.5, 2.0, first.size).astype(np.float32) * camps[first] * camps[second]
    weights = np.where(rng.random(first.size) < p_foe_inside, -weights, weights)
    return Network({"ties": edges_to_graph(n, first, second, weights, signed=True)}), camps


def test_balanced_foes_end_at_opposite_opinions():
    """Altafini (2013): on y = 2 x - 1 with camps g, y_i -> g_i (sum_j d_j g_j y_j(0)) / sum_j d_j, d_j = sum |a|."""
    network, camps = signed_network(60)
    graph = network.layer()
    strength = np.zeros(60)
    np.add.at(strength, np.repeat(np.arange(60), np.diff(graph.indptr)), np.abs(graph.weights).astype(float))
    start = np.random.default_rng(8).random(60)
    instance, world = started("population.size=60", opinions=start)
    world.network = network
    end = 2 * advance(instance, world, 5000) - 1
    wanted = camps * (strength @ (camps * (2 * start - 1))) / strength.sum()
    assert world.settled
    assert np.abs(wanted).max() > 0.01  # so that the camps are told apart
    assert np.allclose(end, wanted, atol=1e-12)


def test_unbalanced_foes_end_in_the_middle():
    """Altafini (2013): where the signs are not balanced, everyone ends at y = 0; each step is W y with signed A."""
    network, _ = signed_network(60, p_foe_inside=0.2)
    graph = network.layer()
    a = np.zeros((60, 60))
    a[np.repeat(np.arange(60), np.diff(graph.indptr)), graph.indices] = graph.weights
    w = 0.5 * np.eye(60) + 0.5 * a / np.abs(a).sum(axis=1, keepdims=True)
    start = np.random.default_rng(8).random(60)
    instance, world = started("population.size=60", opinions=start)
    world.network = network
    assert np.allclose(2 * advance(instance, world) - 1, w @ (2 * start - 1), atol=1e-14)
    assert np.abs(np.linalg.eigvals(w)).max() < 1
    assert np.allclose(advance(instance, world, 5000), 0.5, atol=1e-12)


def test_the_preset_of_two_camps_is_balanced_and_ends_at_two_opinions():
    """Altafini (2013): foes across and friends inside, so no tie is offended and the camps end one minus the other."""
    world = build_world(load_study("degroot_two_camps"))
    record = list(simulate(load_study("degroot_two_camps")))[-1]
    assert (record.measures["balanced_triads", ""], record.measures["frustration", ""]) == (1.0, 0.0)
    red = world.persona.values["camp"] == 0
    opinion = record.world.population["opinion"]
    assert np.ptp(opinion[red]) < 1e-6
    assert 0.65 < opinion[red][0] < 0.75
    assert np.allclose(opinion[~red], 1 - opinion[red][0], atol=1e-6)
    graph = world.network.layer()
    source, target, weight = graph.edges()
    assert np.array_equal(weight < 0, red[source] != red[target])


def test_a_study_with_signed_ties_records_balance():
    weigh = "weigh={distribution='uniform',low=0.5,high=2.0,negative=0.3}"
    network = f"network={{kind='erdos_renyi',mean_degree=8.0,signed=true,{weigh}}}"
    study = load_study("degroot", ["population.size=60", network, "steps=2"])
    for record in simulate(study):
        assert 0 < record.measures["balanced_triads", ""] < 1
        assert 0 < record.measures["frustration", ""] < 0.5
