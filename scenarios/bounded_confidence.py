"""Bounded confidence: do people who listen only to similar opinions end in agreement, two camps or many?

Question: into how many camps do opinions fall when people move only towards opinions close to their own?

Mechanism, rule = "deffuant": a meeting is one uniformly random tie (over all layers together); each of the two decides
whether to move, by rule if their opinions differ by at most epsilon, and who moves goes mu of the way. One step is N/2
meetings, one after another. Where a language model decides, meetings without a person in common are asked in one
batch, which changes no outcome.
rule = "hegselmann_krause": a mechanism without decisions; everyone at once takes the mean over the neighbours and self
within epsilon (a neighbour in two layers counts twice). Weights of ties play no part in either.
Opinions start uniform at random, equispaced x_i = i / (N - 1), or from an `opinion` column of the population. The run
stops when nothing can move by more than 1e-9.

Source: Deffuant, Neau, Amblard and Weisbuch (2000), Advances in Complex Systems 3, eq. 1; Hegselmann and Krause (2002),
JASSS 5(3)2, eq. 1; Lorenz (2007), 0707.1762, for the numbers of clusters.
Expect: consensus at large epsilon and about 1 / (2 epsilon) camps at small epsilon. N = 1000, everyone meeting
everyone: Deffuant with epsilon .20 gives two major camps; Hegselmann-Krause equispaced two at .20 and one at .21.
Units: opinions and epsilon are on [0, 1]; one step is half a meeting per person.
"""

from typing import Literal

import numpy as np
from numba import njit

from engine import (
    Choice,
    Decision,
    Measure,
    ScenarioParams,
    Words,
    column,
    knob,
    major_clusters,
    read_ahead,
    scenario,
    variance_polarization,
)

# Constants of the rules: value, source.
EPSILON = 0.2  # Deffuant et al. (2000), figure 2
MU = 0.5  # Deffuant et al. (2000), section 2
TOLERANCE = 1e-9  # smallest move that counts; ours
TOPIC = "closing the town centre to private cars"  # ours

MOVE, IGNORE = 0, 1
ELEVEN_WORDS = Words(
    tuple((2 * k + 1) / 20 for k in range(10)),
    (
        "completely against",
        "strongly against",
        "clearly against",
        "rather against",
        "slightly against",
        "undecided",
        "slightly in favour",
        "rather in favour",
        "clearly in favour",
        "strongly in favour",
        "completely in favour",
    ),
)


class Params(ScenarioParams):
    """Knobs of bounded confidence."""

    rule: Literal["deffuant", "hegselmann_krause"] = knob(
        "deffuant", help="Pairwise meetings in sequence, or everyone averaging at once."
    )
    epsilon: float = knob(EPSILON, help="Largest difference of opinions that people still listen to.", ge=0, le=1)
    mu: float = knob(MU, help="Part of the way that a person moves in a meeting (deffuant).", gt=0, le=0.5)
    initial: Literal["uniform", "equispaced"] = knob(
        "uniform", help="Opinions at the start: drawn at random, or evenly spaced.", at_setup=True
    )
    topic: str = knob(TOPIC, help="What the opinions are about; shown to a language model.", max_length=200)


def within_epsilon(seen):
    """Move where the opinions differ by at most epsilon.

    Source: Deffuant et al. (2000), eq. 1.
    """
    return np.where(np.abs(seen["own"] - seen["other"]) <= seen.params.epsilon, MOVE, IGNORE)


listen = Decision(
    "listen",
    Choice("move", "ignore"),
    rule=within_epsilon,
    preamble="People in a town are forming their opinion on {{ params.topic }}. Now and then two of them meet and tell "
    "each other where they stand. Afterwards each of the two either moves part of the way towards the other's opinion, "
    "or ignores it and keeps to their own.",
    question="You have just talked with one of them. Do you move towards this person's opinion, or ignore it?",
    shows={"own": ELEVEN_WORDS, "other": ELEVEN_WORDS},
    labels={"own": "Your own opinion", "other": "The other person's opinion"},
    persona_fields=("age", "big5_o"),
)


@njit(cache=True, nogil=True)
def _meet(x, first, second, epsilon, mu):
    """Hold the meetings in order, changing `x` in place; return the largest move."""
    largest = 0.0
    for m in range(first.size):
        i, j = first[m], second[m]
        own, other = x[i], x[j]
        difference = other - own
        shift = mu * difference * np.float64(abs(difference) <= epsilon)  # no branch: who listens cannot be foreseen
        x[i] = own + shift
        x[j] = other - shift
        largest = max(largest, abs(shift))
    return largest


