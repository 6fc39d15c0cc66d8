"""`independent_cascade` against branching processes (Newman 2002); tolerances are four standard errors."""

import numpy as np
import pytest
from scipy.optimize import brentq

from engine import Graph, MicrocosmError, load_study, simulate
from engine.network import Network
from engine.simulation import build_world
from engine.world import World
from scenarios import independent_cascade as ic
from scenarios.independent_cascade import REACHED, TELLING, UNREACHED


def started(*overrides, replicate=0, network=None, state=None):
    """Return (scenario, world) after set-up without personas, with given ties and states if there are any."""
    ties = [] if network is None else ["network={kind='complete'}"]
    study = load_study("independent_cascade", ["population={size=500}", 'redraw=["network"]', *ties, *overrides])
    world = build_world(study, replicate=replicate)
    if network is not None:
        world.network = network
    instance = world.info.build()
    instance.setup(world)
    if state is not None:
        world.population["state"] = np.asarray(state, np.int8)
    return instance, world


def finish(instance, world):
    """Run until nobody is reached; return the number of those reached."""
    while not world.settled:
        world.begin_step()
        instance.step(world)
    return np.count_nonzero(world.population["state"])


def sizes(n, z, p, runs_per_graph, graphs, network="erdos_renyi"):
    """Return the sizes of cascades from one random start each, over several random graphs."""
    found = []
    ties = "network={kind='complete'}" if network == "complete" else f"network={{kind='erdos_renyi',mean_degree={z}}}"
    for replicate in range(graphs):
        instance, world = started(f"population={{size={n}}}", ties, f"params.p={p}", replicate=replicate)
        rng = np.random.default_rng(replicate)
        for _ in range(runs_per_graph):
            state = np.zeros(n, np.int8)
            state[rng.integers(n)] = TELLING
            world.population["state"], world.settled = state, None
            found.append(finish(instance, world))
    return np.array(found)


def outbreak_share(mean):
    """Return the root above 0 of S = 1 - exp(-mean S)."""
    return brentq(lambda s: 1 - s - np.exp(-mean * s), 1e-6, 1.0)


@pytest.mark.parametrize(
    ("z", "p", "network"), [(5.0, 0.1, "erdos_renyi"), (4.0, 0.15, "erdos_renyi"), (0, 0.3, "complete")]
)
def test_mean_size_below_the_threshold(z, p, network):
    n = 20_000
    mean = 0.5 if network == "complete" else p * z
    p = mean / (n - 1) if network == "complete" else p
    found = sizes(n, z, p, 150, 10, network)
    error = np.sqrt(mean / (1 - mean) ** 3 / found.size)  # standard deviation of the Borel law
    assert abs(found.mean() - 1 / (1 - mean)) <= 4 * error
    alone = np.exp(-mean)
    assert abs((found == 1).mean() - alone) <= 4 * np.sqrt(alone * (1 - alone) / found.size)


@pytest.mark.parametrize(
    ("z", "p", "network"), [(5.0, 0.3, "erdos_renyi"), (4.0, 0.5, "erdos_renyi"), (0, 0, "complete")]
)
def test_outbreaks_above_the_threshold(z, p, network):
    n = 4000
    mean = 1.5 if network == "complete" else p * z
    p = mean / (n - 1) if network == "complete" else p
    s = outbreak_share(mean)
    found = sizes(n, z, p, 30, 10, network) / n
    large = found > s / 4
    assert abs(large.mean() - s) <= 4 * np.sqrt(s * (1 - s) / found.size)
    size = found[large]
    assert abs(size.mean() - s) <= 4 * size.std(ddof=1) / np.sqrt(size.size) + 5 / n
    assert abs(found.mean() - s**2) <= 4 * found.std(ddof=1) / np.sqrt(found.size) + 5 / n


def test_the_complete_layer_is_one_draw_per_person_with_the_right_chance():
    n, tellers, p = 200_000, 7, 0.02
    state = np.zeros(n, np.int8)
    state[:tellers] = TELLING
    instance, world = started(f"population={{size={n}}}", "network.kind=complete", f"params.p={p}", state=state)
    world.begin_step()
    instance.step(world)
    share = (world.population["state"][tellers:] == TELLING).mean()
    chance = 1 - (1 - p) ** tellers
    assert abs(share - chance) <= 4 * np.sqrt(chance * (1 - chance) / n)
    assert (world.population["state"][:tellers] == REACHED).all()


