"""Decide and write for many agents at once: observe, lift, ask, draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.decision import Decision, FloatArray, IntArray, Integers, Writing
from engine.draws import draw_uniform
from engine.errors import DecisionError
from engine.policy.asking import Scoring
from engine.policy.calls import Call, Room
from engine.policy.lifting import draw_options, group_codes, object_codes
from engine.policy.prompt import build_prefix, build_suffix, render_preamble
from engine.policy.records import LANGUAGE, RULE, SCRIPTED, DecisionBatch, Situation, content_id, content_key
from engine.policy.regression import Regression, build_regression, regression_weights
from engine.population import field_phrase
from engine.spec import RegressionSpec

CHUNK = 1 << 16


def assign_policies(room: Room, ask: Decision | Writing, agents: IntArray) -> NDArray[np.int8]:
    """Return 0 rule, 1 language, 2 scripted for each agent; a mixture is fixed for the whole run."""
    spec = room.spec_of(ask)
    if spec.policy == "mixture":
        u = draw_uniform(room.population_seed, "mixture", 0, 0, agents)
        return np.where(u < spec.share, LANGUAGE, RULE).astype(np.int8)
    code = {"rule": RULE, "language": LANGUAGE, "scripted": SCRIPTED}[spec.policy]
    return np.full(agents.size, code, np.int8)


def decide(room: Room, call: Call) -> tuple[DecisionBatch, list[Situation]]:
    """Return the actions of one call and the situations that are new to the run."""
    ask = call.ask
    if not isinstance(ask, Decision):
        raise DecisionError(f"'{ask.name}' is a writing, not a decision")
    policy = assign_policies(room, ask, call.agents)
    n = call.agents.size
    index, p, situations = np.empty(n, np.int64), np.ones(n, np.float32), np.full(n, -1, np.int64)
    new: list[Situation] = []
    u = draw_uniform(room.dynamics_seed, f"decide:{ask.name}", room.step, call.turn, call.agents)
    for code in np.unique(policy):
        mask = policy == code
        part = call if mask.all() else call.part(mask)
        if code == RULE:
            index[mask], p[mask] = _by_rule(room, part, u[mask])
        elif code == SCRIPTED:
            k = len(ask.answer.texts)
            index[mask], p[mask] = draw_options(np.zeros((1, k)), np.zeros(int(mask.sum()), np.int64), u[mask])
        else:
            lifted = lift(room, part)
            asked, fresh = lifted.ask(room)
            weights = np.stack([situation.logp for situation in asked])
            index[mask], p[mask] = draw_options(weights, lifted.group, u[mask])
            situations[mask] = np.array([s.situation_id for s in asked], np.int64)[lifted.group]
            new += fresh
    actions = ask.answer.actions(index)
    return DecisionBatch(ask.name, call.turn, call.agents, actions, p, situations, policy), new


def _by_rule(room: Room, call: Call, u: FloatArray) -> tuple[IntArray, NDArray[np.float32]]:
    ask = call.ask
    assert isinstance(ask, Decision)
    k = len(ask.answer.texts)
    regression = room.spec_of(ask).regression
    if regression is None:
        answer = np.asarray(ask.rule(call.observation(room)))
    else:
        answer = regression_weights(room, call, _regression_of(room, ask, regression))
    if answer.ndim == 1 and answer.dtype.kind in "iub":
        low = ask.answer.low if isinstance(ask.answer, Integers) else 0
        index = answer.astype(np.int64) - low
        wrong = np.flatnonzero((index < 0) | (index >= k))
        if answer.size != call.agents.size or wrong.size:
            agent = int(call.agents[wrong[0]]) if wrong.size else -1
            raise DecisionError(
                f"the rule of '{ask.name}' gave {answer.size} actions for {call.agents.size} agents"
                if not wrong.size
                else f"the rule of '{ask.name}' gave {answer[wrong[0]]} for agent {agent} at step {room.step}; "
                f"allowed are {low} to {low + k - 1}"
            )
        return index, np.ones(index.size, np.float32)
    if answer.shape != (call.agents.size, k):
        raise DecisionError(
            f"the rule of '{ask.name}' gave weights of shape {answer.shape}; it must give ({call.agents.size}, {k})"
        )
    check_weights(ask.name, room.step, call.agents, answer)
    index, p = np.empty(len(answer), np.int64), np.empty(len(answer), np.float32)
    for start in range(0, len(answer), CHUNK):
        part = slice(start, start + CHUNK)
        rows = np.arange(len(answer[part]))
        index[part], p[part] = draw_options(answer[part].astype(np.float64), rows, u[part])
    return index, p


def _regression_of(room: Room, ask: Decision, spec: RegressionSpec) -> Regression:
    """Return a decision's regression, built at its first use in a run."""
    held: Regression | None = room.regressions.get(ask.name)
    if held is None:
        columns = {**room.persona.columns, **room.state_columns}
        held = room.regressions[ask.name] = build_regression(spec, ask, columns, room.dynamics_seed)
    return held


def check_weights(name: str, step: int, agents: IntArray, weights: NDArray[Any]) -> None:
    """Refuse NaN, +inf and rows without any possible option.

    Raises:
        DecisionError: names the decision, step and first agent.
    """
    wrong = np.isnan(weights).any(axis=1) | np.isposinf(weights).any(axis=1) | np.isneginf(weights).all(axis=1)
    if wrong.any():
        agent = int(agents[np.flatnonzero(wrong)[0]])
        raise DecisionError(
            f"the rule of '{name}' gave NaN or no possible option for agent {agent} at step {step} "
            f"({int(wrong.sum())} agents in all); check the columns that the rule reads"
        )


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


def write_texts(room: Room, call: Call, number: int, variants: int | None) -> list[tuple[str | None, int]]:
    """Return (text or None, situation id or -1) for each agent of a call.

    Args:
        room: The world.
        call: Who writes what.
        number: Which call of this step it is; part of the journal's key.
        variants: k texts per situation, given out by keyed draws; None for one text per agent.
    """
    ask = call.ask
    if not isinstance(ask, Writing):
        raise DecisionError(f"'{ask.name}' is a decision, not a writing")
    result: list[tuple[str | None, int]] = [(None, -1)] * call.agents.size
    policy = assign_policies(room, ask, call.agents)
    for by_model in (False, True):
        rows = np.flatnonzero((policy == LANGUAGE) == by_model)
        if not rows.size:
            continue
        part = call.part((policy == LANGUAGE) == by_model)
        written = _by_model(room, part, number, variants) if by_model else _by_text_rule(room, part)
        for row, pair in zip(rows, written, strict=True):
            result[row] = pair
    return result


def _by_text_rule(room: Room, call: Call) -> list[tuple[str | None, int]]:
    assert isinstance(call.ask, Writing)
    texts = call.ask.rule(call.observation(room))
    if len(texts) != call.agents.size:
        raise DecisionError(f"the rule of '{call.ask.name}' gave {len(texts)} texts for {call.agents.size} agents")
    return [(text or None, -1) for text in texts]


def _by_model(room: Room, call: Call, number: int, variants: int | None) -> list[tuple[str | None, int]]:
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
