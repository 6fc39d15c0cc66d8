"""The city against formulas: fatality, R0, the reduction to `sir`, isolation down to the household, logits by hand."""

import math

import numpy as np
import pytest

from engine import MicrocosmError, load_study, simulate
from engine.decision import Observation
from engine.simulation import build_world
from scenarios._epidemic_behaviour import isolate, work
from scenarios._epidemic_spread import (
    DEAD,
    EXPOSED,
    INFECTIOUS,
    RECOVERED,
    SUSCEPTIBLE,
    count_secondary,
    fit_factor,
    infection_fatality,
    passing_chance,
    run_course,
)
from scenarios.epidemic_city import EpidemicCity

CITY = ["population.size=20000", "seed=3"]
NOBODY_REACTS = ["params.behaviour=false", "params.testing=0"]


def run_city(*overrides, steps=30, **options):
    """Return the records of a run without what is overwritten: (step, measures, health of everyone)."""
    study = load_study("epidemic_city", [*CITY, f"steps={steps}", *overrides])
    return [(r.step, r.measures, r.world.population["health"].copy(), r.world) for r in simulate(study, **options)]


def test_fatality_by_age_is_that_of_levin():
    """Levin et al. (2020), abstract: .002 % at 10, .01 % at 25, .4 % at 55, 1.4 % at 65, 4.6 % at 75, 15 % at 85."""
    ages = np.array([10, 25, 55, 65, 75, 85])
    assert np.allclose(100 * infection_fatality(ages), [0.00179, 0.0110, 0.410, 1.369, 4.57, 15.28], rtol=0.01)
    assert infection_fatality(np.array([101, 120])).tolist() == [1.0, 1.0]


def test_deaths_come_as_often_as_the_age_says():
    """200,000 infectious people of 75 and of 85 years end their course at once."""
    n = 200_000
    for age, protection in ((75, 0.0), (85, 0.5)):
        health, out = np.full(n, INFECTIOUS, np.int8), np.empty(n, np.int8)
        given = np.zeros(n, bool), np.zeros(n, np.int16), np.full(n, age), np.ones(n, bool)
        keys = np.array([1, 2, 3], np.uint64)
        run_course(
            health, *given, infection_fatality(np.arange(121)), protection, 1.0, 1.0, np.int8(EXPOSED), 5, keys, out
        )
        p = float(infection_fatality(age)) * (1 - protection)
        assert set(np.unique(out)) == {RECOVERED, DEAD}
        assert abs(np.mean(out == DEAD) - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_a_tie_transmits_as_the_sum_over_days_says():
    """1 - sum over k of leaving (1 - leaving)^(k-1) (1 - p)^k, against the closed form."""
    for p, leaving in ((0.1, 1 / 6), (0.03, 0.5), (1.0, 0.2), (0.02, 1.0)):
        k = np.arange(1, 2000)
        by_days = 1 - np.sum(leaving * (1 - leaving) ** (k - 1) * (1 - p) ** k)
        assert math.isclose(passing_chance(p, leaving), by_days, abs_tol=1e-12)


def test_the_factor_gives_r0_back():
    layers = [(2.2, 0.1), (5.6, 0.03), (8.0, 0.01), (3.0, 0.0)]
    factor = fit_factor(2.5, layers, 1 / 6)
    assert math.isclose(count_secondary(factor, layers, 1 / 6), 2.5, abs_tol=1e-9)
    assert fit_factor(0.0, layers, 1 / 6) == 0.0
    with pytest.raises(MicrocosmError, match="needs more ties"):
        fit_factor(15.8, layers, 1 / 6)


def test_first_cases_infect_r0_others():
    """100 first cases in a city of 60,000 rarely share a contact: the mean of their secondary infections is R0.

    People infected by the first cases are kept from infecting others by a latency that none outlives.
    """
    found = []
    for seed in range(12):
        overrides = ["population.size=60000", f"seed={seed}", "params.initial_infected=100", "params.latency_days=1e9"]
        records = run_city(*NOBODY_REACTS, *overrides, steps=60)
        assert np.count_nonzero(records[-1][2] == INFECTIOUS) == 0
        found.append(records[-1][1]["cumulative_infections", ""] / 100 - 1)
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert error < 0.1
    assert abs(np.mean(found) - 2.5) < 4 * error


def test_one_well_mixed_layer_is_sir_in_the_same_time_unit():
    """Means over replicates of sir's and the city's infected share agree at every tenth day (KM 1927 in days)."""
    n, p, gamma, runs = 1000, 0.0004, 0.2, 40
    common = [f"population.size={n}", "network.kind=complete", "steps=60", "params.initial_infected=20"]
    sir = load_study("sir", [*common, f"params.p_transmit={p}", f"params.gamma={gamma}"])
    overrides = ["params.transmission=as_given", f"params.p_community={p}", f"params.infectious_days={1 / gamma}"]
    layers = "network.layers=[{name='all', kind='complete'}]"
    named = [change for change in common if "network" not in change]
    city = load_study("epidemic_city", [*named, layers, *overrides, *NOBODY_REACTS, "params.latency_days=0"])

    first = [_curve(sir, r, lambda record: record.measures["infected_share", ""]) for r in range(runs)]
    second = [_curve(city, r, lambda record: record.measures["infectious_share", ""]) for r in range(runs)]
    first, second = np.array(first), np.array(second)
    assert first.max(axis=1).mean() > 0.1, "a large outbreak"
    for day in range(5, 61, 5):
        a, b = first[:, day], second[:, day]
        error = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / runs)
        assert abs(a.mean() - b.mean()) < 4 * error + 1e-9, day


