"""Keep the parts of a prompt within a stated share of the context by leaving out whole sentences, counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from engine.policy.asking import Asker
from engine.policy.records import content_key
from engine.spec import ModelSpec

_BORDER = re.compile(r"(?<=[.!?\u2026])\s+|(?<=\n)")


def split_sentences(text: str) -> list[str]:
    """Return a text in pieces that end where a sentence or a line ends; joined they are the text again."""
    borders = [0, *(match.end() for match in _BORDER.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(borders) if b > a]


def fitting(n: int, fits: Callable[[int], bool]) -> int:
    """Return the largest k in [0, n] for which `fits(k)` holds; fits(0) is taken for granted."""
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


@dataclass
class Shortener:
    """Cuts the parts of one call's prompts to their budgets and counts what it cut.

    Attributes:
        asker: Counts tokens by the model; what was kept is journalled, so that a replay needs no model.
        step: Step of the run.
        model: The study's model with its budget.
        cut: Part -> agents, prompts in which it was shortened, and sentences left out.
    """

    asker: Asker
    step: int
    model: ModelSpec
    cut: dict[str, list[int]] = field(default_factory=dict)

    def limit(self, part: str) -> int | None:
        """Return how many tokens a part may take; None for any number."""
        share = None if self.model.budget is None else getattr(self.model.budget, part)
        return None if share is None or self.model.n_ctx is None else int(share * self.model.n_ctx)

    def sentences(self, persona: Sequence[str], n_agents: int) -> list[str]:
        """Return the first persona sentences that fit their budget, for a prompt that n agents share."""
        return list(persona[: self._kept("persona", persona, " ", n_agents, first=True)])

    def observed(self, seen: Mapping[str, str], n_agents: int) -> dict[str, str]:
        """Return the first observed columns whose lines fit their budget."""
        lines = [f"{name}: {text}." for name, text in seen.items()]
        kept = self._kept("observation", lines, "\n", n_agents, first=True)
        return {name: seen[name] for name in list(seen)[:kept]}

    def texts(self, texts: Mapping[str, str], n_agents: int) -> dict[str, str]:
        """Return free texts without their oldest sentences, the first text first, so that all fit together."""
        pieces = [(name, sentence) for name, text in texts.items() for sentence in split_sentences(text)]
        kept = self._kept("texts", [sentence for _, sentence in pieces], "", n_agents, first=False)
        if kept == len(pieces):
            return dict(texts)
        left = dict.fromkeys(texts, "")
        for name, sentence in pieces[len(pieces) - kept :]:
            left[name] += sentence
        return left

    def _kept(self, part: str, pieces: Sequence[str], separator: str, n_agents: int, *, first: bool) -> int:
        """Return how many pieces fit, from the first or from the last on."""
        limit = self.limit(part)
        if limit is None or len((whole := separator.join(pieces)).encode()) <= limit:  # no token is shorter than a byte
            return len(pieces)

        def fits(k: int) -> bool:
            chosen = pieces[:k] if first else pieces[len(pieces) - k :]
            return self.asker.model.count_tokens(separator.join(chosen)) <= limit

        key = content_key(["shortened", part, str(limit), self.asker.model_file, whole])
        kept = int(self.asker.recall(self.step, "shortened", key, lambda: fitting(len(pieces), fits), together=True))
        if kept < len(pieces):
            counted = self.cut.setdefault(part, [0, 0, 0])
            for place, n in enumerate((n_agents, 1, len(pieces) - kept)):
                counted[place] += n
        return kept
