"""Epidemic in a city: what do people's own decisions change in the course of an epidemic, and at what price?

Question: how many fall ill and how many lose their work when people decide each week whether to stay at home, and what
do restrictions, payments, tests, quarantine and a vaccine change?

Mechanism: people of all ages live in households, go to work and to school, and meet others in the community. One step
is one day; all draws of a day read the state at its start. Draws are keyed by days since infection, so that two runs
with one seed differ by their policies only.
1. Every seventh day, beginning with the first, each adult decides whether to stay at home (decision `isolate`), and
   each worker whether to work (decision `work`). A minor does as the first adult of the household does.
2. An infectious person infects a susceptible one over each tie with the layer's chance per day times one factor. A
   person who isolates keeps the ties of the household and a share `residual_contacts` of all others; a contact takes
   place if both its ends keep it. Those who do not work have no contacts at work.
3. An infected person becomes infectious with probability 1 / latency_days, and ceases to be so with probability
   1 / infectious_days: then dies with the probability of the age, or else recovers. The dead leave.
4. An infectious person is found by a test with probability `testing`, and then counts as a case. With quarantine, cases
   (and their households) who comply have their contacts reduced as by isolation for `quarantine_days`.
The factor is set so that a first case, drawn at random in a city where nobody isolates, infects r0 others on average;
with transmission = "as_given" it is 1. Vaccinated people have `vaccinated` set by an intervention.

Source: Chopra et al. (2024), On the limits of agency in agent-based models (AgentTorch), 2409.10568, sections 5 and 6;
fatality by age: Levin et al. (2020), European Journal of Epidemiology 35, 1123. Other constants are ours.
Expect: without behaviour one steep wave that reaches about three quarters. When people decide, the wave is lower and
longer, isolation follows the cases by a week, and unemployment follows isolation.
Units: one step is a day; chances are per tie and day; cases per 100,000 people are of the last seven days.
"""

from typing import Literal

import numpy as np

from engine import MicrocosmError, ScenarioParams, column, knob, scenario
from scenarios._epidemic_behaviour import isolate, work
from scenarios._epidemic_counts import ADULT, MEASURES, WEEK, count_city, note_cases, per_100k
from scenarios._epidemic_people import HOUSEHOLD, LAYERS, OLDEST, SCHOOL, WORK, read_people
from scenarios._epidemic_spread import (
    CLOSED,
    DEAD,
    EXPOSED,
    IDLE,
    INFECTIOUS,
    REDUCED,
    SUSCEPTIBLE,
    VACCINATED,
    date_cases,
    fit_factor,
    follow_adult,
    infection_fatality,
    pass_on,
    pass_to_all,
    run_course,
)

HEALTH = ("susceptible", "exposed", "infectious", "recovered", "dead")


class Params(ScenarioParams):
    """Knobs of the city."""

    r0: float = knob(2.5, unit="people", help="Whom a first case infects where nobody isolates.", at_setup=True, ge=0)
    transmission: Literal["fit_r0", "as_given"] = knob(
        "fit_r0", help="Whether one factor on all chances is fitted to r0, or they hold as given.", at_setup=True
    )
    p_household: float = knob(0.10, help="Chance per tie and day in the household.", at_setup=True, ge=0, le=1)
    p_work: float = knob(0.03, help="Chance per tie and day at work.", at_setup=True, ge=0, le=1)
    p_school: float = knob(0.03, help="Chance per tie and day at school.", at_setup=True, ge=0, le=1)
    p_community: float = knob(0.01, help="Chance per tie and day in all other layers.", at_setup=True, ge=0, le=1)
    latency_days: float = knob(4.0, unit="days", help="Mean days until infectious; 0 for none.", ge=0)
    infectious_days: float = knob(6.0, unit="days", help="Mean days of being infectious.", at_setup=True, ge=1)
    initial_infected: int = knob(20, unit="people", help="Infectious at the start, at random.", at_setup=True, ge=0)
    behaviour: bool = knob(True, help="Whether people decide; else nobody isolates and everyone works.")
    residual_contacts: float = knob(0.25, help="Share of contacts outside that isolation leaves.", ge=0, le=1)
    restrictions: bool = knob(False, help="Whether everyone is asked to stay at home.")
    payment: bool = knob(False, help="Whether everyone gets a payment to live on.")
    testing: float = knob(0.1, help="Chance per day that an infectious person is found.", ge=0, le=1)
    quarantine: Literal["none", "cases", "households"] = knob("none", help="Who must stay at home after a test.")
    quarantine_days: int = knob(10, unit="days", help="How long quarantine lasts.", ge=1, le=60)
    compliance: float = knob(0.8, help="Share of those in quarantine who keep it.", ge=0, le=1)
    vaccine_efficacy: float = knob(0.7, help="Share of infections that the vaccine prevents.", ge=0, le=1)
    vaccine_protection: float = knob(0.6, help="Share of deaths of the infected that it prevents.", ge=0, le=1)


