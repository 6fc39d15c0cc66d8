"""Persuasion: which kind of argument moves a sceptic?

Question: does an appeal to knowledge, trust or support convince more people than one to power, romance or conflict, and
more than no argument at all?

Mechanism: people form dyads of a convincer and a skeptic. Each step is one round. The convincer writes one argument in
one of ten social dimensions (writing `argument`); with dimension = "none", the control arm, nobody writes. The skeptic
reports an opinion on a five-point scale, reads the argument, and decides whether to change it (decision `change`):
"yes" moves it one point towards the convincer. With dimension = "each" the dyads are dealt evenly over the ten
dimensions and the control arm. A skeptic whose convincer's text was unusable is not asked in that round; one who fully
agrees is not asked again, and the run stops when nobody is left to ask.
By rule: logit P(yes) = base - stubbornness + effect of the dimension, from the table below.

Source: Breum et al. (2023), The Persuasive Power of Large Language Models, 2312.15523; the ten dimensions are those of
Deri et al. (2018), Coloring in the Links. The numbers are ours, in the published order.
Expect: knowledge, trust, support and status lead, and even conflict does better than no argument. By rule without
stubbornness: knowledge .426, trust .378, support .354, status .332, control .076.
Units: opinions on a scale from 1 (strongly disagree) to 5 (strongly agree); one step is a round of one argument each.
"""

from typing import Literal

import numpy as np

from engine import (
    Categories,
    Choice,
    Decision,
    Measure,
    MicrocosmError,
    ScenarioParams,
    Words,
    Writing,
    column,
    knob,
    scenario,
)

# Constants of the rule: logit of a change; all ours, the order of effects that of Breum et al. (2023).
BASE = -1.2  # with an argument
NO_ARGUMENT = -2.5  # in place of base and effect
EFFECTS = {
    "knowledge": 0.9,
    "power": 0.0,
    "status": 0.5,
    "trust": 0.7,
    "support": 0.6,
    "romance": -0.2,
    "similarity": 0.3,
    "identity": 0.3,
    "fun": 0.1,
    "conflict": -0.5,
}
START = 2  # opinion of a skeptic at the start, "disagree"; ours
FIRM = 5  # opinion of a convincer; ours
CLAIM = "Cities should close their centres to private cars"  # ours

DIMENSIONS = (*EFFECTS, "none")
NONE = len(EFFECTS)
LOGITS = np.array([*(BASE + effect for effect in EFFECTS.values()), NO_ARGUMENT])
ROLES = ("convincer", "skeptic", "bystander")
CONVINCER, SKEPTIC, BYSTANDER = range(3)
ANSWERS = ("not asked", "no", "yes")
NOT_ASKED, NO, YES = range(3)

FIVE_POINTS = Words(
    (1.5, 2.5, 3.5, 4.5),
    ("strongly disagree", "disagree", "neither agree nor disagree", "agree", "strongly agree"),
)
APPEALS = {
    "knowledge": "knowledge: facts, reasons and information",
    "power": "power: what those who decide can enforce or reward",
    "status": "status: esteem and admiration for those who hold the view",
    "trust": "trust: that you are sincere and can be relied on",
    "support": "support: care, help and comfort for the other person",
    "romance": "romance: affection and intimacy",
    "similarity": "similarity: the interests and views that you two share",
    "identity": "identity: belonging to the same group or community",
    "fun": "fun: joy, humour and good times",
    "conflict": "conflict: contrast, disagreement and rivalry",
}
BY_RULE = {
    "knowledge": "The evidence is clear, and I can show you the numbers behind it.",
    "power": "Those in charge have decided on it, and it is better to be on their side.",
    "status": "The people whom we all look up to hold this view.",
    "trust": "You know that I would not tell you this if I did not believe it.",
    "support": "I know that this is hard for you, and I will help you with the change.",
    "romance": "It would mean the world to me to share this with you.",
    "similarity": "You and I see most things the same way, and so it is with this.",
    "identity": "People like us, from our community, stand for this.",
    "fun": "Think of how much fun we could have with it.",
    "conflict": "You are simply wrong, and you know it.",
}


class Params(ScenarioParams):
    """Knobs of persuasion."""

    dimension: Literal[
        "each",
        "knowledge",
        "power",
        "status",
        "trust",
        "support",
        "romance",
        "similarity",
        "identity",
        "fun",
        "conflict",
        "none",
    ] = knob("each", help="What the argument appeals to; none is the control arm, each deals out all.", at_setup=True)
    stubbornness: int = knob(0, help="How hard the skeptics are to convince: 0, 1 or 2.", ge=0, le=2)
    n_dyads: int = knob(1000, unit="dyads", help="Pairs of a convincer and a skeptic.", at_setup=True, ge=1)
    claim: str = knob(CLAIM, help="What the convincers argue for; shown to a language model.", max_length=300)


def persuade_by_rule(seen):
    """Return log weights of yes and no from the table of logits; ours, after Breum et al. (2023)."""
    return seen.log_weights(LOGITS[seen["dimension"]] - seen.params.stubbornness, 0.0)


SCENE = "Two people talk about a claim: {{ params.claim }}. One of them is convinced of it, the other one is not."

argument = Writing(
    "argument",
    rule=lambda seen: [BY_RULE[DIMENSIONS[code]] for code in seen["dimension"]],
    preamble=SCENE,
    question="You are the one who is convinced. Write one argument of one or two sentences that could change the other "
    "person's mind.",
    shows={"dimension": Categories((*APPEALS.values(), "nothing in particular"))},
    labels={"dimension": "Your argument appeals to"},
    persona_fields=("age", "gender", "occupation", "style"),
    max_tokens=64,
)

