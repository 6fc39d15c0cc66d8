"""`bounded_confidence` against what Deffuant et al. (2000), Hegselmann and Krause (2002) and Lorenz (2007) report."""

import numpy as np
import pytest
from scipy.stats import chi2

from engine import Graph, MicrocosmError, load_study, simulate
from engine.network import Network
from engine.simulation import build_world
from engine.world import World
from scenarios import bounded_confidence as bc


def records(*overrides, replicate=0):
    """Yield the records of a run among everyone, without personas."""
    plain = ["population={size=1000}", "network={kind='complete'}"]
    yield from simulate(load_study("bounded_confidence", [*plain, *overrides]), replicate=replicate)


def last_of(*overrides, replicate=0):
    """Return the last record of such a run."""
    last = None
    for record in records(*overrides, replicate=replicate):
        last = record
    return last


@pytest.mark.parametrize("ties", ["{kind='complete'}", "{kind='watts_strogatz',k=10,p_rewire=0.05}"])
@pytest.mark.parametrize("mu", [0.5, 0.17])
def test_deffuant_keeps_the_mean(ties, mu):
    means = [r.world.population["opinion"].mean() for r in records(f"network={ties}", f"params.mu={mu}", "steps=60")]
    assert np.ptp(means) < 1e-13


def test_deffuant_gives_two_camps_at_a_fifth():
    runs = 20
    found = [
        last_of("params.epsilon=0.2", "params.mu=0.5", "steps=150", replicate=r).measures["n_major_clusters", ""]
        for r in range(runs)
    ]
    error = np.std(found, ddof=1) / np.sqrt(runs)
    assert abs(np.mean(found) - 2.0) <= 4 * error


@pytest.mark.parametrize(("epsilon", "low", "high"), [(0.5, 1.0, 1.0), (0.1, 3.5, 5.0)])
def test_deffuant_has_about_one_camp_per_two_epsilon(epsilon, low, high):
    found = [
        last_of(f"params.epsilon={epsilon}", "steps=150", replicate=r).measures["n_major_clusters", ""]
        for r in range(8)
    ]
    assert low <= np.mean(found) <= high


@pytest.mark.parametrize(("epsilon", "camps"), [(0.20, 2), (0.21, 1), (0.5, 1), (0.05, 8)])
def test_hegselmann_krause_from_equispaced_opinions(epsilon, camps):
    last = last_of(
        "params.rule=hegselmann_krause", "params.initial=equispaced", f"params.epsilon={epsilon}", "steps=300"
    )
    assert last.stopped == "no opinion moves any more"
    if epsilon != 0.05:
        assert last.measures["n_major_clusters", ""] == camps
    else:  # no published number: what the plain O(n^2) rule gives
        x = np.arange(1000) / 999
        for _ in range(300):
            x = plain_average(x, epsilon)
        assert last.measures["n_major_clusters", ""] == len(bc.major_clusters(x, epsilon))


def plain_average(x, epsilon):
    """Return the mean of everyone within epsilon, by comparing all pairs."""
    near = np.abs(x[:, None] - x[None, :]) <= epsilon
    return (near * x[None, :]).sum(axis=1) / near.sum(axis=1)


def test_sorted_average_equals_all_pairs():
    rng = np.random.default_rng(3)
    for epsilon in (0.0, 0.03, 0.2, 1.0):
        x = np.concatenate([rng.random(300), np.repeat(rng.random(5), 20)])
        network = Network({"all": Graph.complete_graph(x.size)})
        np.testing.assert_allclose(
            bc.average_within(network, x, epsilon), plain_average(x, epsilon), rtol=0, atol=1e-14
        )


def test_average_on_stored_ties_equals_the_implicit_complete_network():
    x = np.random.default_rng(4).random(120)
    first, second = np.triu_indices(x.size, 1)
    stored = Network({"ties": Graph.from_edges(x.size, first, second)})
    implicit = Network({"ties": Graph.complete_graph(x.size)})
    np.testing.assert_allclose(
        bc.average_within(stored, x, 0.2), bc.average_within(implicit, x, 0.2), rtol=0, atol=1e-14
    )


