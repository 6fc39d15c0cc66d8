"""Majority force: when does a crowd that leans towards its majority take a side?

Question: how strongly must people lean towards the majority for the whole crowd to tip to one side and stay there?

Mechanism: opinions start by fair coin, unless the population brings an `opinion` column. One step is N updates of
random people, one after another. The person sees m, the mean over everyone (self included) with + = 1 and - = -1, and
chooses an opinion anew (decision `choose`): by rule + with probability (tanh(beta m) + 1) / 2. + is "in favour" and -
is "against". Everyone sees everyone, so the network plays no part. Where a language model decides, people are asked in
one batch for as long as the words in which m is shown cannot change, which changes no outcome; where rule and model are
mixed, one at a time.

Source: De Marzo, Castellano and Garcia (2024), AI agents can coordinate beyond human scale, 2409.02822; the rule
is Glauber's (1963), Journal of Mathematical Physics 4, 294-307, for the Curie-Weiss magnet.
Expect: below beta = 1 both opinions stay at about half; above, the crowd takes a side and the mean settles where
abs(m) = tanh(beta abs(m)): .858 at beta 1.5, .9575 at beta 2. Small crowds now and then change sides.
Units: one step is one update per person on average; beta has no unit.
"""

import functools

import numpy as np
from numba import njit

from engine import (
    Choice,
    Decision,
    Measure,
    ScenarioParams,
    Words,
    column,
    keyed_uniform,
    knob,
    scenario,
)
from scenarios._classics import given_codes

# Constants of the rule: value, source.
BETA = 1.5  # ours; beyond the critical 1
TOPIC = "closing the town centre to private cars"  # ours

MINUS, PLUS = 0, 1
LABELS = ("against", "in favour")
OPTIONS = ("in favour", "against")  # + and -
ELEVEN_CROWDS = Words(
    tuple((2 * k + 1) / 10 - 1 for k in range(10)),
    (
        "everyone, or nearly everyone, is against",
        "about nine in ten are against",
        "about eight in ten are against",
        "about seven in ten are against",
        "about six in ten are against",
        "about half are in favour and half against",
        "about six in ten are in favour",
        "about seven in ten are in favour",
        "about eight in ten are in favour",
        "about nine in ten are in favour",
        "everyone, or nearly everyone, is in favour",
    ),
)


class Params(ScenarioParams):
    """Knobs of the majority force."""

    beta: float = knob(BETA, help="How strongly people lean towards the majority.", ge=0)
    topic: str = knob(TOPIC, help="What the opinions are about; shown to a language model.", max_length=200)


def weights_of(beta, m):
    """Return the log weights of + and -, whose ratio gives P(+) = (tanh(beta m) + 1) / 2; each like m."""
    return beta * m, -beta * m


def lean_to_majority(seen):
    """Choose + with probability (tanh(beta m) + 1) / 2; De Marzo, Castellano and Garcia (2024)."""
    return seen.log_weights(*weights_of(seen.params.beta, seen["m"]))


choose = Decision(
    "choose",
    Choice(*OPTIONS),
    rule=lean_to_majority,
    preamble="Everyone in a town has an opinion on {{ params.topic }}: in favour, or against. From time to time a "
    "person hears how opinions stand in the whole town and forms their own anew.",
    question="Which opinion do you hold from now on?",
    shows={"m": ELEVEN_CROWDS},
    labels={"m": "In the town, at this moment"},
    persona_fields=("age", "education", "big5_a", "left_right"),
)


@functools.lru_cache(maxsize=2)
def weight_table(beta, n):
    """Return (plus, total): the weights from which `world.decide` draws +, for 0..n people in favour, (n + 1,) each."""
    m = mean_of(np.arange(n + 1), n)
    weights = np.stack(weights_of(beta, m), axis=1)
    cumulative = np.cumsum(np.exp(weights - weights.max(axis=1, keepdims=True)), axis=1)
    return cumulative[:, 0].copy(), cumulative[:, 1].copy()


