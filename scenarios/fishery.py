"""Shared fishery: do five people who fish one lake keep it alive for a year?

Question: what keeps people from emptying a stock that all of them share: foresight, talk, a hint, or the lack of a
newcomer who does not know the habits?

Mechanism: `scenarios/_commons.py` in the words of a lake. The stock h starts at 100 tonnes. Each month everyone
privately asks for 0 to 100 tonnes (decision `harvest`). If that is more than there is, it is shared out tonne by
tonne at random, or in proportion. S = h - what was caught; below 5 tonnes the fish die out and the run ends (that
month counts); otherwise the next stock is min(100, 2 S). Nobody is told the number of months. With `talk` everyone
learns every request and catch from a neutral moderator and one conversation of at most ten turns follows; by rule the
utterances are fixed sentences that change nothing. With `hint` everyone is told the universalized fair share floor(h
/ (2N)). With `newcomer` the last of the people joins after month 3 and is told to make as much money as possible (by
rule it asks as the others do): the five people of the study fish as four at first. Such a study sets steps = 15. The
months of the game, T in the efficiency, are the study's steps.
By rule: sustainable = floor(h / (2N)); fixed = fixed_request; greedy = all that is there, at most 100.

Source: Piatti et al. (2024), Cooperate or Collapse, 2404.16698.
Expect: requests of 50 in total last for ever (120 tonnes each in 12 months); 60 end in month 3 with 32 tonnes each;
100 or more end at once with 20 each. No plan of 12 months yields more than 130 each. Published language models:
GPT-4o survives 53 %; Llama-3-8B and Mistral-7B collapse in month 1; with the hint Llama-3-8B lasts 8.0 months.
Units: tonnes; one step is a month.
"""

import numpy as np

from engine import knob, scenario
from scenarios._commons import (
    CAP,
    MONTHS,
    PEOPLE,
    SLACK,
    THRESHOLD,
    Commons,
    CommonsParams,
    commons_columns,
    commons_measures,
    months_efficiency,
)
from scenarios._commons_words import Wording, build_harvest, build_reflection, build_utterance, request_by_rule

WORDING = Wording(
    scene="You are one of a few people who live from fishing in the same lake. Each month everyone decides in private "
    "how many tonnes of fish to catch, and sells what they caught. If together they ask for more than there is, it is "
    "{% if params.allocation == 'proportional' %}shared out in proportion{% else %}shared out by chance{% endif %}. At "
    "the end of the month the fish that are left multiply by {{ '%g' | format(params.growth) }}, but the lake "
    "never holds more than {{ '%g' | format(params.cap) }} tonnes. If fewer than {{ '%g' | format(params.threshold) }} "
    "tonnes are left after the catch, the fish die out and nobody can fish here again. "
    "{% if params.talk %}After the catch everyone learns what each person asked for and caught, and all talk about it."
    "{% else %}Nobody learns what the others ask for or catch.{% endif %}",
    question="How many tonnes of fish do you ask for this month?",
    unit="tonnes",
    stock="Fish in the lake now",
    stock_unit="tonnes",
    received="You caught last month",
    took="caught",
    now="The month is over and the lake now holds {stock} tonnes of fish.",
    hint="If everyone takes more than {share} tonnes of fish, there will be less fish in the lake next month.",
    plan={
        "sustainable": "If each of us asks for {share} next month, the lake stays full.",
        "fixed": "I will ask for {fixed} next month.",
        "greedy": "I will take as much as I can get next month.",
    },
    aims=("to make a good living from the lake", "to make as much money as possible"),
)


def sustainable(seen):
    """Ask for an equal share of what regrows, floor(h / (2N)).

    Source: Piatti et al. (2024).
    """
    return np.floor(seen["stock"] * (1 - 1 / seen.params.growth) / seen["n_people"] + SLACK)


def greedy(seen):
    """Ask for everything."""
    return np.floor(seen["stock"] + SLACK)


def efficiency(world):
    """Return how much of the largest sustainable total was caught, T being the steps of the study.

    Source: Piatti et al. (2024), metrics.
    """
    params = world.params
    return months_efficiency(world.env["received"], params.cap * (1 - 1 / params.growth), world.study.steps)


class Params(CommonsParams):
    """Knobs of the fishery."""

    cap: float = knob(CAP, unit="t", help="Fish that the lake can hold, and holds at the start.", ge=1, le=10_000)
    threshold: float = knob(THRESHOLD, unit="t", help="The fish die out when less than this is left.", ge=0)


@scenario(
    "fishery",
    title="Shared fishery",
    family="commons",
    promise="Five people fish one lake: by rule it lasts, by greed it is empty in a month, and talk decides the rest.",
    params=Params,
    source="Piatti et al. 2024",
    steps=MONTHS,
    unit="month",
    defaults={"population": {"size": PEOPLE, "personas": "town_25"}, "network": {"kind": "complete"}},
)
class Fishery(Commons):
    """A lake and those who fish it."""

    wording = WORDING
    harvest = build_harvest(WORDING, request_by_rule(sustainable, greedy))
    utterance, reflection = build_utterance(WORDING), build_reflection(WORDING)
    columns = commons_columns("tonnes")
    decisions = (harvest,)
    writings = (utterance, reflection)
    measures = commons_measures(
        efficiency, "tonnes", overuse_help="Share of person-months with a catch above the fair share h / (2N)."
    )
