"""Who has decided what in this step: an agent decides the same thing once per turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.decision import IntArray
from engine.errors import DecisionError

FEW = 64


class TurnsTaken:
    """The (agent, turn) pairs of one decision in one step.

    Calls for many agents in one turn are kept as a mask per turn; all others as single keys, so that a step of many
    small calls costs no more than their number.
    """

    def __init__(self) -> None:
        self._masks: dict[int, NDArray[np.bool_]] = {}
        self._keys: set[int] = set()
        self._turns: set[int] = set()

    def take(self, name: str, step: int, agents: IntArray, turns: IntArray, n_agents: int) -> None:
        """Note that agents decide at these turns.

        Args:
            name: The decision.
            step: Step of the run.
            agents: Agent ids, shape (n,).
            turns: Turn of each, shape (n,).
            n_agents: Number of agents that ever entered.

        Raises:
            DecisionError: a pair was there before, or stands twice in this call.
        """
        if not agents.size:
            return
        one = int(turns[0])
        many = agents.size >= FEW and bool((turns == one).all())
        if self._take_mask(agents, one, n_agents) if many else self._take_keys(agents, turns):
            raise DecisionError(
                f"'{name}' was decided twice for one agent and turn at step {step}; give each a turn of its own"
            )

    def _take_mask(self, agents: IntArray, turn: int, n_agents: int) -> bool:
        mask = np.zeros(n_agents, bool)
        mask[agents] = True
        twice = int(mask.sum()) != agents.size
        held = self._masks.get(turn)
        if held is not None:
            twice |= bool((held & mask[: held.size]).any())
            mask[: held.size] |= held
        if turn in self._turns:
            twice |= not self._keys.isdisjoint(((turn << 32) | agents).tolist())
        self._masks[turn] = mask
        return twice

    def _take_keys(self, agents: IntArray, turns: IntArray) -> bool:
        keys = ((turns << 32) | agents).tolist()
        fresh = set(keys)
        twice = len(fresh) != len(keys) or not self._keys.isdisjoint(fresh)
        for turn, held in self._masks.items():
            asked = agents[(turns == turn) & (agents < held.size)]
            twice |= bool(held[asked].any())
        self._keys |= fresh
        self._turns.update(np.unique(turns).tolist())
        return twice
