"""Places where everyone meets everyone: households, workplaces, school classes and other groups of agents.

A place is a clique: each agent is in at most one place of a layer, and is tied to all others there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from engine import registry
from engine.draws import draw_uniform, keyed_uniform, stream_key
from engine.errors import ExpressionError, NetworkError
from engine.expressions import parse_expression
from engine.network.generators import MAX_TIES, Generator
from engine.network.graph import Graph
from engine.network.parameters import Groups, Households
from engine.population.columns import Column

_KINDS = {"float": "number", "integer": "number", "boolean": "boolean", "category": "text", "text": "text"}
_LARGEST = 2_000_000
GROWN_UP = 25
"""Age from which nobody is placed as a child of the household; younger adults are in households of three and more."""
_PARENT_AGE = 42.0  # Ages of parents are those nearest to it; ours.
_AGE_SPREAD = 3.0  # Years by which those who live together may differ more than their ranks say; ours.

Ids = NDArray[np.int64]


class Agents(Protocol):
    """The columns of a population."""

    @property
    def n(self) -> int:
        """Number of agents."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Type of each column by name."""

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """One value per agent by name of the column."""


@njit(cache=True, nogil=True)
def _meet(place, n_places):  # type: ignore[no-untyped-def]
    sizes = np.zeros(n_places + 1, np.int64)
    for i in range(place.size):
        if place[i] >= 0:
            sizes[place[i] + 1] += 1
    indptr = np.zeros(place.size + 1, np.int64)
    for i in range(place.size):
        indptr[i + 1] = indptr[i] + (sizes[place[i] + 1] - 1 if place[i] >= 0 else 0)
    for k in range(n_places):
        sizes[k + 1] += sizes[k]
    members, filled = np.empty(sizes[n_places], np.uint32), sizes[:-1].copy()
    for i in range(place.size):
        if place[i] >= 0:
            members[filled[place[i]]] = i
            filled[place[i]] += 1
    indices = np.empty(indptr[-1], np.uint32)
    for i in range(place.size):
        e = indptr[i]
        if place[i] >= 0:
            for m in range(sizes[place[i]], sizes[place[i] + 1]):
                if members[m] != i:
                    indices[e] = members[m]
                    e += 1
    return indptr, indices


