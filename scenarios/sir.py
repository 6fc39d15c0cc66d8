"""Epidemic: how far does an infection spread before it runs out of people to infect?

Question: how large does an outbreak become, and how fast, when people pass an infection to those they meet?

Mechanism: everyone is susceptible, exposed, infected or recovered. All draws of a step read the state at t, so a new
case can neither recover nor pass the infection on in the step in which it arises. Two runs with one seed share their
draws by how long a person has been infected, not by step: where a measure delays the wave, the same people still
recover as fast and infect the same contacts, so that a difference between runs is due to the measure.
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

from engine import Measure, MicrocosmError, ScenarioParams, column, keyed_uniform, knob, read_ahead, scenario

SUSCEPTIBLE, EXPOSED, INFECTED, RECOVERED = range(4)
LABELS = ("susceptible", "exposed", "infected", "recovered")

# Constants of the rule, all of them knobs: value, source.
BETA = 0.3  # ours; with GAMMA it gives R0 = 3
GAMMA = 0.1  # ours; mean infectious period of 10 days
P_TRANSMIT = 0.05  # ours

ROWS = 4096  # agents looked through at once for rows to walk; ours
BATCH = 2048  # ties that are drawn together: what fits into the innermost cache; ours
SURE = 40.0  # a hazard that no draw escapes: the largest gap of 53 random bits is 53 ln 2 = 36.7


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
def _date(begin, end, state, infected_at, step):
    """Let cases that the start or an intervention made count as infected at `step`, in place.

    Returns:
        Whether anyone is susceptible who was infected before.
    """
    again = undated = False
    for i in range(begin, end):  # without branches, so that many agents are looked at together
        dated, ill = infected_at[i] >= 0, (state[i] == EXPOSED) | (state[i] == INFECTED)
        undated |= ill & ~dated
        again |= dated & (state[i] == SUSCEPTIBLE)
    if undated:
        for i in range(begin, end):
            if infected_at[i] < 0 and (state[i] == EXPOSED or state[i] == INFECTED):
                infected_at[i] = step
    return again


@njit(cache=True, nogil=True)
def _draw_ties(m, source, target, step, age, lane, drawn, out, infected_at, again, p, entry, key):
    """Draw the m ties that were gathered and write new cases into `out`.

    A tie has one uniform at one age of its source, whichever of the two is the source. An age is never met twice on
    the way to a target for the first time; a target that was infected before draws in lanes of its own direction, so
    that all draws of a tie stay independent. The loops are apart, so that the draws run many at a time.
    """
    if again:
        for k in range(m):
            lane[k] = 0 if infected_at[target[k]] < 0 else (1 if target[k] > source[k] else 2)
    for k in range(m):
        age[k] = step - infected_at[source[k]]
    for k in range(m):
        low, high = min(source[k], target[k]), max(source[k], target[k])
        drawn[k] = keyed_uniform(key, age[k], low, high, lane[k])
    for k in range(m):
        if drawn[k] < p:
            out[target[k]] = entry


@njit(cache=True, nogil=True)
def _list_in(begin, end, state, code, found):
    """Write the agents that are in a state into `found`, ascending, and return their number; without branches."""
    m = 0
    for i in range(begin, end):
        found[m] = i
        m += state[i] == code
    return m


@njit(cache=True, nogil=True)
def _transmit(begin, end, indptr, indices, state, out, infected_at, from_infected, again, p, entry, step, key):
    """Write new cases over a layer's ties into `out`; whoever walks a tie, its draw is the same.

    Several threads may share `out`: all write the same value, and a case that another thread finds first only spares
    draws.

    Args:
        begin: First agent whose row is walked.
        end: One more than the last.
        indptr: Rows of a layer's stored ties.
        indices: Their targets.
        state: int8 (n,), state at t.
        out: int8 (n,), state at t + 1.
        infected_at: int32 (n,), step of the first infection.
        from_infected: Walk the rows of the infected (undirected ties only), else those of the susceptible.
        again: Whether anyone may be infected a second time.
        p: Chance of infection per tie.
        entry: State of a new case.
        step: Step of the run.
        key: Key of the layer's stream, uint64.
    """
    source, target = np.empty(BATCH, np.uint32), np.empty(BATCH, np.uint32)
    age, lane, drawn = np.empty(BATCH, np.int32), np.zeros(BATCH, np.uint8), np.empty(BATCH, np.float64)
    walked = np.empty(ROWS, np.int64)
    m = 0
    for first in range(begin, end, ROWS):
        last = min(first + ROWS, end)
        if from_infected:
            n_walked = _list_in(first, last, state, INFECTED, walked)
        else:
            n_walked = _list_in(first, last, out, SUSCEPTIBLE, walked)
        starts = indptr[walked[:n_walked]]
        for q in range(n_walked):
            read_ahead(indices, starts, q)
            j, e = walked[q], starts[q]
            while e < indptr[j + 1]:
                part = min(indptr[j + 1], e + BATCH - m)
                for f in range(e, part):  # every tie is written down, and the next one over it unless it may transmit
                    i = indices[f]
                    if from_infected:
                        source[m], target[m] = j, i
                        m += out[i] == SUSCEPTIBLE
                    else:
                        source[m], target[m] = i, j
                        m += state[i] == INFECTED
                e = part
                if m == BATCH:
                    _draw_ties(m, source, target, step, age, lane, drawn, out, infected_at, again, p, entry, key)
                    m = 0
    _draw_ties(m, source, target, step, age, lane, drawn, out, infected_at, again, p, entry, key)


@njit(cache=True, nogil=True)
def _is_met(key, agent, before, after):
    """Tell whether an agent's contacts, a Poisson process of rate 1 on the axis of pressure, have one in a range.

    The process is drawn afresh in each unit of the axis, which changes nothing in law and keeps the search short.

    Args:
        key: Key of the stream, uint64.
        agent: Agent id.
        before: Cumulative pressure at t, outside the range.
        after: Cumulative pressure at t + 1, inside it.
    """
    unit = int(before)
    while unit < after:
        end = min(after, unit + 1.0)
        at, lane = float(unit), 0
        none = np.exp(unit - end)
        while True:
            left = 1 - keyed_uniform(key, unit, 0, agent, lane)
            if left < none:
                break  # the commonest case, told without a logarithm: the first gap is longer than the range
            at -= np.log(left)
            none = 0.0
            if at > end:
                break
            if at > before:
                return True
            lane += 1
        unit += 1
    return False


@njit(cache=True, nogil=True)
def _meet_anyone(begin, end, out, before, after, entry, key):
    """Write into `out` the new cases among the susceptible whom pressure from everywhere reaches."""
    for i in range(begin, end):
        if out[i] == SUSCEPTIBLE and _is_met(key, i, before, after):
            out[i] = entry


@njit(cache=True, nogil=True)
def _advance(begin, end, state, out, infected_at, p_onset, gamma, step, onset_key, recovery_key):
    """Write onsets and recoveries into `out`, and the step of their infection for those newly infected there.

    Args:
        begin: First agent.
        end: One more than the last.
        state: int8 (n,), state at t.
        out: int8 (n,), state at t + 1; new cases stand in it.
        infected_at: int32 (n,), filled in place.
        p_onset: Chance that an exposed agent becomes infectious.
        gamma: Chance that an infected agent recovers.
        step: Step of the run.
        onset_key: Key of the stream, uint64.
        recovery_key: Likewise.
    """
    ill, u = np.empty(ROWS, np.int64), np.empty(ROWS)
    for first in range(begin, end, ROWS):
        last = min(first + ROWS, end)
        for i in range(first, last):
            is_new = (state[i] == SUSCEPTIBLE) & (out[i] != SUSCEPTIBLE) & (infected_at[i] < 0)
            infected_at[i] = step if is_new else infected_at[i]
        for code, after, p, key in (
            (INFECTED, RECOVERED, gamma, recovery_key),
            (EXPOSED, INFECTED, p_onset, onset_key),
        ):
            m = _list_in(first, last, state, code, ill)
            for k in range(m):
                u[k] = keyed_uniform(key, step - infected_at[ill[k]], 0, ill[k], 0)
            for k in range(m):
                if u[k] < p:
                    out[ill[k]] = after


def transmit(world, state, out, infected_at, again, entry):
    """Write into `out` the cases that arise over the ties of all layers, complete ones included.

    Ties are walked from the infected or from the susceptible, whichever are fewer; the draws are the same.
    """
    p, n_infected = world.params.p_transmit, int(np.count_nonzero(state == INFECTED))
    from_infected = n_infected <= np.count_nonzero(state == SUSCEPTIBLE)
    everywhere = 0
    for name, graph in world.network.layers.items():
        if graph.complete:
            everywhere += n_infected
        elif p > 0:
            by_source = from_infected and not graph.directed
            key = world.key(f"infection:{name}")
            graph.pull(_transmit, state, out, infected_at, by_source, again, p, entry, world.step, key)
    hazard = -np.log1p(-p) if p < 1 else SURE
    press(world, out, everywhere * hazard, entry)


def press(world, out, hazard, entry):
    """Expose every susceptible agent to the same hazard: the chance of infection is 1 - exp(-hazard).

    `env["pressure"]` is the sum of all hazards so far. Each agent meets a case at its own points on that axis, so that
    a wave that comes later meets the same people at the same pressure.

    Source: Sellke (1983), J. Appl. Prob. 20; independent increments of the Poisson process make it exact whatever
    happened before.
    """
    before = world.env["pressure"]
    world.env["pressure"] = after = before + min(float(hazard), SURE)
    if after > before:
        world.run_ranges(_meet_anyone, out, before, after, entry, world.key("infection"))


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

    columns = {
        "state": column("int8", labels=LABELS, help="Where the person stands in the course of the infection."),
        "infected_at": column(
            "int32", unit="day", low=-1, initial=-1, help="Step of the person's first infection; -1 for none so far."
        ),
    }
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
        world.env["pressure"] = 0.0
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
        infected_at = world.population["infected_at"].copy()
        again = any(world.run_ranges(_date, state, infected_at, world.step - 1))
        out, entry = state.copy(), np.int8(EXPOSED if params.latent_steps > 0 else INFECTED)
        if params.mixing == "well_mixed":
            press(world, out, params.beta * np.count_nonzero(state == INFECTED) / world.n_agents, entry)
        else:
            transmit(world, state, out, infected_at, again, entry)
        p_onset = 1 / max(params.latent_steps, 1.0)
        keys = world.key("onset"), world.key("recovery")
        world.run_ranges(_advance, state, out, infected_at, p_onset, params.gamma, world.step, *keys)
        world.population["state"], world.population["infected_at"] = out, infected_at
        if not np.any((out == EXPOSED) | (out == INFECTED)):
            world.settle("nobody is infected any more")
