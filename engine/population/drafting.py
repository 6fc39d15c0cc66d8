"""People drafted by a language model from a description: fields are chosen among allowed values, never parsed.

For a field of the codebook with finitely many shown texts the model's probabilities of these texts are read and one is
drawn; a number is then drawn evenly within the text's range. Texts are written and kept only where they are usable;
the others are left empty and listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.decision import Words
from engine.draws import draw_uniform
from engine.errors import PopulationError
from engine.population.cards import field_phrase
from engine.population.columns import Column
from engine.population.languages import shown_words
from engine.population.schema import SchemaColumn, load_schema
from engine.population.text import clean_text, quoted
from engine.registry import nearest

MOST_PEOPLE = 200
MAX_DESCRIPTION = 2000
SHORTEST_TEXT = 20
_TOKENS = {"bio": 160, "goals": 60, "beliefs": 60, "style": 60}
_ASKED = {
    "bio": "Write this person's life in two sentences that begin with You.",
    "goals": "Write in one sentence that begins with You what this person wants.",
    "beliefs": "Write in one sentence that begins with You believe what this person holds to be true.",
    "style": "Write in one sentence that begins with You how this person speaks.",
}
DEFAULT_FIELDS = (
    "age",
    "gender",
    "education",
    "employment",
    "left_right",
    "big5_o",
    "big5_c",
    "big5_e",
    "big5_a",
    "big5_n",
)


class Writer(Protocol):
    """What drafting needs of a language model; see `engine.llm.LanguageModel`."""

    @property
    def identity(self) -> Any:
        """Which model answers."""

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Any:
        """Return the log probability of every option in every situation."""

    def write(
        self,
        prefix: str,
        suffixes: Sequence[str],
        *,
        seeds: Sequence[int],
        max_tokens: int,
        temperature: float,
        top_p: float,
        stop: Sequence[str] = ("\n",),
    ) -> list[str | None]:
        """Return one text per situation, None where it is unusable."""


@dataclass(frozen=True)
class DraftedPeople:
    """What a model drafted.

    Attributes:
        people: One table per person, as in a pack; a text that was not usable is empty.
        unusable: One sentence per field that was left empty or to chance.
        model: Name of the model.
    """

    people: tuple[Mapping[str, Any], ...]
    unusable: tuple[str, ...]
    model: str


def can_draft(name: str) -> bool:
    """Tell whether a column of the codebook can be drafted: one with finitely many texts, or one of the narrative."""
    known = load_schema().get(name)
    return known is not None and (name in _ASKED or bool(shown_words(known)))


def model_ability(identity: Any) -> str:
    """Return in one sentence what to expect of a model."""
    if identity.is_pocket:
        return (
            "The built-in demonstration model chooses among given words as its own rules taught it and was never shown "
            "descriptions: its people will hardly fit yours, and it writes no lives, so these stay empty. Choose a "
            "larger model on the page Models."
        )
    if identity.backend == "scripted":
        return "The scripted model answers by chance, for trying things out; its people mean nothing."
    return "The model's people are its own picture of your description, stereotypes included; no human data were used."


def draft_people(
    model: Writer,
    description: str,
    n: int,
    fields: Sequence[str] = DEFAULT_FIELDS,
    *,
    seed: int = 0,
    given: Sequence[Mapping[str, Any]] = (),
    temperature: float = 0.8,
    tell: Callable[[str], None] | None = None,
) -> DraftedPeople:
    """Return n people of a description.

    Args:
        model: The language model.
        description: Who they are, for example "Night-shift nurses of a small hospital".
        n: Number of people.
        fields: Columns of the codebook, asked in this order; each answer is known to the next question.
        seed: Seed of the draws.
        given: What is known of each person already, by column, as shown in its sentences; as many as n, or none.
        temperature: Divides the log probabilities, and of the writing.
        tell: Called with a phrase before each field.

    Raises:
        PopulationError: too many people, too long or empty a description, or a field that cannot be drafted.
        ModelError: the model cannot be asked.
    """
    _check(description, n, fields, given)
    described = clean_text(description, MAX_DESCRIPTION)
    prefix = f"Invent one person who belongs to this group: {described}\n\n"
    people: list[dict[str, Any]] = [{"display_name": f"Person {i + 1}"} for i in range(n)]
    cards = [" ".join(map(str, known.values())) for known in given] or [""] * n
    unusable: list[str] = []
    persons = np.arange(n, dtype=np.int64)
    for name in fields:
        known = load_schema()[name]
        if tell is not None:
            tell(f"{name.replace('_', ' ')} of {n} people")
        if name in _ASKED:
            texts = _write(model, name, prefix, cards, seed, temperature, unusable)
            shown = texts
            values: list[Any] = list(texts)
        else:
            uniforms = draw_uniform(seed, f"drafting.{name}", 0, 0, persons)
            codes, shown = _choose(model, name, known, prefix, cards, uniforms, temperature)
            values = _values_within(known.column, codes, draw_uniform(seed, f"drafting.{name}.within", 0, 0, persons))
        for place, person in enumerate(people):
            person[name] = values[place]
            if shown[place]:
                cards[place] = f"{cards[place]} {field_phrase(name, known.column, shown[place])}".strip()
    return DraftedPeople(tuple(people), tuple(unusable), str(model.identity.name))


def _check(description: str, n: int, fields: Sequence[str], given: Sequence[Mapping[str, Any]]) -> None:
    if not 1 <= n <= MOST_PEOPLE:
        raise PopulationError(f"{n} people were asked for; a model drafts 1 to {MOST_PEOPLE} at a time")
    if not description.strip() or len(description) > MAX_DESCRIPTION:
        raise PopulationError(
            f"the description has {len(description)} characters; describe the people in 1 to {MAX_DESCRIPTION}"
        )
    for name in fields:
        if not can_draft(name):
            drafted = [other for other in load_schema() if can_draft(other)]
            raise PopulationError(f"{quoted(name)} cannot be drafted{nearest(name, drafted)}")
    if given and len(given) != n:
        raise PopulationError(f"{len(given)} people are given, {n} are asked for; give as many")


def _choose(
    model: Writer,
    name: str,
    known: SchemaColumn,
    prefix: str,
    cards: Sequence[str],
    uniforms: NDArray[np.float64],
    temperature: float,
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the code and the text of the option drawn for each person."""
    options = list(shown_words(known))
    question = f"{known.column.help} Which of these fits this person: {', '.join(options)}?\n"
    suffixes = [f"{card}\n{question}" if card else question for card in cards]
    scores = model.score(prefix, suffixes, options)
    codes = np.empty(len(cards), np.int64)
    for place, logp in enumerate(scores.logp):
        weights = np.exp((np.asarray(logp, np.float64) - np.max(logp)) / temperature)
        steps = np.cumsum(weights) / weights.sum()
        codes[place] = min(int(np.searchsorted(steps, uniforms[place], side="right")), len(options) - 1)
    return codes, [options[code] for code in codes]


