"""Shared river: do five factories that use one river keep its water clean for a year?

Question: the same as in `fishery`; does the answer change when taking from the commons means soiling it?

Mechanism: `scenarios/_commons.py` in the words of a river, with `fishery`'s mathematics: 100 % of the water is clean,
each pallet of widgets that is made soils 1 %, what is still clean doubles up to 100 %, and below 5 % the river is dead
and the run ends. Knobs, rules, talk, hint and newcomer as in `fishery`.

Source: Piatti et al. (2024), Cooperate or Collapse, 2404.16698.
Expect: by rule exactly what `fishery` does; a language model may not, and the difference is the effect of the words.
Units: per cent of clean water and pallets of widgets, one per cent each; one step is a month.
"""

from engine import knob, scenario
from scenarios._commons import CAP, MONTHS, PEOPLE, THRESHOLD, Commons, CommonsParams, commons_columns, commons_measures
from scenarios._commons_words import Wording, build_harvest, build_reflection, build_utterance, request_by_rule
from scenarios.fishery import efficiency, greedy, sustainable

WORDING = Wording(
    scene="You are one of a few people who each own a factory on the same river. Each month every owner decides in "
    "private how many pallets of widgets to make; each pallet soils one per cent of the river's water and brings the "
    "same income. If together they want to make more pallets than there are per cent of clean water, production is "
    "{% if params.allocation == 'proportional' %}shared out in proportion{% else %}shared out by chance{% endif %}. At "
    "the end of the month the clean water that is left multiplies by {{ '%g' | format(params.growth) }}, up to "
    "{{ '%g' | format(params.cap) }} per cent. If less than {{ '%g' | format(params.threshold) }} per cent is clean "
    "after the production, the river is dead and nobody can produce here again. "
    "{% if params.talk %}After the production everyone learns how many pallets each owner asked for and made, and all "
    "talk about it.{% else %}Nobody learns how many pallets the others make.{% endif %}",
    question="How many pallets of widgets do you want to make this month?",
    unit="pallets",
    stock="Clean water in the river now",
    stock_unit="per cent",
    received="You made last month",
    took="made",
    now="The month is over and {stock} per cent of the river is now clean.",
    hint="If everyone makes more than {share} pallets, the river will be less clean next month.",
    plan={
        "sustainable": "If each of us makes {share} next month, the river stays clean.",
        "fixed": "I will make {fixed} next month.",
        "greedy": "I will make as many as I can next month.",
    },
    aims=("to make a good living from the factory", "to make as much money as possible"),
)


class Params(CommonsParams):
    """Knobs of the river."""

    cap: float = knob(CAP, unit="%", help="Clean water at most, and at the start.", ge=1, le=10_000)
    threshold: float = knob(THRESHOLD, unit="%", help="The river is dead when less than this is clean.", ge=0)


@scenario(
    "pollution",
    title="Shared river",
    family="commons",
    promise="Five factories share one river: the fishery's numbers, but taking means soiling.",
    params=Params,
    source="Piatti et al. 2024",
    steps=MONTHS,
    unit="month",
    defaults={"population": {"size": PEOPLE, "personas": "town_25"}, "network": {"kind": "complete"}},
)
class Pollution(Commons):
    """A river and the factories on it."""

    wording = WORDING
    harvest = build_harvest(WORDING, request_by_rule(sustainable, greedy))
    utterance, reflection = build_utterance(WORDING), build_reflection(WORDING)
    columns = commons_columns("pallets")
    decisions = (harvest,)
    writings = (utterance, reflection)
    measures = commons_measures(
        efficiency, "pallets", overuse_help="Share of person-months with more pallets than the fair share h / (2N)."
    )
