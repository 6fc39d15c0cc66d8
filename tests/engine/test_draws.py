"""Draws are pure functions of their key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from engine.draws import draw_uniform, philox4x32, stream_key, stream_rng

MASK = 0xFFFFFFFF


# Known answers: Salmon et al. (2011), Random123 distribution, kat_vectors, philox4x32 10.
@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((MASK, MASK, MASK, MASK), (MASK, MASK), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, words):
    got = philox4x32(*(np.uint64(w) for w in counter), *(np.uint64(k) for k in key))
    assert tuple(int(word) for word in got) == words


def test_uniforms_look_uniform_and_independent_of_lane_and_step():
    ids = np.arange(20_000)
    first = draw_uniform(3, "s", 5, 0, ids)
    assert stats.kstest(first, "uniform").pvalue > 1e-4
    for other in (
        draw_uniform(3, "s", 6, 0, ids),
        draw_uniform(3, "s", 5, 1, ids),
        draw_uniform(3, "s", 5, 0, ids, lane=1),
        draw_uniform(4, "s", 5, 0, ids),
        draw_uniform(3, "t", 5, 0, ids),
    ):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.035


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=30, unique=True), st.randoms())
def test_an_agents_draw_does_not_depend_on_the_others(ids, shuffler):
    shuffled = list(ids)
    shuffler.shuffle(shuffled)
    whole = dict(zip(ids, draw_uniform(1, "x", 2, 0, np.array(ids)), strict=True))
    for agent, value in zip(shuffled, draw_uniform(1, "x", 2, 0, np.array(shuffled)), strict=True):
        assert whole[agent] == value


def test_one_turn_per_agent_equals_separate_calls():
    turns = np.array([4, 9])
    both = draw_uniform(1, "x", 2, turns, np.array([7, 7]))
    assert both[0] == draw_uniform(1, "x", 2, 4, np.array([7]))[0]
    assert both[1] == draw_uniform(1, "x", 2, 9, np.array([7]))[0]
    assert both[0] != both[1]


def test_streams_start_afresh_in_each_step():
    assert stream_rng(1, "a", 3).random() == stream_rng(1, "a", 3).random()
    assert stream_rng(1, "a", 3).random() != stream_rng(1, "a", 4).random()
    assert stream_key(1, "a") != stream_key(1, "b")
