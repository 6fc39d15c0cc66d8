"""Stubborn averaging: how much disagreement is left when people never quite let go of their first opinion?

Question: where do opinions settle when everyone listens to their neighbours but stays anchored where they began?

Mechanism: everyone at once, x(t+1) = S W x(t) + (I - S) x(0) with W = D^-1 A, A the ties of all layers together (with
their weights where they have some, negative ones as in `degroot`: the opposite of an opponent's opinion counts) and S
the diagonal of susceptibilities. Who has no ties keeps x. The susceptibility is one number for all, or each person's
own from a `susceptibility` column of the population. The spectral radius of S W must lie below 1: everyone must be
reached by the opinion of somebody who is anchored, that is, not wholly susceptible. Opinions start uniform at random,
or from an `opinion` column of the population. Nobody decides anything: this is a mechanism. The run stops when
rounding is all that still moves.

Source: Friedkin and Johnsen (1990), Journal of Mathematical Sociology 15, 193-206; (1999), Advances in Group Processes
16, 1-29, eq. 1; negative ties Altafini (2013), IEEE Transactions on Automatic Control 58, 935-946.
Expect: opinions come closer but do not agree; they settle at (I - S W)^-1 (I - S) x(0). The less susceptible people
are, the more of the first disagreement stays.
Units: opinions and susceptibility are on [0, 1]; one step is one round of listening to everyone.
"""

import numpy as np

from engine import MicrocosmError, ScenarioParams, column, knob, scenario
from scenarios._classics import average_neighbours, opinion_range
from scenarios.degroot import MEASURES, TOLERANCE, start_opinions

# Constant of the rule: value, source.
SUSCEPTIBILITY = 0.8  # ours
LEAST_ANCHOR = 1e-3  # rounding can keep moving opinions by its size over the smallest 1 - s, or over this; ours


class Params(ScenarioParams):
    """Knobs of stubborn averaging."""

    susceptibility: float = knob(
        SUSCEPTIBILITY, help="Weight of the neighbours' opinions; the rest stays with one's first opinion.", ge=0, lt=1
    )
    own_susceptibility: bool = knob(
        False, help="Whether each person's own susceptibility, a column of the population, replaces that number."
    )


def susceptibilities(world):
    """Return the susceptibility of each agent, float64 (n,).

    Raises:
        MicrocosmError: the population has no such column, or it leaves [0, 1].
    """
    if not world.params.own_susceptibility:
        return np.full(world.n_agents, world.params.susceptibility)
    if "susceptibility" not in world.population:
        raise MicrocosmError(
            "own_susceptibility needs a population with a susceptibility column; "
            "give population.columns.susceptibility or a recipe that has one, or set params.own_susceptibility to false"
        )
    own = world.population["susceptibility"].astype(np.float64)
    if not np.all((own >= 0) & (own <= 1)):
        raise MicrocosmError(
            f"the population's susceptibilities run from {own.min()} to {own.max()}; they must lie in [0, 1] "
            "@ population.columns.susceptibility"
        )
    return own


def check_anchored(network, susceptibility):
    """Refuse people whom no anchored opinion reaches: the spectral radius of S W would be 1.

    Raises:
        MicrocosmError: names how many and the first of them.
    """
    anchored = susceptibility < 1
    while True:
        heard, tied = average_neighbours(network, anchored.astype(np.float64), mirrored=False)
        reached = anchored | (heard > 0) | ~tied
        if np.array_equal(reached, anchored):
            break
        anchored = reached
    lost = np.flatnonzero(~anchored)
    if lost.size:
        raise MicrocosmError(
            f"{lost.size} people (the first is agent {lost[0]}) are wholly susceptible and hear nobody who is not, "
            "directly or through others, so their opinions need not settle; lower somebody's susceptibility below 1 "
            "@ population.columns.susceptibility"
        )


@scenario(
    "friedkin_johnsen",
    title="Stubborn averaging",
    family="opinions",
    promise="Opinions draw together and then stop short of agreement, held back by where each person began.",
    params=Params,
    source="Friedkin and Johnsen 1990",
    steps=100,
    defaults={
        "population": {"size": 1000, "recipe": "adults_generic"},
        "network": {"kind": "watts_strogatz", "k": 10, "p_rewire": 0.1},
    },
    signed_ties=True,
)
class FriedkinJohnsen:
    """Opinions on [0, 1] that are averaged over ties and pulled back to where they began."""

    display = "opinion"
    columns = {
        "opinion": column("float64", help="Opinion from 0 (against) to 1 (in favour).", low=0, high=1, initial=0.5),
        "first_opinion": column("float64", help="Opinion at the start, the anchor.", low=0, high=1, initial=0.5),
    }
    decisions = ()
    measures = MEASURES

    def setup(self, world):
        """Give everyone an opinion and remember it."""
        start_opinions(world)
        world.population["first_opinion"] = world.population["opinion"].copy()
        check_anchored(world.network, susceptibilities(world))

    def step(self, world):
        """Average once; work in float64 and store in the column's type."""
        stored, first = world.population["opinion"], world.population["first_opinion"].astype(np.float64)
        before = stored.astype(np.float64)
        mean, tied = average_neighbours(world.network, before)
        s = susceptibilities(world)
        x = np.where(tied, s * mean + (1 - s) * first, before)
        after = np.clip(x, *opinion_range(world.network, before, first)).astype(stored.dtype)
        world.population["opinion"] = after
        if np.abs(after - before).max() <= TOLERANCE / max(1 - s.max(), LEAST_ANCHOR):
            world.settle("no opinion moves any more")
