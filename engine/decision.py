"""What a policy sees: decisions, answer kinds, presentations and observations.

A `Decision` is a named question with its options. Each column that a prompt shows has a finite *presentation*;
agents for whom everything shown is the same share one situation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.answers import Answer, Choice, Decimals, IntArray, Integers, Items, MultiSelect, Offered, Ranking
from engine.errors import DecisionError

__all__ = [
    "Answer",
    "Categories",
    "Choice",
    "Decimals",
    "Decision",
    "FloatArray",
    "IntArray",
    "Integers",
    "Items",
    "MultiSelect",
    "Observation",
    "Offered",
    "Presentation",
    "Ranking",
    "Rounded",
    "Rule",
    "TextRule",
    "Words",
    "Writing",
]

FloatArray = NDArray[np.float64]


class Presentation(Protocol):
    """The finite form in which a column is shown: values -> codes 0..n_codes-1 -> words."""

    @property
    def n_codes(self) -> int:
        """Number of different texts."""

    def codes(self, values: NDArray[Any]) -> IntArray:
        """Return one code per value, int64, same shape."""

    def text(self, code: int) -> str:
        """Return the words of one code."""


@dataclass(frozen=True)
class Words:
    """Bins with words: value < edges[0] -> words[0], ..., value >= edges[-1] -> words[-1]."""

    edges: tuple[float, ...]
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.words) != len(self.edges) + 1 or list(self.edges) != sorted(set(self.edges)):
            raise DecisionError(f"{len(self.edges)} ascending edges need {len(self.edges) + 1} words")

    @property
    def n_codes(self) -> int:
        """Number of different texts."""
        return len(self.words)

    def codes(self, values: NDArray[Any]) -> IntArray:
        """Return the bin of each value."""
        return np.searchsorted(np.asarray(self.edges), np.asarray(values, np.float64), side="right")

    def text(self, code: int) -> str:
        """Return the words of one bin."""
        return self.words[code]


@dataclass(frozen=True)
class Rounded:
    """Numbers rounded to multiples of `step` and clipped to [low, high], shown with a unit."""

    low: float
    high: float
    step: float = 1.0
    unit: str = ""

    def __post_init__(self) -> None:
        if not (self.step > 0 and self.high >= self.low):
            raise DecisionError(f"rounding to {self.step} over [{self.low}, {self.high}] is not a finite range")

    @property
    def n_codes(self) -> int:
        """Number of different texts."""
        return round((self.high - self.low) / self.step) + 1

    def codes(self, values: NDArray[Any]) -> IntArray:
        """Return the number of steps above `low`."""
        steps = np.rint((np.asarray(values, np.float64) - self.low) / self.step)
        return np.clip(steps, 0, self.n_codes - 1).astype(np.int64)

    def text(self, code: int) -> str:
        """Return the rounded number with its unit."""
        value = f"{self.low + code * self.step:.10g}"
        return f"{value} {self.unit}" if self.unit and self.unit != "%" else value + self.unit


@dataclass(frozen=True)
class Categories:
    """Category codes 0..n-1 (or booleans) shown by their labels."""

    labels: tuple[str, ...]

    @property
    def n_codes(self) -> int:
        """Number of different texts."""
        return len(self.labels)

    def codes(self, values: NDArray[Any]) -> IntArray:
        """Return the values as codes."""
        return np.asarray(values).astype(np.int64)

    def text(self, code: int) -> str:
        """Return the label of one code."""
        return self.labels[code]


@dataclass(frozen=True)
class Observation:
    """What some agents see at one decision.

    Attributes:
        decision: The decision or writing that is asked.
        step: Step of the run.
        agents: Agent ids, shape (n,).
        params: The scenario's current parameters.
        columns: Observation columns by name, each of shape (n,).
        persona: Persona and state columns by name, each of shape (n,); categories are codes.
        texts: Free texts by name, one per agent.
        mask: Options that each agent may choose, shape (n, n_options); None where all may choose any.
        offered: Items that each agent may choose from, where the answer is `Items`.
    """

    decision: Any
    step: int
    agents: IntArray
    params: Any
    columns: Mapping[str, NDArray[Any]]
    persona: Mapping[str, NDArray[Any]]
    texts: Mapping[str, list[str]] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None
    offered: Offered | None = None

    def __len__(self) -> int:
        return int(self.agents.size)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return an observation column, or else a persona column, of that name."""
        return self.columns[name] if name in self.columns else self.persona[name]

    def log_weights(self, *columns: NDArray[Any] | float) -> FloatArray:
        """Stack one log weight per option into shape (n, n_options)."""
        return np.stack([np.broadcast_to(np.asarray(c, np.float64), (len(self),)) for c in columns], axis=1)


Rule = Callable[[Observation], NDArray[Any]]
TextRule = Callable[[Observation], list[str]]


@dataclass(frozen=True)
class Decision:
    """A named question with its options and its rule.

    Attributes:
        name: Name within the scenario; the study's `[decisions.NAME]` refers to it.
        answer: `Choice`, `Integers`, `Decimals`, `MultiSelect`, `Ranking` or `Items`.
        rule: Observation -> log weights of shape (n, n_options), float (log odds for `MultiSelect`; one per offered
            item for `Items`); or actions of shape (n,). `Decimals` takes the numbers themselves, `MultiSelect` also
            booleans of shape (n, n_options), `Ranking` also option indexes by place, shape (n, n_places).
        question: The question as the agent reads it.
        unit: Unit of a number.
        shows: Presentation of each observation column that the prompt shows, in order.
        labels: Words before each shown column; a column without one is introduced by its name.
        persona_fields: Persona columns shown when the study names none.
        texts: Names of the free texts shown, for example a transcript; they come before the persona.
        preamble: What the agent is told first, the same for all; may use `{{ params.NAME }}`.
    """

    name: str
    answer: Answer
    rule: Rule
    question: str
    unit: str = ""
    shows: Mapping[str, Presentation] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    persona_fields: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    preamble: str = ""


@dataclass(frozen=True)
class Writing:
    """A kind of free text that agents write: an argument, an utterance, a reflection.

    Attributes:
        name: Text kind; also the default channel of the messages.
        rule: Observation -> one text per agent, used where no language model writes.
        question: The instruction as the agent reads it.
        max_tokens: Longest text that a model may write.
    """

    name: str
    rule: TextRule
    question: str
    shows: Mapping[str, Presentation] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    persona_fields: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    preamble: str = ""
    max_tokens: int = 48
