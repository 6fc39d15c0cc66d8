"""One call of `decide` or `write`, and what it needs of the world.

`Room` names those needs; the world itself fills them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.decision import Decision, IntArray, Observation, Writing
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
    """One call of `decide` or `write` for agents who share a policy."""

    ask: Decision | Writing
    agents: IntArray
    turn: IntArray
    columns: Mapping[str, NDArray[Any]]
    texts: Mapping[str, IntArray]

    def part(self, mask: NDArray[np.bool_]) -> Call:
        """Return the call for some of its agents."""
        return Call(
            self.ask,
            self.agents[mask],
            self.turn[mask],
            {name: values[mask] for name, values in self.columns.items()},
            {name: values[mask] for name, values in self.texts.items()},
        )

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
        )
