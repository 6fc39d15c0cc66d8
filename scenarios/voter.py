"""Voter model: how does a crowd in which everyone copies a random acquaintance come to agree, and on what?

Question: with which chance does each of two opinions win, and after how long, when people simply copy one another?

Mechanism: a person and a random neighbour meet (every tie of every layer alike, of weights only the sign counts); the
person decides whether to copy the neighbour's opinion or to keep the own (decision `adopt`, asked only where the two
differ; by rule everyone copies). Over a negative tie nobody is asked: the person takes the opposite of the other's
opinion. With probability noise the person draws an opinion by fair coin instead. Zealots never change.
update = "asynchronous": one step is N such updates of random people, one after another. Where the rule does not decide
for everyone, updates that do not touch one another are asked in one batch, which changes no outcome.
update = "synchronous": everyone at once, from the state at t.
At the start the zealots are drawn first, and of the others exactly the share initial_share (rounded) are in favour,
unless the population brings an `opinion` column. The run stops when nobody can change any more.

Source: Clifford and Sudbury (1973), Biometrika 60, 581-588; Holley and Liggett (1975), Annals of Probability 3,
643-663; zealots Mobilia, Petersen and Redner (2007), J. Stat. Mech. P08029; noise Kirman (1993), Q. J. Economics 108;
negative ties Li, Chen, Wang and Zhang (2013), WSDM '13, 657-666.
Expect: agreement; an opinion wins with the chance of its first share, weighed by people's ties. Among N people who all
meet, from one half, it takes about N ln 2 steps; on a grid, patches grow. Zealots on both sides keep both alive. With
negative ties, balanced ones (two camps) end with the camps on opposite sides; where they are not, it never ends.
Units: one step is one update per person on average.
"""

from typing import Literal

import numpy as np
from numba import njit

from engine import (
    Categories,
    Choice,
    Decision,
    Measure,
    MicrocosmError,
    ScenarioParams,
    column,
    keyed_uniform,
    knob,
    scenario,
)
from scenarios._classics import (
    any_difference,
    are_foes,
    draw_agents,
    draw_neighbours,
    given_codes,
    join_layers,
    join_signs,
)

# Constants of the rule, all of them knobs: value, source.
INITIAL_SHARE = 0.5  # the textbook start
NOISE = 0.0  # Clifford and Sudbury (1973) have none
TOPIC = "closing the town centre to private cars"  # ours

AGAINST, FAVOUR = 0, 1
LABELS = ("against", "in favour")
KEEP, COPY = 0, 1


class Params(ScenarioParams):
    """Knobs of the voter model."""

    initial_share: float = knob(
        INITIAL_SHARE, help="Share of those in favour at the start, zealots left out.", at_setup=True, ge=0, le=1
    )
    zealots_0: int = knob(0, unit="people", help="People against who never change.", at_setup=True, ge=0)
    zealots_1: int = knob(0, unit="people", help="People in favour who never change.", at_setup=True, ge=0)
    noise: float = knob(NOISE, help="Chance that a person tosses a fair coin instead of meeting anyone.", ge=0, le=1)
    update: Literal["asynchronous", "synchronous"] = knob("asynchronous", help="One after another, or all at once.")
    topic: str = knob(TOPIC, help="What the opinions are about; shown to a language model.", max_length=200)


def copy_always(seen):
    """Copy; Holley and Liggett (1975)."""
    return np.full(len(seen), COPY)


adopt = Decision(
    "adopt",
    Choice("keep", "copy"),
    rule=copy_always,
    preamble="People in a town talk about {{ params.topic }}. Everyone is either against it or in favour of it. Now "
    "and then somebody meets an acquaintance who sees it the other way, and either keeps their own opinion or copies "
    "the acquaintance's.",
    question="You have just met this acquaintance. Do you keep your own opinion, or copy theirs?",
    shows={"own": Categories(LABELS), "other": Categories(LABELS)},
    labels={"own": "Your own opinion", "other": "The acquaintance's opinion"},
    persona_fields=("age", "big5_o", "big5_a"),
)


@njit(cache=True, nogil=True)
def _copy_all(x, read, zealot, who, other, foe, noise, step, key):
    """Make the updates by rule, in place; `read` is x itself (one after another) or a copy of it (all at once).

    `foe` tells over which meetings the opposite is taken; it is empty where no tie is negative.
    """
    for k in range(who.size):
        i, j = who[k], other[k]
        if zealot[i]:
            continue
        u = keyed_uniform(key, step, k, i, 0) if noise > 0 else 1.0
        if u < noise:
            x[i] = FAVOUR if u < noise / 2 else AGAINST
        elif j >= 0:
            x[i] = 1 - read[j] if foe.size and foe[k] else read[j]


