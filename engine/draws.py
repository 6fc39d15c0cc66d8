"""Counter-based random numbers: every draw is a pure function of its key.

The key is (seed, stream, step, turn, agent_id, lane). No generator state exists, so a draw is the same
whatever the order of evaluation, the number of threads, or how often a run was stopped and resumed.

Source: Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", Philox4x32-10.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.threads import run_ranges

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_MASK, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_TO_UNIT = 2.0**-53


@njit(cache=True, inline="always")
def philox4x32(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Return the four 32-bit words of Philox4x32-10 as uint64 scalars; all arguments are uint64 below 2**32."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0 = (p1 >> _HALF) ^ c1 ^ k0
        c1 = p1 & _MASK
        c2 = (p0 >> _HALF) ^ c3 ^ k1
        c3 = p0 & _MASK
        k0 = (k0 + _W0) & _MASK
        k1 = (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@njit(cache=True, inline="always")
def keyed_uniform(key, step, turn, agent_id, lane):  # type: ignore[no-untyped-def]
    """Return one uniform float64 in [0, 1) with 53 random bits, for use inside compiled kernels.

    Args:
        key: uint64 from `stream_key`.
        step: Step of the run, 0 to 2**32 - 1.
        turn: Turn within the step, 0 to 2**32 - 1.
        agent_id: Agent, 0 to 2**32 - 1.
        lane: Which of several draws of the same agent and turn.
    """
    k = np.uint64(key)
    a, b, _, _ = philox4x32(
        np.uint64(agent_id), np.uint64(step), np.uint64(turn), np.uint64(lane), k & _MASK, k >> _HALF
    )
    return float(((a << _HALF) | b) >> np.uint64(11)) * _TO_UNIT


def stream_key(seed: int, stream: str) -> np.uint64:
    """Return the 64-bit Philox key of a named stream under a seed."""
    digest = hashlib.blake2b(f"{int(seed)}\x1f{stream}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


@njit(cache=True, nogil=True)
def _fill(begin, end, out, key, step, turns, agent_ids, lane):  # type: ignore[no-untyped-def]
    for i in range(begin, end):
        out[i] = keyed_uniform(key, step, turns[i], agent_ids[i], lane)


def draw_uniform(
    seed: int, stream: str, step: int, turn: int | NDArray[Any], agent_ids: NDArray[Any], lane: int = 0
) -> NDArray[np.float64]:
    """Return one uniform in [0, 1) per agent, float64, shape (len(agent_ids),).

    `turn` is one number or one per agent. The value for an agent does not depend on which other agents are
    asked or on their order.
    """
    ids = np.ascontiguousarray(agent_ids, dtype=np.int64)
    turns = np.ascontiguousarray(np.broadcast_to(np.asarray(turn, np.int64), ids.shape))
    out = np.empty(ids.size, np.float64)
    run_ranges(_fill, ids.size, out, stream_key(seed, stream), int(step), turns, ids, int(lane))
    return out


def stream_rng(seed: int, stream: str, step: int) -> np.random.Generator:
    """Return a numpy generator that starts afresh for (seed, stream, step); its state is never stored."""
    key = int(stream_key(seed, stream))
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, int(step)]))
