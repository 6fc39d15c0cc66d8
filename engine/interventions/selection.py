"""Whom an intervention reaches."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.decision import IntArray
from engine.errors import PopulationError
from engine.expressions import parse_expression
from engine.population.columns import Column
from engine.spec import Whom

EXPRESSION_KINDS = {"float": "number", "integer": "number", "boolean": "boolean", "category": "text", "text": "text"}


class Reached(Protocol):
    """What a selection needs of the world."""

    population: dict[str, NDArray[Any]]
    network: Any

    @property
    def agents(self) -> IntArray:
        """Ids of the agents present."""

    @property
    def n_agents(self) -> int:
        """Number of agents that ever entered."""

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator of this step."""

    def column_of(self, name: str) -> Column:
        """Return the meaning of a state or persona column."""


def degrees(world: Reached) -> IntArray:
    """Return each agent's number of ties over all layers."""
    total = np.zeros(world.n_agents, np.int64)
    for graph in world.network.layers.values():
        total += graph.degree()
    return total


def select_agents(world: Reached, whom: Whom, stream: str) -> IntArray:
    """Return the ids that `ids`, `where`, `top` and `sample` leave, ascending.

    Args:
        world: The world.
        whom: The selection.
        stream: Name of the random stream of `sample`.

    Raises:
        PopulationError: an id or column that does not exist.
    """
    chosen = world.agents
    if whom.ids is not None:
        ids = np.array(sorted(set(whom.ids)), np.int64)
        absent = ids[~np.isin(ids, chosen)]
        if absent.size:
            raise PopulationError(f"agent {int(absent[0])} is not present; ids run from 0 to {world.n_agents - 1}")
        chosen = ids
    if whom.where is not None and chosen.size:
        chosen = chosen[matches(world, whom.where, chosen)]
    if whom.top is not None and chosen.size:
        values = degrees(world) if whom.top.by == "degree" else world.population[whom.top.by]
        k = _count(whom.top.share, whom.top.n, chosen.size)
        ranked = chosen[np.lexsort((chosen, -values[chosen].astype(np.float64)))]
        chosen = np.sort(ranked[:k])
    if whom.sample is not None and chosen.size:
        k = _count(whom.sample.share, whom.sample.n, chosen.size)
        chosen = np.sort(world.rng(stream).choice(chosen, size=k, replace=False))
    return chosen


def _count(share: float | None, n: int | None, size: int) -> int:
    return min(size, n if n is not None else round((1.0 if share is None else share) * size))


def matches(world: Reached, where: str, agents: IntArray) -> NDArray[np.bool_]:
    """Return which agents a `where` expression holds for, shape (len(agents),)."""
    kinds = {name: EXPRESSION_KINDS[world.column_of(name).kind] for name in world.population}
    expression = parse_expression(where, kinds | {"degree": "number", "agent_id": "number"})
    frame: dict[str, Any] = {"agent_id": agents}
    for name in expression.names - {"agent_id"}:
        if name == "degree":
            frame[name] = degrees(world)[agents]
            continue
        column, values = world.column_of(name), world.population[name][agents]
        if column.kind == "category":
            frame[name] = pl.Series(name, np.array(column.labels, object)[values].tolist(), pl.String)
        elif column.kind == "text":
            frame[name] = pl.Series(name, values.tolist(), pl.String)
        else:
            frame[name] = values
    held = pl.DataFrame(frame).select(expression.polars.alias("held").fill_null(False))["held"]
    return held.to_numpy().astype(bool)
