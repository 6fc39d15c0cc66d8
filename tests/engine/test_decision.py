"""Presentations, answers, grouping and drawing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision import Choice, Integers, Rounded, Words
from engine.errors import DecisionError
from engine.policy.lifting import draw_options, group_codes


def test_words_put_an_edge_into_the_upper_bin():
    words = Words((0.5,), ("low", "high"))
    assert words.codes(np.array([0.4999, 0.5])).tolist() == [0, 1]
    assert words.text(1) == "high"
    with pytest.raises(DecisionError, match="2 ascending edges need 3 words"):
        Words((0.5, 0.6), ("low", "high"))


def test_rounded_clips_and_names_its_unit():
    shown = Rounded(0, 1, 0.1, unit="t")
    assert shown.n_codes == 11
    assert [shown.text(c) for c in shown.codes(np.array([-3.0, 0.26, 9.0]))] == ["0 t", "0.3 t", "1 t"]


@pytest.mark.parametrize("options", [("yes",), ("yes", "yes"), ("yes", " ")])
def test_a_choice_needs_two_different_options(options):
    with pytest.raises(DecisionError):
        Choice(*options)


def test_integers_are_their_own_actions():
    answer = Integers(5, 8)
    assert answer.texts == ("5", "6", "7", "8")
    assert answer.actions(np.array([0, 3])).tolist() == [5, 8]
    with pytest.raises(DecisionError):
        Integers(3, 3)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=60))
def test_groups_are_exactly_the_distinct_rows(rows):
    array = np.array(rows)
    parts = [(array[:, 0], 3), (array[:, 1], 7), (array[:, 2], 2)]
    first, group = group_codes(parts, len(rows))
    assert len(first) == len(set(rows))
    for i, row in enumerate(rows):
        assert rows[first[group[i]]] == row
    assert all(rows.index(rows[f]) == f for f in first)


def test_grouping_survives_radices_beyond_64_bits():
    rng = np.random.default_rng(1)
    columns = [rng.integers(0, 2**20, 50) for _ in range(5)]
    columns = [np.concatenate([c, c]) for c in columns]
    first, group = group_codes([(c, 2**20) for c in columns], 100)
    assert first.size == 50
    assert (group[:50] == group[50:]).all()


def test_draws_follow_the_weights():
    log_weights = np.log(np.array([[0.2, 0.5, 0.3], [1e-300, 1.0, 1e-300]]))
    u = (np.arange(10_000) + 0.5) / 10_000
    index, p = draw_options(log_weights, np.zeros(10_000, np.int64), u)
    assert np.bincount(index).tolist() == [2000, 5000, 3000]
    assert np.allclose(p[index == 1], 0.5)
    index, _ = draw_options(log_weights, np.ones(10_000, np.int64), u)
    assert (index == 1).all()


def test_excluded_options_are_never_drawn():
    index, _ = draw_options(
        np.array([[-np.inf, 0.0, -np.inf]]), np.zeros(3, np.int64), np.array([0.0, 0.5, 1 - 2**-53])
    )
    assert index.tolist() == [1, 1, 1]
