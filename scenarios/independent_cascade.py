"""Independent cascade: how far does a piece of news travel when each hearer passes it on, once, to some?

Question: does a piece of news that one person starts die out among a few, or reach a good part of everyone?

Mechanism: everyone at once, from the state at t. Who has just been reached decides once for each neighbour not reached
yet whether to pass the news on (decision `pass_on`; by rule with chance p, independently); in the next step those who
were told pass it on in their turn. With directed ties the news goes to those who observe the teller. A neighbour in two
layers is tried twice; weights play no part. The turn of a decision is layer x N + the neighbour's id. In a complete
layer, where the rule decides, each person not reached yet is drawn once with 1 - (1 - p)^tellers, which is the same in
law. n_seeds people know it at the start, drawn at random. The run stops when nobody was reached in a step.

Source: Goldenberg, Libai and Muller (2001), Marketing Letters 12, 211-223; Kempe, Kleinberg and Tardos (2003), KDD,
section 2; sizes as in Newman (2002), Physical Review E 66, 016128.
Expect: with random ties, z on average, and one start, 1 / (1 - p z) people are reached on average below p z = 1. Above,
an outbreak comes with chance S and then reaches the share S = 1 - exp(-p z S), so that the mean share is S^2.
Units: one step is one round of passing on; p is per tie.
"""

import numpy as np
from numba import njit

from engine import Choice, Decision, Measure, MicrocosmError, ScenarioParams, column, keyed_uniform, knob, scenario
from scenarios._classics import draw_seeds, given_codes

# Constants of the rule: value, source.
P = 0.25  # ours; with 6 ties on average 1.5 new ones for each who is reached
MOST_ASKED = 5_000_000  # decisions in one step, against running out of memory; ours
NEWS = "the town's largest employer is about to close"  # ours

UNREACHED, TELLING, REACHED = range(3)
LABELS = ("not reached", "just reached", "reached before")
YES, NO = 0, 1


class Params(ScenarioParams):
    """Knobs of the independent cascade."""

    p: float = knob(P, help="Chance that a person who was just reached passes the news on over a tie.", ge=0, le=1)
    n_seeds: int = knob(5, unit="people", help="Those who know it at the start, drawn at random.", at_setup=True, ge=0)
    news: str = knob(NEWS, help="The news; shown to a language model.", max_length=300)


def weights_of(p):
    """Return the log weights of yes and no, float64 (2,)."""
    with np.errstate(divide="ignore"):
        return np.log(p), np.log1p(-p)


def with_chance_p(seen):
    """Pass on with chance p; Kempe, Kleinberg and Tardos (2003), section 2."""
    return seen.log_weights(*weights_of(seen.params.p))


pass_on = Decision(
    "pass_on",
    Choice("yes", "no"),
    rule=with_chance_p,
    preamble="You have just heard this: {{ params.news }}. One after another you meet people whom you know and who "
    "have not heard it yet.",
    question="Do you tell this person?",
    persona_fields=("age", "occupation", "big5_e", "trust_general"),
)


@njit(cache=True, nogil=True)
def _reach_forward(state, out, indptr, indices, first_turn, yes, total, step, key):
    """Try every tie from those who tell to those not reached, by rule; mark the new ones in `out` (undirected ties).

    Draws are those of `world.decide`: option yes where its cumulated weight exceeds u x the total.
    """
    for i in range(state.size):
        if state[i] == TELLING:
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if out[j] == UNREACHED and yes > keyed_uniform(key, step, first_turn + j, i, 0) * total:
                    out[j] = TELLING


@njit(cache=True, nogil=True)
def _reach_backward(state, out, indptr, indices, first_turn, yes, total, step, key):
    """Do the same from the rows of those not reached, who observe the others (directed ties)."""
    for j in range(state.size):
        if out[j] == UNREACHED:
            for e in range(indptr[j], indptr[j + 1]):
                i = indices[e]
                if state[i] == TELLING and yes > keyed_uniform(key, step, first_turn + j, i, 0) * total:
                    out[j] = TELLING
                    break


