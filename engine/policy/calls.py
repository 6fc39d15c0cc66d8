"""One call of `decide` or `write`, and what it needs of the world.

`Room` names those needs; the world itself fills them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.decision import Decision, IntArray, Items, Observation, Offered, Ranking, Writing
from engine.errors import DecisionError
from engine.policy.asking import Asker
from engine.population import Population
from engine.population.columns import Column
from engine.spec import DecisionSpec, Study


class Room(Protocol):
    """What deciding needs of the world."""

    study: Study
    step: int
    params: Any
    persona: Population
    population: dict[str, NDArray[Any]]
    state_columns: dict[str, Column]
    regressions: dict[str, Any]
    asker: Asker
    dynamics_seed: int
    population_seed: int

    def text(self, text_id: int) -> str:
        """Return a text by id."""

    def announcements(self, agents: IntArray) -> IntArray:
        """Return the text id of the last broadcast that reached each agent, -1 for none."""

    def spec_of(self, ask: Decision | Writing) -> DecisionSpec:
        """Return who decides."""

    def name(self, agent: int) -> str:
        """Return how others call an agent."""

    def add_text(self, text: str) -> int:
        """Store a text and return its id."""

    def say(self, agent: int, text: str, channel: str, turn: int = 0, situation_id: int = -1) -> None:
        """Record a message."""

    def emit(self, kind: str, agent: int | None = None, **detail: Any) -> None:
        """Record an event."""


class Rows(Mapping[str, NDArray[Any]]):
    """Columns of some agents, cut out when they are read."""

    def __init__(self, columns: Mapping[str, NDArray[Any]], agents: IntArray) -> None:
        self._columns, self._agents = columns, agents

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name][self._agents]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@dataclass(frozen=True)
class Call:
    """One call of `decide` or `write` for agents who share a policy.

    Attributes:
        ask: What is decided or written.
        agents: Agent ids, shape (n,).
        turn: Turn of each.
        columns: Observation columns by name.
        texts: Text ids by name.
        mask: Options that each may choose, shape (n, n_options); None for all.
        offered: Items that each may choose from, where the answer is `Items`.
    """

    ask: Decision | Writing
    agents: IntArray
    turn: IntArray
    columns: Mapping[str, NDArray[Any]]
    texts: Mapping[str, IntArray]
    mask: NDArray[np.bool_] | None = None
    offered: Offered | None = None

    def part(self, mask: NDArray[np.bool_]) -> Call:
        """Return the call for some of its agents."""
        return Call(
            self.ask,
            self.agents[mask],
            self.turn[mask],
            {name: values[mask] for name, values in self.columns.items()},
            {name: values[mask] for name, values in self.texts.items()},
            None if self.mask is None else self.mask[mask],
            None if self.offered is None else self.offered.part(mask),
        )

    def actions(self, index: IntArray) -> IntArray:
        """Return the recorded actions of what a policy chose: option indexes, or places in what is offered."""
        assert isinstance(self.ask, Decision)
        return self.ask.answer.actions(index) if self.offered is None else self.offered.at(index)

    def observation(self, room: Room) -> Observation:
        """Return what the agents see."""
        return Observation(
            decision=self.ask,
            step=room.step,
            agents=self.agents,
            params=room.params,
            columns=self.columns,
            persona=Rows(room.population, self.agents),
            texts={name: [room.text(int(i)) for i in ids] for name, ids in self.texts.items()},
            mask=self.mask,
            offered=self.offered,
        )


def check_offer(call: Call) -> None:
    """Check that mask and offered items fit the decision.

    Raises:
        DecisionError: items are missing or not asked for, a mask of another shape, or one that leaves nothing.
    """
    ask, n = call.ask, call.agents.size
    assert isinstance(ask, Decision)
    if isinstance(ask.answer, Items) != (call.offered is not None):
        wanted = (
            "needs `options`, the items that each agent may choose" if call.offered is None else "takes no `options`"
        )
        raise DecisionError(f"'{ask.name}' {wanted}")
    if call.offered is not None and len(call.offered) != n:
        raise DecisionError(f"'{ask.name}' got items for {len(call.offered)} agents, but {n} decide")
    if call.mask is None:
        return
    if isinstance(ask.answer, Items | Ranking):
        raise DecisionError(f"'{ask.name}' takes no mask; a mask is for options of which one, or a set, is chosen")
    shape = (n, len(ask.answer.texts))
    if call.mask.shape != shape:
        raise DecisionError(f"the mask of '{ask.name}' has the shape {call.mask.shape}; it must be {shape}")
    empty = np.flatnonzero(~call.mask.any(axis=1))
    if empty.size:
        raise DecisionError(f"the mask of '{ask.name}' leaves agent {int(call.agents[empty[0]])} no option")
