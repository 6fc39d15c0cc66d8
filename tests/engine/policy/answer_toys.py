"""One small scenario per kind of answer, and doubles of language models with known biases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from engine import registry
from engine.contract import Measure, ScenarioParams, column, knob, scenario
from engine.decision import Choice, Decimals, Decision, Items, MultiSelect, Offered, Ranking, Words
from engine.llm import ModelIdentity, Scores
from engine.llm.protocol import normalise_scores

DISHES = ("bread", "soup", "fish", "rice")
MOOD = {"mood": Words((0.5,), ("low", "high"))}
SHOWN = {"shows": MOOD, "labels": {"mood": "Your mood"}}


def tilt(seen, k):
    """Return log weights that grow with mood and place, shape (n, k)."""
    return np.outer(seen["mood"], np.arange(k, dtype=float))


EAT = Decision("eat", MultiSelect(*DISHES), lambda seen: tilt(seen, 4) - 1, "Which dishes do you eat?", **SHOWN)
ORDER = Decision("order", Ranking(*DISHES, places=3), lambda seen: tilt(seen, 4), "Which dishes come first?", **SHOWN)
PAY = Decision("pay", Decimals(0.0, 2.0, 0.25), lambda seen: seen["mood"] * 2, "How much do you pay?", "coins", **SHOWN)
PICK = Decision("pick", Items(), lambda seen: seen.offered.items / 10, "Which of these stories do you read?", **SHOWN)
TAKE = Decision("take", Choice(*DISHES), lambda seen: tilt(seen, 4), "Which dish do you take?", **SHOWN)


def offer(world):
    """Offer each agent two to four of six stories, by its id; two stories have the same words."""
    words = ["a flood", "a feast", "a flood", "a war", "a game", "a song"]
    ids = [world.add_text(word) if place != 2 else 2 for place, word in enumerate(words)]
    rows = [[ids[(agent + j) % 6] for j in range(2 + agent % 3)] for agent in world.agents.tolist()]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    texts = dict(zip(ids, words, strict=True))
    return Offered(indptr, np.array([item for row in rows for item in row]), texts)


def extra_of(name, world):
    """Return what `decide` needs besides the column."""
    if name == "pick":
        return {"options": offer(world)}
    if name == "take":
        return {"mask": (np.arange(4) + world.agents[:, None]) % 4 > 0}
    return {}


class ToyParams(ScenarioParams):
    """Knobs of the toys."""

    push: float = knob(0.1, ge=0, le=1, help="How far moods move.")


def register_toy(decision: Decision) -> str:
    """Register the toy of a decision and return its name."""

    class Toy:
        columns = {
            "mood": column("float64", help="Mood.", low=0, high=1, initial=0.5),
            "last": column("float64", help="Last action, folded into [0, 1).", low=0, high=1),
        }
        decisions = (decision,)
        writings = ()
        measures = (Measure("mean_last", lambda w: float(w.population["last"].mean()), help="Mean.", source="ours"),)

        def setup(self, world) -> None:
            world.population["mood"] = world.uniform("mood")

        def step(self, world) -> None:
            mood = world.population["mood"]
            action = world.decide(decision, mood=mood, **extra_of(decision.name, world))
            world.population["last"] = np.asarray(action, np.float64) * 0.61803398875 % 1.0
            world.population["mood"] = np.clip(mood + world.params.push * (world.uniform("drift") - 0.5), 0, 1)

    name = f"toy_{decision.name}"
    scenario(
        name,
        title="Toy",
        family="tests",
        promise="Nothing.",
        params=ToyParams,
        source="ours 2026",
        defaults={"population": {"size": 30}, "network": {"kind": "ring", "k": 2}},
    )(Toy)
    return name


@contextlib.contextmanager
def answer_toys() -> Iterator[dict[str, str]]:
    """Register all toys; decision name -> scenario name."""
    registry.discover()
    names = {decision.name: register_toy(decision) for decision in (EAT, ORDER, PAY, PICK, TAKE)}
    try:
        yield names
    finally:
        for name in names.values():
            registry.scenarios._entries.pop(name)


class BiasedModel:
    """A language model with stated biases: log P = taste + place bias by the order of listing + prior + length.

    Attributes:
        taste: (suffix, option) -> log weight that reflects the situation.
        place: Added by the option's place in the listing that the prompt shows.
        prior: Added to an option in every prompt.
        per_byte: Added per byte of the option's text.
        scale: Multiplies taste.
        mass: Captured probability.
    """

    def __init__(self, taste=None, place=(), prior=None, per_byte=0.0, mass=0.8) -> None:
        self.taste, self.place, self.prior = taste or (lambda suffix, option: 0.0), place, prior or {}
        self.per_byte, self.mass = per_byte, mass
        self.n_calls = self.n_situations = 0
        self.prompts: list[str] = []
        self.identity = ModelIdentity("biased", "0" * 64, "F32", "plain", "tests", "tests", 0, 4096)

    def score(self, prefixes: str | Sequence[str], suffixes, options, *, lead: str = "") -> Scores:
        """Score options under each listing."""
        variants = [prefixes] if isinstance(prefixes, str) else list(prefixes)
        self.n_calls += 1
        self.n_situations += len(suffixes)
        self.prompts += [variants[0] + suffix for suffix in suffixes]
        with np.errstate(invalid="ignore"):
            return normalise_scores([self._variant(prefix, suffixes, options) for prefix in variants])

    def _variant(self, prefix, suffixes, options):
        rows = []
        for suffix in suffixes:
            text = prefix + suffix
            listed = sorted(options, key=lambda option: text.find(f" {option}"))
            z = np.array(
                [
                    self.taste(suffix, option)
                    + (self.place[listed.index(option)] if self.place else 0.0)
                    + self.prior.get(option, 0.0)
                    + self.per_byte * len(option.encode())
                    for option in options
                ]
            )
            rows.append(z if self.per_byte else z - np.logaddexp.reduce(z) + np.log(self.mass))
        return np.array(rows)

    def write(self, prefix, suffixes, *, seeds, max_tokens, temperature, top_p, stop=("\n",)):
        """Write the seed, so that a test sees which one was used."""
        self.n_calls += 1
        self.prompts += [prefix + suffix for suffix in suffixes]
        return [f"Because of {seed}." for seed in seeds]

    def count_tokens(self, text: str) -> int:
        """Return the number of words."""
        return len(text.split())

    def close(self) -> None:
        """Free nothing."""


__all__ = ["DISHES", "EAT", "ORDER", "PAY", "PICK", "TAKE", "BiasedModel", "answer_toys"]