def tie_places(place: Ids) -> Graph:
    """Return the graph in which those of one place are all tied to each other.

    Args:
        place: Number of each agent's place from 0, int64 (n,); -1 for an agent without one.

    Raises:
        NetworkError: more ties than can be built.
    """
    n_places = int(place.max(initial=-1)) + 1
    sizes = np.bincount(place[place >= 0], minlength=n_places)
    ties = int((sizes * (sizes - 1) // 2).sum())
    if ties > MAX_TIES:
        raise NetworkError(
            f"places of up to {int(sizes.max())} agents would make {ties:.3g} ties; at most {MAX_TIES:,} are built; "
            "make the places smaller"
        )
    return Graph(place.size, *_meet(place, n_places))


# -- groups ------------------------------------------------------------------------------------------------------------


def check_groups(params: Groups, columns: Mapping[str, Column]) -> None:
    """Refuse columns that the population does not have, and sizes and shares that do not match.

    Raises:
        NetworkError: names the column or the list.
    """
    for name in params.by:
        _find(name, columns, "by")
        if columns[name].kind in ("text", "float"):
            raise NetworkError(f"'{name}' is a {columns[name].kind} column; places can go by categories and integers")
    if len(params.weights) not in (0, len(params.sizes)):
        raise NetworkError(f"{len(params.weights)} weights were given for {len(params.sizes)} sizes; give one for each")
    if params.weights and sum(params.weights) <= 0:
        raise NetworkError("all weights of the sizes are 0; give at least one above 0")
    if params.where:
        try:
            parse_expression(params.where, {name: _KINDS[column.kind] for name, column in columns.items()})
        except ExpressionError as error:
            raise NetworkError(f"where: {error}") from error


def _find(name: str, columns: Mapping[str, Column], key: str) -> None:
    if name not in columns:
        hint = registry.nearest(name, columns) if columns else "; the network needs a population with it"
        raise NetworkError(f"{key}: '{name}' is not a column of the population{hint}")


def build_groups(params: Groups, n: int, seed: int, stream: str, base: Path | None, population: Agents) -> Graph:
    """Build places of random members: those for whom `where` holds, alike in all columns of `by`.

    Members of a cell (one combination of the columns of `by`) are shuffled and fill one place after another, whose
    sizes are drawn; the last place of a cell may stay smaller.

    Args:
        params: Parameters of `groups`.
        n: Number of agents.
        seed: Seed of the network.
        stream: Name of the stream of random numbers.
        base: Not used.
        population: The agents' columns.

    Raises:
        NetworkError: more ties than can be built.
    """
    who = _matching(params.where, population) if params.where else np.arange(n)
    cell = _cells(params.by, population, who)
    order = np.lexsort((draw_uniform(seed, stream, 0, 0, who), cell))
    sizes = np.array(params.sizes, np.int64) if params.sizes else np.array([max(who.size, 1)], np.int64)
    shares = np.array(params.weights or [1.0] * sizes.size)
    bounds = np.cumsum(shares / shares.sum())
    place = np.full(n, -1, np.int64)
    place[who[order]] = _fill_places(cell[order], sizes, bounds, stream_key(seed, f"{stream}/sizes"))
    return tie_places(place)


@njit(cache=True, nogil=True)
def _fill_places(cell, sizes, bounds, key):  # type: ignore[no-untyped-def]
    place, number, room = np.empty(cell.size, np.int64), -1, 0
    for m in range(cell.size):
        if room == 0 or (m > 0 and cell[m] != cell[m - 1]):
            number += 1
            u, k = keyed_uniform(key, 0, 0, number, 0), 0
            while k < bounds.size - 1 and u >= bounds[k]:
                k += 1
            room = sizes[k]
        place[m] = number
        room -= 1
    return place


def _matching(where: str, population: Agents) -> Ids:
    """Return the ids of the agents for whom a condition holds, ascending."""
    expression = parse_expression(where, {name: _KINDS[column.kind] for name, column in population.columns.items()})
    frame: dict[str, pl.Series] = {}
    for name in expression.names:
        column, values = population.columns[name], population.values[name]
        if column.kind == "category":
            frame[name] = pl.Series(list(column.labels), dtype=pl.String).gather(values)
        else:
            frame[name] = pl.Series(values.tolist(), dtype=pl.String) if column.kind == "text" else pl.Series(values)
    held = pl.DataFrame(frame).select(expression.polars.fill_null(False).alias("held"))["held"].to_numpy()
    return np.flatnonzero(np.broadcast_to(held, population.n) if held.size == 1 else held)


def _cells(by: Sequence[str], population: Agents, who: Ids) -> Ids:
    cell = np.zeros(who.size, np.int64)
    for name in by:
        values = population.values[name][who].astype(np.int64)
        low = int(values.min(initial=0))
        span = int(values.max(initial=0)) - low + 1
        cell = cell * span + (values - low)
        if int(cell.max(initial=0)) >= _LARGEST:
            cell = np.unique(cell, return_inverse=True)[1].astype(np.int64)
    return cell


def _group_ties(params: Groups, n: int, base: Path | None = None) -> float:
    """Return the ties of n agents who all take part and are all alike: the most there can be."""
    return _ties_inside(params, n) if params.sizes else n * (n - 1) / 2


def _ties_among(params: Groups, n: int, some: Agents) -> float:
    """Return the expected ties of n agents of whom `some` are a sample: who takes part, and who is alike."""
    who = _matching(params.where, some) if params.where else np.arange(some.n)
    counts = np.unique(_cells(params.by, some, who), return_counts=True)[1]
    if not params.sizes:  # pairs who are alike, without bias
        pairs = some.n * (some.n - 1)
        return float((counts * (counts - 1.0)).sum() * n * (n - 1) / (2 * pairs)) if pairs else 0.0
    held, times = np.unique(np.rint(counts * (n / some.n)).astype(np.int64), return_counts=True)
    return float(sum(_ties_inside(params, int(m)) * k for m, k in zip(held, times, strict=True)))


def _ties_inside(params: Groups, members: int) -> float:
    """Return the expected ties where so many fill one place after another, the last of which may stay smaller.

    Up to a hundred of the largest places it is exact; from there on every further member counts the same.
    """
    shares = np.array(params.weights or [1.0] * len(params.sizes))
    sizes = np.array(params.sizes, np.int64)
    shares, sizes = shares[shares > 0] / shares.sum(), sizes[shares > 0]
    exact = min(members, max(1000, min(100 * int(sizes.max()), 100_000)))
    slope = float(shares @ (sizes * (sizes - 1.0)) / (2 * (shares @ sizes)))
    return float(_renew(exact, sizes, shares)) + slope * (members - exact)


@njit(cache=True, nogil=True)
def _renew(members, sizes, shares):  # type: ignore[no-untyped-def]
    ties = np.zeros(members + 1)
    for m in range(1, members + 1):
        for k in range(sizes.size):
            s = min(sizes[k], m)
            ties[m] += shares[k] * (0.5 * s * (s - 1.0) + ties[m - s])
    return ties[members]


# -- households --------------------------------------------------------------------------------------------------------


def check_households(params: Households, columns: Mapping[str, Column]) -> None:
    """Refuse columns that the population does not have, or that hold no whole numbers where these are needed.

    Raises:
        NetworkError: names the column.
    """
    for key in ("size", "age"):
        name = getattr(params, key)
        _find(name, columns, key)
        if columns[name].kind not in ("integer", "float"):
            raise NetworkError(f"{key}: '{name}' is a {columns[name].kind} column; households need its number")
    if params.area:
        _find(params.area, columns, "area")


def build_households(
    params: Households, n: int, seed: int, stream: str, base: Path | None, population: Agents
) -> Graph:
    """Build households of people who name the same household size and live in the same area.

    Children go together by age, with parents whose ages go with theirs; adults live with adults of about their age.
    A household may differ from the size that its members name where ages or numbers do not fit.

    Args:
        params: Parameters of `households`.
        n: Number of agents.
        seed: Seed of the network.
        stream: Name of the stream of random numbers.
        base: Not used.
        population: The agents' columns.

    Source: ours; a matching by ranks within cells of area and household size.
    """
    size = np.maximum(population.values[params.size], 1).astype(np.int64)
    age = population.values[params.age].astype(np.float64)
    noise = draw_uniform(seed, stream, 0, 0, np.arange(n))
    area = population.values[params.area].astype(np.int64) if params.area else np.zeros(n, np.int64)
    order = np.lexsort((noise, size, area))
    borders = np.flatnonzero((np.diff(area[order]) != 0) | (np.diff(size[order]) != 0)) + 1
    place, first = np.full(n, -1, np.int64), 0
    for members in np.split(order, borders):
        number, count = match_household(age[members], noise[members], int(size[members[0]]), params.adult)
        place[members] = first + number
        first += count
    return tie_places(place)


def match_household(age: NDArray[np.float64], noise: NDArray[np.float64], size: int, adult: int) -> tuple[Ids, int]:
    """Return each person's household, and how many there are, for people who name one household size.

    Every household has an adult as long as there are adults at all.

    Args:
        age: Years, float64 (m,).
        noise: Uniform in [0, 1), float64 (m,), by which ranks are loosened.
        size: People in each household.
        adult: Age from which a person may lead a household.
    """
    m = age.size
    loose = age + _AGE_SPREAD * (2 * noise - 1)
    young = age < (GROWN_UP if size >= 3 else adult)
    children, grown = np.flatnonzero(young), np.flatnonzero(~young)
    if not grown.size:  # nobody old enough: the older of the young lead
        children, grown = np.flatnonzero(age < adult), np.flatnonzero(age >= adult)
    count = -(-m // size)
    if not grown.size:
        return np.arange(m) // size, count
    count = max(1, min(count, grown.size))
    seats = max(1, size - 2 if size >= 3 else 1)
    families = min(count, -(-children.size // seats))
    household = np.empty(m, np.int64)
    if families:
        ranked = children[np.argsort(loose[children], kind="stable")]
        household[ranked] = np.arange(ranked.size) * families // ranked.size
        wanted = min(grown.size - (count - families), families * (2 if size >= 3 else 1))
        near = grown[np.argsort(np.abs(loose[grown] - _PARENT_AGE), kind="stable")]
        parents = near[:wanted][np.argsort(loose[near[:wanted]], kind="stable")]
        household[parents] = np.arange(parents.size) * families // parents.size
        grown = near[wanted:]
    others = grown[np.argsort(loose[grown], kind="stable")]
    if count > families:
        household[others] = families + np.arange(others.size) * (count - families) // max(others.size, 1)
    else:
        household[others] = np.arange(others.size) % count
    return household, count


def _household_ties(params: Households, n: int, base: Path | None = None) -> float:
    return 1.1 * n  # people live with 2.2 others on average, by the household sizes of most censuses


def _household_ties_among(params: Households, n: int, some: Agents) -> float:
    """Return the ties of n people who live with as many others as `some` of them say."""
    others = np.maximum(some.values[params.size], 1).astype(np.float64) - 1
    return float(others.mean() * n / 2)


registry.networks.register(
    "households",
    Generator(
        "households",
        Households,
        build_households,
        _household_ties,
        "People who live together: households by size and area, with ages that fit.",
        check_population=check_households,
        ties_among=_household_ties_among,
    ),
)
registry.networks.register(
    "groups",
    Generator(
        "groups",
        Groups,
        build_groups,
        _group_ties,
        "Places where all meet all: workplaces, classes or clubs of given sizes, filled at random.",
        check_population=check_groups,
        ties_among=_ties_among,
    ),
)
