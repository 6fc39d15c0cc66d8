"""Decide and write by the language model: lift the agents of a call into situations, ask, draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.decision import Decision, FloatArray, IntArray, Integers, Writing
from engine.draws import draw_uniform
from engine.errors import DecisionError
from engine.policy.asking import Scoring
from engine.policy.calls import Call, Room
from engine.policy.lifting import draw_options, group_codes, object_codes
from engine.policy.policies import Decided
from engine.policy.prompt import build_prefix, build_suffix, render_preamble
from engine.policy.records import Situation, content_id, content_key
from engine.population import field_phrase


def decide_by_language(room: Room, call: Call, u: FloatArray) -> Decided:
    """Return options drawn from the model's distribution of each agent's situation."""
    lifted = lift(room, call)
    asked, new = lifted.ask(room)
    index, p = draw_options(np.stack([situation.logp for situation in asked]), lifted.group, u)
    return Decided(index, p, np.array([s.situation_id for s in asked], np.int64)[lifted.group], new)


@dataclass(frozen=True)
class Lifted:
    """Agents of one call grouped into situations.

    Attributes:
        prefixes: Shared prompt part; for a choice in both orders, forward and reverse listing.
        suffixes: Particular part of each situation.
        group: Situation of each agent, shape (n,).
        first: First agent's row of each situation.
    """

    call: Call
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    group: IntArray
    first: IntArray
    scoring: Scoring

    def ask(self, room: Room) -> tuple[list[Situation], list[Situation]]:
        """Return the situations' distributions and those that are new to the run."""
        ask = self.call.ask
        assert isinstance(ask, Decision)
        return room.asker.distributions(
            room.step, ask.name, self.prefixes, self.suffixes, ask.answer.texts, self.scoring
        )


def lift(room: Room, call: Call) -> Lifted:
    """Group the agents of a call by everything that their prompts show, and render each group's prompt once."""
    ask, spec = call.ask, room.spec_of(call.ask)
    fields = spec.persona_fields if spec.persona_fields is not None else ask.persona_fields
    n = call.agents.size
    parts: list[tuple[IntArray, int]] = []
    words: list[tuple[str, str, Sequence[str] | Any, IntArray]] = []

    def show(kind: str, name: str, codes: IntArray, n_codes: int, text_of: Any) -> None:
        parts.append((codes, n_codes))
        words.append((kind, name, text_of, codes))

    heard = room.announcements(call.agents)
    if (heard >= 0).any():
        ids, codes = np.unique(heard, return_inverse=True)
        show("announcement", "announcement", codes, ids.size, [room.text(int(i)) for i in ids])
    for name in ask.texts:
        ids, codes = np.unique(call.texts.get(name, np.full(n, -1, np.int64)), return_inverse=True)
        show("text", name, codes, ids.size, [room.text(int(i)) for i in ids])
    for name in fields:
        if name in room.persona.columns:
            show("persona", name, *_shown_column(room, name, call.agents))
    for name, presentation in ask.shows.items():
        if name not in call.columns:
            raise DecisionError(f"'{ask.name}' shows the column '{name}', which its caller did not give")
        codes = presentation.codes(call.columns[name])
        show("seen", name, codes, presentation.n_codes, presentation.text)
    first, group = group_codes(parts, n)
    suffixes = tuple(_render(room, ask, words, int(row)) for row in first)
    preamble = render_preamble(ask.preamble, room.params)
    scoring = Scoring(spec.option_order, spec.temperature)
    prefixes: tuple[str, ...] = (build_prefix(ask, preamble),)
    if isinstance(ask, Decision):
        options = ask.answer.texts
        prefixes = (build_prefix(ask, preamble, options),)
        if spec.option_order == "both" and not isinstance(ask.answer, Integers):
            prefixes += (build_prefix(ask, preamble, options[::-1]),)
    return Lifted(call, prefixes, suffixes, group, first, scoring)


def _shown_column(room: Room, name: str, agents: IntArray) -> tuple[IntArray, int, Any]:
    column, values = room.persona.columns[name], room.population[name][agents]
    if column.kind == "text":
        codes, texts = object_codes(values)
        return codes, max(len(texts), 1), texts
    everyone = room.population[name]
    low, high = (float(everyone.min()), float(everyone.max())) if column.kind in ("float", "integer") else (0.0, 0.0)
    presentation = column.shown(low, high)
    assert presentation is not None
    return presentation.codes(values), presentation.n_codes, presentation.text


def _render(room: Room, ask: Decision | Writing, words: list[tuple[str, str, Any, IntArray]], row: int) -> str:
    announcement, texts, persona, seen = "", {}, [], {}
    for kind, name, text_of, codes in words:
        code = int(codes[row])
        text = text_of(code) if callable(text_of) else text_of[code]
        if kind == "announcement":
            announcement = text
        elif kind == "text":
            texts[name] = text
        elif kind == "persona":
            persona.append(field_phrase(name, room.persona.columns[name], text))
        else:
            seen[name] = text
    return build_suffix(ask, announcement, texts, persona, seen)


def write_by_language(room: Room, call: Call, number: int, variants: int | None) -> list[tuple[str | None, int]]:
    """Return texts of the language model: one per agent, or `variants` per situation given out by keyed draws."""
    ask = call.ask
    assert isinstance(ask, Writing)
    lifted = lift(room, call)
    if variants is None:
        chosen = call.agents
    else:
        u = draw_uniform(room.dynamics_seed, f"variant:{ask.name}", room.step, call.turn, call.agents)
        chosen = np.floor(u * variants).astype(np.int64)
    keys = [content_key([ask.name, *lifted.prefixes, suffix]) for suffix in lifted.suffixes]
    requests: dict[str, tuple[str, str, int]] = {}
    row_keys: list[str] = []
    for group, who, turn in zip(lifted.group.tolist(), chosen.tolist(), call.turn.tolist(), strict=True):
        key = content_key([keys[group], str(turn), str(who)])
        row_keys.append(key)
        seed_key = content_key([str(room.dynamics_seed), str(room.step), str(number), key])
        requests.setdefault(key, (key, lifted.suffixes[group], int(seed_key[:8], 16)))
    model = room.study.model
    written = room.asker.texts(
        room.step,
        number,
        lifted.prefixes[0],
        list(requests.values()),
        max_tokens=ask.max_tokens,
        temperature=model.temperature,
        top_p=model.top_p,
    )
    by_key = dict(zip(requests, written, strict=True))
    return [(by_key[key], content_id(keys[group])) for key, group in zip(row_keys, lifted.group.tolist(), strict=True)]
