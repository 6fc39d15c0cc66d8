"""The shipped double: same text, same answer, on any machine."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ModelError
from engine.llm import ScriptedModel, load_model
from engine.spec import ModelSpec

SUFFIXES = [f"Situation {number}." for number in range(200)]


def test_answers_are_normalised_and_vary():
    model = load_model(ModelSpec(file="scripted"))
    scores = model.score("Question. ", SUFFIXES, ["a", "b", "c"])
    shares = np.exp(np.array(scores.logp))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert shares.std(axis=0).min() > 0.1 and np.all(scores.mass == 1.0)


def test_counts():
    model = ScriptedModel()
    model.score("Q ", SUFFIXES, ["a", "b"])
    model.write("Q ", SUFFIXES[:3], seeds=[1, 2, 3], max_tokens=9, temperature=1.0, top_p=1.0)
    assert (model.n_calls, model.n_situations) == (2, 203)


def test_the_order_of_situations_and_options_does_not_matter():
    model = ScriptedModel()
    one = model.score("Q ", SUFFIXES[:2], ["a", "b", "c"]).logp
    two = model.score("Q ", SUFFIXES[1::-1], ["c", "a", "b"]).logp
    np.testing.assert_allclose(one[0], two[1][[1, 2, 0]])


def test_a_fixed_answer_on_every_machine():
    logp = ScriptedModel().score("Q ", ["x"], ["a", "b"]).logp[0]
    assert logp == pytest.approx([-0.4517277225012102, -1.0120515233403482], abs=1e-12)


def test_seeds_change_answers_and_texts():
    one, two = ScriptedModel(), ScriptedModel(seed=5)
    assert not np.allclose(one.score("Q ", ["x"], ["a", "b"]).logp, two.score("Q ", ["x"], ["a", "b"]).logp)
    assert one.identity.sha256 != two.identity.sha256
    settings = {"max_tokens": 20, "temperature": 1.0, "top_p": 1.0}
    texts = one.write("Q ", ["x", "x", "y"], seeds=[1, 2, 1], **settings)
    assert len(set(texts)) == 3 and texts == one.write("Q ", ["x", "x", "y"], seeds=[1, 2, 1], **settings)


def test_length_of_texts():
    model = ScriptedModel()
    texts = model.write("Q ", SUFFIXES, seeds=range(200), max_tokens=5, temperature=1.0, top_p=1.0)
    assert {model.count_tokens(text) for text in texts} == {3, 4, 5}
    single = model.write("Q ", SUFFIXES[:5], seeds=range(5), max_tokens=1, temperature=1.0, top_p=1.0)
    assert all(model.count_tokens(text) == 1 for text in single)


def test_wrong_requests_are_refused():
    with pytest.raises(ModelError, match="duplicate options"):
        ScriptedModel().score("Q", ["x"], ["a", "a"])
    with pytest.raises(ModelError, match="one seed per text"):
        ScriptedModel().write("Q", ["x"], seeds=[], max_tokens=5, temperature=1.0, top_p=1.0)
    assert ScriptedModel().score("Q", [], ["a"]).logp == []
