"""What an intervention does: one registered effect per verb."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine import registry
from engine.decision import IntArray
from engine.errors import NetworkError, PopulationError
from engine.population.columns import Column


class EffectParams(BaseModel):
    """Base of an effect's arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Effect:
    """A registered effect.

    Attributes:
        name: Name in `do = { effect = NAME }`.
        params: Its arguments.
        apply: (world, agents, arguments) -> None.
        help: One sentence.
    """

    name: str
    params: type[EffectParams]
    apply: Callable[[Any, IntArray, Any], None]
    help: str


class ColumnValue(EffectParams):
    """A column and the value it gets."""

    column: str = Field(description="State or persona column.")
    value: float | bool | str = Field(description="Number, yes/no, or a category's label.")


class ColumnAmount(EffectParams):
    """A column and the amount added to it."""

    column: str = Field(description="Numeric column.")
    amount: float = Field(description="Added to the value, in the column's unit.")


class ColumnFactor(EffectParams):
    """A column and the factor it is multiplied with."""

    column: str = Field(description="Numeric column.")
    factor: float = Field(description="Multiplies the value.")


class ParamValue(EffectParams):
    """A knob and its new value."""

    param: str = Field(description="Knob of the scenario.")
    value: float | bool | str = Field(description="New value, within the knob's bounds.")


class Broadcast(EffectParams):
    """A text that agents read from now on."""

    text: str = Field(min_length=1, max_length=2000, description="Shown in every later prompt of those reached.")


class AddTies(EffectParams):
    """New ties from each reached agent."""

    n: int = Field(1, ge=1, le=1000, description="New ties for each reached agent, to random others.")
    layer: str | None = Field(None, description="Layer of ties; the first one by default.")
    pairs: tuple[tuple[int, int], ...] = Field((), description="Exact ties to add instead.")


class CutTies(EffectParams):
    """Ties of the reached agents that are cut."""

    share: float = Field(1.0, gt=0, le=1, description="Share of the reached agents' ties, drawn at random.")
    layer: str | None = Field(None, description="Layer of ties; the first one by default.")
    pairs: tuple[tuple[int, int], ...] = Field((), description="Exact ties to cut instead.")


class SeedAdopters(EffectParams):
    """Some of the reached agents who start with a value."""

    column: str = Field(description="State column, for example adopted or state.")
    value: float | bool | str = Field(description="Their value.")
    n: int | None = Field(None, ge=1, description="How many.")
    share: float | None = Field(None, gt=0, le=1, description="Or which share.")


def column_value(column: Column, name: str, value: float | bool | str) -> Any:
    """Return a value as the column stores it.

    Raises:
        PopulationError: not a label, or outside the range.
    """
    if column.kind == "category":
        if value not in column.labels:
            raise PopulationError(
                f"'{value}' is not a value of {name}{registry.nearest(str(value), column.labels)} @ {name}"
            )
        return column.labels.index(str(value))
    if column.kind == "text":
        return str(value)
    if isinstance(value, str):
        raise PopulationError(f"'{value}' is not a number; {name} is a {column.kind} column")
    low, high = column.low, column.high
    if (low is not None and value < low) or (high is not None and value > high):
        raise PopulationError(f"{name} = {value} is not in [{low}, {high}]")
    return bool(value) if column.kind == "boolean" else value


