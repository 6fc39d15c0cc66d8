"""The kinds of network a study can name: parameters, bounds and builders."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from engine import registry
from engine.draws import stream_key
from engine.errors import NetworkError
from engine.network.graph import Graph, IdArray
from engine.network.parameters import (
    BarabasiAlbert,
    Caveman,
    Complete,
    Configuration,
    ErdosRenyi,
    Grid,
    Homophily,
    Ring,
    StochasticBlock,
    WattsStrogatz,
)
from engine.network.random_graphs import (
    draw_blocks,
    draw_preferential,
    draw_small_world,
    pair_stubs,
    repair_pairs,
    shuffle_ties,
)
from engine.population.columns import Column

MAX_TIES = 250_000_000


@dataclass(frozen=True)
class Generator:
    """A kind of network.

    Attributes:
        name: Kind in the study's `[network]`.
        params: Model of its parameters; unknown names are refused.
        build: (params, n, seed, stream, base) -> Graph; deterministic in all five. A generator with
            `check_population` gets one more argument: the population.
        expected_ties: (params, n, base) -> expected number of ties, cheap; raises NetworkError where the parameters
            do not fit n agents.
        help: One sentence for forms.
        check_column: (params, column) -> None for a generator that reads a column of the population; raises
            NetworkError where the column cannot serve.
        check_population: (params, columns by name) -> None for a generator that reads several columns, raising
            likewise; its `build` gets one more argument instead: the population.
        ties_among: (params, n, population) -> expected number of ties of n agents of whom the population holds some;
            None where the population makes no difference to it.
    """

    name: str
    params: type[BaseModel]
    build: Callable[..., Graph]
    expected_ties: Callable[[Any, int, Path | None], float]
    help: str
    check_column: Callable[[Any, Column], None] | None = None
    check_population: Callable[[Any, Mapping[str, Column]], None] | None = None
    ties_among: Callable[[Any, int, Any], float] | None = None


def limit_ties(ties: float, what: str) -> float:
    """Return an expected number of ties. Raises NetworkError where it is too large to be built."""
    if ties > MAX_TIES:
        raise NetworkError(f"{what} would make about {ties:.3g} ties; at most {MAX_TIES:,} are built; lower it")
    return ties


def check_degree(name: str, value: float, n: int) -> None:
    """Raise NetworkError where one of n agents cannot have so many ties."""
    if value > n - 1:
        raise NetworkError(f"{name} = {value:g} is more than {n - 1}, the most ties that one of {n} agents can have")


def count_random_ties(params: ErdosRenyi | Homophily, n: int, base: Path | None = None) -> float:
    """Return the expected number of ties of n agents with a mean degree. Raises NetworkError where it does not fit."""
    check_degree("mean_degree", params.mean_degree, n)
    return limit_ties(params.mean_degree * n / 2, f"mean_degree = {params.mean_degree:g} among {n} agents")


def build_erdos_renyi(params: ErdosRenyi, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build G(n, p) with p = mean_degree / (n - 1). Source: Gilbert (1959), Ann. Math. Stat. 30, p. 1141."""
    ties = count_random_ties(params, n)
    p = params.mean_degree / max(n - 1, 1)
    return _drawn_blocks(np.array([0, n]), p, 0.0, ties, seed, stream)


def _drawn_blocks(
    bounds: NDArray[np.int64], p_within: float, p_between: float, ties: float, seed: int, stream: str
) -> Graph:
    room = int(ties + 6 * math.sqrt(ties)) + 16
    source, target = draw_blocks(stream_key(seed, stream), bounds, p_within, p_between, room)
    return Graph.from_edges(int(bounds[-1]), source, target)


def _small_world_ties(params: WattsStrogatz | Ring, n: int, base: Path | None = None) -> float:
    check_degree("k", params.k, n)
    return limit_ties(params.k * n / 2, f"k = {params.k} among {n} agents")


