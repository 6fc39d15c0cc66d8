"""Epidemic: how far does an infection spread before it runs out of people to infect?

Question: how large does an outbreak become, and how fast, when people pass an infection to those they meet?

Mechanism: everyone is susceptible, exposed, infected or recovered. All draws of a step read the state at t, so a new
case can neither recover nor pass the infection on in the step in which it arises.
1. A susceptible person is infected with probability 1 - (1 - p_transmit)^k, k the number of infected neighbours over
   all layers (a neighbour in two layers counts twice; weights of ties play no part); or, with mixing = "well_mixed",
   with probability 1 - exp(-beta x infected share).
2. An infected person recovers with probability gamma.
3. With latent_steps > 0 a new case is exposed first and becomes infectious with probability 1 / latent_steps, so that
   the latent and the infectious periods are geometric with means latent_steps and 1 / gamma.
The run stops when nobody is exposed or infected. A population that brings its own `state` column starts from that.

Source: Kermack and McKendrick (1927), Proc. R. Soc. A 115; discrete form and network form as in Keeling and Rohani
(2008), Modeling Infectious Diseases, chapters 2 and 7.
Expect: one wave. Well mixed with R0 = beta / gamma well above 1 and a major outbreak, the recovered share z at the end
solves z = 1 - exp(-R0 z): .797 at R0 = 2. On a clustered network the wave is slower and smaller.
Units: one step is a day by convention; beta and gamma are per step, p_transmit is per tie and step.
"""

from typing import Literal

import numpy as np
from numba import njit

from engine import Measure, MicrocosmError, ScenarioParams, column, keyed_uniform, knob, scenario

SUSCEPTIBLE, EXPOSED, INFECTED, RECOVERED = range(4)
LABELS = ("susceptible", "exposed", "infected", "recovered")

# Constants of the rule, all of them knobs: value, source.
BETA = 0.3  # ours; with GAMMA it gives R0 = 3
GAMMA = 0.1  # ours; mean infectious period of 10 days
P_TRANSMIT = 0.05  # ours


class Params(ScenarioParams):
    """Knobs of the epidemic."""

    mixing: Literal["network", "well_mixed"] = knob("network", help="Who meets whom: the ties, or everyone equally.")
    beta: float = knob(BETA, unit="per step", help="Rate of infection when everyone mixes with everyone.", ge=0)
    p_transmit: float = knob(P_TRANSMIT, help="Chance that one infected neighbour infects, each step.", ge=0, le=1)
    gamma: float = knob(GAMMA, help="Chance that an infected person recovers, each step.", ge=0, le=1)
    latent_steps: float = knob(
        0.0, unit="steps", help="Mean steps from infection to infectiousness; 0 for none, below 1 counts as 1.", ge=0
    )
    initial_infected: int = knob(
        5, unit="people", help="How many are infected at the start, drawn at random.", at_setup=True, ge=0
    )


@njit(cache=True, nogil=True)
def _count_from_infected(state, indptr, indices, counts):
    """Add to `counts` each agent's infected neighbours, walking the rows of the infected (undirected ties)."""
    for i in range(state.size):
        if state[i] == INFECTED:
            for e in range(indptr[i], indptr[i + 1]):
                counts[indices[e]] += 1


@njit(cache=True, nogil=True)
def _count_from_susceptible(state, indptr, indices, counts):
    """Add to `counts` the infected neighbours of the susceptible, walking their rows (any ties)."""
    for i in range(state.size):
        if state[i] == SUSCEPTIBLE:
            k = 0
            for e in range(indptr[i], indptr[i + 1]):
                k += state[indices[e]] == INFECTED
            counts[i] += k


@njit(cache=True, nogil=True)
def _advance(state, out, counts, table, p_onset, gamma, entry, step, keys):
    """Write the state at t + 1 into `out`.

    Args:
        state: int8 (n,), state at t.
        out: int8 (n,).
        counts: int32 (n,), infected neighbours; empty where the chance is the same for all.
        table: Chance of infection by number of infected neighbours, float64.
        p_onset: Chance that an exposed agent becomes infectious.
        gamma: Chance that an infected agent recovers.
        entry: State of a new case.
        step: Step of the run.
        keys: Keys of the streams infection, onset, recovery, uint64 (3,).
    """
    everyone = counts.size == 0
    for i in range(state.size):
        s = state[i]
        after = s
        if s == SUSCEPTIBLE:
            p = table[0] if everyone else table[counts[i]]
            if p > 0 and keyed_uniform(keys[0], step, 0, i, 0) < p:
                after = entry
        elif s == INFECTED:
            if keyed_uniform(keys[2], step, 0, i, 0) < gamma:
                after = RECOVERED
        elif s == EXPOSED and keyed_uniform(keys[1], step, 0, i, 0) < p_onset:
            after = INFECTED
        out[i] = after