def chance_of(params, layer):
    """Return the chance per tie and day of a layer, before the factor."""
    named = {HOUSEHOLD: params.p_household, WORK: params.p_work, SCHOOL: params.p_school}
    return named.get(layer, params.p_community)


@scenario(
    "epidemic_city",
    title="Epidemic in a city",
    family="epidemics",
    promise="A city decides week by week whether to stay at home, and bends the wave at the price of its work.",
    params=Params,
    source="Chopra et al. 2024",
    steps=182,
    unit="day",
    defaults={
        "population": {"size": 100_000, "recipe": "city_census"},
        "network": {"layers": LAYERS},
    },
)
class EpidemicCity:
    """Susceptible, exposed, infectious, recovered or dead people who decide each week."""

    display = "health"
    columns = {
        "health": column("int8", labels=HEALTH, help="Where the person stands in the course of the infection."),
        "isolating": column("bool", help="Whether the person stays at home in this week."),
        "working": column("bool", help="Whether the person works in this week."),
        "infected_on": column("int16", unit="day", help="Day of infection; -1 for none.", low=-1, initial=-1),
        "known": column("bool", help="Whether a test has ever found the person infected."),
        "vaccinated": column("bool", help="Whether the person is vaccinated."),
        "quarantined_until": column(
            "int16", unit="day", help="Last day of the person's quarantine; 0 for none.", low=0
        ),
    }
    decisions = (isolate, work)
    measures = MEASURES

    def setup(self, world):
        """Fit the factor, infect the first cases, and let everyone with a job work."""
        params, n, population = world.params, world.n_agents, world.population
        people = read_people(world)
        layers = []
        for name, graph in world.network.layers.items():
            if graph.directed:
                raise MicrocosmError(f"the ties of '{name}' have a direction; infections pass both ways @ network")
            mean_degree = graph.n - 1 if graph.complete else graph.indices.size / graph.n
            layers.append((mean_degree, chance_of(params, name)))
        fitted = params.transmission == "fit_r0"
        world.env["factor"] = fit_factor(params.r0, layers, 1 / params.infectious_days) if fitted else 1.0
        if "health" not in world.given:
            if params.initial_infected > n:
                raise MicrocosmError(
                    f"initial_infected = {params.initial_infected} is more than the {n} people; "
                    "lower params.initial_infected or raise population.size"
                )
            health = np.zeros(n, np.int8)
            health[world.rng("initial_infected").choice(n, params.initial_infected, replace=False)] = INFECTIOUS
            population["health"] = health
        if "working" not in world.given:
            population["working"] = people.worker
        world.env["weeks"] = 0
        note_cases(world.env, 0, np.count_nonzero(population["health"] != SUSCEPTIBLE), 0)
        count_city(world, people)

    def step(self, world):
        """Decide once a week; then infect, test, and let the infection run its course."""
        people = read_people(world)
        if world.step % WEEK == 1:
            self._decide(world, people)
        infected = self._infect(world)
        cases = self._test(world)
        self._run_course(world, people, infected)
        note_cases(world.env, world.step, np.count_nonzero(infected), cases)
        count_city(world, people)
        if not world.env["n_exposed"] + world.env["n_infectious"]:
            world.settle("nobody is infected any more")

    def _decide(self, world, people):
        params, population, env = world.params, world.population, world.env
        worker = people.worker
        isolating, working = np.zeros(world.n_agents, bool), worker.copy()
        env["weeks"] = env["weeks"] + 1 if params.restrictions else 0
        if params.behaviour:
            seen = {"cases": per_100k(env["weekly_cases"], world), "weeks": env["weeks"], "payment": params.payment}
            alive = population["health"] != DEAD
            adult = people.age >= ADULT
            who = np.flatnonzero(alive & adult)
            isolating[who] = world.decide(isolate, who, essential=people.essential[who], **seen) == 0
            home = world.network.layers.get(HOUSEHOLD)
            if home is not None:
                follow_adult(isolating, adult & alive, home.indptr, home.indices)
            who = np.flatnonzero(alive & worker)
            at_home = isolating[who]
            working[who] = world.decide(work, who, essential=people.essential[who], at_home=at_home, **seen) == 0
        population["isolating"], population["working"] = isolating, working

    def _infect(self, world):
        params, population, n = world.params, world.population, world.n_agents
        health = population["health"]
        reduced = population["isolating"] | (population["quarantined_until"] >= world.step)
        own = (REDUCED * reduced + IDLE * ~population["working"] + VACCINATED * population["vaccinated"]).astype(
            np.int8
        )
        flags = np.where(health == SUSCEPTIBLE, own, CLOSED)
        date_cases(health, population["infected_on"], world.step - 1)
        sources = np.flatnonzero(health == INFECTIOUS)
        infected = np.zeros(n, bool)
        shield = 1.0 - params.vaccine_efficacy
        for name, graph in world.network.layers.items():
            p = min(1.0, world.env["factor"] * chance_of(params, name))
            if graph.complete:
                n_reduced = int(np.count_nonzero(reduced[sources]))
                contacts = sources.size - n_reduced, n_reduced, p, params.residual_contacts, shield
                pass_to_all(flags, *contacts, world.step, world.key("infection"), infected)
            else:
                rows = graph.indptr, graph.indices, p, params.residual_contacts, shield, name != HOUSEHOLD, name == WORK
                key = world.key(f"infection:{name}")
                pass_on(sources, population["infected_on"], flags, own, *rows, world.step, key, infected)
        return infected

    def _test(self, world):
        """Find infectious people by tests, and send them (and their households) into quarantine."""
        params, population = world.params, world.population
        unknown = np.flatnonzero((population["health"] == INFECTIOUS) & ~population["known"])
        found = unknown[world.uniform("test", unknown) < params.testing]
        if not found.size:
            return 0
        known = population["known"].copy()
        known[found] = True
        population["known"] = known
        if params.quarantine != "none":
            home = world.network.layers.get(HOUSEHOLD) if params.quarantine == "households" else None
            rows = [] if home is None else [home.neighbours(i) for i in found.tolist()]
            sent = np.unique(np.concatenate([found, *rows]).astype(np.int64))
            sent = sent[world.uniform("compliance", sent) < params.compliance]
            until = population["quarantined_until"].copy()
            until[sent] = world.step + params.quarantine_days
            population["quarantined_until"] = until
        return found.size

    def _run_course(self, world, people, infected):
        params, population = world.params, world.population
        health, after = population["health"], np.empty(world.n_agents, np.int8)
        run_course(
            health,
            infected,
            population["infected_on"],
            people.age,
            population["vaccinated"],
            infection_fatality(np.arange(OLDEST + 1)),
            params.vaccine_protection,
            1.0 / max(params.latency_days, 1.0),
            1.0 / params.infectious_days,
            np.int8(EXPOSED if params.latency_days > 0 else INFECTIOUS),
            world.step,
            np.array([world.key(stream) for stream in ("onset", "recovery", "death")], np.uint64),
            after,
        )
        dead = np.flatnonzero((after == DEAD) & (health != DEAD))
        if dead.size:
            world.leave(dead, cut=False)  # nothing passes over the ties of the dead
        population["health"] = after
