"""A world's columns as plain arrays: their initial values, their canonical bytes, and a checkpoint's content.

Only numbers and bytes are stored, so a checkpoint can be read with `allow_pickle=False`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import PopulationError, RunError
from engine.network import Graph
from engine.population import Population
from engine.population.columns import Column
from engine.registry import nearest

if TYPE_CHECKING:
    from engine.world import World

Arrays = dict[str, NDArray[Any]]
FORMAT = 1


def initial_values(name: str, column: Column, persona: Population) -> Any:
    """Return what a state column starts from: the population's own column of that name, or its declared value.

    Category labels of the population are translated into the codes of the state column.

    Raises:
        PopulationError: the population's column holds something else than the state column can.
    """
    own = persona.columns.get(name)
    if own is None:
        return column.initial
    values = persona.values[name]
    if column.kind == "category":
        if own.kind != "category":
            raise PopulationError(f"'{name}' must hold one of {', '.join(column.labels)} @ population.columns.{name}")
        strange = [label for label in own.labels if label not in column.labels]
        if strange:
            hint = nearest(strange[0], column.labels)
            raise PopulationError(f"'{strange[0]}' is not a value of {name}{hint} @ population.columns.{name}")
        return np.array([column.labels.index(label) for label in own.labels], np.int64)[values]
    if own.kind in ("category", "text"):
        raise PopulationError(f"'{name}' is a {column.kind} column and cannot hold texts @ population.columns.{name}")
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    wrong = np.flatnonzero(~((values >= low) & (values <= high)))
    if wrong.size:
        value = values[wrong[0]]
        raise PopulationError(f"{name} = {value:g} is not in [{low:g}, {high:g}] @ population.columns.{name}")
    return values


def canonical_bytes(array: NDArray[Any]) -> memoryview | bytes:
    """Return little-endian bytes with one NaN and one zero."""
    if array.dtype.kind == "f":
        array = array + array.dtype.type(0)
        array[np.isnan(array)] = np.nan
    array = np.ascontiguousarray(array)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).view(np.uint8).data


def pack_world(world: World) -> Arrays:
    """Return the world's mutable state as arrays."""
    state: Arrays = {f"state/{name}": world.population[name] for name in world.state_columns}
    texts: dict[str, list[str]] = {}
    for name in sorted(world.changed_personas - set(world.state_columns)):
        if world.persona.columns[name].kind == "text":
            texts[name] = [str(value) for value in world.population[name]]
        else:
            state[f"persona/{name}"] = world.population[name]
    for name in sorted(world.changed_layers):
        graph = world.network.layers[name]
        state[f"layer/{name}/indptr"], state[f"layer/{name}/indices"] = graph.indptr, graph.indices
        if graph.weights is not None:
            state[f"layer/{name}/weights"] = graph.weights
    state["entered"], state["left"] = world.entered, world.left
    if world._heard is not None:
        state["heard"] = world._heard
    rest = {
        "format": FORMAT,
        "step": world.step,
        "env": world.env,
        "params": world.params.model_dump(mode="json"),
        "persona_texts": texts,
        "texts": list(world._texts.items()),
        "asked": world.asker.asked,
        "fits": world.asker.fits,
        "n_messages": world._n_messages,
        "triggers": world.triggers,
        "injected": world.injected,
        "stopped": world.stopped,
        "settled": world.settled,
        "measured": [[name, segment, value] for (name, segment), value in world.measured.items()],
        "graphs": {name: _shape(world.network.layers[name]) for name in sorted(world.changed_layers)},
    }
    state["rest"] = np.frombuffer(json.dumps(rest, default=_plain).encode(), np.uint8)
    return {name: array.copy() for name, array in state.items()}


def unpack_world(world: World, state: Mapping[str, NDArray[Any]]) -> None:
    """Put a packed state into a freshly built world of the same study.

    Raises:
        RunError: the state was written by another version.
    """
    rest = json.loads(np.asarray(state["rest"], np.uint8).tobytes().decode())
    if rest["format"] != FORMAT:
        raise RunError(f"the checkpoint has format {rest['format']}; this version reads format {FORMAT}")
    world.entered, world.left = state["entered"].copy(), state["left"].copy()
    for name in world.state_columns:
        world.population[name] = state[f"state/{name}"].copy()
    for key in state:
        kind, _, name = key.partition("/")
        if kind == "persona":
            world.population[name] = state[key].copy()
            world.changed_personas.add(name)
    for name, texts in rest["persona_texts"].items():
        world.population[name] = np.array(texts, object)
        world.changed_personas.add(name)
    world.match_persona()
    for name, (n, directed, complete) in rest["graphs"].items():
        world.network.layers[name] = Graph(
            n=n,
            indptr=state[f"layer/{name}/indptr"].copy(),
            indices=state[f"layer/{name}/indices"].copy(),
            weights=state[f"layer/{name}/weights"].copy() if f"layer/{name}/weights" in state else None,
            directed=directed,
            complete=complete,
        )
        world.changed_layers.add(name)
    world._heard = state["heard"].copy() if "heard" in state else None
    world.step, world.env = rest["step"], rest["env"]
    world.stopped, world.settled = rest["stopped"], rest["settled"]
    world.params = world.info.params(**rest["params"])
    world._texts = {int(text_id): text for text_id, text in rest["texts"]}
    world.asker.asked = dict(rest["asked"])
    world.asker.fits = dict(rest.get("fits", {}))
    world._n_messages = rest["n_messages"]
    world.triggers, world.injected = rest["triggers"], rest["injected"]
    world.measured = {(name, segment): value for name, segment, value in rest["measured"]}


def _shape(graph: Graph) -> list[int | bool]:
    return [graph.n, graph.directed, graph.complete]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot stand in a checkpoint")
