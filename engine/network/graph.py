"""Graphs as rows of neighbours, and networks as named layers of graphs."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import registry
from engine.errors import NetworkError
from engine.network.csr import (
    build_guide,
    build_ordered_rows,
    build_rows,
    drop_duplicates,
    find_rows,
    look_over,
    merge_rows,
)
from engine.threads import run_ranges

MAX_COMPLETE_TIES = 5_000_000
MAX_AGENTS = 2**32 - 1
_SHOWN_ROWS = 5
_GUIDE_SHIFT = 3  # a guide of one row for every 8 ties: half a byte a tie, one or two rows from the answer

IdArray = NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Graph:
    """Ties among agents 0..n-1, as one ascending row of neighbours per agent; never changed in place.

    Attributes:
        n: Number of agents.
        indptr: int64 (n + 1,); the neighbours of agent i are `indices[indptr[i]:indptr[i + 1]]`.
        indices: uint32 (m,); an undirected tie is stored in both directions, a directed one with its source,
            who observes the target. No self loops, no duplicates.
        weights: float32 (m,), negative only in signed networks; None where every tie counts the same.
        directed: Whether ties have a direction.
        complete: Everyone is tied to everyone and nothing is stored: `indices` is empty, `indptr` all zero.
        lattice: Shape that the ties were laid out on, for drawing: (rows, columns) of a grid, (n,) of a ring, or ().
        file_ids: What the file of ties calls each agent, in the order of agents; () where it calls them 0 to n - 1.
    """

    n: int
    indptr: NDArray[np.int64]
    indices: IdArray
    weights: NDArray[np.float32] | None = None
    directed: bool = False
    complete: bool = False
    lattice: tuple[int, ...] = ()
    file_ids: tuple[str, ...] = ()

    @classmethod
    def from_edges(
        cls,
        n: int,
        source: NDArray[Any] | Sequence[int],
        target: NDArray[Any] | Sequence[int],
        weights: NDArray[Any] | Sequence[float] | None = None,
        directed: bool = False,
    ) -> Graph:
        """Build a graph from a list of ties; a tie given twice counts once.

        Args:
            n: Number of agents, at least 1.
            source: Agent ids from 0 to n - 1, shape (k,), integers.
            target: The other ends, likewise.
            weights: Not negative, finite, shape (k,); None for none.
            directed: Whether (a, b) leaves (b, a) out.

        Raises:
            NetworkError: unknown agents, self loops, negative or infinite weights, or one tie with two weights; the
                text names the rows, counted from 0.
        """
        return edges_to_graph(n, source, target, weights, directed=directed)

    @classmethod
    def complete_graph(cls, n: int) -> Graph:
        """Return the graph in which everyone is tied to everyone; nothing is stored."""
        n = checked_size(n)
        return cls(n, np.zeros(n + 1, np.int64), np.empty(0, np.uint32), complete=True)

    @classmethod
    def empty(cls, n: int) -> Graph:
        """Return the graph of n agents without any tie."""
        n = checked_size(n)
        return cls(n, np.zeros(n + 1, np.int64), np.empty(0, np.uint32))

    @property
    def n_ties(self) -> int:
        """Number of ties; an undirected tie counts once."""
        if self.complete:
            return self.n * (self.n - 1) // 2
        return int(self.indices.size) // (1 if self.directed else 2)

    @cached_property
    def is_signed(self) -> bool:
        """Whether some tie has a negative weight."""
        return self.weights is not None and bool((self.weights < 0).any())

    def degree(self) -> NDArray[np.int64]:
        """Return the number of neighbours of each agent, int64 (n,); with directed ties, of those observed."""
        if self.complete:
            return np.full(self.n, self.n - 1, np.int64)
        return np.diff(self.indptr)

    def neighbours(self, agent: int) -> IdArray:
        """Return the neighbours of one agent, ascending, uint32.

        Raises:
            NetworkError: no such agent.
        """
        if not 0 <= agent < self.n:
            raise NetworkError(f"agent {agent} is not in a network of {self.n} agents; ids run from 0 to {self.n - 1}")
        if self.complete:
            everyone = np.arange(self.n, dtype=np.uint32)
            return np.delete(everyone, agent)
        return self.indices[self.indptr[agent] : self.indptr[agent + 1]]

    def has_tie(self, source: int, target: int) -> bool:
        """Tell whether `target` is among the neighbours of `source`."""
        row = self.neighbours(source)
        place = int(np.searchsorted(row, target))
        return place < row.size and int(row[place]) == target

    def stored_ties(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (agent, neighbour) of stored ties by their place in `indices`, int64 (k,) each.

        Args:
            places: From 0 to `indices.size` - 1, int64 (k,); not checked.
        """
        agents, others = np.empty(places.size, np.int64), np.empty(places.size, np.int64)
        arrays = (self.indptr, self.indices, self._guide, _GUIDE_SHIFT, places, agents, others)
        run_ranges(find_rows, places.size, *arrays)
        return agents, others

    @cached_property
    def _guide(self) -> IdArray:
        guide: IdArray = build_guide(self.indptr, _GUIDE_SHIFT)
        return guide

    def pull(self, kernel: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call `kernel(begin, end, indptr, indices, *arguments)` on ranges that cover all agents, on several threads.

        Args:
            kernel: Compiled with `nogil`; changes only the entries of agents begin to end - 1.
            *arguments: Handed on.

        Returns:
            What each call returned, in the order of the ranges.
        """
        return self.run_ranges(kernel, self.indptr, self.indices, *arguments)

    def run_ranges(self, kernel: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call `kernel(begin, end, *arguments)` on ranges that cover all agents, as `pull` does."""
        return run_ranges(kernel, self.n, *arguments)

    def ties_of(self, agents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return all stored ties that one of the agents is an end of, each once, (k, 2); none of a complete network."""
        if self.complete:
            return np.empty((0, 2), np.int64)
        chosen = np.zeros(self.n, bool)
        chosen[agents] = True
        found = []
        for source, target, _ in self.edge_chunks():
            kept = chosen[source] | chosen[target]
            found.append(np.stack([source[kept], target[kept]], axis=1).astype(np.int64))
        return np.concatenate(found)

    def edges(self) -> tuple[IdArray, IdArray, NDArray[np.float32]]:
        """Return (source, target, weight) with each tie once, by source, then target; weight 1 where there are none.

        Raises:
            NetworkError: a complete network of more than 5 million ties.
        """
        if self.complete:
            self._check_materialised("list every tie")
            first, second = np.triu_indices(self.n, 1)
            return first.astype(np.uint32), second.astype(np.uint32), np.ones(first.size, np.float32)
        return self._edges_of(0, self.n)

    def edge_chunks(self, n_ties: int = 2_000_000) -> Iterator[tuple[IdArray, IdArray, NDArray[np.float32]]]:
        """Yield what `edges` returns in pieces of about `n_ties`, so that large networks need no second copy.

        Raises:
            NetworkError: as `edges`.
        """
        if self.complete:
            yield self.edges()
            return
        stored = n_ties if self.directed else 2 * n_ties
        begin = 0
        while begin < self.n:
            wanted = self.indptr[begin] + stored
            end = min(max(int(np.searchsorted(self.indptr, wanted, side="right")) - 1, begin + 1), self.n)
            yield self._edges_of(begin, end)
            begin = end

    def _edges_of(self, begin: int, end: int) -> tuple[IdArray, IdArray, NDArray[np.float32]]:
        stored = slice(int(self.indptr[begin]), int(self.indptr[end]))
        degree = np.diff(self.indptr[begin : end + 1])
        source = np.repeat(np.arange(begin, end, dtype=np.uint32), degree)
        target = self.indices[stored]
        weights = self.weights[stored] if self.weights is not None else np.ones(target.size, np.float32)
        if self.directed:
            return source, target.copy(), weights.copy()
        once = source < target
        return source[once], target[once], weights[once]

    def with_ties(
        self,
        add: NDArray[Any] | Sequence[Sequence[int]] | None = None,
        cut: NDArray[Any] | Sequence[Sequence[int]] | None = None,
        weight: float = 1.0,
    ) -> Graph:
        """Return a graph in which the ties of `cut` are gone and those of `add` are there.

        Cutting comes first. A tie that is already there keeps its weight; one that is not there cannot be missed.

        Args:
            add: Pairs of agents, (k, 2), integers.
            cut: Pairs of agents, (k, 2), integers.
            weight: Weight of an added tie, where the graph has weights.

        Raises:
            NetworkError: unknown agents, self loops, a negative weight, or cutting from a complete network of more
                than 5 million ties.
        """
        added, removed = _pairs(self.n, add, "added"), _pairs(self.n, cut, "cut")
        if not (np.isfinite(weight) and weight >= 0):
            raise NetworkError(f"an added tie cannot weigh {weight}; weights are finite and not negative")
        if self.complete:
            return self if not len(removed) else self._materialised().with_ties(add, cut, weight)
        if not len(added) and not len(removed):
            return self
        none = np.empty(0, np.float32)
        add_rows = self._rows_of(added)
        cut_rows = self._rows_of(removed)
        weights = none if self.weights is None else self.weights
        indptr, indices, new = merge_rows(self.indptr, self.indices, weights, *add_rows, *cut_rows, np.float32(weight))
        return replace(self, indptr=indptr, indices=indices, weights=None if self.weights is None else new)

    def grown(self, n_new: int) -> Graph:
        """Return the graph with `n_new` more agents: without ties, or tied to all where it is complete."""
        if n_new < 0:
            raise NetworkError(f"a network cannot grow by {n_new} agents; give 0 or more")
        if n_new == 0:
            return self
        n = checked_size(self.n + n_new)
        if self.complete:
            return Graph.complete_graph(n)
        indptr = np.concatenate([self.indptr, np.full(n_new, self.indptr[-1], np.int64)])
        return replace(self, n=n, indptr=indptr, lattice=())

    def _rows_of(self, pairs: NDArray[np.uint32]) -> tuple[NDArray[np.int64], IdArray]:
        none = np.empty(0, np.float32)
        indptr, indices, _ = build_rows(self.n, pairs[:, 0].copy(), pairs[:, 1].copy(), none, not self.directed)
        kept, _, _ = drop_duplicates(indptr, indices, none)
        return indptr, indices[:kept]

    def _check_materialised(self, what: str) -> None:
        if self.n_ties > MAX_COMPLETE_TIES:
            raise NetworkError(
                f"a complete network of {self.n} agents has {self.n_ties} ties; to {what} it may have at most "
                f"{MAX_COMPLETE_TIES}; use fewer agents or another kind of network"
            )

    def _materialised(self) -> Graph:
        self._check_materialised("cut ties")
        source, target, _ = self.edges()
        return Graph.from_edges(self.n, source, target)


MERGE_SHARE = 0.05
"""Changed ties, as a share of those that a layer stores, that are merged into its rows at once."""


class Layers(UserDict[str, Graph]):
    """Graphs by name; changes of ties wait beside each graph until somebody reads it, or until they are many.

    Merging copies all rows, so that a thousand single changes between two looks cost one copy, not a thousand.
    """

    def __init__(self, graphs: Mapping[str, Graph]) -> None:
        self._waiting: dict[str, list[tuple[IdArray, bool]]] = {}
        super().__init__(graphs)

    def __getitem__(self, name: str) -> Graph:
        """Return a layer with all changes in its rows."""
        if self._waiting.get(name):
            self.data[name] = _merge(self.data[name], self._waiting.pop(name))
        return self.data[name]

    def __setitem__(self, name: str, graph: Graph) -> None:
        """Replace a layer and what waits beside it."""
        self._waiting.pop(name, None)
        self.data[name] = graph

    def change(self, name: str, add: Any, cut: Any) -> None:
        """Cut and add ties of a layer, in this order.

        Raises:
            NetworkError: as `Graph.with_ties`.
        """
        graph = self.data[name]
        if graph.complete:
            self.data[name] = graph.with_ties(add, cut)
            return
        waiting = self._waiting.setdefault(name, [])
        waiting += [(_pairs(graph.n, cut, "cut"), False), (_pairs(graph.n, add, "added"), True)]
        if sum(len(pairs) for pairs, _ in waiting) > MERGE_SHARE * graph.indices.size:
            self[name]  # reading merges


def _merge(graph: Graph, changes: Sequence[tuple[IdArray, bool]]) -> Graph:
    """Return a graph after changes (pairs, added) in order: of each pair the last change counts."""
    pairs = np.concatenate([part for part, _ in changes])
    added = np.repeat([kind for _, kind in changes], [len(part) for part, _ in changes])
    if not graph.directed:
        pairs = np.sort(pairs, axis=1)
    codes = pairs[:, 0].astype(np.uint64) * np.uint64(graph.n) + pairs[:, 1]
    last = codes.size - 1 - np.unique(codes[::-1], return_index=True)[1]
    # A tie that was cut on the way is a new one with a new weight, even if it is there again.
    return graph.with_ties(pairs[last[added[last]]], pairs[~added])


@dataclass
class Network:
    """One or more named layers of ties among the same agents.

    Attributes:
        layers: Graph by name, in the order of the study; replaced, never changed, when ties change.
    """

    layers: MutableMapping[str, Graph] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layers = self._changing = Layers(self.layers)

    def change_ties(self, name: str, add: Any, cut: Any) -> None:
        """Cut and add ties of a layer: pairs of agents, (k, 2) each, or None.

        Raises:
            NetworkError: as `Graph.with_ties`, or there is no such layer.
        """
        if name not in self.layers:
            self.layer(name)
        self._changing.change(name, add, cut)

    def layer(self, name: str | None = None) -> Graph:
        """Return the layer of that name, or the first one for None.

        Raises:
            NetworkError: no such layer; the text names the nearest one.
        """
        if name is None:
            if not self.layers:
                raise NetworkError("the network has no layer; give at least one in [network]")
            return next(iter(self.layers.values()))
        if name not in self.layers:
            raise NetworkError(f"'{name}' is not a layer of the network{registry.nearest(name, self.layers)}")
        return self.layers[name]

    @property
    def n_ties(self) -> int:
        """Number of ties over all layers."""
        return sum(graph.n_ties for graph in self.layers.values())


def checked_size(n: int) -> int:
    """Return n as an int.

    Raises:
        NetworkError: not between 1 and 2**32 - 1.
    """
    if not 1 <= n <= MAX_AGENTS:
        raise NetworkError(f"a network of {n} agents cannot be built; give 1 to {MAX_AGENTS}")
    return int(n)


def edges_to_graph(
    n: int,
    source: NDArray[Any] | Sequence[int],
    target: NDArray[Any] | Sequence[int],
    weights: NDArray[Any] | Sequence[float] | None,
    *,
    directed: bool = False,
    where: str = "",
    first_row: int = 0,
    signed: bool = False,
) -> Graph:
    """Build a graph as `Graph.from_edges` does, naming `where` and counting rows from `first_row` in errors.

    With `signed`, weights may be negative.
    """
    n = checked_size(n)
    prefix = f"{where}: " if where else ""
    sources, targets = _agent_ids(source, prefix), _agent_ids(target, prefix)
    weighted = None if weights is None else np.asarray(weights, np.float64)
    if sources.shape != targets.shape or (weighted is not None and weighted.shape != sources.shape):
        sizes = [sources.size, targets.size] + ([] if weighted is None else [weighted.size])
        raise NetworkError(f"{prefix}sources, targets and weights differ in number: {', '.join(map(str, sizes))}")
    valid = ordered = False
    if sources.dtype == np.uint32 and targets.dtype == np.uint32:
        valid, ordered = look_over(n, sources, targets)
    checked = weighted is not None or not valid
    problems = _edge_problems(n, sources, targets, weighted, first_row, signed) if checked else []
    if problems:
        raise NetworkError(prefix + "; ".join(problems))
    if ordered and weighted is None and not directed:
        return Graph(n, *build_ordered_rows(n, sources, targets))
    stored = np.empty(0, np.float32) if weighted is None else weighted.astype(np.float32)
    ids = sources.astype(np.uint32, copy=False), targets.astype(np.uint32, copy=False)
    indptr, indices, row_weights = build_rows(n, *ids, stored, not directed)
    kept, a, b = drop_duplicates(indptr, indices, row_weights)
    if a >= 0:
        same = (sources == a) & (targets == b)
        if not directed:
            same |= (sources == b) & (targets == a)
        raise NetworkError(f"{prefix}the tie {a}-{b} has different weights{named_rows(same, first_row)}; give it one")
    if kept < indices.size:
        indices, row_weights = indices[:kept].copy(), row_weights[:kept].copy()
    return Graph(n, indptr, indices, None if weighted is None else row_weights, directed)


def named_rows(wrong: NDArray[np.bool_], first_row: int) -> str:
    """Return ' in rows 3, 8, 9' for the true entries, cut short with a count after five."""
    rows = np.flatnonzero(wrong)
    shown = ", ".join(str(row + first_row) for row in rows[:_SHOWN_ROWS])
    more = f" and {rows.size - _SHOWN_ROWS} more" if rows.size > _SHOWN_ROWS else ""
    return f" in row{'s' if rows.size > 1 else ''} {shown}{more}"


def _agent_ids(values: Any, prefix: str) -> NDArray[Any]:
    ids = np.asarray(values)
    if ids.size == 0:
        return np.empty(0, np.uint32)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise NetworkError(
            f"{prefix}agent ids of type {ids.dtype} and shape {ids.shape}; give one row of whole numbers"
        )
    return ids


def _edge_problems(
    n: int,
    source: NDArray[Any],
    target: NDArray[Any],
    weights: NDArray[np.float64] | None,
    first_row: int,
    signed: bool = False,
) -> list[str]:
    problems = []
    if source.size and (min(source.min(), target.min()) < 0 or max(source.max(), target.max()) >= n):
        unknown = (source < 0) | (source >= n) | (target < 0) | (target >= n)
        problems.append(f"unknown agents{named_rows(unknown, first_row)}; ids run from 0 to {n - 1}")
    loops = source == target
    if loops.any():
        problems.append(f"self loops{named_rows(loops, first_row)}; a tie joins two different agents")
    if weights is not None:
        infinite = ~np.isfinite(weights)
        if infinite.any():
            problems.append(f"weights that are not finite{named_rows(infinite, first_row)}")
        negative = weights < 0
        if negative.any() and not signed:
            problems.append(
                f"negative weights{named_rows(negative, first_row)}; give 0 or more, or say that they are signed"
            )
    return problems


def _pairs(n: int, pairs: Any, what: str) -> NDArray[np.uint32]:
    if pairs is None or len(pairs) == 0:
        return np.empty((0, 2), np.uint32)
    array = np.asarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise NetworkError(
            f"{what} ties of type {array.dtype} and shape {array.shape}; give pairs of agent ids, (k, 2)"
        )
    problems = _edge_problems(n, array[:, 0], array[:, 1], None, 0)
    if problems:
        raise NetworkError(f"{what} ties: " + "; ".join(problems))
    return array.astype(np.uint32)
