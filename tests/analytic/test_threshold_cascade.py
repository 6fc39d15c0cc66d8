"""`threshold_cascade` against Watts (2002) and Gleeson and Cahalane (2007); tolerances are four standard errors."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, poisson

from engine import Graph, MicrocosmError, load_study, simulate
from engine.network import Network
from engine.simulation import build_world
from engine.world import World

DEGREES = np.arange(60)


def started(*overrides, replicate=0, network=None, adopted=None):
    """Return (scenario, world) after set-up without personas, with given ties and adopters if there are any."""
    ties = [] if network is None else ["network={kind='complete'}"]
    study = load_study("threshold_cascade", ["population={size=500}", 'redraw=["network"]', *ties, *overrides])
    world = build_world(study, replicate=replicate)
    if network is not None:
        world.network = network
    instance = world.info.build()
    instance.setup(world)
    if adopted is not None:
        world.population["adopted"] = np.asarray(adopted, np.int8)
    return instance, world


def finish(instance, world):
    """Run until nobody adopts and return the share of adopters."""
    while not world.settled:
        world.begin_step()
        instance.step(world)
    return world.population["adopted"].mean()


def cascade(n, z, phi, n_seeds, replicate):
    """Return the final share of adopters on a fresh random graph."""
    network = f"network={{kind='erdos_renyi',mean_degree={z}}}"
    return finish(
        *started(
            f"population={{size={n}}}", network, f"params.phi={phi}", f"params.n_seeds={n_seeds}", replicate=replicate
        )
    )


def vulnerable(phi):
    """Return which degrees give way to one adopter, Watts (2002), model section."""
    return (DEGREES > 0) & (DEGREES * phi <= 1 + 1e-9)


def above_window(z, phi):
    """Return sum of k (k - 1) p_k over vulnerable degrees, less z; Watts (2002), eq. 5 for Poisson degrees."""
    p = poisson.pmf(DEGREES, z)
    return (DEGREES * (DEGREES - 1) * p * vulnerable(phi)).sum() - z


def chance_of_cascade(z, phi):
    """Return the chance that one seed meets the giant vulnerable cluster, by generating functions."""
    p = poisson.pmf(DEGREES, z)
    edge = DEGREES * p / z * vulnerable(phi)
    u = 0.0
    for _ in range(5000):
        u = 1 - edge.sum() + (edge[1:] * u ** (DEGREES[1:] - 1)).sum()
    return 1 - (p * u**DEGREES).sum()


def final_share(z, phi, seed_share):
    """Return the final share of adopters; Gleeson and Cahalane (2007), Physical Review E 75, 056103, eqs. 1 and 2."""
    p = poisson.pmf(DEGREES, z)
    needed = np.ceil(phi * DEGREES - 1e-9).astype(int)

    def adopts(q, fewer):
        """Return the chance to adopt for each degree, of which `fewer` neighbours are not counted."""
        return binom.sf(needed - 1, DEGREES - fewer, q) * (DEGREES > 0)

    q = seed_share
    for _ in range(5000):
        q = seed_share + (1 - seed_share) * (DEGREES * p / z * adopts(q, 1))[1:].sum()
    return seed_share + (1 - seed_share) * (p * adopts(q, 0)).sum()


def test_the_published_window():
    assert brentq(above_window, 0.5, 3, args=(0.18,)) == pytest.approx(1.021, abs=5e-4)
    assert brentq(above_window, 3, 12, args=(0.18,)) == pytest.approx(5.765, abs=5e-4)
    assert all(above_window(z, 0.3) < above_window(z, 0.18) for z in (1.5, 3.0, 6.0))  # it shrinks with phi


@pytest.mark.parametrize(("phi", "z"), [(0.18, 2.0), (0.18, 4.0), (0.25, 2.0)])
def test_one_seed_sets_off_a_cascade_with_the_chance_of_the_vulnerable_cluster(phi, z):
    n, runs = 4000, 150
    expected = chance_of_cascade(z, phi)
    assert 0.2 < expected < 0.95
    large = np.array([cascade(n, z, phi, 1, r) > 0.2 for r in range(runs)]).mean()
    assert abs(large - expected) <= 4 * np.sqrt(expected * (1 - expected) / runs)


@pytest.mark.parametrize(("phi", "z"), [(0.18, 0.7), (0.18, 8.0), (0.3, 5.0)])
def test_outside_the_window_one_seed_moves_nobody(phi, z):
    assert above_window(z, phi) < 0
    assert max(cascade(4000, z, phi, 1, r) for r in range(25)) < 0.05


@pytest.mark.parametrize(("z", "seeds"), [(1.5, 100), (3.0, 20), (5.5, 40)])
def test_size_of_a_cascade(z, seeds):
    n, phi, runs = 10_000, 0.18, 12
    expected = final_share(z, phi, seeds / n)
    shares = np.array([cascade(n, z, phi, seeds, r) for r in range(runs)])
    assert abs(shares.mean() - expected) <= 4 * shares.std(ddof=1) / np.sqrt(runs) + 2 / n


def test_upper_edge_is_abrupt_and_lower_edge_is_not():
    tiny = 1e-6
    low, high = (brentq(above_window, *ends, args=(0.18,)) for ends in ((0.5, 3), (3, 12)))
    assert final_share(low * 1.02, 0.18, tiny) < 0.15
    assert final_share(high * 0.97, 0.18, tiny) > 0.98 and final_share(high * 1.05, 0.18, tiny) < 1e-3
    inside = np.array([cascade(10_000, 0.95 * high, 0.18, 40, r) for r in range(5)])
    outside = np.array([cascade(10_000, 1.4 * high, 0.18, 40, r) for r in range(5)])
    assert inside.min() > 0.95 and outside.max() < 0.05


@pytest.mark.parametrize(("phi", "degree", "adopters", "adopts"), [
    (1 / 3, 3, 1, True), (0.1, 10, 1, True), (0.3, 10, 3, True), (0.7, 10, 7, True), (0.3, 10, 2, False),
    (0.0, 4, 0, True), (1.0, 4, 3, False), (1.0, 4, 4, True), (0.28, 25, 7, True), (0.55, 20, 11, True),
])  # fmt: skip
def test_threshold_compares_counts(phi, degree, adopters, adopts):
    star = Network({"ties": Graph.from_edges(degree + 1, np.zeros(degree, int), np.arange(1, degree + 1))})
    state = np.arange(degree + 1) > degree - adopters
    instance, world = started(
        f"population={{size={degree + 1}}}", f"params.phi={phi}", "params.n_seeds=0", network=star, adopted=state
    )
    world.begin_step()
    instance.step(world)
    assert bool(world.population["adopted"][0]) == adopts


NETWORKS = [
    "{kind='erdos_renyi',mean_degree=4.0}",
    "{kind='complete'}",
    "{layers=[{name='a',kind='ring',k=4},{name='b',kind='erdos_renyi',mean_degree=3.0}]}",
    "{layers=[{name='a',kind='ring',k=4},{name='b',kind='complete'}]}",
]


@pytest.mark.parametrize("network", NETWORKS)
def test_one_step_is_the_rule_on_every_tie(network):
    rng = np.random.default_rng(3)
    state = rng.random(500) < 0.3
    instance, world = started(f"network={network}", "params.phi=0.3", "params.n_seeds=0", adopted=state)
    adopters, degree = np.zeros(500, int), np.zeros(500, int)
    for graph in world.network.layers.values():
        for i in range(500):
            neighbours = graph.neighbours(i)
            adopters[i] += state[neighbours].sum()
            degree[i] += neighbours.size
    world.begin_step()
    instance.step(world)
    expected = state | ((degree > 0) & (adopters >= 0.3 * degree - 1e-9))
    assert np.array_equal(world.population["adopted"] == 1, expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_kernel_equals_the_rule_through_decide(monkeypatch, network):
    overrides = ["population={size=1000}", f"network={network}", "params.n_seeds=30", "params.phi=0.25", "steps=12"]
    study = load_study("threshold_cascade", overrides)
    fused = [record.world.population["adopted"].copy() for record in simulate(study)]
    monkeypatch.setattr(World, "decided_by_rule", lambda self, decision: False)
    for step, record in enumerate(simulate(study)):
        np.testing.assert_array_equal(record.world.population["adopted"], fused[min(step, len(fused) - 1)])
        assert step == 0 or record.decisions


def test_isolates_and_adopters_are_not_asked():
    overrides = ["network={kind='erdos_renyi',mean_degree=1.0}", "decisions.adopt.policy=scripted", "steps=5"]
    before = None
    for record in simulate(load_study("threshold_cascade", overrides)):
        degree, adopted = record.world.network.layer().degree(), record.world.population["adopted"].copy()
        for batch in record.decisions:
            assert (degree[batch.agents] > 0).all() and not before[batch.agents].any()
        assert before is None or (adopted >= before).all()
        before = adopted
    assert (before[degree == 0] == 0).any() and before[degree > 0].mean() > 0.9


def test_starts_and_refusals():
    with pytest.raises(MicrocosmError, match="n_seeds = 501 is more than the 500 people"):
        started("params.n_seeds=501")
    study = {"scenario": "threshold_cascade", "network": {"kind": "complete"}, "population": {"size": 3}}
    study["population"]["columns"] = {"adopted": ["adopted", "not yet", "not yet"]}
    assert next(simulate(load_study(study))).measures["adopted_share", ""] == pytest.approx(1 / 3)
    study["population"]["columns"] = {"adopted": ["done", "not yet", "not yet"]}
    with pytest.raises(MicrocosmError, match="'done'"):
        next(simulate(load_study(study)))
