"""The words of a commons scenario: what `fishery`, `pasture`, `pollution` and `trash` say to those who decide.

One `Wording` turns the shared mechanism into a lake, a meadow, a river or a yard; from it come the decision `harvest`,
the utterances of the conversation and the reflections after it.

Source: the wordings follow the roles of Piatti et al. (2024), 2404.16698, in our own sentences.
"""

from dataclasses import dataclass

import numpy as np

from engine import Categories, Decision, Integers, Rounded, Writing

LARGEST_REQUEST = 100  # Piatti et al. (2024), 2404.16698, section 2
TEXT_TOKENS = 64  # longest utterance or reflection in tokens; ours


@dataclass(frozen=True)
class Wording:
    """The words that turn the mechanism into a lake, a pasture, a river or a yard.

    Attributes:
        scene: Preamble of every prompt; may use `{{ params.NAME }}`.
        question: What is asked each month.
        unit: Unit of a request.
        stock: Words before the stock.
        stock_unit: Unit of the stock.
        received: Words before what one received last month.
        took: Verb of the report, for example "caught".
        now: Sentence on the new stock with `{stock}`.
        hint: Universalization hint with `{share}`.
        plan: What a rule says it will do, by rule; may use `{share}`.
        aims: An old hand's aim, and the newcomer's.
    """

    scene: str
    question: str
    unit: str
    stock: str
    stock_unit: str
    received: str
    took: str
    now: str
    hint: str
    plan: dict[str, str]
    aims: tuple[str, str]


@dataclass(frozen=True)
class LastReceived:
    """What one received last month, in whole units; code 0 says that there was no last month."""

    unit: str

    @property
    def n_codes(self):
        """Number of different texts."""
        return LARGEST_REQUEST + 2

    def codes(self, values):
        """Return one more than the number received; -1 stands for no month so far."""
        return np.clip(np.asarray(values, np.int64) + 1, 0, self.n_codes - 1)

    def text(self, code):
        """Return the words of one code."""
        return "nothing yet, this is your first month" if code == 0 else f"{code - 1} {self.unit}"


def request_by_rule(sustainable, greedy):
    """Return the rule of `harvest` from two functions of the observation; `fixed` is the same everywhere."""

    def request(seen):
        """Ask for a whole number of units, by the knob `rule`."""
        if seen.params.rule == "fixed":
            return np.full(len(seen), seen.params.fixed_request, np.int64)
        units = sustainable(seen) if seen.params.rule == "sustainable" else greedy(seen)
        return np.clip(units, 0, LARGEST_REQUEST).astype(np.int64)

    return request


def build_harvest(wording, rule):
    """Return the decision `harvest` in the words of one scenario."""
    return Decision(
        "harvest",
        Integers(0, LARGEST_REQUEST),
        rule=rule,
        unit=wording.unit,
        preamble=wording.scene,
        question=wording.question,
        texts=("transcript", "reflection", "hint"),
        shows={
            "aim": Categories(wording.aims),
            "n_people": Rounded(1, 100_000, 1),
            "last": LastReceived(wording.unit),
            "stock": Rounded(0, 10_000, 1, wording.stock_unit),
        },
        labels={
            "transcript": "What was said after last month",
            "reflection": "What you wanted to remember",
            "hint": "Bear in mind",
            "aim": "Your aim",
            "n_people": "People taking part, you included",
            "last": wording.received,
            "stock": wording.stock,
        },
        persona_fields=("age", "gender", "occupation", "bio", "goals"),
    )


def build_utterance(wording):
    """Return the writing of one turn in the conversation."""

    def speak(seen):
        """Say once what one received and will ask for; then pass."""
        said = [transcript.count("\n") for transcript in seen.texts["transcript"]]
        rows = zip(said, seen["n_people"], seen["received"], seen["share"], strict=True)
        plan, fixed = wording.plan[seen.params.rule], seen.params.fixed_request
        return [
            "pass"
            if n_said >= n_people
            else f"I {wording.took} {received} {wording.unit}. {plan.format(share=share, fixed=fixed)}"
            for n_said, n_people, received, share in rows
        ]

    return Writing(
        "utterance",
        rule=speak,
        preamble=wording.scene,
        question="The month is over and you talk with the others. Say one or two sentences to them about this month "
        'and about what each should do next month. If you have nothing to add, answer "pass".',
        texts=("transcript",),
        shows={
            "aim": Categories(wording.aims),
            "wanted": Rounded(0, LARGEST_REQUEST, 1, wording.unit),
            "received": Rounded(0, LARGEST_REQUEST, 1, wording.unit),
        },
        labels={
            "transcript": "The conversation so far",
            "aim": "Your aim",
            "wanted": "You had asked for",
            "received": f"You {wording.took}",
        },
        persona_fields=("age", "gender", "occupation", "bio", "goals", "style"),
        max_tokens=TEXT_TOKENS,
    )


def build_reflection(wording):
    """Return the writing of what one wants to remember."""
    return Writing(
        "reflection",
        rule=lambda seen: ["Keep to what was said."] * len(seen),
        preamble=wording.scene,
        question="Look back on the month and the conversation. Write down in one or two sentences what you want to "
        "remember when you decide next month.",
        texts=("transcript",),
        shows={"aim": Categories(wording.aims), "received": Rounded(0, LARGEST_REQUEST, 1, wording.unit)},
        labels={
            "transcript": "What was said after this month",
            "aim": "Your aim",
            "received": f"You {wording.took}",
        },
        persona_fields=("age", "gender", "occupation", "bio", "goals"),
        max_tokens=TEXT_TOKENS,
    )
