"""Ask the language model, each distinct thing once, and journal the answer before it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np

from engine.decision import FloatArray
from engine.llm import LanguageModel
from engine.policy.reading import Listing, Prompt, debias, log_probabilities, read_answers
from engine.policy.records import Situation, bordered, content_id, content_key

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
    """How a distribution is read from a model, and the temperature of the draw.

    Attributes:
        option_order: forward, both or rotations; the prompts hold the listings, this is part of the key.
        temperature: Divides log weights.
        normalisation: none, pmi or bytes.
        neutral: The neutral premise, with pmi.
        further: What else tells this way of asking from others, for example the shares of a fit.
    """

    option_order: str = "both"
    temperature: float = 1.0
    normalisation: str = "none"
    neutral: str = ""
    further: str = ""

    @property
    def words(self) -> str:
        """Everything that sets this scoring apart from others, as part of a situation's key."""
        rest = [self.normalisation, self.neutral if self.normalisation == "pmi" else "", self.further]
        plain = rest == ["none", "", ""]
        return f"{self.option_order} {self.temperature!r}" + ("" if plain else " " + json.dumps(rest))


@dataclass
class Asker:
    """One run's access to a language model.

    Attributes:
        load: Returns the model; called at the first question that the journal cannot answer.
        model_file: The model as the study names it; answers of one are never taken for another's.
        journal: Where answers are kept.
        asked: Key -> step of the first question; part of the run's state.
        fits: Calibrations that were fitted in this run, by key; part of the run's state.
        counts: model_calls, situations and cache_hits so far.
    """

    load: Callable[[], LanguageModel]
    journal: Journal
    model_file: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    fits: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"model_calls": 0, "situations": 0, "cache_hits": 0})
    _held: dict[str, Situation] = field(default_factory=dict)
    _found: dict[tuple[str, str], Any] = field(default_factory=dict)
    _pending: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    _model: LanguageModel | None = None

    @property
    def model(self) -> LanguageModel:
        """The language model, loaded at first use."""
        if self._model is None:
            self._model = self.load()
        return self._model

    def recall(self, step: int, kind: str, key: str, ask: Callable[[], Any], *, together: bool = False) -> Any:
        """Return a value that is asked for once in a run and journalled before it is used.

        Args:
            step: Step of the run.
            kind: Kind of the journal's entry.
            key: What the value depends on, a content key.
            ask: Finds the value, JSON, where neither memory nor journal has it.
            together: Journal the value only with the next `journal_together`, which must come before its use.
        """
        if (kind, key) not in self._found:
            entry = self.journal.find(self.asked.get(key, step), 0, kind, key)
            if entry is None:
                entry = json.dumps(ask()).encode()
                self._pending.setdefault(kind, []).append((key, entry))
            self.asked.setdefault(key, step)
            self._found[kind, key] = json.loads(entry)
        if not together:
            self.journal_together(step)
        return self._found[kind, key]

    def journal_together(self, step: int) -> None:
        """Journal what `recall` found and was told to journal later."""
        for kind, entries in self._pending.items():
            self.journal.append(step, 0, kind, entries)
        self._pending.clear()

    def distributions(
        self, step: int, decision: str, prompts: Sequence[Prompt], scoring: Scoring
    ) -> tuple[list[Situation], list[Situation]]:
        """Return one situation per prompt, and those among them that this run had not met before.

        Equal prompts are asked once. A new situation costs the model exactly one situation.
        """
        settings = f"{self.model_file} {scoring.words}"
        keys = _keys_of(decision, settings, prompts)
        fresh: dict[int, dict[str, Prompt]] = {}
        found: dict[str, Situation] = {}
        for key, prompt in zip(keys, prompts, strict=True):
            if key in found or key in fresh.get(id(prompt.listing), {}):
                continue
            held = self._held.get(key) or self._from_journal(step, key, decision, prompt)
            if held is None:
                fresh.setdefault(id(prompt.listing), {})[key] = prompt
            else:
                found[key] = held
                self.counts["cache_hits"] += 1
        for same in fresh.values():
            for part in batched(same.items(), CHUNK):
                listing, bodies = part[0][1].listing, {key: prompt.body for key, prompt in part}
                found |= self._score(step, decision, listing, bodies, scoring)
        new = [found[key] for key in dict.fromkeys(keys) if key not in self.asked]
        for situation in new:
            self.asked[situation.key] = step
        self._held |= found
        return [found[key] for key in keys], new

    def _from_journal(self, step: int, key: str, decision: str, prompt: Prompt) -> Situation | None:
        entry = self.journal.find(self.asked.get(key, step), 0, "distribution", key)
        if entry is None:
            return None
        held = json.loads(entry)
        return Situation(
            content_id(key),
            key,
            decision,
            prompt.listing.prefixes[0],
            prompt.suffix,
            prompt.listing.options,
            np.array(held["logp"], np.float64),
            np.array(held["raw"], np.float64),
            float(held["mass"]),
            str(held["model"]),
            str(held["source"]),
            np.array(held.get("debiased", held["logp"]), np.float64),
            prompt.listing.separately,
        )

    def _score(
        self, step: int, decision: str, listing: Listing, fresh: dict[str, str], scoring: Scoring
    ) -> dict[str, Situation]:
        model = self.model
        exact = scoring.normalisation == "bytes"
        answers = read_answers(model, listing, list(fresh.values()), exact=exact)
        self.counts["model_calls"] += not all(answers.cached)
        self.counts["situations"] += answers.cached.count(False)
        self.counts["cache_hits"] += answers.cached.count(True)
        neutral = self._neutral(step, decision, listing, scoring) if scoring.normalisation == "pmi" else None
        scores = debias(answers, listing, scoring.normalisation, neutral)
        debiased = log_probabilities(scores, separately=listing.separately)
        logp = log_probabilities(scores, separately=listing.separately, temperature=scoring.temperature)
        source = "scripted" if model.identity.backend == "scripted" else "model"
        found: dict[str, Situation] = {}
        for i, (key, body) in enumerate(fresh.items()):
            found[key] = Situation(
                content_id(key),
                key,
                decision,
                listing.prefixes[0],
                body + listing.tails[0],
                listing.options,
                logp[i],
                answers.raw[i],
                float(answers.mass[i]),
                model.identity.name,
                "cache" if answers.cached[i] else source,
                debiased[i],
                listing.separately,
            )
        for cached in (False, True):
            chosen = [held for held, known in zip(found.values(), answers.cached, strict=True) if known == cached]
            if chosen:
                entries = [(situation.key, situation.journal_entry()) for situation in chosen]
                self.journal.append(step, 0, "distribution", entries, cached=cached)
        return found

    def _neutral(self, step: int, decision: str, listing: Listing, scoring: Scoring) -> FloatArray:
        """Return the options' mean log P under the neutral premise, shape (n_options,)."""
        prompt = Prompt(listing, scoring.neutral.strip() + "\n")

        def ask() -> list[float]:
            answers = read_answers(self.model, listing, [prompt.body])
            self.counts["model_calls"] += not all(answers.cached)
            self.counts["situations"] += answers.cached.count(False)
            self.counts["cache_hits"] += answers.cached.count(True)
            mean: list[float] = answers.mean[0].tolist()
            return mean

        (key,) = _keys_of(decision, f"{self.model_file} neutral", [prompt])
        return np.array(self.recall(step, "neutral", key, ask), np.float64)

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
        found = {key: self.journal.find(self.asked.get(key, step), call, "text", key) for key, _, _ in requests}
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

    def reasons(
        self, step: int, prefix: str, bodies: Sequence[str], *, max_tokens: int, temperature: float, top_p: float
    ) -> list[str | None]:
        """Return one short reason per situation; None where it was unusable.

        The seed follows from prompt and model alone, so that equal situations have equal reasons, in other runs too.
        """
        settings = f"{self.model_file} {max_tokens} {temperature!r} {top_p!r}"
        keys = [content_key(["reason", settings, prefix, body]) for body in bodies]
        requests = {
            key: (key, body, int(key[:8], 16))
            for key, body in zip(keys, bodies, strict=True)
            if ("reason", key) not in self._found
        }
        sampling = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
        written = self.texts(step, 0, prefix, list(requests.values()), **sampling)  # type: ignore[arg-type]
        for key, text in zip(requests, written, strict=True):
            self.asked.setdefault(key, step)
            self._found["reason", key] = text
        return [self._found["reason", key] for key in keys]


def _keys_of(decision: str, settings: str, prompts: Sequence[Prompt]) -> list[str]:
    """Return the content key of each prompt; what prompts of one listing share is hashed once."""
    shared: dict[int, tuple[Any, bytes]] = {}
    keys = []
    for prompt in prompts:
        held = shared.get(id(prompt.listing))
        if held is None:
            listing = prompt.listing
            begun = hashlib.blake2b(bordered([decision, settings, *listing.prefixes]), digest_size=16)
            rest = [*listing.options]
            if listing.separately or any(listing.tails):
                rest += ["separately" if listing.separately else "listed last", *listing.tails]
            held = shared[id(listing)] = begun, bordered(rest)
        digest = held[0].copy()
        digest.update(bordered([prompt.suffix]) + held[1])
        keys.append(digest.hexdigest())
    return keys
