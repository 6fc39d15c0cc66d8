"""Decide by the scenario's rule, by a regression in its place, or by seeded chance; write by fixed texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.decision import (
    Decimals,
    Decision,
    FloatArray,
    IntArray,
    Integers,
    Items,
    MultiSelect,
    Offered,
    Ranking,
    Writing,
)
from engine.errors import DecisionError
from engine.policy.calls import Call, Room
from engine.policy.drawing import CHUNK, draw_answers, even_weights, masked
from engine.policy.lifting import draw_options
from engine.policy.policies import Decided
from engine.policy.regression import Regression, build_regression, regression_weights
from engine.spec import RegressionSpec


def without_prompt(index: IntArray, p: NDArray[np.float32]) -> Decided:
    """Return choices for which no prompt was shown."""
    return Decided(index, p, np.full(index.size, -1, np.int64))


def decide_by_chance(room: Room, call: Call, u: FloatArray) -> Decided:
    """Return options drawn with equal probabilities; each option of a set with probability 1/2."""
    return without_prompt(*draw_answers(room, call, *even_weights(call), u))


def decide_by_rule(room: Room, call: Call, u: FloatArray) -> Decided:
    """Return what the scenario's rule, or the study's regression, chooses for each agent.

    Raises:
        DecisionError: the rule gave actions or weights that the answer does not allow.
    """
    ask = call.ask
    assert isinstance(ask, Decision)
    regression = room.spec_of(ask).regression
    if regression is None:
        answer = np.asarray(ask.rule(call.observation(room)))
    else:
        answer = regression_weights(room, call, _regression_of(room, ask, regression))
    index = _index_of_actions(room, call, answer)
    if index is not None:
        return without_prompt(index, np.ones(index.size, np.float32))
    weights = masked(call, _table_of_weights(call, answer))
    everyone = np.arange(len(weights))
    if isinstance(ask.answer, MultiSelect):
        _check_odds(ask.name, room.step, call.agents, weights)
        return without_prompt(*draw_answers(room, call, weights, everyone, u))
    check_weights(ask.name, room.step, call.agents, weights)
    if isinstance(ask.answer, Ranking):
        return without_prompt(*draw_answers(room, call, weights, everyone, u))
    index, p = np.empty(len(weights), np.int64), np.empty(len(weights), np.float32)
    for start in range(0, len(weights), CHUNK):
        part = slice(start, start + CHUNK)
        table = weights[part].astype(np.float64)
        index[part], p[part] = draw_options(table, np.arange(len(table)), u[part])
    return without_prompt(index, p)


def _index_of_actions(room: Room, call: Call, answer: NDArray[Any]) -> IntArray | None:
    """Return the indexes of actions that a rule gave, or None where it gave log weights."""
    ask = call.ask
    assert isinstance(ask, Decision)
    kind, whole = ask.answer, answer.dtype.kind in "iub"
    if isinstance(kind, MultiSelect) and answer.ndim == 2 and answer.dtype.kind == "b":
        _check_shape(ask, answer, (call.agents.size, len(kind.texts)), "options")
        answer, whole = kind.masks(answer), True
    elif isinstance(kind, Ranking) and answer.ndim == 2 and whole:
        _check_shape(ask, answer, (call.agents.size, kind.n_places), "places")
        answer = _codes_of(room, call, kind, answer)
    elif isinstance(kind, Decimals) and answer.ndim == 1:
        answer, whole = kind.places(answer), True
    if answer.ndim != 1 or not whole:
        return None
    if answer.size != call.agents.size:
        raise DecisionError(f"the rule of '{ask.name}' gave {answer.size} actions for {call.agents.size} agents")
    if call.offered is not None:
        return _places_of(room, call, call.offered, answer)
    low = kind.low if isinstance(kind, Integers) else 0
    index: IntArray = answer.astype(np.int64) - low
    n_actions = _n_actions(kind)
    wrong = (index < 0) | (index >= n_actions)
    allowed = f"{low} to {low + n_actions - 1}"
    if isinstance(kind, Decimals):
        allowed = f"numbers from {kind.low:g} to {kind.high:g}"
    if call.mask is not None and not wrong.any():
        taken = kind.chosen(index) if isinstance(kind, MultiSelect) else np.arange(call.mask.shape[1]) == index[:, None]
        wrong = np.any(taken & ~call.mask, axis=1)
        allowed = "the options of its mask"
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DecisionError(
            f"the rule of '{ask.name}' gave {answer[first]} for agent {int(call.agents[first])} at step {room.step}; "
            f"allowed are {allowed}"
        )
    return index


def _n_actions(kind: Any) -> int:
    if isinstance(kind, MultiSelect):
        return 1 << len(kind.texts)
    if isinstance(kind, Ranking):
        n = 1
        for place in range(kind.n_places):
            n *= len(kind.texts) - place
        return n
    return len(kind.texts)


def _check_shape(ask: Decision, answer: NDArray[Any], shape: tuple[int, int], what: str) -> None:
    if answer.shape != shape:
        raise DecisionError(f"the rule of '{ask.name}' gave {what} of shape {answer.shape}; it must give {shape}")


def _codes_of(room: Room, call: Call, kind: Ranking, orders: NDArray[Any]) -> IntArray:
    ordered = np.sort(orders, axis=1)
    wrong = (ordered[:, 0] < 0) | (ordered[:, -1] >= len(kind.texts)) | (np.diff(ordered, axis=1) == 0).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DecisionError(
            f"the rule of '{call.ask.name}' gave the order {orders[row].tolist()} for agent {int(call.agents[row])} at "
            f"step {room.step}; it must name {kind.n_places} different options from 0 to {len(kind.texts) - 1}"
        )
    return kind.codes(orders)


def _places_of(room: Room, call: Call, offered: Offered, items: NDArray[Any]) -> IntArray:
    """Return the place of each chosen item in its agent's list."""
    same = offered.items == np.repeat(items, offered.sizes)
    rows = np.repeat(np.arange(len(offered)), offered.sizes)
    places = np.full(len(offered), -1, np.int64)
    places[rows[same]] = (np.arange(offered.items.size) - offered.indptr[rows])[same]
    wrong = np.flatnonzero(places < 0)
    if wrong.size:
        raise DecisionError(
            f"the rule of '{call.ask.name}' gave item {items[wrong[0]]} for agent {int(call.agents[wrong[0]])} at step "
            f"{room.step}, who was not offered it"
        )
    return places


