"""Scoring for recurrent and hybrid models, whose memory is one state per sequence.

A state can be copied but not cut back, and a token cannot belong to several sequences. So the prefix stays untouched in
sequence 0; a first pass reads the prompts, a second one the options from copies of each prompt's state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.llm.context import Context, log_totals
from engine.llm.scoring import GROUP_TOKENS, check_finite
from engine.llm.trie import OptionTrie, Tokens


def score_prompts_in_stages(
    context: Context,
    prompts: Sequence[Tokens],
    start: int,
    tries: Sequence[OptionTrie],
    check_stop: Callable[[], None],
) -> NDArray[np.float64]:
    """Return log P of every option after every prompt, float64, shape (n_prompts, n_options).

    Arguments and errors as in `score_prompts`.
    """
    n_options = sum(len(trie.columns) for trie in tries)
    result = np.full((len(prompts), n_options), np.nan)
    n_leaves = max(trie.n_sequences for trie in tries)
    size = max(1, (context.n_sequences - 1) // (1 + n_leaves))
    at = 0
    while at < len(prompts):
        check_stop()
        rows = np.cumsum([len(prompt) - start for prompt in prompts[at : at + size]])
        n_members = max(1, int(np.searchsorted(rows, GROUP_TOKENS, side="right")))
        members = prompts[at : at + n_members]
        first = _read_prompts(context, members, start)
        for trie in tries:
            result[at : at + n_members, trie.columns] = _read_options(context, members, trie, first)
        at += n_members
    return check_finite(result, context.model.name)


def _read_prompts(context: Context, members: Sequence[Tokens], start: int) -> NDArray[np.float32]:
    """Read prompt i into sequence 1 + i and return the logits after it, normalised, (n_members, n_vocab)."""
    context.batch.clear()
    for place, prompt in enumerate(members):
        context.copy(0, 1 + place)
        rows = context.batch.append(prompt[start:], start, 1 + place, 1, wanted=False)
        context.batch.wanted[rows + len(prompt) - start - 1] = 1
    logits = context.decode()
    return logits - log_totals(logits)[:, None].astype(np.float32)


def _read_options(
    context: Context, members: Sequence[Tokens], trie: OptionTrie, first: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return log P of a trie's options, (n_members, n_options); every leaf's path is read in a sequence of its own."""
    n_leaves = trie.n_sequences if trie.n_nodes else 0
    places = np.zeros((len(members), 1 + trie.n_nodes), np.int64)
    context.batch.clear()
    for member, prompt in enumerate(members):
        places[member, 0] = member
        for leaf in range(n_leaves):
            sequence = 1 + len(members) + member * n_leaves + leaf
            context.copy(1 + member, sequence)
            path = np.flatnonzero((trie.first <= leaf) & (leaf < trie.first + trie.width))
            row = context.batch.append(trie.token[path], len(prompt), sequence, 1, wanted=True)
            places[member, 1 + path] = len(members) + row + np.arange(path.size)
    logits = first
    if context.batch.size:
        nodes = context.decode()
        logits = np.concatenate([first, nodes - log_totals(nodes)[:, None].astype(np.float32)])
    totals = np.zeros(len(logits))
    return np.stack([trie.read_options(logits, totals, rows) for rows in places])
