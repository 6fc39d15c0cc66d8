"""Score all options of many prompts, several prompts in one pass.

A pass is a tree of tokens: neighbouring prompts share the beginnings that they have in common, each prompt ends in
its option trie, and a token belongs to the sequences of all leaves below it. Attention sees only a token's own
ancestors, so every leaf is computed as if it were alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.llm.context import Context, log_totals
from engine.llm.prompts import shared_length
from engine.llm.trie import OptionTrie, Tokens

IntArray = NDArray[np.int64]

GROUP_TOKENS = 256  # tokens of one pass, unless one prompt alone needs more
MOST_LOGITS = 48_000_000  # numbers of logits that one pass may return


class Pass:
    """Rows of one pass, collected prompt by prompt.

    Args:
        start: Tokens of the held prefix; rows begin after it.
        room: Most rows.
    """

    def __init__(self, start: int, room: int) -> None:
        self.start = start
        self.token, self.position, self.first, self.end = (np.zeros(room, np.int64) for _ in range(4))
        self.wanted = np.zeros(room, np.bool_)
        self.size = self.n_sequences = self.n_wanted = 0
        self.members: list[tuple[int, OptionTrie, IntArray]] = []
        self._previous: Tokens = ()
        self._path = np.zeros(0, np.int64)

    def common(self, prompt: Tokens) -> int:
        """Return how many tokens of a prompt are there already, prefix included."""
        return max(self.start, shared_length(self._previous, prompt))

    def fits(self, prompt: Tokens, trie: OptionTrie, most_sequences: int, most_wanted: int) -> bool:
        """Return whether a prompt with its trie can be added; the first one always can."""
        rows = self.size + len(prompt) - self.common(prompt) + trie.n_nodes
        return not self.members or (
            rows <= GROUP_TOKENS
            and self.n_sequences + trie.n_sequences <= most_sequences
            and self.n_wanted + 1 + trie.n_nodes <= most_wanted
        )

    def add(self, number: int, prompt: Tokens, trie: OptionTrie) -> None:
        """Add a prompt, which must not sort before the previous one."""
        common = self.common(prompt)
        self.end[self._path[common - self.start :]] = self.n_sequences
        new = self._put(prompt[common:], np.arange(common, len(prompt)), self.n_sequences)
        self._path = np.concatenate([self._path[: common - self.start], new])
        nodes = self._put(trie.token, len(prompt) - 1 + trie.depth, self.n_sequences + trie.first)
        self.end[nodes] = self.first[nodes] + trie.width
        rows = np.concatenate([self._path[-1:], nodes])
        self.n_wanted += int(np.count_nonzero(~self.wanted[rows]))
        self.wanted[rows] = True
        self.members.append((number, trie, rows))
        self.n_sequences += trie.n_sequences
        self._previous = prompt

    def _put(self, tokens: Tokens | IntArray, positions: IntArray, first: int | IntArray) -> IntArray:
        rows = np.arange(self.size, self.size + len(tokens))
        self.token[rows] = tokens
        self.position[rows] = positions
        self.first[rows] = first
        self.size += len(tokens)
        return rows

    def decode(self, context: Context) -> list[tuple[int, OptionTrie, NDArray[np.float64]]]:
        """Compute the pass; return number, trie and log P of the trie's options for each member."""
        self.end[self._path] = self.n_sequences
        used = slice(0, self.size)
        context.batch.clear()
        context.batch.append(
            self.token[used],
            self.position[used],
            1 + self.first[used],
            self.end[used] - self.first[used],
            self.wanted[used],
        )
        logits = context.decode()
        totals = log_totals(logits)
        place = np.cumsum(self.wanted[used]) - 1
        return [(number, trie, trie.read_options(logits, totals, place[rows])) for number, trie, rows in self.members]


def score_prompts(
    context: Context,
    share: Callable[[int], None],
    prompts: Sequence[Tokens],
    start: int,
    tries: Sequence[OptionTrie],
    check_stop: Callable[[], None],
) -> NDArray[np.float64]:
    """Return log P of every option after every prompt, float64, shape (n_prompts, n_options).

    Args:
        context: Its sequence 0 holds the first `start` tokens of all prompts and keeps them.
        share: Shares sequence 0 with sequences 1..n.
        prompts: Distinct, ascending, each longer than `start`.
        start: Tokens of the held prefix.
        tries: The options, in one part or several.
        check_stop: Raises where the caller wants to stop; called before every pass.

    Raises:
        ModelError: a pass fails or is stopped, or gives numbers that are not finite.
    """
    n_options = sum(len(trie.columns) for trie in tries)
    result = np.full((len(prompts), n_options), np.nan)
    most_sequences = context.n_sequences - 1
    most_wanted = max(1, MOST_LOGITS // context.model.n_vocab)
    waiting = [(number, prompt, trie) for number, prompt in enumerate(prompts) for trie in tries]
    at = 0
    while at < len(waiting):
        check_stop()
        group = Pass(start, context.batch.room)
        while at < len(waiting) and group.fits(*waiting[at][1:], most_sequences, most_wanted):
            group.add(*waiting[at])
            at += 1
        share(group.n_sequences)
        for number, trie, values in group.decode(context):
            result[number, trie.columns] = values
        context.cut(start)
    return check_finite(result, context.model.name)


def check_finite(result: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return log probabilities, or refuse them where some are not numbers.

    Raises:
        ModelError: the model's weights or activations overflow.
    """
    if not np.isfinite(result).all():
        raise ModelError(f"the model {name} answers with numbers that are not finite; the file is damaged, replace it")
    return result