def infection_table(p_transmit, largest, n_everywhere=0):
    """Return 1 - (1 - p)^(k + n_everywhere) for k = 0..largest, float64 (largest + 1,).

    Args:
        p_transmit: Chance per infected neighbour, in [0, 1].
        largest: Largest number of infected neighbours.
        n_everywhere: Infected who are everyone's neighbours, as in a complete layer.

    Source: Keeling and Rohani (2008), chapter 7, independent transmission over each tie.
    """
    k = np.arange(largest + 1) + n_everywhere
    if p_transmit >= 1:
        return (k > 0).astype(np.float64)
    return -np.expm1(k * np.log1p(-p_transmit))


def count_exposures(network, state):
    """Return (counts, n_everywhere): infected neighbours from stored ties, int32 (n,), and those of complete layers.

    Ties are walked from the infected or from the susceptible, whichever are fewer; recovered agents cost nothing.
    The counts of agents who are not susceptible mean nothing.
    """
    n_infected = int(np.count_nonzero(state == INFECTED))
    from_infected = n_infected <= np.count_nonzero(state == SUSCEPTIBLE)
    counts = np.zeros(state.size, np.int32)
    n_everywhere = 0
    for graph in network.layers.values():
        if graph.complete:
            n_everywhere += n_infected
        elif from_infected and not graph.directed:
            _count_from_infected(state, graph.indptr, graph.indices, counts)
        else:
            _count_from_susceptible(state, graph.indptr, graph.indices, counts)
    return counts, n_everywhere


def share_of(code):
    """Return the formula of the share of agents in one state."""
    return lambda world: np.count_nonzero(world.population["state"] == code) / world.n_agents


@scenario(
    "sir",
    title="Epidemic",
    family="epidemics",
    promise="An infection runs through a small world, peaks, and burns out before it has reached everyone.",
    params=Params,
    source="Kermack and McKendrick 1927",
    steps=150,
    unit="day",
    defaults={
        "population": {"size": 1000},
        "network": {"kind": "watts_strogatz", "k": 10, "p_rewire": 0.1},
    },
)
class Sir:
    """Susceptible, exposed, infected, recovered; a mechanism without decisions."""

    columns = {"state": column("int8", labels=LABELS, help="Where the person stands in the course of the infection.")}
    decisions = ()
    measures = tuple(
        Measure(f"{name}_share", share_of(code), f"Share of people who are {label}.", "ours", low=0, high=1)
        for code, name, label in (
            (SUSCEPTIBLE, "susceptible", "susceptible"),
            (EXPOSED, "exposed", "infected but not yet infectious"),
            (INFECTED, "infected", "infectious"),
            (RECOVERED, "recovered", "recovered"),
        )
    )

    def setup(self, world):
        """Infect the first cases."""
        if "state" in world.given:
            return
        n_first = world.params.initial_infected
        if n_first > world.n_agents:
            raise MicrocosmError(
                f"initial_infected = {n_first} is more than the {world.n_agents} people; "
                "lower params.initial_infected or raise population.size"
            )
        state = np.zeros(world.n_agents, np.int8)
        state[world.rng("initial_infected").choice(world.n_agents, n_first, replace=False)] = INFECTED
        world.population["state"] = state

    def step(self, world):
        """Draw infections, onsets and recoveries from the state at t."""
        params, state = world.params, world.population["state"]
        if params.mixing == "well_mixed":
            share = np.count_nonzero(state == INFECTED) / world.n_agents
            counts, table = np.empty(0, np.int32), np.array([-np.expm1(-params.beta * share)])
        else:
            counts, n_everywhere = count_exposures(world.network, state)
            table = infection_table(params.p_transmit, int(counts.max()), n_everywhere)
        p_onset = 1 / max(params.latent_steps, 1.0)
        keys = np.array([world.key(stream) for stream in ("infection", "onset", "recovery")], np.uint64)
        after = np.empty_like(state)
        entry = np.int8(EXPOSED if params.latent_steps > 0 else INFECTED)
        _advance(state, after, counts, table, p_onset, params.gamma, entry, world.step, keys)
        world.population["state"] = after
        if not np.any((after == EXPOSED) | (after == INFECTED)):
            world.settle("nobody is infected any more")
