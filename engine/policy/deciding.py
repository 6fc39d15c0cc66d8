"""Decide and write for many agents at once: each agent by the policy that it is assigned to."""

from __future__ import annotations

import numpy as np

from engine.decision import Decision, Writing
from engine.draws import draw_uniform
from engine.errors import DecisionError
from engine.policy.calls import Call, Room, check_offer
from engine.policy.policies import assign_policies, policy_of_code
from engine.policy.records import DecisionBatch, Situation
from engine.policy.rule import write_by_rule


def decide(room: Room, call: Call) -> tuple[DecisionBatch, list[Situation]]:
    """Return the actions of one call and the situations that are new to the run.

    Policies decide in the order of their codes, so that a person at the keyboard decides after rules and models.

    Raises:
        DecisionError: a writing was given, or a policy broke its contract.
    """
    ask = call.ask
    if not isinstance(ask, Decision):
        raise DecisionError(f"'{ask.name}' is a writing, not a decision")
    check_offer(call)
    policy = assign_policies(room, ask, call.agents)
    n = call.agents.size
    index, p, situations = np.empty(n, np.int64), np.ones(n, np.float32), np.full(n, -1, np.int64)
    new: list[Situation] = []
    u = draw_uniform(room.dynamics_seed, f"decide:{ask.name}", room.step, call.turn, call.agents)
    for code in np.unique(policy):
        info = policy_of_code(int(code))
        if info.decide is None:
            raise DecisionError(f"the policy '{info.name}' cannot decide '{ask.name}'")
        mask = policy == code
        decided = info.decide(room, call if mask.all() else call.part(mask), u[mask])
        index[mask], p[mask], situations[mask] = decided.index, decided.p, decided.situations
        if decided.policy is not None:
            policy[mask] = decided.policy
        new += decided.new
    return DecisionBatch(ask.name, call.turn, call.agents, call.actions(index), p, situations, policy), new


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
    writers = {int(code): policy_of_code(int(code)).write or write_by_rule for code in np.unique(policy)}
    for write in dict.fromkeys(writers.values()):
        mask = np.isin(policy, [code for code, writer in writers.items() if writer is write])
        written = write(room, call.part(mask), number, variants)
        for row, pair in zip(np.flatnonzero(mask).tolist(), written, strict=True):
            result[row] = pair
    return result
