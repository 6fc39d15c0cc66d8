"""Decide by the scenario's rule, by a regression in its place, or by seeded chance; write by fixed texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.decision import Decision, FloatArray, IntArray, Integers, Writing
from engine.errors import DecisionError
from engine.policy.calls import Call, Room
from engine.policy.lifting import draw_options
from engine.policy.policies import Decided
from engine.policy.regression import Regression, build_regression, regression_weights
from engine.spec import RegressionSpec

CHUNK = 1 << 16


def without_prompt(index: IntArray, p: NDArray[np.float32]) -> Decided:
    """Return choices for which no prompt was shown."""
    return Decided(index, p, np.full(index.size, -1, np.int64))


def decide_by_chance(room: Room, call: Call, u: FloatArray) -> Decided:
    """Return options drawn with equal probabilities."""
    assert isinstance(call.ask, Decision)
    weights = np.zeros((1, len(call.ask.answer.texts)))
    return without_prompt(*draw_options(weights, np.zeros(u.size, np.int64), u))


def decide_by_rule(room: Room, call: Call, u: FloatArray) -> Decided:
    """Return what the scenario's rule, or the study's regression, chooses for each agent.

    Raises:
        DecisionError: the rule gave actions or weights that the answer does not allow.
    """
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
        return without_prompt(index, np.ones(index.size, np.float32))
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
    return without_prompt(index, p)


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
