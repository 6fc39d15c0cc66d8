"""`voter` against exact chains; statistical tolerances are four standard errors at the number of runs."""

import numpy as np
import pytest
from scipy.stats import betabinom, chi2

from engine import Graph, MicrocosmError, load_study, simulate
from engine.network import Network
from engine.network.graph import edges_to_graph
from engine.simulation import build_world
from engine.world import World
from scenarios import voter
from scenarios._classics import draw_neighbours, join_layers


def started(*overrides, replicate=0, network=None):
    """Return (scenario, world) after set-up, among everyone and without personas unless told otherwise."""
    study = load_study("voter", ["population={size=40}", "network={kind='complete'}", *overrides])
    world = build_world(study, replicate=replicate)
    if network is not None:
        world.network = network
    instance = world.info.build()
    instance.setup(world)
    return instance, world


def run_until_settled(instance, world, most=100_000):
    """Run until the scenario stops; return (steps, share in favour)."""
    begun = world.step
    while not world.settled:
        world.begin_step()
        instance.step(world)
        assert world.step - begun < most
    return world.step - begun, world.population["opinion"].mean()


def outcomes(runs, start, *overrides, network=None):
    """Return (steps, winner) of many runs in one world, each from the opinions that `start(world)` gives."""
    instance, world = started(*overrides, network=network)
    found = []
    for _ in range(runs):
        world.population["opinion"] = np.asarray(start(world), np.int8)
        world.settled = None
        found.append(run_until_settled(instance, world))
    return np.array(found).T


def first_in_favour(n_favour):
    """Return a start with the first agents in favour."""
    return lambda world: np.arange(world.n_agents) < n_favour


def within(share, p, runs):
    """Tell whether a share of independent runs agrees with p."""
    return abs(share - p) <= 4 * np.sqrt(p * (1 - p) / runs)


def update_chain(n):
    """Return the matrix of one update on the complete graph over 0..n in favour, without zealots or noise."""
    k = np.arange(n + 1)
    move = k * (n - k) / (n * (n - 1))
    return np.diag(1 - 2 * move) + np.diag(move[:-1], 1) + np.diag(move[1:], -1)


def exact_times(n, k):
    """Return (mean number of updates to agreement over n, mean number of whole steps) from k in favour."""
    chain = update_chain(n)
    inner = slice(1, n)
    updates = np.linalg.solve(np.eye(n - 1) - chain[inner, inner], np.ones(n - 1))[k - 1]
    step = np.linalg.matrix_power(chain[inner, inner], n)
    steps = np.linalg.solve(np.eye(n - 1) - step, np.ones(n - 1))[k - 1]
    return updates / n, steps


@pytest.mark.parametrize(("update", "share"), [("asynchronous", 0.3), ("asynchronous", 0.75), ("synchronous", 0.3)])
def test_exit_probability_is_the_first_share_on_the_complete_graph(update, share):
    runs = 500
    _, winner = outcomes(runs, first_in_favour(round(40 * share)), f"params.update={update}")
    assert np.isin(winner, (0, 1)).all()
    assert within(winner.mean(), share, runs)


@pytest.mark.parametrize("hub_first", [True, False])
def test_exit_probability_is_weighed_by_degree_on_a_star(hub_first):
    n, runs = 12, 400  # the hub holds half of all degrees, though it is one of twelve
    star = Network({"ties": Graph.from_edges(n, np.zeros(n - 1, int), np.arange(1, n))})
    start = first_in_favour(1) if hub_first else (lambda world: np.arange(n) >= n - 3)
    expected = 0.5 if hub_first else 0.5 * 3 / (n - 1)
    _, winner = outcomes(runs, start, f"population={{size={n}}}", network=star)
    assert within(winner.mean(), expected, runs)