def _curve(study, replicate, share):
    values = [share(record) for record in simulate(study, replicate=replicate)]
    return values + [values[-1]] * (61 - len(values))


def test_only_household_ties_transmit_when_all_isolate():
    """residual_contacts = 0 and everyone at home: the infected stay within the households of the first cases."""
    study = load_study(
        "epidemic_city",
        [
            *CITY,
            "steps=40",
            "params.residual_contacts=0",
            "params.r0=6",
            "params.initial_infected=200",
            "decisions.isolate.regression={kind='logit', option='stay at home', coefficients={intercept=50}}",
        ],
    )
    first = last = None
    for record in simulate(study):
        world = record.world
        if first is None:
            first = np.flatnonzero(world.population["health"] == INFECTIOUS)
        last = world
    home = last.network.layers["household"]
    reachable = np.zeros(last.n_agents, bool)
    reachable[first] = True
    for agent in first:
        reachable[home.neighbours(int(agent))] = True
    touched = last.population["health"] != SUSCEPTIBLE
    assert touched.sum() > 300
    assert not np.any(touched & ~reachable)


def test_residual_contacts_scale_the_chance_of_both_ends():
    """One infectious person with 4,000 ties, p = .5: .5 x .25 where one end isolates, .5 x .0625 where both do."""
    from scenarios._epidemic_spread import CLOSED, IDLE, REDUCED, VACCINATED, pass_on

    n = 4001
    indptr = np.concatenate([[0, n - 1], np.full(n - 1, n - 1)]).astype(np.int64)
    indices = np.arange(1, n).astype(np.uint32)

    def share(own, theirs, outside=True, work=False):
        flags = np.full(n, theirs, np.int8)
        flags[0] = CLOSED
        infected = np.zeros(n, bool)
        pass_on(
            np.array([0]),
            np.zeros(n, np.int16),
            flags,
            np.full(n, own, np.int8),
            indptr,
            indices,
            0.5,
            0.25,
            0.3,
            outside,
            work,
            1,
            np.uint64(7),
            infected,
        )
        return infected.mean()

    for own, theirs, options, p in (
        (0, 0, {}, 0.5),
        (REDUCED, 0, {}, 0.125),
        (0, REDUCED, {}, 0.125),
        (REDUCED, REDUCED, {}, 0.03125),
        (REDUCED, REDUCED, {"outside": False}, 0.5),
        (0, VACCINATED, {}, 0.15),
        (IDLE, 0, {"work": True}, 0.0),
        (0, IDLE, {"work": True}, 0.0),
        (IDLE, IDLE, {}, 0.5),
    ):
        assert abs(share(own, theirs, **options) - p) <= 4 * math.sqrt(p * (1 - p) / n) + 1e-3, (own, theirs, options)


def seen(**columns):
    """Return an observation of one person."""
    values = {name: np.array([value]) for name, value in columns.items()}
    return Observation(isolate, 1, np.array([0]), None, values, {})


