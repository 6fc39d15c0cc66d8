"""Threshold cascade: when does one adopter set off a wave that runs through everyone?

Question: how must people be tied to one another for a single first adopter to carry nearly everybody along?

Mechanism: everyone at once, from the state at t. Who has not adopted sees the share of adopters among their neighbours
(over all layers; a neighbour in two layers counts twice, weights play no part) and decides (decision `adopt`); who
adopts has adopted for ever. By rule one adopts when at least phi x degree neighbours have, compared as counts with a
tolerance of 1e-9. People without ties are never asked. n_seeds first adopters are drawn at random, unless the
population brings an `adopted` column. By rule the run stops at the first step in which nobody adopts.

Source: Granovetter (1978), American Journal of Sociology 83, 1420-1443; Watts (2002), PNAS 99, 5766-5771.
Expect: with random ties, z on average, and one first adopter, waves run only inside a window: neither where ties are
too few to pass it on, nor where they are so many that one adopter is outvoted everywhere. For phi = .18 the window runs
from z = 1.02 to 5.77. At its lower edge waves grow slowly with z; at the upper edge they are rare and take nearly all.
Units: one step is one round in which everyone looks around once.
"""

import numpy as np
from numba import njit

from engine import Choice, Decision, Measure, ScenarioParams, column, knob, scenario
from scenarios._classics import ELEVEN_SHARES, count_neighbours, draw_seeds, given_codes, join_layers

# Constants of the rule: value, source.
PHI = 0.18  # Watts (2002), figure 1 and 2
TOLERANCE = 1e-9  # of a count of neighbours, against rounding of phi x degree; ours
PRODUCT = "a new way of paying with the telephone"  # ours

YES, NO = 0, 1
LABELS = ("not yet", "adopted")


class Params(ScenarioParams):
    """Knobs of the threshold cascade."""

    phi: float = knob(PHI, help="Share of neighbours that must have adopted before a person does.", ge=0, le=1)
    n_seeds: int = knob(5, unit="people", help="First adopters, drawn at random.", at_setup=True, ge=0)
    product: str = knob(PRODUCT, help="What people adopt; shown to a language model.", max_length=200)


def above_threshold(seen):
    """Adopt where at least phi x degree neighbours have; Watts (2002), model section."""
    return np.where(seen["adopters"] >= seen.params.phi * seen["degree"] - TOLERANCE, YES, NO)


adopt = Decision(
    "adopt",
    Choice("yes", "no"),
    rule=above_threshold,
    preamble="In a town, {{ params.product }} is spreading. Some people have taken it up, and they stay with it; the "
    "others see who around them has.",
    question="You have not taken it up yet. Do you take it up now?",
    shows={"share": ELEVEN_SHARES},
    labels={"share": "Of the people you know, this many have taken it up"},
    persona_fields=("age", "education", "big5_o"),
)


@njit(cache=True, nogil=True)
def _adopt_all(adopted, out, indptr, indices, n_complete, phi):
    """Write into `out` who has adopted at t + 1, by rule, from `adopted` at t; return how many are new."""
    everywhere = n_complete * np.count_nonzero(adopted)
    others = n_complete * (adopted.size - 1)
    new = 0
    for i in range(adopted.size):
        out[i] = adopted[i]
        degree = indptr[i + 1] - indptr[i] + others
        if adopted[i] or degree == 0:
            continue
        needed = phi * degree - TOLERANCE
        adopters = everywhere
        e = indptr[i]
        while adopters < needed and e < indptr[i + 1]:
            adopters += adopted[indices[e]]
            e += 1
        if adopters >= needed:
            out[i] = 1
            new += 1
    return new


def adopt_by_decision(world, adopted):
    """Return who has adopted after everyone with ties who had not was asked through `world.decide`, int8 (n,)."""
    adopters, degree = count_neighbours(world.network, adopted > 0)
    asked = np.flatnonzero((adopted == 0) & (degree > 0))
    seen = {"share": adopters[asked] / degree[asked], "adopters": adopters[asked], "degree": degree[asked]}
    action = world.decide(adopt, asked, **seen)
    after = adopted.copy()
    after[asked[action == YES]] = 1
    return after


@scenario(
    "threshold_cascade",
    title="Threshold cascade",
    family="spreading",
    promise="A handful of first adopters: either nothing happens, or all at once nearly everybody follows.",
    params=Params,
    source="Watts 2002",
    steps=60,
    defaults={
        "population": {"size": 2000, "recipe": "adults_generic"},
        "network": {"kind": "erdos_renyi", "mean_degree": 4.0},
    },
)
class ThresholdCascade:
    """Adoption for ever, once enough neighbours have adopted."""

    display = "adopted"
    columns = {"adopted": column("int8", labels=LABELS, help="Whether the person has adopted.")}
    decisions = (adopt,)
    measures = (
        Measure(
            "adopted_share",
            lambda w: np.count_nonzero(w.population["adopted"]) / w.n_agents,
            "Share of people who have adopted.",
            "ours",
            low=0,
            high=1,
        ),
    )

    def setup(self, world):
        """Draw the first adopters, unless the population brought them."""
        if "adopted" in world.given:
            world.population["adopted"] = given_codes(world.persona, "adopted", LABELS)
            return
        adopted = np.zeros(world.n_agents, np.int8)
        adopted[draw_seeds(world)] = 1
        world.population["adopted"] = adopted

    def step(self, world):
        """Let everyone who has not adopted look around once."""
        before = world.population["adopted"]
        by_rule = world.decided_by_rule(adopt)
        if by_rule:
            after = np.empty_like(before)
            _adopt_all(before, after, *join_layers(world.network), world.params.phi)
        else:
            after = adopt_by_decision(world, before)
        world.population["adopted"] = after
        if after.all() or (by_rule and np.array_equal(after, before)):
            world.settle("nobody adopts any more")