@pytest.mark.parametrize("update", ["asynchronous", "synchronous"])
def test_exit_probability_is_weighed_by_degree_on_a_random_graph(update):
    n, runs = 40, 400
    _, world = started(f"population={{size={n}}}", "network={kind='barabasi_albert',m=3}")
    network, degree = world.network, world.network.layer().degree()
    well_tied = np.argsort(-degree, kind="stable")[:10]
    start = np.isin(np.arange(n), well_tied)
    expected = degree[start].sum() / degree.sum()
    assert expected > 0.4  # far from the plain share of a quarter
    _, winner = outcomes(
        runs, lambda world: start, f"population={{size={n}}}", f"params.update={update}", network=network
    )
    assert within(winner.mean(), expected, runs)


def test_n_ln_2_is_the_limit_of_the_exact_chain():
    for n, tolerance in ((100, 0.02), (400, 0.005)):
        updates, _ = exact_times(n, n // 2)
        assert updates / (n * np.log(2)) == pytest.approx(1, abs=tolerance)


@pytest.mark.parametrize(("n", "k"), [(40, 20), (40, 8), (80, 40)])
def test_time_to_agreement_on_the_complete_graph(n, k):
    runs = 500
    steps, _ = outcomes(runs, first_in_favour(k), f"population={{size={n}}}")
    _, expected = exact_times(n, k)
    assert abs(steps.mean() - expected) <= 4 * steps.std(ddof=1) / np.sqrt(runs)


def batch_error(series, n_batches=25):
    """Return the standard error of a correlated series' mean from means of batches."""
    means = series[: series.size // n_batches * n_batches].reshape(n_batches, -1).mean(axis=1)
    return means.std(ddof=1) / np.sqrt(n_batches)


@pytest.mark.parametrize(("against", "favour"), [(5, 10), (3, 2)])
def test_zealots_hold_the_crowd_at_their_ratio(against, favour):
    n, free = 60, 60 - against - favour
    instance, world = started(
        f"population={{size={n}}}",
        f"params.zealots_0={against}",
        f"params.zealots_1={favour}",
        "params.initial_share=0.0",
    )
    share = np.empty(8000)
    for t in range(-300, share.size):
        world.begin_step()
        instance.step(world)
        if t >= 0:
            share[t] = world.population["opinion"].mean()
    assert world.settled is None
    assert abs(share.mean() - favour / (against + favour)) <= 4 * batch_error(share)
    # The stationary law of the free agents in favour is beta-binomial: detailed balance of the chain's two rates.
    squares = (share - favour / (against + favour)) ** 2
    assert abs(squares.mean() - betabinom(free, favour, against).var() / n**2) <= 4 * batch_error(squares)


def test_noise_gives_kirmans_stationary_law():
    n, noise = 50, 0.05
    k = np.arange(n + 1)
    up = (n - k) / n * (noise / 2 + (1 - noise) * k / (n - 1))
    down = k / n * (noise / 2 + (1 - noise) * (n - k) / (n - 1))
    law = np.cumprod(np.concatenate([[1.0], up[:-1] / down[1:]]))
    law /= law.sum()
    instance, world = started(f"population={{size={n}}}", f"params.noise={noise}")
    share = np.empty(8000)
    for t in range(-200, share.size):
        world.begin_step()
        instance.step(world)
        if t >= 0:
            share[t] = world.population["opinion"].mean()
    assert world.settled is None
    squares = (share - 0.5) ** 2
    assert abs(share.mean() - 0.5) <= 4 * batch_error(share)
    assert abs(squares.mean() - (law * (k / n - 0.5) ** 2).sum()) <= 4 * batch_error(squares)


def test_full_noise_is_a_fair_coin():
    n = 20_000
    instance, world = started(f"population={{size={n}}}", "params.noise=1.0", "params.update=synchronous")
    world.begin_step()
    instance.step(world)
    assert within(world.population["opinion"].mean(), 0.5, n)


def test_two_people_at_once_swap_for_ever():
    instance, world = started("population={size=2}", "params.update=synchronous")
    first = world.population["opinion"].copy()
    for t in range(1, 6):
        world.begin_step()
        instance.step(world)
        assert world.population["opinion"].tolist() == (first if t % 2 == 0 else 1 - first).tolist()
    assert world.settled is None


NETWORKS = [
    "{kind='complete'}",
    "{kind='watts_strogatz',k=6,p_rewire=0.1}",
    "{kind='erdos_renyi',mean_degree=1.0}",
    "{layers=[{name='a',kind='ring',k=2},{name='b',kind='complete'}]}",
]


@pytest.mark.parametrize("update", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("network", NETWORKS)
def test_kernel_equals_the_rule_through_decide(monkeypatch, network, update):
    overrides = ["population={size=1000}", f"network={network}", f"params.update={update}", "steps=6"]
    overrides += ["params.noise=0.05", "params.zealots_0=20", "params.zealots_1=30", "params.initial_share=0.4"]
    study = load_study("voter", overrides)
    fused = [record.world.population["opinion"].copy() for record in simulate(study)]
    monkeypatch.setattr(World, "decided_by_rule", lambda self, decision: False)
    asked = 0
    for step, record in enumerate(simulate(study)):
        np.testing.assert_array_equal(record.world.population["opinion"], fused[step])
        asked += sum(batch.agents.size for batch in record.decisions)
    assert asked > 500


def test_zealots_never_change_nor_are_they_asked():
    study = load_study(
        "voter", ["decisions.adopt.policy=scripted", "params.zealots_0=30", "params.zealots_1=40", "steps=8"]
    )
    records = simulate(study)
    first = next(records).world
    zealot, opinion = first.population["zealot"].copy(), first.population["opinion"].copy()
    assert (zealot & (opinion == 0)).sum() == 30 and (zealot & (opinion == 1)).sum() == 40
    for record in records:
        assert np.array_equal(record.world.population["opinion"][zealot], opinion[zealot])
        assert not any(zealot[batch.agents].any() for batch in record.decisions)


def test_batches_keep_the_order_of_updates_that_touch():
    rng = np.random.default_rng(5)
    who, other = rng.integers(0, 50, 600), rng.integers(-1, 50, 600)
    other = np.where(other == who, -1, other)
    batch = voter._place_in_batches(who, other, 50)
    for later in range(600):
        for earlier in range(later):
            if who[earlier] in (who[later], other[later]):  # reads what the earlier one wrote
                assert batch[later] > batch[earlier]
            elif other[earlier] == who[later]:  # writes what the earlier one read
                assert batch[later] >= batch[earlier]
    assert batch.max() < 200


def test_neighbours_are_uniform_over_the_ties_of_all_layers():
    n = 8
    ring = Graph.from_edges(n, np.arange(n), (np.arange(n) + 1) % n)
    network = Network({"a": ring, "b": Graph.complete_graph(n), "c": Graph.from_edges(n, [0], [3])})
    agents = np.repeat(np.arange(n), 20_000)
    found = draw_neighbours(*join_layers(network), agents, 1, np.uint64(12345))
    for agent in range(n):
        expected = np.ones(n)
        expected[[agent - 1, (agent + 1) % n]] += 1
        expected[agent] = 0
        if agent in (0, 3):
            expected[3 - agent] += 1
        counts = np.bincount(found[agents == agent], minlength=n)
        assert counts[agent] == 0
        expected = expected[expected > 0] / expected.sum() * 20_000
        statistic = ((counts[counts > 0] - expected) ** 2 / expected).sum()
        assert statistic < chi2.ppf(1 - 1e-5, expected.size - 1)


def test_stops_when_each_part_agrees_and_isolates_stay():
    halves = Network({"ties": Graph.from_edges(7, [0, 1, 3, 4], [1, 2, 4, 5])})
    instance, world = started("population={size=7}", network=halves)
    world.population["opinion"] = np.array([0, 0, 0, 1, 1, 1, 0], np.int8)
    steps, share = run_until_settled(instance, world)
    assert (steps, share) == (1, 3 / 7)


def test_starts_and_refusals():
    _, world = started("population={size=1000}", "params.initial_share=0.3", "params.zealots_0=100")
    assert world.population["opinion"].sum() == 270
    with pytest.raises(MicrocosmError, match="is more than the 40 people"):
        started("params.zealots_0=30", "params.zealots_1=11")
    study = {"scenario": "voter", "network": {"kind": "complete"}, "population": {"size": 3}}
    study["population"]["columns"] = {"opinion": ["in favour", "against", "in favour"]}
    assert next(simulate(load_study(study))).world.population["opinion"].tolist() == [1, 0, 1]
    study["population"]["columns"] = {"opinion": ["yes", "against", "in favour"]}
    with pytest.raises(MicrocosmError, match="'yes'"):
        next(simulate(load_study(study)))


def foes_among(n, balanced):
    """Return (network, camps): random ties of two camps, foes across; unbalanced adds foes inside."""
    rng = np.random.default_rng(5)
    first, second = np.triu_indices(n, 1)
    kept = (rng.random(first.size) < 0.2) | (second == first + 1)
    first, second = first[kept], second[kept]
    camps = rng.random(n) < 0.4
    signs = np.where(camps[first] == camps[second], 1.0, -1.0)
    signs = signs if balanced else np.where(rng.random(first.size) < 0.3, -signs, signs)
    return Network({"ties": edges_to_graph(n, first, second, signs, signed=True)}), camps


@pytest.mark.parametrize("update", ["asynchronous", "synchronous"])
def test_balanced_foes_are_friends_seen_from_the_other_side(update):
    """Li et al. (2013): turning the opinions of one camp round makes the plain voter model, draw by draw."""
    foes, camps = foes_among(40, balanced=True)
    graph = foes.layer()
    friends = Network({"ties": Graph(40, graph.indptr, graph.indices)})
    start = (np.arange(40) % 2).astype(np.int8)
    paths = []
    for network, opinion in ((friends, start), (foes, start ^ camps)):
        instance, world = started(f"params.update='{update}'", network=network)
        world.population["opinion"] = opinion.astype(np.int8)
        path = []
        for _ in range(20):
            world.begin_step()
            instance.step(world)
            path.append(world.population["opinion"].copy())
        paths.append((np.array(path), world.settled))
    assert np.array_equal(paths[0][0] ^ camps, paths[1][0])
    assert paths[0][1] == paths[1][1]
    assert not np.array_equal(paths[0][0], paths[1][0])


def test_unbalanced_foes_forget_where_they_began_and_never_settle():
    """Li et al. (2013): the chance of being in favour becomes one half; before, E x(t+1) = P+ x + P- (1 - x)."""
    network, _ = foes_among(40, balanced=False)
    graph = network.layer()
    a = np.zeros((40, 40))
    a[np.repeat(np.arange(40), np.diff(graph.indptr)), graph.indices] = graph.weights
    p = np.abs(a) / np.abs(a).sum(axis=1, keepdims=True)
    runs, one, late = 400, np.zeros(40), np.zeros(40)
    for replicate in range(runs):
        instance, world = started("params.update='synchronous'", replicate=replicate, network=network)
        world.population["opinion"] = np.ones(40, np.int8)
        for step in range(30):
            world.begin_step()
            instance.step(world)
            one += world.population["opinion"] if step == 0 else 0
        late += world.population["opinion"]
        assert not world.settled
    wanted = np.where(a > 0, p, 0).sum(axis=1)
    error = np.sqrt(np.maximum(wanted * (1 - wanted), 1e-3) / runs)
    assert (np.abs(one / runs - wanted) <= 4.5 * error).all()
    assert (np.abs(late / runs - 0.5) <= 4.5 * 0.5 / np.sqrt(runs)).all()


def test_over_negative_ties_nobody_is_asked_and_the_rule_and_decisions_agree():
    network, _ = foes_among(40, balanced=False)
    ends = []
    for policy in ("rule", "mixture"):
        overrides = [] if policy == "rule" else ["decisions.adopt={policy='mixture',share=0.0}"]
        instance, world = started(*overrides, network=network)
        for _ in range(3):
            world.begin_step()
            instance.step(world)
        ends.append(world.population["opinion"])
    assert np.array_equal(*ends)