@pytest.mark.parametrize(
    ("columns", "isolating", "working"),
    [
        # -2 + .8 log10(1/10) = -2.8; 3 + .4 = 3.4
        ({"cases": 0.0, "weeks": 0, "payment": False, "age": 45, "essential": False, "at_home": False}, -2.8, 3.4),
        # -2 + .8 x 2 + .02 x 20 = 0; 3 - .8 - .2 = 2
        ({"cases": 1000.0, "weeks": 0, "payment": False, "age": 65, "essential": False, "at_home": False}, 0.0, 2.0),
        # -2 + .8 - .3 + .6 - .2 + .4 - .5 = -1.2; 3 - .4 + .15 - .8 + .2 - .5 + .8 - .7 = 1.75
        ({"cases": 100.0, "weeks": 10, "payment": True, "age": 30, "essential": True, "at_home": True}, -1.2, 1.75),
    ],
)
def test_logits_by_hand(columns, isolating, working):
    for decision, value in ((isolate, isolating), (work, working)):
        weights = decision.rule(seen(**columns))
        assert weights.shape == (1, 2)
        assert math.isclose(weights[0, 0] - weights[0, 1], value, abs_tol=1e-12)


def test_shares_that_isolate_follow_the_logit():
    """In the first week 20 seeds are unknown, so everyone sees no cases: mean of the logistic over the adults."""
    _, measures, _, world = run_city(steps=1)[-1]
    age, essential = world.population["age"], world.population["essential_worker"]
    adult = age >= 18
    p = 1 / (1 + np.exp(2.8 - 0.02 * (age[adult] - 45) + 0.5 * essential[adult]))
    error = math.sqrt(np.sum(p * (1 - p))) / adult.sum()
    assert abs(measures["isolation_share", ""] - p.mean()) < 4 * error
    assert measures["isolation_share", "65+"] > measures["isolation_share", "18-29"]


def test_minors_do_as_the_first_adult_of_their_household():
    world = run_city(steps=1)[-1][3]
    home, isolating, age = world.network.layers["household"], world.population["isolating"], world.population["age"]
    for minor in np.flatnonzero(age < 18)[:500]:
        adults = [j for j in home.neighbours(int(minor)) if age[j] >= 18]
        assert isolating[minor] == (isolating[adults[0]] if adults else False)


def test_interventions_bend_the_curve_under_the_same_draws():
    """Testing with quarantine, a vaccine, and a payment each lower infections; all in the expected direction."""
    total = {}
    for name, overrides in {
        "nothing": [],
        "quarantine": ["params.testing=0.4", "params.quarantine=households", "params.compliance=1"],
        "vaccine": ["params.vaccine_efficacy=1.0", "population.columns.vaccinated.value=true"],
        "payment": ["params.payment=true", "params.restrictions=true"],
    }.items():
        records = run_city("population.size=5000", *overrides, steps=70)
        total[name] = records[-1][1]["cumulative_infections", ""]
    assert total["vaccine"] == 20
    assert total["quarantine"] < 0.8 * total["nothing"]
    assert total["payment"] < total["nothing"]


def test_the_dead_leave_and_pass_nothing_on():
    records = run_city("params.initial_infected=5000", "params.infectious_days=1", "params.r0=0", steps=20)
    world = records[-1][3]
    dead = world.population["health"] == DEAD
    assert dead.sum() == records[-1][1]["deaths", ""] > 0
    assert np.array_equal(world.left >= 0, dead)
    assert not world.population["isolating"][dead].any() or records[-1][0] < 8
    assert records[-1][1]["cumulative_infections", ""] == 5000


def test_what_the_city_needs_is_said():
    with pytest.raises(MicrocosmError, match="age of its people"):
        run_one("population.recipe=villagers", "population.size=100", "network.layers=[{kind='ring'}]", drop_age=True)
    with pytest.raises(MicrocosmError, match="initial_infected = 500 is more than the 100"):
        run_one("population.size=100", "params.initial_infected=500")
    with pytest.raises(MicrocosmError, match="needs more ties"):
        run_one("params.r0=80")


def run_one(*overrides, drop_age=False):
    """Set a world up."""
    world = build_world(load_study("epidemic_city", [*CITY, "steps=1", *overrides]))
    if drop_age:
        del world.persona.columns["age"]
    EpidemicCity().setup(world)
