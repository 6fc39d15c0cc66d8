"""Ask the language model, each distinct thing once, and journal the answer before it is used."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from engine.errors import ModelError
from engine.llm import LanguageModel
from engine.policy.records import Situation, content_id, content_key

CHUNK = 512
"""Situations or texts asked in one call; each chunk is journalled before the next, so a crash loses no more."""

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of at most `size`, in order."""
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part


class Journal(Protocol):
    """Durable record of every value that entered a run from outside, keyed (step, call, kind, key)."""

    def find(self, step: int, call: int, kind: str, key: str) -> bytes | None:
        """Return a journalled value, or None."""

    def append(
        self, step: int, call: int, kind: str, entries: Sequence[tuple[str, bytes]], *, cached: bool = False
    ) -> None:
        """Store values; they are durable when this returns.

        Args:
            step: When they entered.
            call: Number of the call in that step.
            kind: What they are.
            entries: Key and value of each.
            cached: Whether the workspace's cache had them, so that no model was asked.
        """


class MemoryJournal:
    """A journal that lives as long as the program; enough for tests and notebooks."""

    def __init__(self) -> None:
        self.entries: dict[tuple[int, int, str, str], bytes] = {}

    def find(self, step: int, call: int, kind: str, key: str) -> bytes | None:
        """Return a journalled value, or None."""
        return self.entries.get((step, call, kind, key))

    def append(
        self, step: int, call: int, kind: str, entries: Sequence[tuple[str, bytes]], *, cached: bool = False
    ) -> None:
        """Store values."""
        for key, value in entries:
            self.entries[step, call, kind, key] = value


@dataclass(frozen=True)
class Scoring:
    """How a distribution is read: both option orders or one, and the temperature of the draw."""

    option_order: str = "both"
    temperature: float = 1.0


@dataclass
class Asker:
    """One run's access to a language model.

    Attributes:
        load: Returns the model; called at the first question that the journal cannot answer.
        model_file: The model as the study names it; answers of one are never taken for another's.
        journal: Where answers are kept.
        asked: Situation key -> step of the first question; part of the run's state.
        counts: model_calls, situations and cache_hits so far.
    """

    load: Callable[[], LanguageModel]
    journal: Journal
    model_file: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"model_calls": 0, "situations": 0, "cache_hits": 0})
    _held: dict[str, Situation] = field(default_factory=dict)
    _model: LanguageModel | None = None

    @property
    def model(self) -> LanguageModel:
        """The language model, loaded at first use."""
        if self._model is None:
            self._model = self.load()
        return self._model

    def distributions(
        self,
        step: int,
        decision: str,
        prefixes: Sequence[str],
        suffixes: Sequence[str],
        options: tuple[str, ...],
        scoring: Scoring,
    ) -> tuple[list[Situation], list[Situation]]:
        """Return one situation per suffix, and those among them that this run had not met before.

        Equal suffixes are asked once. A new situation costs the model exactly one situation.
        """
        settings = f"{self.model_file} {scoring.option_order} {scoring.temperature!r}"
        keys = [content_key([decision, settings, *prefixes, suffix, *options]) for suffix in suffixes]
        fresh: dict[str, str] = {}
        found: dict[str, Situation] = {}
        for key, suffix in zip(keys, suffixes, strict=True):
            if key in found or key in fresh:
                continue
            held = self._held.get(key) or self._from_journal(step, key, decision, prefixes[0], suffix, options)
            if held is None:
                fresh[key] = suffix
            else:
                found[key] = held
                self.counts["cache_hits"] += 1
        for part in batched(fresh.items(), CHUNK):
            found |= self._score(step, decision, prefixes, dict(part), options, scoring)
        new = [found[key] for key in dict.fromkeys(keys) if key not in self.asked]
        for situation in new:
            self.asked[situation.key] = step
        self._held |= found
        return [found[key] for key in keys], new

    def _from_journal(
        self, step: int, key: str, decision: str, prefix: str, suffix: str, options: tuple[str, ...]
    ) -> Situation | None:
        entry = self.journal.find(self.asked.get(key, step), 0, "distribution", key)
        if entry is None:
            return None
        held = json.loads(entry)
        return Situation(
            content_id(key),
            key,
            decision,
            prefix,
            suffix,
            options,
            np.array(held["logp"], np.float64),
            np.array(held["raw"], np.float64),
            float(held["mass"]),
            str(held["model"]),
            str(held["source"]),
        )

    def _score(
        self,
        step: int,
        decision: str,
        prefixes: Sequence[str],
        fresh: dict[str, str],
        options: tuple[str, ...],
        scoring: Scoring,
    ) -> dict[str, Situation]:
        model = self.model
        scores = model.score(list(prefixes), list(fresh.values()), list(options))
        known = scores.cached or (False,) * len(fresh)
        self.counts["model_calls"] += not all(known)
        self.counts["situations"] += known.count(False)
        self.counts["cache_hits"] += known.count(True)
        source = "scripted" if model.identity.backend == "scripted" else "model"
        found: dict[str, Situation] = {}
        for i, (key, suffix) in enumerate(fresh.items()):
            logp = np.asarray(scores.logp[i], np.float64) / scoring.temperature
            logp -= np.logaddexp.reduce(logp)
            if not np.all(np.isfinite(logp)):
                raise ModelError(
                    f"model {model.identity.name} gave no usable probabilities for '{decision}' at step {step}; "
                    "try another model or quantization"
                )
            raw = np.asarray(scores.raw[i], np.float64)
            found[key] = Situation(
                content_id(key),
                key,
                decision,
                prefixes[0],
                suffix,
                options,
                logp,
                raw,
                float(scores.mass[i]),
                model.identity.name,
                "cache" if known[i] else source,
            )
        for cached in (False, True):
            chosen = [situation for situation, hit in zip(found.values(), known, strict=True) if hit == cached]
            if chosen:
                entries = [(situation.key, situation.journal_entry()) for situation in chosen]
                self.journal.append(step, 0, "distribution", entries, cached=cached)
        return found

    def texts(
        self,
        step: int,
        call: int,
        prefix: str,
        requests: Sequence[tuple[str, str, int]],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float,
    ) -> list[str | None]:
        """Return one free text per request (journal key, suffix, seed); None where the text was unusable."""
        found = {key: self.journal.find(step, call, "text", key) for key, _, _ in requests}
        for missing in batched([request for request in requests if found[request[0]] is None], CHUNK):
            n_before = self.model.n_calls
            written = self.model.write(
                prefix,
                [suffix for _, suffix, _ in missing],
                seeds=[seed for _, _, seed in missing],
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
            )
            cached = self.model.n_calls == n_before
            self.counts["model_calls"] += not cached
            entries = [(key, json.dumps(text).encode()) for (key, _, _), text in zip(missing, written, strict=True)]
            self.journal.append(step, call, "text", entries, cached=cached)
            found |= dict(entries)
        return [None if (entry := found[key]) is None else json.loads(entry) for key, _, _ in requests]
