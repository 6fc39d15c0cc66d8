"""The option trie: log P by the trie equals the sum along each option's own path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.llm.context import log_totals
from engine.llm.prompts import shared_length
from engine.llm.trie import OptionTrie, build_tries, end_prefixes

VOCABULARY = 6
END = 5
paths = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple), min_size=1, max_size=12, unique=True)


def logits_after(tokens):
    seed = np.array([7, *tokens], np.uint32)
    return np.random.default_rng(seed).standard_normal(VOCABULARY).astype(np.float32)


def log_p(path):
    rows = np.array([logits_after(path[:length]) for length in range(len(path))])
    totals = log_totals(rows)
    return sum(float(rows[length, token]) - totals[length] for length, token in enumerate(path))


def nodes_of(trie):
    """Rebuild the decoded beginnings from depth-first order."""
    path, found = [], []
    for token, depth in zip(trie.token, trie.depth, strict=True):
        path = [*path[: depth - 1], int(token)]
        found.append(tuple(path))
    return found


@given(paths)
def test_scores_along_paths(options):
    options = end_prefixes(options, END)
    for trie in build_tries(options, most_sequences=3, most_nodes=8):
        nodes = nodes_of(trie)
        rows = np.array([logits_after(()), *(logits_after(node) for node in nodes)])
        found = trie.read_options(rows, log_totals(rows), np.arange(len(rows)))
        np.testing.assert_allclose(found, [log_p(options[column]) for column in trie.columns], atol=1e-6)


@given(paths)
def test_no_option_begins_another_after_ends_are_added(options):
    ended = end_prefixes(options, END)
    assert not any(a != b and b[: len(a)] == a for a in ended for b in ended)
    total = np.exp([log_p(path) for path in ended]).sum()
    assert total <= 1 + 1e-6, "the options exclude one another"


@given(paths)
def test_every_sequence_of_a_node_is_a_leaf_below_it(options):
    (trie,) = build_tries(options, 255, 512)
    nodes = nodes_of(trie)
    leaves = [node for node in nodes if not any(other != node and other[: len(node)] == node for other in nodes)]
    assert trie.n_sequences == max(1, len(leaves))
    for node, first, width in zip(nodes, trie.first, trie.width, strict=True):
        below = [place for place, leaf in enumerate(leaves) if leaf[: len(node)] == node]
        assert below == list(range(first, first + width))


@given(paths, st.integers(1, 4))
def test_parts_cover_every_option_once_within_the_limits(options, most):
    tries = build_tries(options, most, 6)
    assert sorted(column for trie in tries for column in trie.columns) == list(range(len(options)))
    assert all(len(trie.columns) == 1 or (trie.n_sequences <= most and trie.n_nodes <= 6) for trie in tries)


def test_integers_need_one_sequence_per_decoded_leaf():
    digits = [tuple(map(int, str(number))) for number in range(101)]
    trie = OptionTrie(end_prefixes(digits, 10), list(range(101)))
    assert trie.n_nodes == 10 and trie.n_sequences == 9, "1..9 and 10; 1 lies above 10"


@pytest.mark.parametrize(
    ("a", "b", "expected"), [((), (), 0), ((1, 2), (1, 2, 3), 2), ((1, 2, 3), (1, 9, 3), 1), ((5,), (6,), 0)]
)
def test_shared_length(a, b, expected):
    assert shared_length(a, b) == shared_length(b, a) == expected
