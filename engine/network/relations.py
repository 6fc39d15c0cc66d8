"""Ties that a persona pack states: who is whose family, colleague or friend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine import registry
from engine.errors import NetworkError
from engine.network.generators import Generator
from engine.network.graph import Graph
from engine.network.parameters import Relations
from engine.population.columns import Column

PERSONA = "persona"


class Agents(Protocol):
    """What relations need of a population: its columns, and what the pack states (None without)."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Type of each column by name."""

    @property
    def values(self) -> Mapping[str, Any]:
        """One value per agent by name of the column."""

    @property
    def relations(self) -> Any:
        """Relations between people of the pack, as `engine.population.Relations`."""


def check_relations(params: Relations, columns: Mapping[str, Column]) -> None:
    """Check that the people come from a persona pack.

    Raises:
        NetworkError: they do not.
    """
    if PERSONA not in columns:
        raise NetworkError("relations are those of a persona pack; name one with personas in [population]")


def build_relations(params: Relations, n: int, seed: int, stream: str, base: Path | None, population: Agents) -> Graph:
    """Tie agents as their pack says; where agents repeat the pack, each repetition has ties of its own.

    Args:
        params: Kinds to take and whether strengths become weights.
        n: Number of agents.
        seed: Not used: nothing is drawn.
        stream: Not used.
        base: Not used.
        population: The agents.

    Raises:
        NetworkError: the pack states no relations, or none of these kinds, or its people are not taken in order.
    """
    held = population.relations
    if held is None or not len(held):
        raise NetworkError("this persona pack states no relations; choose another kind of network")
    for kind in params.kinds:
        if kind not in held.kinds:
            raise NetworkError(f"'{kind}' is not a kind of relation in this pack{registry.nearest(kind, held.kinds)}")
    persons = population.values[PERSONA]
    n_people = int(population.columns[PERSONA].high or 0) + 1
    if not np.array_equal(persons, np.arange(n) % n_people):
        raise NetworkError("raking took people of the pack out of order, so their relations are lost; leave out rake")
    source, target, rows = held.ties(persons, n_people)
    if params.kinds:
        chosen = np.isin(held.kind[rows], [held.kinds.index(kind) for kind in params.kinds])
        source, target, rows = source[chosen], target[chosen], rows[chosen]
    # Two people may be related in several ways: one tie, as strong as all of them.
    pairs, place = np.unique(source * n + target, return_inverse=True)
    weights = np.bincount(place, held.weight[rows], pairs.size) if params.weighted and pairs.size else None
    return Graph.from_edges(n, pairs // n, pairs % n, weights)


def _expected_ties(params: Relations, n: int, base: Path | None = None) -> float:
    return 2.0 * n  # packs state about two relations a person


registry.networks.register(
    "relations",
    Generator(
        "relations",
        Relations,
        build_relations,
        _expected_ties,
        "Who knows whom by the persona pack: family, friends, colleagues, party.",
        check_population=check_relations,
    ),
)
