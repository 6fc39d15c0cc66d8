"""The stated rules: what is shown in a prompt -> log weight of each option."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RULES = Path(__file__).with_name("rules.toml")


@dataclass(frozen=True)
class Shown:
    """One shown value.

    Attributes:
        code: Level, from 0.
        n_codes: Number of levels.
        label: The words of the level.
        value: The number behind it, where there is one.
    """

    code: int
    n_codes: int
    label: str = ""
    value: float = 0.0

    @property
    def position(self) -> float:
        """Level from 0 (first) to 1 (last)."""
        return self.code / (self.n_codes - 1) if self.n_codes > 1 else 0.5


@dataclass(frozen=True)
class Facts:
    """Everything in a prompt that a rule may read.

    Attributes:
        persona: Shown persona columns.
        seen: Shown observations.
        texts: Kind of each free text that is shown; texts that are not shown are absent.
        announcement: 1 speaks for the target, -1 against it, 0 neither or none.
        reason: The same for a reason in the prompt.
    """

    persona: Mapping[str, Shown] = field(default_factory=dict)
    seen: Mapping[str, Shown] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    announcement: int = 0
    reason: int = 0


@functools.cache
def load_rules() -> dict[str, dict[str, Any]]:
    """Return the tables of `rules.toml` by "scenario.decision", with `like` resolved."""
    tables = tomllib.loads(RULES.read_text(encoding="utf-8"))
    return {name: {**tables[table["like"]], **table} if "like" in table else table for name, table in tables.items()}


def sum_terms(rule: Mapping[str, Any], facts: Facts) -> float:
    """Return the logit of a choice's target, or the terms of a request's log mean without habit."""
    total = float(rule["intercept"])
    total += sum(c * (2 * facts.persona[t].position - 1) for t, c in rule["traits"].items() if t in facts.persona)
    for name, additions in rule.get("labels", {}).items():
        if name in facts.persona:
            total += additions.get(facts.persona[name].label, 0.0)
    for name, term in rule.get("seen", {}).items():
        shown = facts.seen[name]
        listed = not isinstance(term, Mapping)
        total += term[shown.code] if listed else term["slope"] * (shown.position - term["centre"])
    for name, term in rule.get("texts", {}).items():
        kind = facts.texts.get(name)
        total += (
            term.get("empty", 0.0) if kind is None else term.get("present", 0.0) + term.get("kinds", {}).get(kind, 0.0)
        )
    if "distance" in rule:
        one, other = (facts.seen[name].position for name in rule["distance"]["between"])
        total += rule["distance"]["slope"] * abs(one - other)
    if "extremity" in rule:
        total += rule["extremity"]["slope"] * abs(2 * facts.seen[rule["extremity"]["of"]].position - 1)
    return total + rule["announcement"] * facts.announcement + rule["reason"] * facts.reason


def weigh_choice(
    rule: Mapping[str, Any], facts: Facts, options: Sequence[str], listed: Sequence[str]
) -> NDArray[np.float64]:
    """Return the probability of each option of a choice.

    Args:
        rule: Table of the decision.
        facts: What the prompt shows.
        options: Options in the order of the result.
        listed: Options in the order in which the prompt lists them; empty leaves the position bias out.
    """
    logits = np.zeros(len(options))
    logits[options.index(rule["target"])] = sum_terms(rule, facts)
    if listed:
        logits[options.index(listed[0])] += rule["first_listed"]
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def expect_request(rule: Mapping[str, Any], facts: Facts) -> float:
    """Return the mean of a request before it is cut to the range."""
    fair = max(facts.seen["stock"].value, 0.0) / (2.0 * facts.seen["n_people"].value)
    total = np.log(max(fair, 0.05)) + sum_terms(rule, facts)
    if facts.seen["last"].code > 0:
        total += rule["habit"] * (np.log1p(facts.seen["last"].value) - np.log1p(fair))
    return float(np.exp(total))


def weigh_numbers(rule: Mapping[str, Any], facts: Facts, low: int, high: int) -> NDArray[np.float64]:
    """Return the probability of each whole number from low to high."""
    mean = min(expect_request(rule, facts), float(high))
    numbers = np.arange(low, high + 1)
    spread = rule["spread"]["share"] * mean + rule["spread"]["least"]
    weights = np.exp(-0.5 * ((numbers - mean) / spread) ** 2)
    weights[numbers % 5 == 0] *= rule["round_numbers"]
    return weights / weights.sum()
