"""Repeated averaging: does a group that keeps listening to one another end in agreement, and at which opinion?

Question: where do opinions meet, and how soon, when everyone moves to a mixture of their own and their neighbours'?

Mechanism: everyone at once, x(t+1) = W x(t) with W = w I + (1 - w) D^-1 A, w the self-weight and A the ties of all
layers together, with their weights where they have some; D holds the row sums of A. Who has no ties keeps x. A tie of
negative weight is one between opponents: they count by its size, and a person moves towards the opposite, 1 - x, of
an opponent's opinion; on the scale 2 x - 1 that is the same rule with signed A and the row sums of |A| in D. Opinions
start uniform at random, or from an `opinion` column of the population. Nobody decides anything: this is a mechanism.
The run stops when rounding is all that still moves.

Source: DeGroot (1974), Journal of the American Statistical Association 69, 118-121; weights by ties as in Golub and
Jackson (2010), American Economic Journal: Microeconomics 2, 112-149; negative ties Altafini (2013), IEEE Transactions
on Automatic Control 58, 935-946.
Expect: agreement within each connected part, at the mean of the first opinions weighed by people's ties, so that the
well connected count for more. The distance to it shrinks by the second eigenvalue of W each step: .967 on a ring of
20 with w = 1/3. With negative ties that are balanced (two camps, friends inside and foes across), the camps end at
opposite opinions, equally far from 1/2; where ties are not balanced, everyone ends at 1/2.
Units: opinions are on [0, 1]; one step is one round of listening to everyone.
"""

import numpy as np
from numba import njit

from engine import Measure, MicrocosmError, ScenarioParams, column, knob, scenario
from scenarios._classics import average_neighbours, opinion_range, run_over

# Constants of the rule: value, source.
SELF_WEIGHT = 0.5  # ours; any weight above 0 gives agreement
TOLERANCE = 4 * float(np.finfo(np.float64).eps)  # largest move that is put down to rounding; ours


class Params(ScenarioParams):
    """Knobs of repeated averaging."""

    self_weight: float = knob(
        SELF_WEIGHT, help="Weight that people give to their own opinion; the neighbours share the rest.", gt=0, le=1
    )


def start_opinions(world):
    """Give everyone an opinion drawn uniformly from [0, 1], unless the population brought them.

    Raises:
        MicrocosmError: opinions outside [0, 1].
    """
    start = world.population["opinion"]
    if "opinion" not in world.given:
        world.population["opinion"] = world.uniform("initial_opinion").astype(start.dtype)
    elif not np.all((start >= 0) & (start <= 1)):
        raise MicrocosmError(
            f"the population's opinions run from {start.min()} to {start.max()}; they must lie in [0, 1] "
            "@ population.columns.opinion"
        )


def measure_spread(world):
    """Return the distance between the lowest and the highest opinion."""
    return float(np.ptp(world.population["opinion"]))


MEASURES = (
    Measure("mean_opinion", lambda w: w.population["opinion"].mean(dtype=float), "Mean opinion.", "ours", "", 0, 1),
    Measure("spread", measure_spread, "Distance between the lowest and the highest opinion.", "ours", "", 0, 1),
)


def average(network, x, self_weight):
    """Return W x, float64 (n,), kept within `opinion_range` against rounding.

    Source: DeGroot (1974), eq. 1; with negative ties Altafini (2013), in steps of discrete time.
    """
    mean, tied = average_neighbours(network, x)
    run_over(network, _weigh, x, mean, tied, self_weight, *opinion_range(network, x))
    return mean


@njit(cache=True, nogil=True)
def _weigh(begin, end, x, mean, tied, self_weight, low, high):
    """Replace `mean` by w x + (1 - w) mean between low and high where there are ties."""
    for i in range(begin, end):
        if tied[i]:
            mean[i] = min(max(self_weight * x[i] + (1 - self_weight) * mean[i], low), high)


@scenario(
    "degroot",
    title="Repeated averaging",
    family="opinions",
    promise="Scattered opinions melt into one, and it leans towards those whom most people listen to.",
    params=Params,
    source="DeGroot 1974",
    steps=200,
    defaults={
        "population": {"size": 1000},
        "network": {"kind": "watts_strogatz", "k": 10, "p_rewire": 0.1},
    },
    signed_ties=True,
)
class DeGroot:
    """Opinions on [0, 1] that are averaged over ties, again and again."""

    display = "opinion"
    columns = {
        "opinion": column("float64", help="Opinion from 0 (against) to 1 (in favour).", low=0, high=1, initial=0.5)
    }
    decisions = ()
    measures = MEASURES

    def setup(self, world):
        """Give everyone an opinion."""
        start_opinions(world)

    def step(self, world):
        """Average once; work in float64 and store in the column's type."""
        stored = world.population["opinion"]
        before = stored.astype(np.float64)
        after = average(world.network, before, world.params.self_weight).astype(stored.dtype)
        world.population["opinion"] = after
        if np.abs(after - before).max() <= TOLERANCE:
            world.settle("no opinion moves any more")