change = Decision(
    "change",
    Choice("yes", "no"),
    rule=persuade_by_rule,
    preamble=SCENE,
    question="You are the one who is not convinced. Does your opinion now move one step towards agreeing with it?",
    texts=("argument",),
    shows={
        "stubbornness": Categories(
            ("open to other views", "rather firm in your opinions", "very hard to convince of anything")
        ),
        "before": FIVE_POINTS,
    },
    labels={
        "argument": "The other person tells you",
        "stubbornness": "You are",
        "before": "Your answer to the claim so far",
    },
    persona_fields=("age", "gender", "education", "occupation", "big5_o", "big5_a"),
)


def by_dimension(values, chosen):
    """Return the measure's formula: the mean of `values(world)` over `chosen(world)`, for all and by dimension.

    Args:
        values: World -> one number per agent.
        chosen: World -> mask of agents.
    """

    def formula(world):
        mask, numbers = chosen(world), values(world)
        dimension = world.population["dimension"]
        segments = {"": float(numbers[mask].mean()) if mask.any() else 0.0}
        for code, name in enumerate(DIMENSIONS):
            part = mask & (dimension == code)
            if part.any():
                segments[name] = float(numbers[part].mean())
        return segments

    return formula


def was_asked(world):
    """Return which agents were asked in this round."""
    return world.population["answer"] != NOT_ASKED


@scenario(
    "persuasion",
    title="Persuasion",
    family="opinions",
    promise="A thousand sceptics hear one argument each: what it appeals to decides whether they give way.",
    params=Params,
    source="Breum et al. 2023",
    steps=1,
    unit="round",
    defaults={"population": {"size": 2000, "recipe": "adults_generic"}, "network": {"kind": "complete"}},
)
class Persuasion:
    """Dyads of a convincer (even ids) and a skeptic (odd ids); everyone beyond 2 n_dyads is a bystander."""

    display = "opinion"
    columns = {
        "role": column("int8", labels=ROLES, help="Part in the dyad.", initial=BYSTANDER),
        "dimension": column("int8", labels=DIMENSIONS, help="What the dyad's argument appeals to.", initial=NONE),
        "opinion_before": column(
            "int8", help="Agreement before the round.", low=1, high=5, presentation=FIVE_POINTS, initial=START
        ),
        "opinion": column(
            "int8", help="Agreement with the claim.", low=1, high=5, presentation=FIVE_POINTS, initial=START
        ),
        "answer": column("int8", labels=ANSWERS, help="Whether the skeptic changed its opinion in this round."),
    }
    decisions = (change,)
    writings = (argument,)
    measures = (
        Measure(
            "persuaded_share",
            by_dimension(lambda w: w.population["answer"] == YES, was_asked),
            "Share of the skeptics asked in this round who changed their opinion, for all and by dimension.",
            "Breum et al. (2023), persuasion probability",
            low=0,
            high=1,
        ),
        Measure(
            "mean_shift",
            by_dimension(lambda w: w.population["opinion"] - w.population["opinion_before"], was_asked),
            "Mean change of the skeptics' opinions in this round, for all and by dimension.",
            "ours",
            unit="points",
            low=0,
            high=4,
        ),
    )

    def setup(self, world):
        """Form the dyads and deal out the dimensions."""
        params, n = world.params, world.n_agents
        if 2 * params.n_dyads > n:
            raise MicrocosmError(
                f"n_dyads = {params.n_dyads} needs {2 * params.n_dyads} people and there are {n}; "
                "raise population.size or lower params.n_dyads"
            )
        agent = np.arange(n)
        inside = agent < 2 * params.n_dyads
        role = np.where(inside, agent % 2, BYSTANDER)
        arm = agent // 2 % len(DIMENSIONS) if params.dimension == "each" else DIMENSIONS.index(params.dimension)
        population = world.population
        if "opinion" not in world.given:
            population["opinion"] = np.where(role == CONVINCER, FIRM, START).astype(np.int8)
        elif not np.isin(population["opinion"], range(1, 6)).all():
            raise MicrocosmError("the population's opinions must be whole numbers from 1 to 5")
        population["opinion_before"] = population["opinion"].copy()
        population["role"] = role.astype(np.int8)
        population["dimension"] = np.where(inside, arm, NONE).astype(np.int8)

    def step(self, world):
        """Let convincers write, and skeptics read and answer."""
        population = world.population
        dimension, before = population["dimension"], population["opinion"]
        skeptic = np.flatnonzero((population["role"] == SKEPTIC) & (before < FIRM))
        convinced = skeptic[dimension[skeptic] != NONE]
        text = np.full(world.n_agents, -1, np.int64)
        text[convinced] = world.write(argument, convinced - 1, dimension=dimension[convinced])
        asked = skeptic[(text[skeptic] >= 0) | (dimension[skeptic] == NONE)]
        action = world.decide(
            change,
            asked,
            texts={"argument": text[asked]},
            dimension=dimension[asked],
            stubbornness=world.params.stubbornness,
            before=before[asked],
        )
        answer, after = np.full(world.n_agents, NOT_ASKED, np.int8), before.copy()
        answer[asked] = np.where(action == 0, YES, NO)
        after[asked[action == 0]] += 1
        population["answer"], population["opinion_before"], population["opinion"] = answer, before, after
        if not np.any(after[population["role"] == SKEPTIC] < FIRM):
            world.settle("every skeptic agrees")
