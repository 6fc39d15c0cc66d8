"""Recurrent models: two passes, states copied and never cut."""

from __future__ import annotations

import numpy as np
import pytest
from llm_oracle import FreshPasses

PREFIX = "You live in a small town by the river. " * 12
SUFFIXES = [f"You are {age} years old. What do you do?" for age in range(20, 50)]


@pytest.mark.parametrize(
    "options",
    [["support", "oppose", "ignore it"], ["yes", "yes but later", "no"], [str(number) for number in range(101)]],
    ids=["words", "prefix", "integers"],
)
def test_scores_equal_a_fresh_pass(mamba_path, load, options):
    model, passes = load(mamba_path), FreshPasses(mamba_path)
    scores = model.score(PREFIX, SUFFIXES, options)
    for place in (0, 29):
        expected = passes.score(PREFIX + SUFFIXES[place], options)
        assert np.abs(np.exp(scores.raw[place]) - np.exp(expected)).max() <= 1e-5
        np.testing.assert_allclose(scores.raw[place], expected, atol=1e-3)
    passes.close()


def test_what_was_asked_before_does_not_matter(mamba_path, load):
    one, two = load(mamba_path), load(mamba_path)
    expected = one.score(PREFIX, SUFFIXES, ["yes", "no"])
    two.score(PREFIX[:99], SUFFIXES[:3], ["yes", "no"])
    two.score(PREFIX + "Rain. ", SUFFIXES[:3], ["yes", "no"])
    found = two.score(PREFIX, SUFFIXES, ["yes", "no"])
    assert all(np.array_equal(a, b) for a, b in zip(found.raw, expected.raw, strict=True))


def test_texts_are_repeatable(mamba_path, load):
    def write(model):
        return model.write(PREFIX, SUFFIXES, seeds=range(30), max_tokens=6, temperature=0.8, top_p=0.95)

    model = load(mamba_path)
    first = write(model)
    assert write(model) == first == write(load(mamba_path))
    assert len({text for text in first if text}) > 10
