"""`friedkin_johnsen` against its fixed point: Friedkin and Johnsen (1990); tolerances are those of float64."""

import itertools

import numpy as np
import pytest

from engine import Graph, MicrocosmError, load_study, simulate
from engine.network import Network
from engine.network.graph import edges_to_graph
from engine.simulation import build_world
from scenarios.friedkin_johnsen import check_anchored


def started(*overrides, own=None, network=None):
    """Return (scenario, world) after set-up, without personas, with own susceptibilities and ties if given."""
    plain = ["population={size=200}"] if own is None else []
    study = load_study("friedkin_johnsen", [*plain, *overrides])
    if own is not None:
        columns = {"size": len(own), "columns": {"susceptibility": [float(s) for s in own]}}
        tables = {"scenario": "friedkin_johnsen", "params": {"own_susceptibility": True}, "population": columns}
        study = load_study(tables, overrides)
    world = build_world(study)
    if network is not None:
        world.network = network
    instance = world.info.build()
    instance.setup(world)
    return instance, world


def settle(instance, world, most=5000):
    """Run until nothing moves and return the opinions."""
    for _ in range(most):
        world.begin_step()
        instance.step(world)
        if world.settled:
            return world.population["opinion"]
    raise AssertionError(f"opinions still move after {most} steps")


def fixed_point(network, susceptibility, first):
    """Return (I - S W)^-1 (I - S) x(0), isolates at x(0), from dense matrices."""
    n = first.size
    ties = np.zeros((n, n))
    for graph in network.layers.values():
        source, target, weight = graph.edges()
        ties[source, target] += weight
        if not graph.directed:
            ties[target, source] += weight
    strength = ties.sum(axis=1)
    w = np.divide(ties, strength[:, None], out=np.zeros_like(ties), where=strength[:, None] > 0)
    s = np.where(strength > 0, susceptibility, 0.0)
    return np.linalg.solve(np.eye(n) - s[:, None] * w, (1 - s) * first)


NETWORKS = [
    "{kind='watts_strogatz',k=6,p_rewire=0.2}",
    "{kind='erdos_renyi',mean_degree=1.5}",
    "{kind='barabasi_albert',m=2}",
    "{kind='complete'}",
    "{layers=[{name='a',kind='ring',k=2},{name='b',kind='erdos_renyi',mean_degree=2.0}]}",
]


@pytest.mark.parametrize("susceptibility", [0.0, 0.3, 0.8, 0.99])
@pytest.mark.parametrize("network", NETWORKS)
def test_opinions_settle_at_the_fixed_point(network, susceptibility):
    instance, world = started(f"network={network}", f"params.susceptibility={susceptibility}")
    first = world.population["opinion"].copy()
    expected = fixed_point(world.network, np.full(200, susceptibility), first)
    # When the run stops a step moves opinions by at most 4 eps / (1 - s), so what is left is at most that s / (1 - s).
    tolerance = 1e-14 + 1e-15 / (1 - susceptibility) ** 2
    np.testing.assert_allclose(settle(instance, world), expected, rtol=0, atol=tolerance)
    assert np.array_equal(world.population["first_opinion"], first)


def test_each_ones_own_susceptibility():
    own = np.random.default_rng(1).random(150)
    own[:20] = 1.0
    instance, world = started("network={kind='watts_strogatz',k=6,p_rewire=0.3}", own=own)
    expected = fixed_point(world.network, own, world.population["opinion"])
    np.testing.assert_allclose(settle(instance, world), expected, rtol=0, atol=1e-11)


