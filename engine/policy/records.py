"""What deciding and writing leave behind in a step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.decision import FloatArray, IntArray

POLICY_NAMES = ("rule", "language", "scripted", "human", "surrogate", "replay")
"""Policies by their code in the tables of a run; a code never changes its meaning."""
RULE, LANGUAGE, SCRIPTED, HUMAN, SURROGATE, REPLAY = range(len(POLICY_NAMES))


@dataclass(frozen=True)
class Situation:
    """One distinct prompt and the answer distribution that was read for it.

    Attributes:
        situation_id: 63-bit hash of everything that defines the situation.
        key: The same hash at full length, hexadecimal; names the situation in the journal.
        decision: Name of the decision.
        prefix: Part of the prompt that all situations of the decision share.
        suffix: Part of its own.
        options: Option texts, in order.
        logp: Log probabilities that agents draw from, shape (n_options,): normalised; of a set of options each one's
            own probability of being taken.
        raw_logp: Log probabilities of the option texts as the model gave them, forward order; of a set those of "yes".
        mass: Probability that the model puts on the options together, in [0, 1].
        model: Name of the model.
        source: model, cache or scripted: where the distribution came from first.
        debiased_logp: Like `logp`, before temperature and fitted intercepts: averaged over the orders of listing and
            normalised as the study says.
        separately: Whether each option was asked apart, as for a set.
    """

    situation_id: int
    key: str
    decision: str
    prefix: str
    suffix: str
    options: tuple[str, ...]
    logp: FloatArray
    raw_logp: FloatArray
    mass: float
    model: str
    source: str
    debiased_logp: FloatArray
    separately: bool = False

    def journal_entry(self) -> bytes:
        """Return what must outlive a crash: distributions, mass, model and source, exact to the last bit."""
        held = {"logp": self.logp.tolist(), "raw": self.raw_logp.tolist(), "mass": self.mass}
        held["debiased"] = self.debiased_logp.tolist()
        return json.dumps({**held, "model": self.model, "source": self.source}).encode()


@dataclass(frozen=True)
class DecisionBatch:
    """The actions of one call of `decide`; all arrays have shape (n,).

    Attributes:
        decision: Name of the decision.
        turn: Turn of each action, int64.
        agents: Agent ids.
        actions: Option index, or the number itself for `Integers`.
        p: Probability of the action, float32; 1 where a rule left no choice.
        situations: Situation ids, -1 where a rule decided.
        policy: Code of the policy of each action, a place in `POLICY_NAMES`, int8.
    """

    decision: str
    turn: IntArray
    agents: IntArray
    actions: IntArray
    p: NDArray[np.float32]
    situations: IntArray
    policy: NDArray[np.int8]


@dataclass(frozen=True)
class Message:
    """One text that an agent (or a moderator, agent_id -1) gave to others."""

    message_id: int
    turn: int
    agent_id: int
    parent_id: int
    channel: str
    text: str
    situation_id: int


def bordered(parts: Sequence[str]) -> bytes:
    """Return some texts as bytes, each after its length, so that their borders cannot be mistaken."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(8, "little") + part for part in encoded)


def content_key(parts: Sequence[str]) -> str:
    """Return the hexadecimal BLAKE2b-128 of some texts, unambiguous in their borders."""
    return hashlib.blake2b(bordered(parts), digest_size=16).hexdigest()


def content_id(key: str) -> int:
    """Return the 63-bit id of a content key."""
    return int(key[:16], 16) >> 1
