"""Spatial networks: agents at random places, tied to all who live near."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import brentq

from engine import registry
from engine.draws import draw_uniform
from engine.errors import NetworkError
from engine.network.generators import Generator, check_degree, limit_ties
from engine.network.graph import Graph
from engine.network.parameters import Spatial

_LARGEST_SHARE = 0.75
"""Share of all pairs that may be tied: near it the circle still fits into the square."""


def radius_of(mean_degree: float, n: int, periodic: bool) -> float:
    """Return the distance below which two of n agents on the unit square are tied.

    Periodic: (n - 1) pi r^2 = mean_degree. With borders, the chance that two uniform points are within r is
    pi r^2 - 8 r^3 / 3 + r^4 / 2.

    Source: Dall and Christensen (2002), Physical Review E 66, 016121; the chance with borders Philip (2007), "The
    probability distribution of the distance between two random points in a box", for the unit square.
    """
    share = mean_degree / max(n - 1, 1)
    if periodic:
        return math.sqrt(share / math.pi)
    return float(brentq(lambda r: math.pi * r**2 - 8 * r**3 / 3 + r**4 / 2 - share, 0.0, 1.0, xtol=1e-15))


def count_spatial_ties(params: Spatial, n: int, base: Path | None = None) -> float:
    """Return the expected number of ties. Raises NetworkError where the mean degree does not fit n agents."""
    check_degree("mean_degree", params.mean_degree, n)
    most = _LARGEST_SHARE * (n - 1)
    if params.mean_degree > most:
        raise NetworkError(
            f"mean_degree = {params.mean_degree:g}: a spatial network of {n} agents has at most {most:g}, where "
            "circles no longer fit into the square; lower it or take another kind"
        )
    return limit_ties(params.mean_degree * n / 2, f"mean_degree = {params.mean_degree:g} among {n} agents")


def build_spatial(params: Spatial, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Tie all pairs of agents within one distance on the unit square; ids follow the places, cell by cell.

    Source: random geometric graph, Dall and Christensen (2002), Physical Review E 66, 016121.
    """
    ties = count_spatial_ties(params, n)
    radius = radius_of(params.mean_degree, n, params.periodic)
    cells = max(1, min(int(1 / radius), math.isqrt(n))) if radius > 0 else 1
    x, y, starts = place_agents(n, cells, seed, stream)
    room = int(ties + 8 * math.sqrt(ties * (1 + params.mean_degree))) + 16
    source, target = _tie_near(x, y, starts, cells, radius, params.periodic, room)
    return Graph.from_edges(n, source, target)


def place_agents(
    n: int, cells: int, seed: int, stream: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return (x, y, starts): places in [0, 1), by cell, and the first agent of each of cells^2 cells and n."""
    ids = np.arange(n)
    x, y = (draw_uniform(seed, f"{stream}/place", 0, 0, ids, lane) for lane in range(2))
    cell = (y * cells).astype(np.int64) * cells + (x * cells).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=cells * cells))])
    return x[order], y[order], starts


@njit(cache=True, nogil=True)
def _tie_near(x, y, starts, cells, radius, periodic, room):  # type: ignore[no-untyped-def]
    """Return (source, target) of all pairs within the radius, each towards the lower id, ascending."""
    source, target = np.empty(room, np.uint32), np.empty(room, np.uint32)
    around = np.empty(9, np.int64)
    ties = 0
    for cell in range(cells * cells):
        near = _cells_around(cell, cells, periodic, around)
        for i in range(starts[cell], starts[cell + 1]):
            for c in around[:near]:
                for j in range(starts[c], min(starts[c + 1], i)):
                    across, along = abs(x[i] - x[j]), abs(y[i] - y[j])
                    if periodic:
                        across, along = min(across, 1 - across), min(along, 1 - along)
                    if across * across + along * along < radius * radius:
                        if ties == source.size:
                            more = np.empty(source.size, np.uint32)
                            source, target = np.concatenate((source, more)), np.concatenate((target, more))
                        source[ties] = i
                        target[ties] = j
                        ties += 1
    return source[:ties].copy(), target[:ties].copy()


@njit(cache=True, nogil=True)
def _cells_around(cell, cells, periodic, around):  # type: ignore[no-untyped-def]
    """Write the different cells of the 3 x 3 around one into `around`, ascending, and return how many there are."""
    near = 0
    for down in range(-1, 2):
        for right in range(-1, 2):
            row, column = cell // cells + down, cell % cells + right
            if periodic:
                row, column = row % cells, column % cells
            elif not (0 <= row < cells and 0 <= column < cells):
                continue
            found = row * cells + column
            place = 0
            while place < near and around[place] < found:
                place += 1
            if place < near and around[place] == found:
                continue
            for k in range(near, place, -1):
                around[k] = around[k - 1]
            around[place] = found
            near += 1
    return near


registry.networks.register(
    "spatial",
    Generator(
        "spatial",
        Spatial,
        build_spatial,
        count_spatial_ties,
        "Neighbours in space: agents at random places on a square, tied to all who live near.",
    ),
)

__all__ = ["build_spatial", "count_spatial_ties", "place_agents", "radius_of"]
