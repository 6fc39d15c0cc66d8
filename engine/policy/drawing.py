"""Draw answers of every kind from log weights, each agent with its own keyed uniforms.

Sources: Luce (1959), Individual Choice Behavior, ch. 1 (choice probabilities proportional to weights); Plackett (1975),
The analysis of permutations, Applied Statistics 24, eq. 4: a ranking is a sequence of such choices among what is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.decision import Decision, FloatArray, IntArray, MultiSelect, Ranking
from engine.draws import draw_uniform
from engine.policy.calls import Call, Room
from engine.policy.lifting import draw_options

CHUNK = 1 << 16


def draw_answers(
    room: Room, call: Call, log_weights: FloatArray, row: IntArray, u: FloatArray
) -> tuple[IntArray, NDArray[np.float32]]:
    """Return (index, its probability) for each agent of a call, for any kind of answer.

    Args:
        room: The world.
        call: Who decides what.
        log_weights: Shape (n_rows, n_options): log odds of each option for `MultiSelect`, else log weights; -inf
            excludes an option. For `Items` columns are places in the agent's list.
        row: Row of each agent, shape (n,).
        u: The agents' uniforms of lane 0; further lanes are drawn under the same key.
    """
    ask = call.ask
    assert isinstance(ask, Decision)
    if not isinstance(ask.answer, MultiSelect | Ranking):
        return draw_options(log_weights, row, u)
    several = isinstance(ask.answer, MultiSelect)
    n_lanes = log_weights.shape[1] if isinstance(ask.answer, MultiSelect) else ask.answer.n_places
    index, p = np.empty(u.size, np.int64), np.empty(u.size, np.float32)
    for start in range(0, u.size, CHUNK):
        part = slice(start, start + CHUNK)
        lanes = np.empty((u[part].size, n_lanes))
        lanes[:, 0] = u[part]
        for lane in range(1, n_lanes):
            stream, who = f"decide:{ask.name}", call.agents[part]
            lanes[:, lane] = draw_uniform(room.dynamics_seed, stream, room.step, call.turn[part], who, lane)
        draw = draw_sets if several else draw_rankings
        index[part], p[part] = draw(log_weights, row[part], lanes)
    return index, p


def draw_sets(log_odds: FloatArray, row: IntArray, u: FloatArray) -> tuple[IntArray, NDArray[np.float32]]:
    """Draw a set of options per agent, each option independently.

    Args:
        log_odds: Log odds of taking each option, shape (n_rows, n_options); -inf never, +inf always.
        row: Row of each agent, shape (n,).
        u: Uniforms in [0, 1), shape (n, n_options).

    Returns:
        (bit mask, probability of that set), both of shape (n,).
    """
    with np.errstate(over="ignore"):
        p_take = 1.0 / (1.0 + np.exp(-log_odds))
    masks, p = np.empty(row.size, np.int64), np.empty(row.size, np.float32)
    _draw_sets(p_take, row, u, masks, p)
    return masks, p


@njit(cache=True, nogil=True)
def _draw_sets(p_take, row, u, masks, p):  # type: ignore[no-untyped-def]
    for i in range(row.size):
        mask, share = np.int64(0), 1.0
        for option in range(p_take.shape[1]):
            chance = p_take[row[i], option]
            if u[i, option] < chance:
                mask |= np.int64(1) << np.int64(option)
                share *= chance
            else:
                share *= 1.0 - chance
        masks[i], p[i] = mask, share


def draw_rankings(log_weights: FloatArray, row: IntArray, u: FloatArray) -> tuple[IntArray, NDArray[np.float32]]:
    """Draw a ranking per agent by the Plackett-Luce model, place after place.

    Args:
        log_weights: Shape (n_rows, n_options), finite.
        row: Row of each agent, shape (n,).
        u: Uniforms in [0, 1), one per place, shape (n, n_places).

    Returns:
        (action as in `Ranking`, probability of that order), both of shape (n,).
    """
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights = np.maximum(weights, np.finfo(np.float64).tiny)  # an option that never comes first still comes last
    codes, p = np.empty(row.size, np.int64), np.empty(row.size, np.float32)
    _draw_rankings(weights, row, u, codes, p)
    return codes, p


@njit(cache=True, nogil=True)
def _draw_rankings(weights, row, u, codes, p):  # type: ignore[no-untyped-def]
    k, places = weights.shape[1], u.shape[1]
    left = np.empty(k, np.bool_)
    for i in range(row.size):
        left[:] = True
        code, share = np.int64(0), 1.0
        for place in range(places):
            total = 0.0
            for option in range(k):
                if left[option]:
                    total += weights[row[i], option]
            target, below, before = u[i, place] * total, 0.0, 0
            chosen, digit = -1, 0
            for option in range(k):
                if left[option]:
                    chosen, digit = option, before  # the last one left takes what rounding leaves over
                    below += weights[row[i], option]
                    if target < below:
                        break
                    before += 1
            left[chosen] = False
            share *= weights[row[i], chosen] / total
            code = code * (k - place) + digit
        codes[i], p[i] = code, share


def even_weights(call: Call) -> tuple[FloatArray, IntArray]:
    """Return (log weights, row of each agent) under which every allowed option is as likely as any other."""
    ask = call.ask
    assert isinstance(ask, Decision)
    if call.offered is not None:
        rows = np.arange(len(call.offered))
        return call.offered.padded(np.zeros(call.offered.items.size)), rows
    if call.mask is None:
        return np.zeros((1, len(ask.answer.texts))), np.zeros(call.agents.size, np.int64)
    return np.where(call.mask, 0.0, -np.inf), np.arange(call.agents.size)


def masked(call: Call, weights: NDArray[Any]) -> NDArray[Any]:
    """Return log weights of shape (n, n_options) with -inf where an agent may not choose an option."""
    return weights if call.mask is None else np.where(call.mask, weights, -np.inf)