def test_average_reads_neighbours_and_self_only():
    x = np.array([0.0, 0.1, 0.4, 0.9])
    path = Network({"ties": Graph.from_edges(4, [0, 1, 2], [1, 2, 3])})
    np.testing.assert_allclose(bc.average_within(path, x, 0.35), [0.05, 0.5 / 3, 0.25, 0.9], atol=1e-15)


@pytest.mark.parametrize("ties", ["{kind='complete'}", "{kind='watts_strogatz',k=10,p_rewire=0.05}"])
def test_kernel_equals_the_rule_through_decide(monkeypatch, ties):
    overrides = [f"network={ties}", "params.mu=0.37", "steps=25"]
    fused = [r.world.population["opinion"].copy() for r in records(*overrides)]
    monkeypatch.setattr(World, "decided_by_rule", lambda self, decision: False)
    asked = 0
    for step, record in enumerate(records(*overrides)):
        np.testing.assert_array_equal(record.world.population["opinion"], fused[step])
        asked += sum(batch.agents.size for batch in record.decisions)
    assert asked == 25 * 1000


def test_batches_keep_each_persons_order_and_share_nobody():
    rng = np.random.default_rng(5)
    first = rng.integers(0, 50, 400)
    second = (first + rng.integers(1, 50, 400)) % 50
    batch = bc._place_in_batches(first, second, 50)
    for number in range(batch.max() + 1):
        people = np.concatenate([first[batch == number], second[batch == number]])
        assert people.size == np.unique(people).size
    for person in range(50):
        assert (np.diff(batch[(first == person) | (second == person)]) > 0).all()


@pytest.mark.parametrize("ties", ["{kind='complete'}", "{kind='ring',k=4}"])
def test_meetings_are_uniform_over_ties(ties):
    study = load_study("bounded_confidence", ["population={size=20}", f"network={ties}"])
    world = build_world(study)
    met = np.zeros((20, 20), int)
    for _ in range(2000):
        world.begin_step()
        first, second = bc.draw_meetings(world)
        np.add.at(met, (np.minimum(first, second), np.maximum(first, second)), 1)
    source, target, _ = world.network.layer().edges()
    counts = met[np.minimum(source, target), np.maximum(source, target)]
    assert counts.sum() == met.sum() == 20_000
    expected = counts.sum() / counts.size
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, counts.size - 1)


def test_meetings_over_layers_weigh_every_tie_the_same():
    layers = "network={layers=[{name='a',kind='ring',k=2},{name='b',kind='complete'}]}"
    world = build_world(load_study("bounded_confidence", ["population={size=10}", layers]))
    neighbours = total = 0
    for _ in range(3000):
        world.begin_step()
        first, second = bc.draw_meetings(world)
        neighbours += int(np.isin(np.abs(first - second), (1, 9)).sum())
        total += first.size
    p = (10 + 10) / (10 + 45)  # ten ties of the ring, and the same ten pairs among the 45 of the complete layer
    assert abs(neighbours / total - p) < 4 * np.sqrt(p * (1 - p) / total)


def test_starts():
    x = next(records("params.initial=equispaced")).world.population["opinion"]
    np.testing.assert_allclose(x, np.arange(1000) / 999)
    study = {"scenario": "bounded_confidence", "population": {"size": 3, "columns": {"opinion": [0.1, 0.5, 0.6]}}}
    assert next(simulate(load_study(study | {"network": {"kind": "complete"}}))).world.population[
        "opinion"
    ].tolist() == [
        0.1,
        0.5,
        0.6,
    ]
    u = [next(records(replicate=r)).world.population["opinion"] for r in (0, 1)]
    assert not np.array_equal(*u)
    study["population"]["columns"]["opinion"] = [0.1, 0.5, 1.6]
    with pytest.raises(MicrocosmError, match=r"opinion = 1.6 is not in \[0, 1\]"):
        next(simulate(load_study(study | {"network": {"kind": "complete"}})))


def test_a_run_stops_only_when_no_tie_can_move():
    last = last_of("population={size=6}", "params.epsilon=0.3", "steps=5000")
    assert last.stopped
    x = np.sort(last.world.population["opinion"])
    apart = np.abs(x[:, None] - x[None, :])
    assert not ((apart > 4e-9) & (apart <= 0.3)).any()


def test_a_network_without_ties_ends_at_once():
    last = last_of("network={kind='erdos_renyi',mean_degree=0.0}", "steps=9")
    assert last.step == 1 and last.stopped