@njit(cache=True, nogil=True)
def _place_in_batches(first, second, n):
    """Return each meeting's batch: one more than the latest batch of its two people so far."""
    latest = np.full(n, -1, np.int64)
    batch = np.empty(first.size, np.int64)
    for m in range(first.size):
        i, j = first[m], second[m]
        batch[m] = max(latest[i], latest[j]) + 1
        latest[i] = batch[m]
        latest[j] = batch[m]
    return batch


@njit(cache=True, nogil=True)
def _any_tie_between(x, indptr, indices, low, high):
    """Tell whether some tie's opinions differ by more than `low` and at most `high`."""
    for i in range(x.size):
        for e in range(indptr[i], indptr[i + 1]):
            if low < abs(x[indices[e]] - x[i]) <= high:
                return True
    return False


@njit(cache=True, nogil=True)
def _add_neighbours(begin, end, indptr, indices, x, epsilon, total, n_heard):
    """Add to `total` and `n_heard` the opinions within epsilon among each agent's neighbours."""
    for i in range(begin, end):
        own, s, heard = x[i], total[i], n_heard[i]
        for e in range(indptr[i], indptr[i + 1]):
            read_ahead(x, indices, e)
            y = x[indices[e]]
            near = np.float64(abs(y - own) <= epsilon)  # no branch: who is heard cannot be foreseen
            s += y * near
            heard += near
        total[i] = s
        n_heard[i] = heard


@njit(cache=True, nogil=True)
def _divide(begin, end, total, n_heard, low, high):
    """Divide `total` by `n_heard` in place, and keep it between low and high against rounding."""
    for i in range(begin, end):
        total[i] = min(max(total[i] / n_heard[i], low), high)


@njit(cache=True, nogil=True)
def _add_everyone(x, order, epsilon, total, n_heard):
    """Add the opinions within epsilon among all others, in O(n) after sorting; sums are carried in double-double."""
    n = x.size
    high, low = np.zeros(n + 1), np.zeros(n + 1)
    for k in range(n):
        value = x[order[k]]
        s = high[k] + value
        part = s - high[k]
        low[k + 1] = low[k] + ((high[k] - (s - part)) + (value - part))
        high[k + 1] = s
    a, b = 0, 0
    for k in range(n):
        i = order[k]
        while x[i] - x[order[a]] > epsilon:
            a += 1
        while b < n and x[order[b]] - x[i] <= epsilon:
            b += 1
        total[i] += ((high[b] - high[a]) + (low[b] - low[a])) - x[i]
        n_heard[i] += b - a - 1


def draw_meetings(world):
    """Return (first, second) of this step's N/2 meetings, int64, in order; empty where there are no ties."""
    graphs = list(world.network.layers.values())
    sizes = [graph.n * (graph.n - 1) if graph.complete else graph.indices.size for graph in graphs]
    number = world.n_agents // 2 if sum(sizes) else 0
    meeting = np.arange(number)
    place = (world.uniform("meeting", np.zeros(number, np.int64), turn=meeting) * sum(sizes)).astype(np.int64)
    first, second = np.empty(number, np.int64), np.empty(number, np.int64)
    if len(graphs) == 1 and not graphs[0].complete:
        return graphs[0].stored_ties(place)
    for graph, size in zip(graphs, sizes, strict=True):
        here = np.flatnonzero((place >= 0) & (place < size))
        at = place[here]
        if graph.complete:
            first[here] = at // (graph.n - 1)
            rest = at % (graph.n - 1)
            second[here] = rest + (rest >= first[here])
        else:
            first[here], second[here] = graph.stored_ties(at)
        place -= size
    return first, second


def meet_by_decision(world, x, first, second):
    """Hold the meetings through `world.decide`, in batches without a person in common; return the largest move.

    The turn of a decision is the meeting's number. Batches keep the order of each person's meetings, so the result is
    the same as one after another.
    """
    batch = _place_in_batches(first, second, x.size)
    largest = 0.0
    for number in range(int(batch.max(initial=-1)) + 1):
        meeting = np.flatnonzero(batch == number)
        i, j = first[meeting], second[meeting]
        own, other = np.concatenate([x[i], x[j]]), np.concatenate([x[j], x[i]])
        who = np.concatenate([i, j])
        action = world.decide(listen, who, turn=np.concatenate([meeting, meeting]), own=own, other=other)
        shift = np.where(action == MOVE, world.params.mu * (other - own), 0.0)
        x[who] = own + shift
        largest = max(largest, float(np.abs(shift).max(initial=0.0)))
    return largest