def test_weights_and_directions_count():
    rng = np.random.default_rng(2)
    n = 80
    pairs = np.unique(rng.integers(0, n, (300, 2)), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    network = Network({"ties": Graph.from_edges(n, pairs[:, 0], pairs[:, 1], rng.random(len(pairs)), directed=True)})
    own = rng.random(n)
    instance, world = started(own=own, network=network)
    expected = fixed_point(network, own, world.population["opinion"])
    np.testing.assert_allclose(settle(instance, world), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("s", [0.2, 0.9])
def test_closed_forms_on_the_complete_network_and_the_ring(s):
    n = 200
    instance, world = started("network.kind=complete", f"params.susceptibility={s}")
    first = world.population["opinion"].copy()
    kept = (1 - s) / (1 + s / (n - 1))  # eigenvalue -1/(n-1) of W for every difference from the mean
    expected = first.mean() + kept * (first - first.mean())
    np.testing.assert_allclose(settle(instance, world), expected, rtol=0, atol=1e-13)
    instance, world = started("network={kind='ring',k=2}", f"params.susceptibility={s}")
    mode = np.cos(2 * np.pi * 3 * np.arange(n) / n)
    world.population["opinion"] = world.population["first_opinion"] = 0.5 + 0.4 * mode
    kept = (1 - s) / (1 - s * np.cos(2 * np.pi * 3 / n))  # eigenvalue cos of W for this wave
    np.testing.assert_allclose(settle(instance, world), 0.5 + 0.4 * kept * mode, rtol=0, atol=1e-13)


def test_spread_falls_with_susceptibility_but_stays():
    spreads = []
    for s in (0.0, 0.3, 0.6, 0.9):
        last = list(simulate(load_study("friedkin_johnsen", ["population={size=300}", f"params.susceptibility={s}"])))[
            -1
        ]
        spreads.append(last.measures["spread", ""])
    assert all(a > b > 0 for a, b in itertools.pairwise(spreads))


def test_anchors_must_reach_everyone():
    path = Network({"ties": Graph.from_edges(5, [0, 1, 3], [1, 2, 4])})  # 0-1-2 and 3-4
    check_anchored(path, np.array([0.9, 1.0, 1.0, 1.0, 0.0]))
    check_anchored(Network({"ties": Graph.empty(3)}), np.ones(3))  # isolates keep their opinion
    with pytest.raises(MicrocosmError, match=r"2 people \(the first is agent 3\) are wholly susceptible"):
        check_anchored(path, np.array([0.9, 1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(MicrocosmError, match="60 people"):
        started("network.kind=complete", own=np.ones(60))
    observed = Network({"ties": Graph.from_edges(2, [0], [1], directed=True)})  # 0 observes 1
    check_anchored(observed, np.array([1.0, 0.5]))
    with pytest.raises(MicrocosmError, match="2 people"):
        check_anchored(Network({"ties": Graph.from_edges(3, [0, 1], [1, 0], directed=True)}), np.array([1, 1, 0.5]))


def test_own_susceptibility_needs_a_column_in_range():
    with pytest.raises(MicrocosmError, match=r"needs a population with a susceptibility column"):
        started("params.own_susceptibility=true")
    with pytest.raises(MicrocosmError, match=r"1\.2 is not in \[0, 1\]"):
        started("network.kind=complete", own=[0.1, 1.2, 0.5])


def test_with_opponents_opinions_settle_at_the_signed_fixed_point():
    """On y = 2 x - 1: (I - S W)^-1 (I - S) y(0) with signed A over the row sums of |A| (Altafini 2013)."""
    rng = np.random.default_rng(6)
    first, second = np.triu_indices(50, 1)
    kept = rng.random(first.size) < 0.15
    signs = rng.choice([-1.0, 0.5, 2.0], int(kept.sum()))
    network = Network({"ties": edges_to_graph(50, first[kept], second[kept], signs, signed=True)})
    instance, world = started("population.size=50", "params.susceptibility=0.9", network=network)
    y = 2 * world.population["first_opinion"] - 1
    a = np.zeros((50, 50))
    a[first[kept], second[kept]] = a[second[kept], first[kept]] = signs
    strength = np.abs(a).sum(axis=1)
    assert strength.min() > 0
    wanted = np.linalg.solve(np.eye(50) - 0.9 * a / strength[:, None], 0.1 * y)
    assert np.allclose(2 * settle(instance, world) - 1, wanted, atol=1e-12)
    own = np.ones(50)
    own[0] = 0.5
    check_anchored(network, own)  # opponents are heard too
