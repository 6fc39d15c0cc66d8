"""Every family of architectures: scores equal a fresh pass, whatever was asked before, and texts are repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from llm_families import WINDOW, build_hybrid, build_sliding
from llm_oracle import FreshPasses, build_random_mamba

from engine.llm.random_model import build_random_model

PREFIX = "You live in a small town by the river. " * 12
SUFFIXES = [
    f"{'You feel calm. ' * mood}You are {age} years old. What do you do?" for mood in (1, 4) for age in range(20, 38)
]
OPTIONS = {
    "words": ["support", "oppose", "ignore it"],
    "prefix": ["yes", "yes but later", "no"],
    "decimals": [f"{number / 10:.1f}" for number in range(31)],
}
BUILDERS = {
    "dense": build_random_model,
    "sliding": build_sliding,
    "recurrent": build_random_mamba,
    "hybrid": build_hybrid,
}


@pytest.fixture(scope="module", params=BUILDERS)
def family(request, tmp_path_factory):
    return request.param, BUILDERS[request.param](tmp_path_factory.mktemp("families") / f"{request.param}.gguf")


def test_the_memory_is_of_the_stated_kind(family):
    passes = FreshPasses(family[1])
    library, pointer = passes.library, passes.model.pointer
    kinds = {"recurrent": bool(library.llama_model_is_recurrent(pointer))}
    kinds["hybrid"] = bool(library.llama_model_is_hybrid(pointer))
    kinds["sliding"] = int(library.llama_model_n_swa(pointer)) == WINDOW
    assert [kind for kind, holds in kinds.items() if holds] == ([] if family[0] == "dense" else [family[0]])
    passes.close()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_scores_equal_a_fresh_pass(family, load, options):
    model, passes = load(family[1]), FreshPasses(family[1])
    model.score(PREFIX[:70], SUFFIXES[:3], options)
    scores = model.score(PREFIX, SUFFIXES, options)
    for place in (0, 20, 35):
        expected = passes.score(PREFIX + SUFFIXES[place], options)
        assert np.abs(np.exp(scores.raw[place]) - np.exp(expected)).max() <= 1e-5
        np.testing.assert_allclose(scores.raw[place], expected, atol=2e-3)
    fresh = load(family[1]).score(PREFIX, SUFFIXES, options)
    assert all(np.array_equal(one, two) for one, two in zip(scores.raw, fresh.raw, strict=True))
    passes.close()


def test_texts_and_embeddings_are_repeatable(family, load):
    model, other = load(family[1]), load(family[1])
    settings = {"seeds": range(36), "max_tokens": 6, "temperature": 0.8, "top_p": 0.95}
    first = model.write(PREFIX, SUFFIXES, **settings)
    model.score(PREFIX, SUFFIXES[:2], ["a", "b"])
    assert model.write(PREFIX, SUFFIXES, **settings) == first == other.write(PREFIX, SUFFIXES, **settings)
    rows = model.embed(SUFFIXES)
    assert np.array_equal(rows, other.embed(SUFFIXES))
    np.testing.assert_allclose(other.embed(SUFFIXES[:1])[0], rows[0], atol=1e-3)
