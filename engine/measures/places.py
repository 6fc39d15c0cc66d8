"""Columns that a finished layer gives the agents: degree, centralities, community."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from engine.layer_checks import MEASURED
from engine.measures.centrality import (
    find_cores,
    local_clustering,
    measure_betweenness,
    measure_closeness,
    measure_eigenvector,
    measure_pagerank,
    measure_strength,
)
from engine.measures.graph import find_communities, find_components, measure_homophily
from engine.network import Graph, Network
from engine.population import Population
from engine.spec import LayerSpec

_FORMULAS: dict[str, Callable[[Graph, int], NDArray[Any]]] = {
    "degree": lambda graph, seed: graph.degree(),
    "strength": lambda graph, seed: measure_strength(graph),
    "betweenness": measure_betweenness,
    "closeness": measure_closeness,
    "eigenvector": lambda graph, seed: measure_eigenvector(graph),
    "pagerank": lambda graph, seed: measure_pagerank(graph),
    "k_core": lambda graph, seed: find_cores(graph),
    "clustering": lambda graph, seed: local_clustering(graph),
    "component": lambda graph, seed: find_components(graph),
    "community": lambda graph, seed: find_communities(graph, seed),
}


def measure_agents(graph: Graph, measure: str, seed: int = 0) -> NDArray[Any]:
    """Return one number per agent by a measure of `engine.layer_checks.MEASURED`; the same for the same arguments."""
    return _FORMULAS[measure](graph, seed)


def add_agent_columns(population: Population, network: Network, layers: Sequence[LayerSpec], seed: int) -> None:
    """Add the columns that a study's layers give to the agents.

    Args:
        population: Changed: gains the columns.
        network: All layers, finished.
        layers: The study's layers.
        seed: Seed of the network.
    """
    for layer in layers:
        for name, measure in layer.agent_columns.items():
            population.add(name, MEASURED[measure], measure_agents(network.layers[layer.name], measure, seed))


def likeness_reached(population: Population, network: Network, layers: Sequence[LayerSpec]) -> list[dict[str, Any]]:
    """Return what homophily aimed at and reached: layer, column, measure, target and reached, one entry per column."""
    found = []
    for layer in layers:
        if layer.kind != "homophily":
            continue
        names = list(layer.params.get("columns") or [layer.params.get("column")])
        targets = list(layer.params.get("targets") or [layer.params.get("target", 0.0)])
        for name, target in zip(names, targets, strict=False):
            column = population.columns[name]
            reached = measure_homophily(network.layers[layer.name], column, population.values[name])
            kind = "E-I index" if column.kind in ("category", "boolean") else "correlation"
            found.append({"layer": layer.name, "column": name, "measure": kind, "target": target, "reached": reached})
    return found