def _numbers(world: Any, name: str, agents: IntArray, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    column = world.column_of(name)
    if column.kind not in ("float", "integer"):
        raise PopulationError(f"{name} is a {column.kind} column; only numbers can be added to or scaled")
    values = change(world.population[name][agents].astype(np.float64))
    if column.low is not None or column.high is not None:
        values = np.clip(values, column.low, column.high)
    world.set_column(name, agents, np.rint(values) if column.kind == "integer" else values)


def _set(world: Any, agents: IntArray, do: ColumnValue) -> None:
    world.set_column(do.column, agents, column_value(world.column_of(do.column), do.column, do.value))


def _add(world: Any, agents: IntArray, do: ColumnAmount) -> None:
    _numbers(world, do.column, agents, lambda values: values + do.amount)


def _scale(world: Any, agents: IntArray, do: ColumnFactor) -> None:
    _numbers(world, do.column, agents, lambda values: values * do.factor)


def _set_param(world: Any, agents: IntArray, do: ParamValue) -> None:
    world.params = type(world.params)(**(world.params.model_dump() | {do.param: do.value}))


def _broadcast(world: Any, agents: IntArray, do: Broadcast) -> None:
    world.announce(agents, do.text)


def pick_layer(world: Any, name: str | None) -> str:
    """Return the layer of that name, or the first one.

    Raises:
        NetworkError: no such layer, or a complete one.
    """
    layers = world.network.layers
    chosen = next(iter(layers)) if name is None else name
    if chosen not in layers:
        raise NetworkError(f"'{chosen}' is not a layer{registry.nearest(chosen, layers)}")
    if layers[chosen].complete:
        raise NetworkError(f"layer '{chosen}' is complete: its ties are implicit and cannot be added or cut")
    return str(chosen)


def _add_ties(world: Any, agents: IntArray, do: AddTies) -> None:
    layer = pick_layer(world, do.layer)
    if do.pairs:
        world.change_ties(layer, np.array(do.pairs, np.int64), None)
        return
    graph, rng, present = world.network.layers[layer], world.rng(f"add_ties:{layer}"), world.agents
    taken = {(int(min(i, j)), int(max(i, j))) for i in agents for j in graph.neighbours(int(i))}
    pairs: list[tuple[int, int]] = []
    for agent in agents.tolist():
        wanted, tries = do.n, 0
        while wanted and tries < 50 * do.n:
            tries += 1
            other = int(rng.choice(present))
            tie = (min(agent, other), max(agent, other))
            if other != agent and tie not in taken:
                taken.add(tie)
                pairs.append(tie)
                wanted -= 1
    if pairs:
        world.change_ties(layer, np.array(pairs, np.int64), None)


def _cut_ties(world: Any, agents: IntArray, do: CutTies) -> None:
    layer = pick_layer(world, do.layer)
    if do.pairs:
        world.change_ties(layer, None, np.array(do.pairs, np.int64))
        return
    source, target, _ = world.network.layers[layer].edges()
    reached = np.zeros(world.n_agents, bool)
    reached[agents] = True
    rows = np.flatnonzero(reached[source] | reached[target])
    k = round(do.share * rows.size)
    if k:
        rows = np.sort(world.rng(f"cut_ties:{layer}").choice(rows, size=k, replace=False))
        world.change_ties(layer, None, np.stack([source[rows], target[rows]], axis=1).astype(np.int64))


def _seed_adopters(world: Any, agents: IntArray, do: SeedAdopters) -> None:
    value = column_value(world.column_of(do.column), do.column, do.value)
    candidates = agents[world.population[do.column][agents] != value]
    k = candidates.size if do.n is None and do.share is None else do.n or round((do.share or 0) * agents.size)
    chosen = world.rng(f"seed_adopters:{do.column}").choice(candidates, size=min(k, candidates.size), replace=False)
    world.set_column(do.column, np.sort(chosen), value)


EFFECTS = (
    Effect("set", ColumnValue, _set, "Give a column a value."),
    Effect("add", ColumnAmount, _add, "Add an amount to a numeric column, kept within its range."),
    Effect("scale", ColumnFactor, _scale, "Multiply a numeric column, kept within its range."),
    Effect("set_param", ParamValue, _set_param, "Change a knob of the scenario for everyone."),
    Effect("broadcast", Broadcast, _broadcast, "Let agents read a text in every later prompt."),
    Effect("add_ties", AddTies, _add_ties, "Add ties."),
    Effect("cut_ties", CutTies, _cut_ties, "Cut ties."),
    Effect("seed_adopters", SeedAdopters, _seed_adopters, "Give some agents, drawn at random, a starting value."),
)
