"""From the layers of a study to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from pydantic import ValidationError

from engine import registry
from engine.errors import NetworkError
from engine.network.editing import edit_graph, weigh_graph
from engine.network.generators import Generator
from engine.network.graph import Graph, Network, checked_size
from engine.network.parameters import FromFile
from engine.network.shuffling import shuffle_graph
from engine.population.columns import Column
from engine.spec import LayerSpec


class Agents(Protocol):
    """What a network may know of the population: the columns of its agents and their values."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Type of each column by name."""

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """One value per agent by name of the column."""


def build_network(
    layers: Sequence[LayerSpec], n: int, seed: int, base: Path | None = None, population: Agents | None = None
) -> Network:
    """Build every layer of a network among n agents; the same arguments give the same ties on every machine.

    Args:
        layers: Kind, parameters and name of each; names must differ.
        n: Number of agents, at least 1.
        seed: Seed of the network; each layer draws from a stream of its own name.
        base: Folder from which files of ties are named; None for the current folder.
        population: The n agents, for kinds of networks that read one of their columns.

    Raises:
        NetworkError: no layer, a name given twice, parameters out of bounds or that do not fit n agents, a bad file,
            a column that is not there or cannot serve.
        RegistryError: an unknown kind.
    """
    n = checked_size(n)
    names = [layer.name for layer in layers]
    if not names:
        raise NetworkError("the network has no layer; give at least one in [network]")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise NetworkError(f"layers of the same name: {', '.join(map(repr, twice))}; give each its own")
    built: dict[str, Graph] = {}
    for layer in layers:
        generator, params = _checked(layer)
        column = _column_of(generator, params, population)
        graph = generator.build(params, n, seed, f"network/{layer.name}", base, *column)
        built[layer.name] = _finished(layer, graph, seed, {} if population is None else population.values)
    return Network(built)


def _finished(layer: LayerSpec, graph: Graph, seed: int, values: Mapping[str, NDArray[Any]]) -> Graph:
    """Shuffle, weigh and edit a built layer as it says."""
    if layer.shuffle:
        graph = shuffle_graph(graph, seed, f"shuffle/{layer.name}")
    if layer.weigh is not None:
        graph = weigh_graph(graph, layer.weigh, seed, f"weigh/{layer.name}", signed=layer.signed, values=values)
    if layer.add or layer.cut:
        graph = edit_graph(graph, layer.add, layer.cut, signed=layer.signed, where=layer.name)
    return graph


def _column_of(generator: Generator, params: Any, population: Agents | None) -> tuple[Any, ...]:
    """Return what a generator reads of the population: the population, or nothing."""
    if generator.check_population is not None:
        generator.check_population(params, {} if population is None else population.columns)
        return (population,)
    return ()


def depends_on_people(layer: LayerSpec) -> bool:
    """Tell whether the number of a layer's ties depends on who the agents are."""
    return layer.kind in registry.networks and registry.networks.get(layer.kind).ties_among is not None


def expected_ties(layer: LayerSpec, n: int, base: Path | None = None, some: Agents | None = None) -> float:
    """Return the expected number of ties of one layer without building it, for estimates and forms.

    Args:
        layer: Kind and parameters.
        n: Number of agents.
        base: Folder from which files of ties are named.
        some: Some of the agents, for kinds whose ties depend on who there is; without them all are taken to take part.

    Raises:
        NetworkError: parameters that are out of bounds or do not fit n agents; a file that is missing.
        RegistryError: an unknown kind.
    """
    generator, params = _checked(layer)
    if some is not None and generator.ties_among is not None:
        _column_of(generator, params, some)
        return generator.ties_among(params, checked_size(n), some)
    return generator.expected_ties(params, checked_size(n), base)


def _checked(layer: LayerSpec) -> tuple[Generator, Any]:
    generator: Generator = registry.networks.get(layer.kind)
    try:
        params = generator.params(**layer.params)
        if layer.signed and isinstance(params, FromFile):
            params._signed = True
        return generator, params
    except ValidationError as error:
        found = [f"{'.'.join(map(str, item['loc']))} = {item['input']!r:.80}: {item['msg']}" for item in error.errors()]
        raise NetworkError(f"parameters of network kind '{layer.kind}': " + "; ".join(found)) from None