def reach_by_rule(world, state, out):
    """Mark in `out` whom the tellers reach, by rule."""
    p, n = world.params.p, state.size
    weights = np.array(weights_of(p))
    yes, total = np.cumsum(np.exp(weights - weights.max()))
    for number, graph in enumerate(world.network.layers.values()):
        if graph.complete:
            n_tellers = np.count_nonzero(state == TELLING)
            left = np.flatnonzero(out == UNREACHED)
            chance = 1 - (1 - p) ** n_tellers
            out[left[world.uniform("reached", left, turn=number) < chance]] = TELLING
            continue
        reach = _reach_backward if graph.directed else _reach_forward
        key = world.key("decide:pass_on")
        reach(state, out, graph.indptr, graph.indices, number * n, yes, total, world.step, key)


def list_attempts(network, state):
    """Return (teller, turn) of every attempt of this step, int64; the turn is layer x N + the one who is told.

    Raises:
        MicrocosmError: more attempts in one step than fit.
    """
    n = state.size
    tells, open_ = state == TELLING, state == UNREACHED
    tellers, turns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for number, graph in enumerate(network.layers.values()):
        if graph.complete:
            first, second = np.flatnonzero(tells), np.flatnonzero(open_)
            if first.size * second.size > MOST_ASKED:
                raise MicrocosmError(
                    f"{first.size} people who all know the {second.size} others would be asked about each of them, "
                    f"{first.size * second.size} times in one step; at most {MOST_ASKED} are allowed: use fewer people "
                    "or another kind of network"
                )
            teller, told = np.repeat(first, second.size), np.tile(second, first.size)
        else:
            row = np.repeat(np.arange(n), np.diff(graph.indptr))
            other = graph.indices.astype(np.int64)
            teller, told = (other, row) if graph.directed else (row, other)
            attempt = tells[teller] & open_[told]
            teller, told = teller[attempt], told[attempt]
        tellers.append(teller)
        turns.append(number * n + told)
    return np.concatenate(tellers), np.concatenate(turns)


def reach_by_decision(world, state, out):
    """Mark in `out` whom the tellers reach, each attempt a decision."""
    teller, turn = list_attempts(world.network, state)
    action = world.decide(pass_on, teller, turn=turn)
    out[turn[action == YES] % state.size] = TELLING


@scenario(
    "independent_cascade",
    title="Independent cascade",
    family="spreading",
    promise="News runs from person to person, each telling only some: it soon dies out, or reaches a good part of all.",
    params=Params,
    source="Kempe, Kleinberg and Tardos 2003",
    steps=60,
    defaults={
        "population": {"size": 2000, "recipe": "adults_generic"},
        "network": {"kind": "erdos_renyi", "mean_degree": 6.0},
    },
)
class IndependentCascade:
    """News that each person passes on once, or not."""

    display = "state"
    columns = {"state": column("int8", labels=LABELS, help="Whether the news has reached the person.")}
    decisions = (pass_on,)
    measures = (
        Measure(
            "adopted_share",
            lambda w: np.count_nonzero(w.population["state"]) / w.n_agents,
            "Share of people whom the news has reached.",
            "Kempe, Kleinberg and Tardos (2003), influence over N",
            low=0,
            high=1,
        ),
    )

    def setup(self, world):
        """Draw those who start it, unless the population brought states."""
        if "state" in world.given:
            world.population["state"] = given_codes(world.persona, "state", LABELS)
            return
        state = np.zeros(world.n_agents, np.int8)
        state[draw_seeds(world)] = TELLING
        world.population["state"] = state

    def step(self, world):
        """Let those who were just reached pass it on."""
        state = world.population["state"]
        after = np.where(state == TELLING, REACHED, state).astype(np.int8)
        if world.decided_by_rule(pass_on):
            reach_by_rule(world, state, after)
        else:
            reach_by_decision(world, state, after)
        world.population["state"] = after
        if not np.any(after == TELLING):
            world.settle("nobody was reached in this step")
