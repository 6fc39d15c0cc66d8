"""Shared yard: do five neighbours carry away enough of the trash that piles up?

Question: who works for a commons when the work is a cost and its fruit belongs to everyone?

Mechanism: the inverse of `fishery`. The yard starts with 100 units of trash. Each month everyone privately decides how
many of 0 to 100 units to carry away (decision `harvest`), at `cost` each. S = h - what was carried away; above 95 units
the yard is closed and the run ends (that month counts); otherwise the next stock is min(100, S + 50). Effort and
survival are reported apart: because the pile never exceeds 100, carrying away only 5 units a month in total survives
for ever. By rule: sustainable = an equal share of what comes in, rounded up; fixed = fixed_request; greedy = nothing.
If together people offer more than there is, it is shared out as in `fishery`, and so are talk, hint and newcomer.

Source: Curvo et al. (2025), reproducibility study of Cooperate or Collapse, 2505.09289, inverse environment.
Expect: without anyone working the yard closes in month 1; 5 units a month in total keep it open with 100 units of
trash; 50 a month in total hold the pile where it is.
Units: units of trash; one step is a month.
"""

from typing import Literal

import numpy as np

from engine import Measure, knob, scenario
from scenarios._commons import (
    CAP,
    FIXED_REQUEST,
    MONTHS,
    PEOPLE,
    SLACK,
    Commons,
    CommonsParams,
    commons_columns,
    commons_measures,
    months_efficiency,
    totals,
)
from scenarios._commons_words import (
    LARGEST_REQUEST,
    Wording,
    build_harvest,
    build_reflection,
    build_utterance,
    request_by_rule,
)

# Constants: value, source.
INFLOW = 50.0  # trash that arrives each month; Curvo et al. (2025)
THRESHOLD = 95.0  # the yard is closed above; Curvo et al. (2025)
COST = 1.0  # cost of carrying one unit; ours

WORDING = Wording(
    scene="You are one of a few neighbours who share one yard, where trash piles up. Each month every neighbour "
    "decides in private how many units of trash to carry away; each unit costs you {{ '%g' | format(params.cost) }} "
    "of your own money, and the clean yard belongs to everyone. At the end of the month "
    "{{ '%g' | format(params.growth) }} new units arrive, but the pile never exceeds "
    "{{ '%g' | format(params.cap) }} units. "
    "If more than {{ '%g' | format(params.threshold) }} units "
    "lie there after the carrying, the town closes the yard for good. {% if params.talk %}After the "
    "carrying everyone learns how much each neighbour offered and carried away, and all talk about it.{% else %}Nobody "
    "learns how much the others carry away.{% endif %}",
    question="How many units of trash do you carry away this month?",
    unit="units",
    stock="Trash in the yard now",
    stock_unit="units",
    received="You carried away last month",
    took="carried away",
    now="The month is over and {stock} units of trash now lie in the yard.",
    hint="If everyone carries away fewer than {share} units, there will be more trash in the yard next month.",
    plan={
        "sustainable": "If each of us carries away {share} next month, the pile does not grow.",
        "fixed": "I will carry away {fixed} next month.",
        "greedy": "I will leave it to you next month.",
    },
    aims=("to live well beside the yard", "to make as much money as possible"),
)


class Params(CommonsParams):
    """Knobs of the yard."""

    rule: Literal["sustainable", "fixed", "greedy"] = knob(
        "sustainable", help="What people do by rule: an equal share of what comes in, a fixed number, or nothing."
    )
    fixed_request: int = knob(
        FIXED_REQUEST, unit="units", help="Units that each carries away under rule = fixed.", ge=0, le=LARGEST_REQUEST
    )
    cap: float = knob(CAP, unit="units", help="Largest pile, and the pile at the start.", ge=1, le=10_000)
    growth: float = knob(INFLOW, unit="units per month", help="Trash that arrives each month.", ge=0, le=10_000)
    threshold: float = knob(THRESHOLD, unit="units", help="The yard is closed when more than this is left.", ge=0)
    cost: float = knob(COST, unit="money per unit", help="Cost of carrying one unit away.", ge=0)


def sustainable(seen):
    """Carry away an equal share of what comes in, rounded up; ours."""
    return np.ceil(seen.params.growth / seen["n_people"] - SLACK)


def greedy(seen):
    """Leave it to the others; ours."""
    return np.zeros(len(seen))


def efficiency(world):
    """Return how much of the trash that comes in during the game was carried away.

    Source: Piatti et al. (2024), metrics, with the inflow in place of what regrows.
    """
    return months_efficiency(world.env["received"], world.params.growth, world.study.steps)


@scenario(
    "trash",
    title="Shared yard",
    family="commons",
    promise="Trash piles up in a shared yard: someone has to carry it away, and nobody has to.",
    params=Params,
    source="Curvo et al. 2025",
    steps=MONTHS,
    unit="month",
    defaults={"population": {"size": PEOPLE, "personas": "town_25"}, "network": {"kind": "complete"}},
)
class Trash(Commons):
    """A yard and the neighbours around it."""

    wording = WORDING
    total = "effort"
    harvest = build_harvest(WORDING, request_by_rule(sustainable, greedy))
    utterance, reflection = build_utterance(WORDING), build_reflection(WORDING)
    columns = commons_columns("units", "effort", "What the person has carried away in all months.")
    decisions = (harvest,)
    writings = (utterance, reflection)
    measures = (
        *commons_measures(
            efficiency,
            "units",
            "effort",
            "Share of person-months in which less was carried away than an equal share of what comes in.",
        ),
        Measure(
            "gain_mean",
            lambda w: -w.params.cost * totals(w, "effort").mean(),
            "Mean gain per person so far: minus the cost of the effort.",
            "ours",
            "money",
            high=0,
        ),
    )

    def fair_share(self, params, stock, n_people):
        """Return an equal share of what comes in; ours."""
        return params.growth / n_people

    def overuses(self, received, share):
        """Tell for each person whether this was less than an equal share."""
        return received < share - SLACK

    def is_over(self, params, left):
        """Tell whether too much is left."""
        return left > params.threshold

    def grow(self, params, left):
        """Return the pile of the next month."""
        return min(params.cap, left + params.growth)