@njit(cache=True, nogil=True)
def _place_in_batches(who, other, n):
    """Return each update's batch: after the latest change of both people, not before anyone still reads `who`."""
    written, read = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    batch = np.empty(who.size, np.int64)
    for k in range(who.size):
        i, j = who[k], other[k]
        b = max(written[i] + 1, read[i])
        if j >= 0:
            b = max(b, written[j] + 1)
            read[j] = max(read[j], b)
        written[i] = b
        batch[k] = b
    return batch


def copy_by_decision(world, x, zealot, who, other, foe):
    """Make the updates through `world.decide`, changing x in place; the turn of a decision is the update's number.

    Draws are those of `_copy_all`. One after another, batches keep the order of updates that touch one another.
    """
    noise, in_turn = world.params.noise, world.params.update == "asynchronous"
    coin = world.uniform("noise", who, turn=np.arange(who.size))
    noisy = coin < noise
    other = np.where(noisy, -1, other)
    acts = np.flatnonzero(~zealot[who] & (noisy | (other >= 0)))
    batch = _place_in_batches(who[acts], other[acts], x.size) if in_turn else np.zeros(acts.size, np.int64)
    for number in range(int(batch.max(initial=-1)) + 1):
        now = acts[batch == number]
        i, j = who[now], other[now]
        after = np.where(coin[now] < noise / 2, FAVOUR, AGAINST).astype(x.dtype)
        met = np.flatnonzero(~noisy[now])
        own, seen = x[i[met]], x[j[met]]
        opposed = foe[now[met]] if foe.size else np.zeros(met.size, np.bool_)
        after[met] = np.where(opposed, 1 - seen, own)
        asked = ~opposed & (own != seen)
        met, own, seen = met[asked], own[asked], seen[asked]
        action = world.decide(adopt, i[met], turn=now[met], own=own, other=seen)
        after[met] = np.where(action == COPY, seen, own)
        x[i] = after


@scenario(
    "voter",
    title="Voter model",
    family="opinions",
    promise="Everyone copies somebody: patches of one opinion grow and shrink until a single one is left.",
    params=Params,
    source="Clifford and Sudbury 1973; Holley and Liggett 1975",
    steps=300,
    defaults={
        "population": {"size": 1600, "recipe": "adults_generic"},
        "network": {"kind": "grid", "periodic": True},
    },
    signed_ties=True,
)
class Voter:
    """Two opinions that spread by copying."""

    display = "opinion"
    columns = {
        "opinion": column("int8", labels=LABELS, help="Opinion on the topic."),
        "zealot": column("bool", help="Whether the person never changes opinion."),
    }
    decisions = (adopt,)
    measures = (
        Measure(
            "share_1",
            lambda w: np.count_nonzero(w.population["opinion"] == FAVOUR) / w.n_agents,
            "Share of people in favour.",
            "ours",
            low=0,
            high=1,
        ),
    )

    def setup(self, world):
        """Draw the zealots, then who of the others is in favour."""
        params, n = world.params, world.n_agents
        n_zealots = params.zealots_0 + params.zealots_1
        if n_zealots > n:
            raise MicrocosmError(
                f"zealots_0 + zealots_1 = {n_zealots} is more than the {n} people; "
                "lower params.zealots_0 or params.zealots_1, or raise population.size"
            )
        order = world.rng("initial_opinion").permutation(n)
        n_favour = round(params.initial_share * (n - n_zealots))
        if "opinion" in world.given:
            opinion = given_codes(world.persona, "opinion", LABELS)
        else:
            opinion = np.full(n, AGAINST, np.int8)
            opinion[order[n_zealots : n_zealots + n_favour]] = FAVOUR
        opinion[order[: params.zealots_0]] = AGAINST
        opinion[order[params.zealots_0 : n_zealots]] = FAVOUR
        world.population["opinion"] = opinion
        zealot = world.population["zealot"].copy()
        zealot[order[:n_zealots]] = True
        world.population["zealot"] = zealot

    def step(self, world):
        """Make N updates."""
        params, zealot, step = world.params, world.population["zealot"], world.step
        x, n = world.population["opinion"].copy(), world.n_agents
        in_turn = params.update == "asynchronous"
        who = draw_agents(n, n, step, world.key("update")) if in_turn else np.arange(n)
        indptr, indices, n_complete = join_layers(world.network)
        other = draw_neighbours(indptr, indices, n_complete, who, step, world.key("neighbour"))
        foe = join_signs(world.network)
        if foe.size:
            foe = are_foes(indptr, foe, n_complete, who, step, world.key("neighbour"))
        if world.decided_by_rule(adopt):
            _copy_all(x, x if in_turn else x.copy(), zealot, who, other, foe, params.noise, step, world.key("noise"))
        else:
            copy_by_decision(world, x, zealot, who, other, foe)
        world.population["opinion"] = x
        settled = params.noise == 0 and not any_difference(world.network, x, ~zealot)
        if settled or zealot.all():
            world.settle("nobody can change any more")