def _table_of_weights(call: Call, answer: NDArray[Any]) -> NDArray[Any]:
    ask, n = call.ask, call.agents.size
    assert isinstance(ask, Decision)
    if isinstance(ask.answer, Items):
        assert call.offered is not None
        if answer.shape != call.offered.items.shape:
            raise DecisionError(
                f"the rule of '{ask.name}' gave weights of shape {answer.shape}; it must give one per offered item, "
                f"{call.offered.items.size} in all"
            )
        return call.offered.padded(answer)
    k = len(ask.answer.texts)
    if answer.shape != (n, k):
        raise DecisionError(f"the rule of '{ask.name}' gave weights of shape {answer.shape}; it must give ({n}, {k})")
    return answer


def _check_odds(name: str, step: int, agents: IntArray, log_odds: NDArray[Any]) -> None:
    wrong = np.isnan(log_odds).any(axis=1)
    if wrong.any():
        raise DecisionError(
            f"the rule of '{name}' gave NaN for agent {int(agents[np.flatnonzero(wrong)[0]])} at step {step} "
            f"({int(wrong.sum())} agents in all); check the columns that the rule reads"
        )


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


def write_by_rule(room: Room, call: Call, number: int, variants: int | None) -> list[tuple[str | None, int]]:
    """Return the writing's fixed texts.

    Raises:
        DecisionError: not one text per agent.
    """
    assert isinstance(call.ask, Writing)
    texts = call.ask.rule(call.observation(room))
    if len(texts) != call.agents.size:
        raise DecisionError(f"the rule of '{call.ask.name}' gave {len(texts)} texts for {call.agents.size} agents")
    return [(text or None, -1) for text in texts]
