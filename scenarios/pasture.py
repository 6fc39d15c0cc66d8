"""Shared pasture: do five herders who graze one meadow keep it green for a year?

Question: the same as in `fishery`; does the answer change when the commons has another name?

Mechanism: `scenarios/_commons.py` in the words of a meadow, with `fishery`'s mathematics: 100 hectares of grass, each
flock that is sent out eats one hectare, what is left doubles up to 100, and below 5 hectares the meadow turns to dust
and the run ends. Knobs, rules, talk, hint and newcomer as in `fishery`.

Source: Piatti et al. (2024), Cooperate or Collapse, 2404.16698.
Expect: by rule exactly what `fishery` does; a language model may not, and the difference is the effect of the words.
Units: hectares of grass and flocks of sheep, one hectare each; one step is a month.
"""

from engine import knob, scenario
from scenarios._commons import CAP, MONTHS, PEOPLE, THRESHOLD, Commons, CommonsParams, commons_columns, commons_measures
from scenarios._commons_words import Wording, build_harvest, build_reflection, build_utterance, request_by_rule
from scenarios.fishery import efficiency, greedy, sustainable

WORDING = Wording(
    scene="You are one of a few herders who graze their sheep on the same meadow. Each month every herder decides in "
    "private how many flocks to send out; each flock eats one hectare of grass and brings the same income. If together "
    "they want to send more flocks than there are hectares, the grass is "
    "{% if params.allocation == 'proportional' %}shared out in proportion{% else %}shared out by chance{% endif %}. At "
    "the end of the month the grass that is left multiplies by {{ '%g' | format(params.growth) }}, but never covers "
    "more than {{ '%g' | format(params.cap) }} hectares. If fewer than {{ '%g' | format(params.threshold) }} hectares "
    "are left after the grazing, the meadow turns to dust and nobody can graze here again. "
    "{% if params.talk %}After the grazing everyone learns how many flocks each herder asked for and sent, and all "
    "talk about it.{% else %}Nobody learns how many flocks the others send.{% endif %}",
    question="How many flocks do you want to send out this month?",
    unit="flocks",
    stock="Grass on the meadow now",
    stock_unit="hectares",
    received="You grazed last month",
    took="grazed",
    now="The month is over and there are now {stock} hectares of grass.",
    hint="If everyone sends out more than {share} flocks, there will be less grass on the meadow next month.",
    plan={
        "sustainable": "If each of us sends out {share} next month, the meadow stays green.",
        "fixed": "I will send out {fixed} next month.",
        "greedy": "I will send out as many as I can next month.",
    },
    aims=("to make a good living from the sheep", "to make as much money as possible"),
)


class Params(CommonsParams):
    """Knobs of the pasture."""

    cap: float = knob(
        CAP, unit="ha", help="Grass that the meadow can carry, and carries at the start.", ge=1, le=10_000
    )
    threshold: float = knob(THRESHOLD, unit="ha", help="The meadow turns to dust when less than this is left.", ge=0)


@scenario(
    "pasture",
    title="Shared pasture",
    family="commons",
    promise="Five herders share one meadow: the fishery's numbers in other words.",
    params=Params,
    source="Piatti et al. 2024",
    steps=MONTHS,
    unit="month",
    defaults={"population": {"size": PEOPLE, "personas": "town_25"}, "network": {"kind": "complete"}},
)
class Pasture(Commons):
    """A meadow and those who graze it."""

    wording = WORDING
    harvest = build_harvest(WORDING, request_by_rule(sustainable, greedy))
    utterance, reflection = build_utterance(WORDING), build_reflection(WORDING)
    columns = commons_columns("flocks")
    decisions = (harvest,)
    writings = (utterance, reflection)
    measures = commons_measures(
        efficiency, "flocks", overuse_help="Share of person-months with more flocks than the fair share h / (2N)."
    )
