"""What a policy is: a name, a code in the tables of a run, and functions that decide and write for some agents.

A policy registers itself as `registry.policies.register(name, PolicyInfo(...))`; nothing else needs to know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine import registry
from engine.decision import Decision, FloatArray, IntArray, Writing
from engine.errors import DecisionError
from engine.policy.calls import Call, Room
from engine.policy.records import POLICY_NAMES, Situation
from engine.spec import DecisionSpec


@dataclass(frozen=True)
class Decided:
    """What a policy chose for the n agents of a call.

    Attributes:
        index: Chosen index of each agent, int64, shape (n,): an option, a grid place, a bit mask, the number of an
            order, or a place in the list of what is offered.
        p: Probability of that option, float32, shape (n,); 1 where nothing was drawn.
        situations: Situation of each agent, int64, shape (n,); -1 where no prompt was shown.
        new: Situations that the run had not met before.
        policy: Code of who decided in the end, int8, shape (n,), where it is another for some; None otherwise.
    """

    index: IntArray
    p: NDArray[np.float32]
    situations: IntArray
    new: Sequence[Situation] = ()
    policy: NDArray[np.int8] | None = None


DecideFor = Callable[[Room, Call, FloatArray], Decided]
"""(room, call, one uniform in [0, 1) per agent) -> what the agents of the call do."""

WriteFor = Callable[[Room, Call, int, int | None], list[tuple[str | None, int]]]
"""(room, call, number of the call in this step, variants) -> (text or None, situation id or -1) for each agent."""

AssignTo = Callable[[Room, Decision | Writing, DecisionSpec, IntArray], NDArray[np.int8]]
"""(room, decision, who decides, agents) -> code of the policy of each agent; the same agents in every step."""


@dataclass(frozen=True)
class PolicyInfo:
    """A policy that a study can name.

    Attributes:
        name: Name in studies.
        help: One sentence for people.
        needs_model: Whether a language model is asked.
        decide: Decides for the agents who are assigned to it; None for one that only assigns.
        write: Writes for them; None where the writing's fixed texts are used.
        assign: Says which policy decides for each agent; None: this one for all of them.
    """

    name: str
    help: str
    needs_model: bool
    decide: DecideFor | None = None
    write: WriteFor | None = None
    assign: AssignTo | None = field(default=None)

    @property
    def code(self) -> int:
        """Its number in the table of decisions, as in `POLICY_NAMES`.

        Raises:
            DecisionError: it only assigns agents to other policies.
        """
        if self.name not in POLICY_NAMES:
            raise DecisionError(f"the policy '{self.name}' decides nothing itself; it has no code")
        return POLICY_NAMES.index(self.name)


def policy_of_code(code: int) -> PolicyInfo:
    """Return the policy that a code in the table of decisions stands for.

    Raises:
        RegistryError: no policy of that name is registered.
    """
    found: PolicyInfo = registry.policies.get(POLICY_NAMES[code])
    return found


def assign_policies(room: Room, ask: Decision | Writing, agents: IntArray) -> NDArray[np.int8]:
    """Return the code of the policy that decides for each agent; it is fixed for the whole run.

    Raises:
        RegistryError: the study names a policy that is not registered.
    """
    spec = room.spec_of(ask)
    info: PolicyInfo = registry.policies.get(spec.policy)
    if info.assign is not None:
        return info.assign(room, ask, spec, agents)
    return np.full(agents.size, info.code, np.int8)
