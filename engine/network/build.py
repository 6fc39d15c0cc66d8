"""From the layers of a study to a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine import registry
from engine.errors import NetworkError
from engine.network.generators import Generator
from engine.network.graph import Graph, Network, checked_size
from engine.network.shuffling import shuffle_graph
from engine.spec import LayerSpec


def build_network(layers: Sequence[LayerSpec], n: int, seed: int, base: Path | None = None) -> Network:
    """Build every layer of a network among n agents; the same arguments give the same ties on every machine.

    Args:
        layers: Kind, parameters and name of each; names must differ.
        n: Number of agents, at least 1.
        seed: Seed of the network; each layer draws from a stream of its own name.
        base: Folder from which files of ties are named; None for the current folder.

    Raises:
        NetworkError: no layer, a name given twice, parameters out of bounds or that do not fit n agents, a bad file.
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
        graph = generator.build(params, n, seed, f"network/{layer.name}", base)
        built[layer.name] = shuffle_graph(graph, seed, f"shuffle/{layer.name}") if layer.shuffle else graph
    return Network(built)


def expected_ties(layer: LayerSpec, n: int, base: Path | None = None) -> float:
    """Return the expected number of ties of one layer without building it, for estimates and forms.

    Raises:
        NetworkError: parameters that are out of bounds or do not fit n agents; a file that is missing.
        RegistryError: an unknown kind.
    """
    generator, params = _checked(layer)
    return generator.expected_ties(params, checked_size(n), base)


def _checked(layer: LayerSpec) -> tuple[Generator, Any]:
    generator: Generator = registry.networks.get(layer.kind)
    try:
        return generator, generator.params(**layer.params)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, item['loc']))} = {item['input']!r:.80}: {item['msg']}" for item in error.errors()]
        raise NetworkError(f"parameters of network kind '{layer.kind}': " + "; ".join(found)) from None