def test_the_complete_layer_asked_one_by_one_gives_the_same_law(monkeypatch):
    runs, n, mean = 300, 60, 1.5
    overrides = [f"population={{size={n}}}", "network.kind=complete", f"params.p={mean / (n - 1)}", "params.n_seeds=1"]
    by_rule = np.array([finish(*started(*overrides, replicate=r)) for r in range(runs)])
    monkeypatch.setattr(World, "decided_by_rule", lambda self, decision: False)
    asked = np.array([finish(*started(*overrides, replicate=r)) for r in range(runs)])
    error = np.sqrt(by_rule.var(ddof=1) / runs + asked.var(ddof=1) / runs)
    assert abs(by_rule.mean() - asked.mean()) <= 4 * error


def random_ties(n, ties, seed, directed=False):
    """Return a random graph."""
    pairs = np.random.default_rng(seed).integers(0, n, (ties, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return Graph.from_edges(n, pairs[:, 0], pairs[:, 1], directed=directed)


@pytest.mark.parametrize("layers", ["one", "directed", "two"])
def test_kernel_equals_the_rule_through_decide(monkeypatch, layers):
    n = 1000
    network = Network({"a": random_ties(n, 8000, 1, directed=layers == "directed")})
    if layers == "two":
        network.layers["b"] = random_ties(n, 2000, 2, directed=True)
    states = []
    for by_rule in (True, False):
        monkeypatch.setattr(World, "decided_by_rule", lambda self, decision, by_rule=by_rule: by_rule)
        instance, world = started(f"population={{size={n}}}", "params.p=0.2", network=network)
        history = [world.population["state"].copy()]
        while not world.settled:
            world.begin_step()
            instance.step(world)
            history.append(world.population["state"].copy())
        states.append(np.array(history))
    np.testing.assert_array_equal(*states)
    assert len(states[0]) > 5 and np.count_nonzero(states[0][-1]) > 200


def test_certain_news_walks_one_tie_a_step():
    path = Network({"ties": Graph.from_edges(6, [0, 1, 2, 3], [1, 2, 3, 4])})
    instance, world = started("population={size=6}", "params.p=1.0", network=path, state=[0, 0, TELLING, 0, 0, 0])
    seen = []
    for _ in range(3):
        world.begin_step()
        instance.step(world)
        seen.append(world.population["state"].tolist())
    assert seen == [[0, 1, 2, 1, 0, 0], [1, 2, 2, 2, 1, 0], [2, 2, 2, 2, 2, 0]]
    assert world.settled == "nobody was reached in this step"
    instance, world = started("params.p=0.0", "params.n_seeds=7")
    assert finish(instance, world) == 7 and world.step == 1


def test_news_goes_to_those_who_observe():
    observes = Network({"ties": Graph.from_edges(3, [0, 2], [1, 0], directed=True)})  # 0 observes 1, 2 observes 0
    instance, world = started(
        "population={size=3}", "params.p=1.0", "params.n_seeds=0", network=observes, state=[0, TELLING, 0]
    )
    assert finish(instance, world) == 3
    instance, world = started(
        "population={size=3}", "params.p=1.0", "params.n_seeds=0", network=observes, state=[0, 0, TELLING]
    )
    assert finish(instance, world) == 1


def test_one_step_over_two_layers_tries_a_shared_neighbour_twice():
    n, p = 40_000, 0.3
    one = Graph.from_edges(2 * n, np.arange(n), np.arange(n) + n)
    instance, world = started(
        f"population={{size={2 * n}}}",
        f"params.p={p}",
        network=Network({"a": one, "b": one}),
        state=np.arange(2 * n) < n,
    )
    world.begin_step()
    instance.step(world)
    share, chance = (world.population["state"][n:] == TELLING).mean(), 1 - (1 - p) ** 2
    assert abs(share - chance) <= 4 * np.sqrt(chance * (1 - chance) / n)


def test_who_has_heard_is_never_asked_about_again():
    study = load_study("independent_cascade", ["decisions.pass_on.policy=scripted", "population={size=300}", "steps=6"])
    before = None
    for record in simulate(study):
        for batch in record.decisions:
            assert (before[batch.agents] == TELLING).all()
            assert (before[batch.turn % 300] == UNREACHED).all()
        before = record.world.population["state"].copy()


def test_refusals():
    with pytest.raises(MicrocosmError, match="n_seeds = 501 is more than the 500 people"):
        started("params.n_seeds=501")
    with pytest.raises(MicrocosmError, match="at most 5000000 are allowed"):
        state = np.arange(5000) % 2
        ic.list_attempts(Network({"all": Graph.complete_graph(5000)}), state)
    people = {"size": 2, "columns": {"state": ["heard", "not reached"]}}
    study = {"scenario": "independent_cascade", "network": {"kind": "complete"}, "population": people}
    with pytest.raises(MicrocosmError, match="'heard'"):
        next(simulate(load_study(study)))