def mean_of(n_plus, n):
    """Return the mean opinion with `n_plus` of n people in favour, in [-1, 1]."""
    return (2 * np.asarray(n_plus) - n) / n


@njit(cache=True, nogil=True)
def _choose_all(opinion, n_plus, plus, total, step, keys):
    """Make N updates by rule, in place; draws are those of `world.decide`."""
    n = opinion.size
    for k in range(n):
        i = int(keyed_uniform(keys[0], step, k, 0, 0) * n)
        after = PLUS if plus[n_plus] > keyed_uniform(keys[1], step, k, i, 0) * total[n_plus] else MINUS
        n_plus += after - opinion[i]
        opinion[i] = after


def steady_updates(n):
    """Return, for 0..n people in favour, how many updates can be made before the words for m can change, int64."""
    codes = ELEVEN_CROWDS.codes(mean_of(np.arange(n + 1), n))
    low = np.searchsorted(codes, codes, side="left")
    high = np.searchsorted(codes, codes, side="right") - 1
    counts = np.arange(n + 1)
    return np.minimum(np.where(low == 0, n, counts - low), np.where(high == n, n, high - counts)) + 1


def choose_by_decision(world, opinion):
    """Make N updates through `world.decide`, changing opinion in place; the turn is the update's number.

    A person who comes up twice in a batch is asked twice; only the later answer stays.
    """
    n = opinion.size
    who = (world.uniform("update", np.zeros(n, np.int64), turn=np.arange(n)) * n).astype(np.int64)
    together = world.spec_of(choose).policy in ("language", "scripted")
    steady = steady_updates(n) if together else np.ones(n + 1, np.int64)
    start = 0
    while start < n:
        n_plus = int(np.count_nonzero(opinion))
        turn = np.arange(start, min(start + int(steady[n_plus]), n))
        action = world.decide(choose, who[turn], turn=turn, m=mean_of(n_plus, n))
        opinion[who[turn]] = np.where(action == OPTIONS.index("in favour"), PLUS, MINUS)
        start = int(turn[-1]) + 1


def magnetization(world):
    """Return the mean opinion, + = 1 and - = -1."""
    return float(mean_of(np.count_nonzero(world.population["opinion"]), world.n_agents))


@scenario(
    "majority_force",
    title="Majority force",
    family="opinions",
    promise="Everyone sees the whole crowd and leans towards its majority: lean hard enough, and it takes a side.",
    params=Params,
    source="De Marzo, Castellano and Garcia 2024",
    steps=60,
    defaults={"population": {"size": 1000, "recipe": "adults_generic"}, "network": {"kind": "complete"}},
)
class MajorityForce:
    """Two opinions among people who all see the majority."""

    display = "opinion"
    columns = {"opinion": column("int8", labels=LABELS, help="Opinion on the topic.")}
    decisions = (choose,)
    measures = (
        Measure("magnetization", magnetization, "Mean opinion, + = 1 and - = -1.", "De Marzo et al. (2024)", "", -1, 1),
        Measure(
            "abs_magnetization",
            lambda world: abs(magnetization(world)),
            "Size of the majority: 0 at equal halves, 1 when all agree.",
            "De Marzo et al. (2024)",
            low=0,
            high=1,
        ),
    )

    def setup(self, world):
        """Toss a fair coin for everyone, unless the population brought opinions."""
        if "opinion" in world.given:
            world.population["opinion"] = given_codes(world.persona, "opinion", LABELS)
        else:
            world.population["opinion"] = np.where(world.uniform("initial_opinion") < 0.5, PLUS, MINUS).astype(np.int8)

    def step(self, world):
        """Make N updates."""
        opinion = world.population["opinion"].copy()
        if world.decided_by_rule(choose):
            plus, total = weight_table(world.params.beta, opinion.size)
            keys = np.array([world.key("update"), world.key("decide:choose")], np.uint64)
            _choose_all(opinion, np.count_nonzero(opinion), plus, total, world.step, keys)
        else:
            choose_by_decision(world, opinion)
        world.population["opinion"] = opinion
