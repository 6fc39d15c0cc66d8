"""Score all options of many prompts, several prompts in one pass.

A pass is a tree of tokens: neighbouring prompts share the beginnings that they have in common, each prompt ends in
its option trie, and a token belongs to the sequences of all leaves below it. Attention sees only a token's own
ancestors, so every leaf is computed as if it were alone. Where prompts that share a beginning need more than one pass,
the beginning is held from pass to pass; held beginnings nest, so that a tree of any depth is computed once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.llm.context import PAD_TOKENS, Context, log_totals
from engine.llm.prefix import PrefixKeeper
from engine.llm.prompts import shared_length
from engine.llm.trie import OptionTrie, Tokens

IntArray = NDArray[np.int64]

GROUP_TOKENS = 192  # tokens that a pass has room for at least; from about here on more tokens do not compute faster
LEAST_HELD = 16  # tokens below which holding a beginning costs more than computing it in two passes
MOST_LOGITS = 48_000_000  # numbers of logits that one pass may return


def pass_room(start: int) -> int:
    """Return how many tokens a pass takes after `start` held ones: attention then wastes nothing on its padding."""
    return -(-(start + GROUP_TOKENS) // PAD_TOKENS) * PAD_TOKENS - start


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
            rows <= pass_room(self.start)
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


class Scorer:
    """Scores the prompts of one call, walking down the tree of what they share.

    Args:
        context: Its sequence 0 holds a beginning of all prompts and keeps it.
        keeper: Holds that beginning.
        prompts: Distinct, ascending, each longer than the beginning.
        tries: The options, in one part or several.
        check_stop: Raises where the caller wants to stop; called before every pass.
    """

    def __init__(
        self,
        context: Context,
        keeper: PrefixKeeper,
        prompts: Sequence[Tokens],
        tries: Sequence[OptionTrie],
        check_stop: Callable[[], None],
    ) -> None:
        self.context, self.keeper, self.prompts, self.tries = context, keeper, prompts, tries
        self.check_stop = check_stop
        self.lengths = np.array([len(prompt) for prompt in prompts], np.int64)
        shared = itertools.starmap(shared_length, itertools.pairwise(prompts))
        self.common = np.array([0, *shared], np.int64)
        self.n_nodes = sum(trie.n_nodes for trie in tries)
        self.result = np.full((len(prompts), sum(len(trie.columns) for trie in tries)), np.nan)

    def walk(self, low: int, high: int, start: int) -> None:
        """Score prompts low..high, high excluded, which all begin with the `start` tokens that are held."""
        apart: list[int] = []
        for first, end in self._branches(low, high, start):
            shared = self._shared(first, end)
            if shared - start < LEAST_HELD or self._rows(first, end, start) <= pass_room(start):
                apart += range(first, end)
                continue
            self.check_stop()
            self.keeper.extend(self.context, self.prompts[first][start:shared], start)
            self.walk(first, end, shared)
            self.context.cut(start)
        self._score(apart, start)

    def _branches(self, low: int, high: int, start: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of neighbours that share enough beyond `start` to hold it."""
        cuts = low + 1 + np.flatnonzero(self.common[low + 1 : high] < start + LEAST_HELD)
        edges = [low, *cuts.tolist(), high]
        yield from itertools.pairwise(edges)

    def _shared(self, low: int, high: int) -> int:
        """Return the tokens that a range of prompts can hold together: at least one of each prompt is left."""
        return int(min([*self.common[low + 1 : high], self.lengths[low:high].min() - 1])) if high - low > 1 else 0

    def _rows(self, low: int, high: int, start: int) -> int:
        """Return the tokens that a range of prompts with their options needs after `start` held ones."""
        shared = np.maximum(self.common[low:high], start)
        shared[0] = start
        return int((self.lengths[low:high] - shared).sum()) + (high - low) * self.n_nodes

    def _score(self, numbers: Sequence[int], start: int) -> None:
        context = self.context
        most_sequences = context.n_sequences - 1
        most_wanted = max(1, MOST_LOGITS // context.model.n_vocab)
        waiting = [(number, self.prompts[number], trie) for number in numbers for trie in self.tries]
        at = 0
        while at < len(waiting):
            self.check_stop()
            group = Pass(start, context.batch.room)
            while at < len(waiting) and group.fits(*waiting[at][1:], most_sequences, most_wanted):
                group.add(*waiting[at])
                at += 1
            self.keeper.share(context, group.n_sequences, filled=start > 0)
            for number, trie, values in group.decode(context):
                self.result[number, trie.columns] = values
            context.cut(start)


def score_prompts(
    context: Context,
    keeper: PrefixKeeper,
    prompts: Sequence[Tokens],
    start: int,
    tries: Sequence[OptionTrie],
    check_stop: Callable[[], None],
) -> NDArray[np.float64]:
    """Return log P of every option after every prompt, float64, shape (n_prompts, n_options).

    Args:
        context: As in `Scorer`, with the four that follow and `check_stop`.
        keeper: Holds the beginning.
        prompts: Distinct, ascending.
        start: Tokens of the held prefix.
        tries: The options.
        check_stop: Called before every pass.

    Raises:
        ModelStopped: `check_stop` said so.
        ModelError: a pass fails, or gives numbers that are not finite.
    """
    scorer = Scorer(context, keeper, prompts, tries, check_stop)
    scorer.walk(0, len(prompts), start)
    return check_finite(scorer.result, context.model.name)


def check_finite(result: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return log probabilities, or refuse them where some are not numbers.

    Raises:
        ModelError: the model's weights or activations overflow.
    """
    if not np.isfinite(result).all():
        raise ModelError(f"the model {name} answers with numbers that are not finite; the file is damaged, replace it")
    return result
