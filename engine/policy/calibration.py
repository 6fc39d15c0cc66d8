"""Fit intercepts and a temperature so that the model's answers reach the shares that the user gives.

The fit minimises the sum over segments of (share of agents) x Kullback-Leibler divergence of the mean predicted
distribution from the given shares; for shares counted in a sample this is maximum likelihood.

Source: Platt (1999), Probabilistic outputs for support vector machines (intercept and slope on scores); Guo, Pleiss,
Sun, Weinberger (2017), On calibration of modern neural networks, section 4.2 (one temperature for all options).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize

from engine.decision import Decision, FloatArray, IntArray
from engine.errors import DecisionError
from engine.policy.calls import Call, Room
from engine.policy.reading import log_probabilities, scores_of
from engine.policy.records import Situation, content_key
from engine.spec import CalibrationSpec, DecisionSpec

LARGEST_INTERCEPT = 30.0
SLOPES = (0.02, 50.0)
SMALLEST_P = 1e-300


@dataclass(frozen=True)
class Fit:
    """What was fitted: probabilities follow from (score + intercept) / temperature.

    Attributes:
        temperature: Divides scores; above 0.
        intercepts: One per option, float64; the first is 0 unless options are taken apart from each other.
        divergence: Kullback-Leibler divergence that is left, in nats, averaged over agents.
    """

    temperature: float
    intercepts: FloatArray
    divergence: float


def fit_shares(
    scores: FloatArray,
    n_agents: FloatArray,
    shares: FloatArray,
    *,
    separately: bool = False,
    temperature: float | None = None,
) -> Fit:
    """Fit one intercept per option, and one temperature where it is not given.

    Args:
        scores: Log weights (log odds of a set) of each situation, shape (n_situations, n_options); -inf where a
            situation does not offer an option.
        n_agents: Agents of each segment in each situation, shape (n_segments, n_situations).
        shares: Share of each option in each segment, shape (n_segments, n_options).
        separately: Whether each option is taken apart from the others.
        temperature: Fixed value; None fits it, which needs two segments that answer differently.
    """
    offered = np.isfinite(scores)
    d = np.where(offered, scores, 0.0)
    closed = np.where(offered, 0.0, -np.inf)
    inside = n_agents / n_agents.sum(axis=1, keepdims=True)
    weight = n_agents.sum(axis=1) / n_agents.sum()
    k = scores.shape[1]
    free = k if separately else k - 1

    def unpack(theta: FloatArray) -> tuple[FloatArray, float]:
        c = theta[:k] if separately else np.concatenate([[0.0], theta[:free]])
        return c, float(theta[free]) if temperature is None else 1.0 / temperature

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        c, b = unpack(theta)
        p = np.exp(log_probabilities(d * b + closed, separately=separately, intercepts=c))
        mean = np.maximum(inside @ p, SMALLEST_P)
        if separately:
            missing = np.maximum(1.0 - inside @ p, SMALLEST_P)
            value = float((weight[:, None] * (_kl(shares, mean) + _kl(1 - shares, missing))).sum())
            pull = weight[:, None] * ((1 - shares) / missing - shares / mean)
            dz = (inside.T @ pull) * p * (1 - p)
        else:
            value = float((weight[:, None] * _kl(shares, mean)).sum())
            push = inside.T @ (-weight[:, None] * shares / mean)
            dz = p * (push - (push * p).sum(axis=1, keepdims=True))
        slope = dz.sum(axis=0) if separately else dz.sum(axis=0)[1:]
        return value, slope if temperature is not None else np.append(slope, (dz * d).sum())

    start = np.zeros(free + (temperature is None))
    bounds = [(-LARGEST_INTERCEPT, LARGEST_INTERCEPT)] * free
    if temperature is None:
        start[free] = 1.0
        bounds.append(SLOPES)
    options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    c, b = unpack(found.x)
    return Fit(1.0 / b, c / b, max(float(found.fun), 0.0))


def _kl(share: FloatArray, p: FloatArray) -> FloatArray:
    terms: FloatArray = share * (np.log(np.maximum(share, SMALLEST_P)) - np.log(p))
    return terms


def calibrate(room: Room, call: Call, asked: Sequence[Situation], group: IntArray) -> list[Situation]:
    """Return the situations with the distributions that agents draw from, after the study's fit if it has one.

    The fit is made once in a run, on the agents of this call, and journalled.

    Args:
        room: The world.
        call: Who decides what.
        asked: One situation per group, as the model answered.
        group: Situation of each agent, shape (n,).

    Raises:
        DecisionError: the shares cannot be fitted to these agents.
    """
    ask, spec = call.ask, room.spec_of(call.ask)
    assert isinstance(ask, Decision)
    calibration = spec.calibration
    if calibration is None or not calibration.shares:
        return list(asked)
    settings = calibration.model_dump_json() + f" {spec.option_order} {spec.temperature!r} {spec.reason}"
    key = content_key(["calibration", ask.name, room.asker.model_file, settings])
    fit: Mapping[str, Any] | None = room.asker.fits.get(key)
    if fit is None:
        fit = room.asker.recall(room.step, "calibration", key, lambda: _fit_call(room, call, asked, group, spec))
        assert fit is not None
        room.asker.fits[key] = fit
        room.emit("calibrated", decision=ask.name, **fit)
    return [_apply(situation, fit) for situation in asked]


def _apply(situation: Situation, fit: Mapping[str, Any]) -> Situation:
    intercepts = np.array([fit["intercepts"][option] for option in situation.options])
    scores = scores_of(situation.debiased_logp, separately=situation.separately)
    logp = log_probabilities(
        scores, separately=situation.separately, temperature=fit["temperature"], intercepts=intercepts
    )
    return replace(situation, logp=logp)


def _fit_call(
    room: Room, call: Call, asked: Sequence[Situation], group: IntArray, spec: DecisionSpec
) -> dict[str, Any]:
    ask, calibration = call.ask, spec.calibration
    assert isinstance(ask, Decision) and calibration is not None
    options = ask.answer.texts
    scores = np.full((len(asked), len(options)), -np.inf)
    for row, situation in enumerate(asked):
        columns = [options.index(option) for option in situation.options]
        scores[row, columns] = scores_of(situation.debiased_logp, separately=situation.separately)
    good = ~np.isnan(scores).any(axis=1)
    labels, members = _segments(room, call, calibration)
    n_agents = np.stack([np.bincount(group[rows], minlength=len(asked)) for rows in members]).astype(np.float64)
    n_agents[:, ~good] = 0.0
    if not n_agents.sum(axis=1).all():
        empty = labels[int(np.flatnonzero(n_agents.sum(axis=1) == 0)[0])]
        who = f"with {calibration.by} = '{empty}' " if calibration.by else ""
        raise DecisionError(
            f"nobody {who}decides '{ask.name}' at step {room.step}, so its shares cannot be fitted; leave them out "
            f"@ decisions.{ask.name}.calibration.shares"
        )
    given: Any = calibration.shares
    tables = [given[label] for label in labels] if calibration.by else [given]
    shares = np.array([[float(table.get(option, 0.0)) for option in options] for table in tables])
    separately = asked[0].separately
    scores[~good] = 0.0
    fixed = None if len(labels) > 1 else spec.temperature
    fit = fit_shares(scores, n_agents, shares, separately=separately, temperature=fixed)
    return {
        "temperature": fit.temperature,
        "intercepts": dict(zip(options, fit.intercepts.tolist(), strict=True)),
        "divergence": fit.divergence,
        "agents": int(n_agents.sum()),
        "situations": int((n_agents.sum(axis=0) > 0).sum()),
        "temperature_fitted": fixed is None,
    }


def _segments(room: Room, call: Call, calibration: CalibrationSpec) -> tuple[list[str], list[IntArray]]:
    """Return the labels that have shares, and the rows of the call's agents with each."""
    if calibration.by is None:
        return ["all"], [np.arange(call.agents.size)]
    column = room.persona.columns.get(calibration.by) or room.state_columns.get(calibration.by)
    if column is None:
        raise DecisionError(
            f"'{calibration.by}' is not a column of this population @ decisions.{call.ask.name}.calibration.by"
        )
    values = room.population[calibration.by][call.agents]
    words = _words(column, values)
    labels = list(calibration.shares)
    return labels, [np.flatnonzero(words == label) for label in labels]


def _words(column: Any, values: Any) -> Any:
    if column.kind == "category":
        return np.array(column.labels, object)[values.astype(np.int64)]
    if column.kind == "boolean":
        return np.where(values, "true", "false")
    return values.astype(str)