def average_within(network, x, epsilon):
    """Return everyone's mean over neighbours and self within epsilon, float64 (n,).

    Source: Hegselmann and Krause (2002), eq. 1, restricted to the ties.
    """
    total, n_heard = x.copy(), np.ones(x.size)
    for graph in network.layers.values():
        if graph.complete:
            _add_everyone(x, np.argsort(x, kind="stable"), epsilon, total, n_heard)
        else:
            graph.pull(_add_neighbours, x, epsilon, total, n_heard)
    graph.run_ranges(_divide, total, n_heard, x.min(), x.max())
    return total


def can_move(network, x, low, high):
    """Tell whether any tie's opinions differ by more than `low` and at most `high`."""
    for graph in network.layers.values():
        if graph.complete:
            ordered = np.sort(x)
            beyond = np.searchsorted(ordered, ordered + low, side="right")
            inside = beyond < x.size
            if np.any(ordered[beyond[inside]] - ordered[inside] <= high):
                return True
        elif _any_tie_between(x, graph.indptr, graph.indices, low, high):
            return True
    return False


def clusters(world):
    """Return the shares of the major camps."""
    return major_clusters(world.population["opinion"], world.params.epsilon)


@scenario(
    "bounded_confidence",
    title="Bounded confidence",
    family="opinions",
    promise="Opinions fall into camps that no longer listen to each other; how many depends on how open people are.",
    params=Params,
    source="Deffuant et al. 2000; Hegselmann and Krause 2002",
    steps=200,
    defaults={
        "population": {"size": 1000, "recipe": "adults_generic"},
        "network": {"kind": "watts_strogatz", "k": 10, "p_rewire": 0.05},
    },
)
class BoundedConfidence:
    """Opinions on [0, 1] that move only towards opinions nearby."""

    columns = {
        "opinion": column(
            "float64",
            help="Opinion on the topic, from 0 (against) to 1 (in favour).",
            low=0,
            high=1,
            presentation=ELEVEN_WORDS,
            initial=0.5,
        )
    }
    decisions = (listen,)
    measures = (
        Measure("mean_opinion", lambda w: w.population["opinion"].mean(dtype=float), "Mean opinion.", "ours", "", 0, 1),
        Measure(
            "polarization",
            lambda w: variance_polarization(w.population["opinion"]),
            "4 times the variance of opinions: 0 in consensus, 1 with two equal camps at the ends.",
            "Bramson et al. (2016), dispersion",
            "",
            0,
            1,
        ),
        Measure(
            "n_major_clusters",
            lambda w: clusters(w).size,
            "Camps of at least 5 % of people, over epsilon / 2 from the next opinion; read it after convergence.",
            "ours, after Lorenz (2007)",
            "camps",
            0,
            20,
        ),
        Measure(
            "largest_cluster_share",
            lambda w: clusters(w).max(initial=0.0),
            "Share of people in the largest camp.",
            "ours, after Lorenz (2007)",
            "",
            0,
            1,
        ),
    )

    def setup(self, world):
        """Give everyone an opinion, unless the population brought them."""
        if "opinion" in world.given:
            return
        if world.params.initial == "equispaced":
            x = np.arange(world.n_agents) / max(world.n_agents - 1, 1)
        else:
            x = world.uniform("initial_opinion")
        world.population["opinion"] = x.astype(world.population["opinion"].dtype)

    def step(self, world):
        """Hold N/2 meetings, or let everyone average; work in float64 and store in the column's type."""
        params, stored = world.params, world.population["opinion"]
        x = stored.astype(np.float64)
        tolerance = max(TOLERANCE, 8 * float(np.finfo(stored.dtype).eps))
        if params.rule == "hegselmann_krause":
            x = average_within(world.network, x, params.epsilon)
            ended = float(np.abs(x - stored).max()) <= tolerance
        else:
            first, second = draw_meetings(world)
            by_rule = world.decided_by_rule(listen)
            if by_rule:
                largest = _meet(x, first, second, params.epsilon, params.mu)
            else:
                largest = meet_by_decision(world, x, first, second)
            reach = params.epsilon if by_rule else 1.0
            ended = largest <= tolerance and not can_move(world.network, x, tolerance / params.mu, reach)
        world.population["opinion"] = x.astype(stored.dtype)
        if ended:
            world.settle("no opinion moves any more")
