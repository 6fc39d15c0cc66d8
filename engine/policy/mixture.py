"""A mixture: the language model decides for a share of the agents, the rule for the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.decision import Decision, IntArray, Writing
from engine.draws import draw_uniform
from engine.policy.calls import Room
from engine.policy.records import LANGUAGE, RULE
from engine.spec import DecisionSpec


def assign_mixture(room: Room, ask: Decision | Writing, spec: DecisionSpec, agents: IntArray) -> NDArray[np.int8]:
    """Return the policy's code of each agent, drawn once for the whole run and alike for all decisions."""
    u = draw_uniform(room.population_seed, "mixture", 0, 0, agents)
    return np.where(u < spec.share, LANGUAGE, RULE).astype(np.int8)
