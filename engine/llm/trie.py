"""Options as a tree of tokens, so that all of them are scored in one pass."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Tokens = tuple[int, ...]


@dataclass
class OptionTrie:
    """Token paths of some options. Inner nodes are decoded, leaves are only read off the logits.

    Row 0 of a situation's logits belongs to the last prompt token, row 1 + k to node k. A decoded node that no other
    decoded node extends needs a sequence of its own; nodes are in depth-first order, so the sequences of the leaves
    below a node are neighbours.

    Attributes:
        options: Token path of each option, none empty, none equal.
        columns: Index of each option in the caller's list.
        token: Last token of each node, int64, shape (n_nodes,).
        depth: Depth of each node from 1, int64, shape (n_nodes,).
        first: First of the node's sequences, counted from 0, int64, shape (n_nodes,).
        width: Number of the node's sequences, int64, shape (n_nodes,).
        n_sequences: Sequences that one situation takes, at least 1.
        path_row, path_token: Row and token of each step of each option, int64, shape (n_options, longest); -1 beyond
            an option's end.
    """

    options: Sequence[Tokens]
    columns: Sequence[int]
    token: NDArray[np.int64] = field(init=False)
    depth: NDArray[np.int64] = field(init=False)
    first: NDArray[np.int64] = field(init=False)
    width: NDArray[np.int64] = field(init=False)
    n_sequences: int = field(init=False)
    path_row: NDArray[np.int64] = field(init=False)
    path_token: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        nodes = _inner_nodes(self.options)
        leaves = _leaves(nodes)
        below = [[place for place, leaf in enumerate(leaves) if leaf[: len(node)] == node] for node in nodes]
        self.token = np.array([node[-1] for node in nodes], np.int64)
        self.depth = np.array([len(node) for node in nodes], np.int64)
        self.first = np.array([places[0] for places in below], np.int64)
        self.width = np.array([len(places) for places in below], np.int64)
        self.n_sequences = max(1, len(leaves))
        row_of = {(): 0} | {node: place + 1 for place, node in enumerate(nodes)}
        longest = max(map(len, self.options))
        self.path_row = np.full((len(self.options), longest), -1, np.int64)
        self.path_token = np.full((len(self.options), longest), -1, np.int64)
        for place, option in enumerate(self.options):
            self.path_row[place, : len(option)] = [row_of[option[:length]] for length in range(len(option))]
            self.path_token[place, : len(option)] = option

    @property
    def n_nodes(self) -> int:
        """Number of decoded nodes."""
        return int(self.token.size)

    @property
    def n_steps(self) -> int:
        """Tokens of the longest option."""
        return int(self.path_token.shape[1])

    def read_options(
        self, logits: NDArray[np.float32], totals: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return log P of each option of one situation, float64, shape (n_options,).

        Args:
            logits: Logits of a pass, shape (n_out, n_vocab).
            totals: Log-sum-exp of each row of `logits`, shape (n_out,).
            rows: Row in `logits` of the last prompt token and of each node, shape (1 + n_nodes,).
        """
        inside = self.path_token >= 0
        at = rows[np.where(inside, self.path_row, 0)]
        steps = logits[at, np.where(inside, self.path_token, 0)].astype(np.float64) - totals[at]
        summed: NDArray[np.float64] = np.where(inside, steps, 0.0).sum(axis=1)
        return summed


def _inner_nodes(options: Sequence[Tokens]) -> list[Tokens]:
    """Return the proper, non-empty beginnings of options in depth-first order."""
    return sorted({option[:length] for option in options for length in range(1, len(option))})


def _leaves(nodes: Sequence[Tokens]) -> list[Tokens]:
    """Return the nodes that no other node extends; sorted nodes stand directly before their extensions."""
    leaves = [node for node, following in itertools.pairwise(nodes) if following[: len(node)] != node]
    return leaves + list(nodes[-1:])


def end_prefixes(options: Sequence[Tokens], end_token: int) -> list[Tokens]:
    """Add the end token to every option that is a proper beginning of another, so that their probabilities exclude.

    Args:
        options: Token paths.
        end_token: Token that ends an answer.
    """
    beginnings = {option[:length] for option in options for length in range(1, len(option))}
    return [(*option, end_token) if option in beginnings else option for option in options]


def build_tries(options: Sequence[Tokens], most_sequences: int, most_nodes: int) -> list[OptionTrie]:
    """Return one trie, or several over parts of the options where one would need too many sequences or nodes."""
    order = sorted(range(len(options)), key=lambda place: options[place])
    parts: list[list[int]] = [[]]
    for place in order:
        trial = [options[other] for other in [*parts[-1], place]]
        nodes = _inner_nodes(trial)
        if parts[-1] and (len(nodes) > most_nodes or len(_leaves(nodes)) > most_sequences):
            parts.append([])
        parts[-1].append(place)
    if len(parts) == 1:
        parts = [list(range(len(options)))]
    return [OptionTrie([options[place] for place in part], part) for part in parts]