def build_watts_strogatz(params: WattsStrogatz, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build a small world: a ring of k neighbours, each tie rewired with `p_rewire`; exactly n k / 2 ties."""
    _small_world_ties(params, n)
    source, target = draw_small_world(stream_key(seed, stream), n, params.k, params.p_rewire)
    graph = Graph.from_edges(n, source, target)
    return _with_lattice(graph, (n,)) if params.p_rewire <= _MOSTLY_RING else graph


# Up to this share of rewired ties a circle shows the ring and its short cuts; above, a tangle.
_MOSTLY_RING = 0.2


def _with_lattice(graph: Graph, lattice: tuple[int, ...]) -> Graph:
    return Graph(graph.n, graph.indptr, graph.indices, graph.weights, graph.directed, graph.complete, lattice)


def build_ring(params: Ring, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build a ring on which each agent is tied to the k nearest."""
    _small_world_ties(params, n)
    source, target = draw_small_world(stream_key(seed, stream), n, params.k, 0.0)
    return _with_lattice(Graph.from_edges(n, source, target), (n,))


def _barabasi_albert_ties(params: BarabasiAlbert, n: int, base: Path | None = None) -> float:
    if params.m > n - 1:
        raise NetworkError(f"m = {params.m} is more than {n - 1}, the others that one of {n} agents can be tied to")
    return limit_ties(params.m * (n - params.m), f"m = {params.m} among {n} agents")


def build_barabasi_albert(params: BarabasiAlbert, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build a network grown by preferential attachment; exactly m (n - m) ties."""
    _barabasi_albert_ties(params, n)
    return Graph.from_edges(n, *draw_preferential(stream_key(seed, stream), n, params.m))


def _block_sizes(params: StochasticBlock, n: int) -> NDArray[np.int64]:
    if not params.sizes:
        return np.array([n - n // 2, n // 2], np.int64)
    total = sum(params.sizes)
    if total != n:
        raise NetworkError(
            f"sizes of {len(params.sizes)} groups sum to {total}, but there are {n} agents; make them equal"
        )
    return np.array(params.sizes, np.int64)


def _stochastic_block_ties(params: StochasticBlock, n: int, base: Path | None = None) -> float:
    sizes = _block_sizes(params, n).astype(np.float64)
    within = float((sizes * (sizes - 1) / 2).sum())
    between = n * (n - 1) / 2 - within
    what = f"p_within = {params.p_within:g} and p_between = {params.p_between:g} among {n} agents"
    return limit_ties(params.p_within * within + params.p_between * between, what)


def build_stochastic_block(params: StochasticBlock, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build groups with ties inside and across. Source: Holland et al. (1983), Social Networks 5, p. 109."""
    ties = _stochastic_block_ties(params, n)
    bounds = np.concatenate([[0], np.cumsum(_block_sizes(params, n))])
    return _drawn_blocks(bounds, params.p_within, params.p_between, ties, seed, stream)


def _degrees(params: Configuration, n: int) -> NDArray[np.int64]:
    given = len(params.degrees)
    if given > n or n % given:
        raise NetworkError(
            f"degrees has {given} numbers for {n} agents; give {n}, or a shorter list that fits in without remainder"
        )
    degrees = np.resize(np.array(params.degrees, np.int64), n)
    total = int(degrees.sum())
    if total % 2:
        raise NetworkError(f"degrees sum to {total}, an odd number; every tie has two ends, so make the sum even")
    check_degree("the largest of degrees", int(degrees.max()), n)
    _check_graphical(degrees)
    return degrees


def _check_graphical(degrees: NDArray[np.int64]) -> None:
    """Raise where no simple graph has these degrees. Source: Erdos and Gallai (1960)."""
    high = np.sort(degrees)[::-1]
    n = high.size
    k = np.arange(1, n + 1)
    sums = np.concatenate([[0], np.cumsum(high)])
    above = np.maximum(np.searchsorted(-high, -k, side="right"), k)
    most = k * (k - 1) + k * (above - k) + sums[n] - sums[above]
    short = np.flatnonzero(sums[1:] > most)
    if short.size:
        first = int(short[0])
        raise NetworkError(
            f"no network has these degrees: the {first + 1} largest sum to {sums[first + 1]}, but the others leave "
            f"room for {most[first]}; lower the largest or raise the smallest"
        )


def _configuration_ties(params: Configuration, n: int, base: Path | None = None) -> float:
    return limit_ties(float(_degrees(params, n).sum()) / 2, f"degrees of {n} agents")


def build_configuration(params: Configuration, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build a network with exactly these degrees, drawn nearly uniformly from all that have them.

    Loose ends are paired at random, loops and duplicates swapped away, and ties swapped ten times each, a million
    times at most: the swaps make small networks uniform, and large ones hardly need them.
    """
    _configuration_ties(params, n)
    return draw_with_degrees(_degrees(params, n), seed, stream)


def draw_with_degrees(degrees: NDArray[np.int64], seed: int, stream: str) -> Graph:
    """Draw a network whose agents have these numbers of ties, shape (n,), which some simple graph has."""
    n = degrees.size
    if 2 * int(degrees.sum()) > n * (n - 1):
        missing = _with_degrees(n - 1 - degrees, seed, stream)
        return Graph.from_edges(n, *_missing_ties(missing))
    return _with_degrees(degrees, seed, stream)


def _with_degrees(degrees: NDArray[np.int64], seed: int, stream: str) -> Graph:
    n = degrees.size
    source, target = pair_stubs(stream_key(seed, f"{stream}/pairs"), degrees)
    if repair_pairs(stream_key(seed, f"{stream}/repair"), n, source, target):
        source, target = _some_ties(degrees)
    shuffle_ties(stream_key(seed, f"{stream}/shuffle"), n, source, target, min(10 * source.size, _MAX_SWAPS))
    return Graph.from_edges(n, source, target)


def _missing_ties(graph: Graph) -> tuple[IdArray, IdArray]:
    """Return (source, target) of the pairs that are not tied; more than half of all are drawn as their complement."""
    everyone = np.arange(graph.n, dtype=np.uint32)
    rows = [np.setdiff1d(everyone[i + 1 :], graph.neighbours(i), assume_unique=True) for i in range(graph.n)]
    return np.repeat(everyone, [row.size for row in rows]), np.concatenate(rows)


_MAX_SWAPS = 1_000_000


def _some_ties(degrees: NDArray[np.int64]) -> tuple[IdArray, IdArray]:
    """Return any ties with these degrees, for networks so dense that random pairs cannot be repaired."""
    tied = np.flatnonzero(degrees)  # networkx numbers only these
    ties = tied[np.array(nx.havel_hakimi_graph(degrees[tied].tolist()).edges(), np.int64)].astype(np.uint32)
    return ties[:, 0].copy(), ties[:, 1].copy()


def _grid_shape(params: Grid, n: int) -> tuple[int, int]:
    rows, columns = params.rows, params.columns
    if rows is None and columns is None:
        rows = next(r for r in range(math.isqrt(n), 0, -1) if n % r == 0)
        if rows == 1 and n > 3:
            side = math.isqrt(n)
            raise NetworkError(
                f"{n} agents fill no grid, since {n} is prime; take {side * side} agents or give rows = 1"
            )
    rows = rows if rows is not None else n // (columns or 1)
    columns = columns if columns is not None else n // max(rows, 1)
    if rows * columns != n:
        raise NetworkError(f"a grid of {rows} rows and {columns} columns has {rows * columns} places for {n} agents")
    return rows, columns


def _grid_ties(params: Grid, n: int, base: Path | None = None) -> float:
    rows, columns = _grid_shape(params, n)
    return limit_ties(float(rows * (columns - 1) + columns * (rows - 1)), f"{n} agents on a grid")


def build_grid(params: Grid, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build a grid, row by row, where each agent is tied to the next in its row and column."""
    shape = _grid_shape(params, n)
    _grid_ties(params, n)
    place = np.arange(n, dtype=np.int64).reshape(shape)
    sources, targets = [], []
    for axis, length in enumerate(shape):
        wraps = params.periodic and length > 2
        after = np.roll(place, -1, axis)
        kept = slice(None) if wraps else slice(0, length - 1)
        cut = (kept, slice(None)) if axis == 0 else (slice(None), kept)
        sources.append(place[cut].ravel())
        targets.append(after[cut].ravel())
    return _with_lattice(Graph.from_edges(n, np.concatenate(sources), np.concatenate(targets)), shape)


def _caveman_ties(params: Caveman, n: int, base: Path | None = None) -> float:
    cliques = n // params.size if params.cliques is None else params.cliques
    if cliques * params.size != n:
        total = cliques * params.size
        raise NetworkError(f"{cliques} cliques of {params.size} agents make {total}, but there are {n} agents")
    return limit_ties(n * (params.size - 1) / 2, f"cliques of {params.size} among {n} agents")


def build_caveman(params: Caveman, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build cliques in a ring, one tie of each led to the clique before. Source: Watts (1999), AJS 105, p. 493."""
    _caveman_ties(params, n)
    first, second = np.triu_indices(params.size, 1)
    starts = np.arange(0, n, params.size, dtype=np.int64)
    source = (starts[:, None] + first).ravel()
    target = (starts[:, None] + second).ravel()
    if starts.size > 1:
        led = slice(0, None, first.size)
        target[led] = (starts - 1) % n
    return Graph.from_edges(n, source, target)


def _complete_ties(params: Complete, n: int, base: Path | None = None) -> float:
    return n * (n - 1) / 2


def build_complete(params: Complete, n: int, seed: int, stream: str, base: Path | None = None) -> Graph:
    """Build the network in which everyone is tied to everyone, without storing a tie."""
    return Graph.complete_graph(n)


def _register(name: str, params: type[BaseModel], build: Any, expected_ties: Any, help: str) -> None:
    registry.networks.register(name, Generator(name, params, build, expected_ties, help))


_register(
    "erdos_renyi", ErdosRenyi, build_erdos_renyi, count_random_ties, "Random ties: every pair has the same chance."
)
_register(
    "watts_strogatz",
    WattsStrogatz,
    build_watts_strogatz,
    _small_world_ties,
    "Small world: neighbours on a ring with a few random short cuts.",
)
_register(
    "barabasi_albert",
    BarabasiAlbert,
    build_barabasi_albert,
    _barabasi_albert_ties,
    "Hubs: newcomers prefer agents who already have many ties.",
)
_register(
    "stochastic_block",
    StochasticBlock,
    build_stochastic_block,
    _stochastic_block_ties,
    "Groups: ties are likelier inside a group than across.",
)
_register(
    "configuration",
    Configuration,
    build_configuration,
    _configuration_ties,
    "Random ties with a given number for each agent.",
)
_register("ring", Ring, build_ring, _small_world_ties, "Neighbours on a ring.")
_register("grid", Grid, build_grid, _grid_ties, "Neighbours on a chequered field: up, down, left and right.")
_register(
    "caveman", Caveman, build_caveman, _caveman_ties, "Tight cliques in a ring, each joined to the next by one tie."
)
_register("complete", Complete, build_complete, _complete_ties, "Everyone is tied to everyone; well mixed.")
