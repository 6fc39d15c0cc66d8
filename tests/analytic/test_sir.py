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


def test_draws_agree_whichever_way_ties_are_walked():
    rng = np.random.default_rng(2)
    n = 3000
    pairs = rng.integers(0, n, (15_000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    undirected = Graph.from_edges(n, pairs[:, 0], pairs[:, 1])
    both = np.concatenate([pairs, pairs[:, ::-1]])
    directed = Graph.from_edges(n, both[:, 0], both[:, 1], directed=True)
    state = np.where(rng.random(n) < 0.2, INFECTED, rng.choice([SUSCEPTIBLE, RECOVERED], n)).astype(np.int8)
    ends = []
    for graph in (undirected, directed):  # the first is walked from the infected, the second from the susceptible
        instance, world = started([f"population.size={n}"], state)
        world.network = Network({"a": graph, "b": graph})
        assert advance(instance, world, 3).tolist() != state.tolist()
        ends.append(world.population["state"].tolist())
    assert ends[0] == ends[1]


def test_complete_layer_follows_the_law_of_its_ties():
    """One step: each of the susceptible is infected with probability 1 - (1 - p)^k, k the number of all infected."""
    n, m, p = 60_000, 40, 0.01
    state = np.zeros(n, np.int8)
    state[:m] = INFECTED
    overrides = [f"population.size={n}", "network.kind=complete", f"params.p_transmit={p}", "params.gamma=1.0"]
    instance, world = started(overrides, state)
    after = advance(instance, world)
    assert within((after[m:] == INFECTED).mean(), 1 - (1 - p) ** m, n - m)


def test_pressure_is_a_poisson_process_for_each_agent():
    """Of agents kept susceptible, each step of hazard h infects 1 - exp(-h), independently of the steps before."""
    n, hazards = 60_000, (0.3, 0.9, 0.05, 2.4, 0.0, 0.7)
    _, world = started([f"population.size={n}", "network.kind=complete"])
    met = np.zeros((len(hazards), n), bool)
    for row, hazard in zip(met, hazards, strict=True):
        out = np.zeros(n, np.int8)
        sir.press(world, out, hazard, np.int8(INFECTED))
        row[:] = out == INFECTED
        assert within(row.mean(), -np.expm1(-hazard), n), hazard
    assert world.env["pressure"] == pytest.approx(sum(hazards))
    both, product = (met[0] & met[1]).mean(), -np.expm1(-0.3) * -np.expm1(-0.9)
    assert within(both, product, n)
    assert within((met[2] & met[3]).mean(), -np.expm1(-0.05) * -np.expm1(-2.4), n)
    sir.press(world, out, np.inf, np.int8(INFECTED))
    assert (out == INFECTED).all()


def test_a_tie_is_drawn_once_for_both_directions_and_anew_after_an_infection():
    """A pair: P(transmission in one step) = p both ways round; someone infected before draws independently."""
    n, p = 40_000, 0.3
    first, second = np.arange(0, n, 2), np.arange(1, n, 2)
    passed = {}
    for source in (first, second):
        for before in (-1, 0):
            state = np.zeros(n, np.int8)
            state[source] = INFECTED
            ties = [f"population.size={n}", f"params.p_transmit={p}", "params.gamma=1.0"]
            instance, world = started(ties, state)
            world.network = Network({"ties": Graph.from_edges(n, first, second)})
            world.population["infected_at"] = np.full(n, before, np.int32)
            after = advance(instance, world)
            target = second if source is first else first
            passed[source is first, before] = after[target] == INFECTED
            assert within(passed[source is first, before].mean(), p, n // 2)
    assert (passed[True, -1] == passed[False, -1]).all()
    for pair in (((True, -1), (True, 0)), ((True, 0), (False, 0))):
        assert within((passed[pair[0]] & passed[pair[1]]).mean(), p * p, n // 2)


def test_a_wave_that_comes_later_meets_the_same_people():
    """Common random numbers: with the first case ten steps later, everyone is infected ten steps later, if at all."""
    ends = []
    for delay in (0, 10):
        instance, world = started(["params.p_transmit=0.04"], np.zeros(1000))
        advance(instance, world, delay)
        world.population["state"][:3] = INFECTED
        advance(instance, world, 120)
        ends.append((world.population["state"].copy(), world.population["infected_at"]))
    assert 50 < np.count_nonzero(ends[0][0] == RECOVERED) < 1000
    assert (ends[0][0] == ends[1][0]).all()
    assert (ends[0][1] + np.where(ends[0][1] >= 0, 10, 0) == ends[1][1]).all()


def test_step_of_infection():
    instance, world = started(["params.initial_infected=20"])
    cases = world.population["state"] == INFECTED
    assert (world.population["infected_at"] == -1).all()
    state = advance(instance, world)
    at = world.population["infected_at"]
    assert (at[cases] == 0).all()
    assert (at[(state == INFECTED) & ~cases] == 1).all()
    assert (at[state == SUSCEPTIBLE] == -1).all()


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