def _values_within(column: Column, codes: NDArray[np.int64], uniforms: NDArray[np.float64]) -> list[Any]:
    """Return a label, or a number drawn evenly within the range of the chosen words."""
    if column.kind == "category":
        return [column.labels[code] for code in codes]
    shown = column.presentation
    if not isinstance(shown, Words) or column.low is None or column.high is None:
        raise PopulationError("only categories and numbers shown in words can be drafted")
    edges = np.array([column.low, *shown.edges, column.high], np.float64)
    low, high = edges[codes], edges[codes + 1]
    if column.kind == "integer":
        last = np.where(codes == len(shown.words) - 1, high, high - 1)  # a word's range leaves its upper edge out
        return [
            math.floor(bottom + share * (top - bottom + 1))
            for bottom, top, share in zip(low, last, uniforms, strict=True)
        ]
    return [round(float(number), 3) for number in low + uniforms * (high - low)]


def _write(
    model: Writer,
    name: str,
    prefix: str,
    cards: Sequence[str],
    seed: int,
    temperature: float,
    unusable: list[str],
) -> list[str]:
    if model.identity.is_pocket:
        unusable.append(f"{name} of everyone: the demonstration model writes no lives; left empty")
        return [""] * len(cards)
    suffixes = [f"{card}\n{_ASKED[name]}\n" for card in cards]
    seeds = [(seed * 1_000_003 + place * 97 + len(name)) % 2**31 for place in range(len(cards))]
    written = model.write(
        prefix, suffixes, seeds=seeds, max_tokens=_TOKENS[name], temperature=temperature, top_p=0.95, stop=("\n",)
    )
    limit = load_schema()[name].limit
    texts = []
    for place, text in enumerate(written):
        cleaned = "" if text is None else clean_text(text, limit).strip('"“” ')
        wrong = text_problem(cleaned)
        if wrong:
            unusable.append(f"Person {place + 1}: {name}: {wrong}; left empty")
        texts.append("" if wrong else cleaned)
    return texts


def text_problem(text: str) -> str:
    """Return why a written text is not usable, or an empty string."""
    if not text:
        return "the model wrote nothing"
    if len(text) < SHORTEST_TEXT:
        return f"the model wrote only {quoted(text)}"
    if not text.lower().startswith("you"):
        return f"the text does not speak to the person ({quoted(text, 40)})"
    return ""
