"""`sir` against closed forms; statistical tolerances are four standard errors at the number of runs."""

import numpy as np
import pytest
from scipy.optimize import brentq

from engine import Graph, MicrocosmError, load_study, simulate
from engine.network import Network
from engine.simulation import build_world
from scenarios import sir
from scenarios.sir import EXPOSED, INFECTED, RECOVERED, SUSCEPTIBLE


def final_size(r0, s0=1.0):
    """Return the root above 0 of 1 - r = s0 exp(-r0 r), the recovered share; Kermack and McKendrick (1927)."""
    return brentq(lambda r: 1 - r - s0 * np.exp(-r0 * r), 1e-6, 1.0)


def outcome(study, replicate=0):
    """Return (last record, share that was ever infected)."""
    last = None
    for record in simulate(study, replicate=replicate):
        last = record
    return last, 1 - last.measures["susceptible_share", ""]


def started(overrides, state=None):
    """Return (scenario, world) after set-up, with a given state instead of drawn cases."""
    world = build_world(load_study("sir", overrides))
    instance = world.info.build()
    instance.setup(world)
    if state is not None:
        world.population["state"] = np.asarray(state, np.int8)
    return instance, world


def advance(instance, world, steps=1):
    """Run some steps and return the states after them."""
    for _ in range(steps):
        world.begin_step()
        instance.step(world)
    return world.population["state"]


def within(share, p, n, sigmas=4.0):
    """Tell whether a share of n independent draws agrees with p."""
    return abs(share - p) <= sigmas * np.sqrt(p * (1 - p) / n) + 1e-12


def test_the_published_final_size():
    assert final_size(2.0) == pytest.approx(0.7968, abs=5e-5)


@pytest.mark.parametrize(("r0", "latent"), [(1.5, 0.0), (2.0, 0.0), (2.0, 4.0), (3.0, 0.0)])
def test_well_mixed_final_size(r0, latent):
    n, first, runs = 20_000, 400, 12
    study = load_study(
        "sir",
        [
            "params.mixing=well_mixed",
            f"params.beta={0.1 * r0}",
            "params.gamma=0.1",
            f"params.latent_steps={latent}",
            f"params.initial_infected={first}",
            f"population.size={n}",
            "network.kind=complete",
            "steps=2000",
        ],
    )
    sizes = []
    for replicate in range(runs):
        last, size = outcome(study, replicate)
        assert last.stopped and last.measures["infected_share", ""] == 0
        sizes.append(size)
    tolerance = 4 * np.std(sizes, ddof=1) / np.sqrt(runs) + 5 / n
    assert tolerance < 0.02
    assert np.mean(sizes) == pytest.approx(final_size(r0, 1 - first / n), abs=tolerance)


def test_one_case_dies_out_or_becomes_a_major_outbreak():
    """Extinction: q = G(q), G the offspring of one case: Poisson(beta) a step over a geometric infectious period."""
    n, runs, beta, gamma = 3000, 150, 0.4, 0.2
    study = load_study(
        "sir",
        [
            "params.mixing=well_mixed",
            f"params.beta={beta}",
            f"params.gamma={gamma}",
            "params.initial_infected=1",
            f"population.size={n}",
            "network.kind=complete",
            "steps=2000",
        ],
    )
    sizes = np.array([outcome(study, replicate)[1] for replicate in range(runs)])

    def offspring(q):
        stay = np.exp(-beta * (1 - q))
        return gamma * stay / (1 - (1 - gamma) * stay)

    p_major = 1 - brentq(lambda q: offspring(q) - q, 0.0, 0.999)
    major = sizes > 0.3
    assert within(major.mean(), p_major, runs)
    tolerance = 4 * sizes[major].std(ddof=1) / np.sqrt(major.sum()) + 5 / n
    assert sizes[major].mean() == pytest.approx(0.7968, abs=tolerance)


def test_infection_table_is_exact():
    for p in (0.0, 0.01, 0.3, 0.999, 1.0):
        k = np.arange(30)
        np.testing.assert_allclose(sir.infection_table(p, 29), 1 - (1 - p) ** k, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(sir.infection_table(p, 29, 7), 1 - (1 - p) ** (k + 7), rtol=1e-12, atol=1e-15)
    assert sir.infection_table(1.0, 2).tolist() == [0, 1, 1]
    assert sir.infection_table(1e-12, 1)[1] == pytest.approx(1e-12, rel=1e-9)


def test_one_step_on_a_network_follows_the_number_of_infected_neighbours():
    n, p = 120_000, 0.2
    instance, world = started(
        [f"population.size={n}", "network={kind='ring',k=4}", f"params.p_transmit={p}", "params.gamma=0.0"],
        np.where(np.random.default_rng(1).random(n) < 0.4, INFECTED, SUSCEPTIBLE),
    )
    before = world.population["state"]
    infected = before == INFECTED
    k = sum(np.roll(infected, shift).astype(int) for shift in (-2, -1, 1, 2))
    after = advance(instance, world)
    for number in range(5):
        group = (before == SUSCEPTIBLE) & (k == number)
        assert group.sum() > 1000
        assert within((after[group] == INFECTED).mean(), 1 - (1 - p) ** number, group.sum()), number


def test_counts_agree_whichever_way_ties_are_walked():
    rng = np.random.default_rng(2)
    n = 400
    pairs = rng.integers(0, n, (2000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    undirected = Graph.from_edges(n, pairs[:, 0], pairs[:, 1])
    directed = Graph.from_edges(n, pairs[:, 0], pairs[:, 1], directed=True)
    for share in (0.1, 0.9):
        state = np.where(rng.random(n) < share, INFECTED, rng.choice([SUSCEPTIBLE, RECOVERED], n)).astype(np.int8)
        assert (np.sum(state == INFECTED) < np.sum(state == SUSCEPTIBLE)) == (share < 0.5)
        for graph in (undirected, directed):
            counts, everywhere = sir.count_exposures(Network({"a": graph, "b": graph}), state)
            assert everywhere == 0
            for agent in np.flatnonzero(state == SUSCEPTIBLE):
                assert counts[agent] == 2 * np.count_nonzero(state[graph.neighbours(agent)] == INFECTED)


def test_complete_network_equals_its_stored_ties():
    n = 300
    first, second = np.triu_indices(n, 1)
    overrides = [
        f"population.size={n}",
        "network.kind=complete",
        "params.p_transmit=0.002",
        "params.initial_infected=9",
    ]
    implicit = started(overrides)
    stored = started(overrides)
    stored[1].network = Network({"ties": Graph.from_edges(n, first, second)})
    ever = 0
    for _ in range(40):
        np.testing.assert_array_equal(advance(*implicit), advance(*stored))
        ever = np.count_nonzero(implicit[1].population["state"] != SUSCEPTIBLE)
    assert ever > 100


def test_layers_add_up_to_one_complete_layer_and_one_ring():
    n, m, p = 60_000, 3, 0.05
    state = np.zeros(n, np.int8)
    state[:m] = INFECTED
    layers = "network={layers=[{name='a',kind='complete'},{name='b',kind='ring',k=2}]}"
    instance, world = started([f"population.size={n}", layers, f"params.p_transmit={p}"], state)
    after = advance(instance, world)
    far = after[m + 1 : n - 1]
    assert within((far == INFECTED).mean(), 1 - (1 - p) ** m, far.size)


@pytest.mark.parametrize(
    ("knob", "value", "start"), [("gamma", 0.15, INFECTED), ("latent_steps", 5.0, EXPOSED), ("gamma", 1.0, INFECTED)]
)
def test_periods_are_geometric(knob, value, start):
    n = 50_000
    leave = value if knob == "gamma" else 1 / value
    overrides = [f"population.size={n}", "params.p_transmit=0.0", f"params.{knob}={value}"]
    instance, world = started(overrides, np.full(n, start))
    for step in range(1, 9):
        share = (advance(instance, world) == start).mean()
        assert within(share, (1 - leave) ** step, n), step


def test_a_new_case_waits_for_the_next_step():
    first = np.zeros(50, np.int8)
    first[0] = INFECTED
    sure = ["population.size=50", "network.kind=complete", "params.p_transmit=1.0", "params.gamma=1.0"]
    instance, world = started(sure, first)
    assert advance(instance, world).tolist() == [RECOVERED] + [INFECTED] * 49
    assert world.settled is None
    assert advance(instance, world).tolist() == [RECOVERED] * 50
    assert world.settled
    instance, world = started([*sure, "params.latent_steps=1"], first)
    assert advance(instance, world).tolist() == [RECOVERED] + [EXPOSED] * 49
    assert advance(instance, world).tolist() == [RECOVERED] + [INFECTED] * 49


def test_first_cases_are_a_count_that_moves_with_the_dynamics_seed():
    study = load_study("sir", ["params.initial_infected=17"])
    cases = [next(simulate(study, replicate=r)).world.population["state"] == INFECTED for r in (0, 0, 1)]
    assert [int(c.sum()) for c in cases] == [17, 17, 17]
    assert (cases[0] == cases[1]).all() and not (cases[0] == cases[2]).all()
    with pytest.raises(MicrocosmError, match=r"initial_infected = 1001 is more than the 1000 people"):
        next(simulate(load_study("sir", ["params.initial_infected=1001"])))


def test_a_population_may_bring_its_states():
    study = load_study(
        {
            "scenario": "sir",
            "population": {"size": 4, "columns": {"state": ["recovered", "infected", "susceptible", "susceptible"]}},
            "network": {"kind": "complete"},
        }
    )
    record = next(simulate(study))
    assert record.measures["recovered_share", ""] == 0.25
    assert record.measures["susceptible_share", ""] == 0.5
    assert record.world.population["state"].tolist() == [RECOVERED, INFECTED, SUSCEPTIBLE, SUSCEPTIBLE]


def test_a_population_with_unknown_states_is_refused():
    population = {"size": 2, "columns": {"state": ["infected", "zombie"]}}
    study = load_study({"scenario": "sir", "population": population, "network": {"kind": "complete"}})
    with pytest.raises(MicrocosmError, match="'zombie'"):
        next(simulate(study))
