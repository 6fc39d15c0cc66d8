"""Tokens drawn by refusal follow the nucleus that sorting gives, and grammars hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

from engine.errors import ModelError
from engine.llm import sampling
from engine.llm.sampling import Sampler, Sampling, draw_token

LOGITS = np.log(np.array([0.02, 0.30, 0.05, 0.25, 0.08, 0.20, 0.10], np.float32))
N_DRAWS = 20_000


def nucleus(top_p, temperature):
    """Return the distribution by its definition: sort, cut, then let the temperature act."""
    share = np.exp(LOGITS.astype(float))
    order = np.argsort(-share)
    kept = order[: int(np.searchsorted(np.cumsum(share[order]), top_p * share.sum())) + 1]
    weight = np.zeros(len(share))
    weight[kept] = share[kept] ** (1 / temperature)
    return weight / weight.sum()


@pytest.mark.parametrize("most_tries", [16, 0], ids=["by refusal", "by sorting"])
@pytest.mark.parametrize(("top_p", "temperature"), [(1.0, 1.0), (0.72, 1.0), (0.9, 0.5), (0.4, 3.0)])
def test_draws_follow_the_nucleus(top_p, temperature, most_tries, monkeypatch):
    monkeypatch.setattr(sampling, "MOST_TRIES", most_tries)
    uniform = np.random.default_rng(5).random
    drawn = [draw_token(LOGITS, uniform, temperature, top_p) for _ in range(N_DRAWS)]
    seen = np.bincount(drawn, minlength=len(LOGITS)) / N_DRAWS
    expected = nucleus(top_p, temperature)
    assert (seen[expected == 0] == 0).all()
    assert np.abs(seen - expected).max() < 4 * np.sqrt(0.25 / N_DRAWS)


def test_a_rare_nucleus_is_sorted_out_after_some_refusals():
    logits = np.zeros(50_000, np.float32)
    logits[7] = 9.0
    draws = {draw_token(logits, np.random.default_rng(seed).random, 20.0, 0.1) for seed in range(30)}
    assert draws == {7}, "hot draws fall outside the nucleus nearly always"


def test_the_ends_of_the_uniform_are_tokens_that_can_be():
    logits = np.array([-np.inf, 0.0, 1.0, -np.inf], np.float32)
    for u in (0.0, 1 - 2**-53):
        assert draw_token(logits, lambda u=u: u, 1.0, 1.0) in (1, 2)


def test_a_grammar_holds_at_every_temperature(tiny):
    prefix, suffixes = "Say a number. ", [f"You are {age}." for age in range(20, 32)]
    for temperature in (0.0, 0.8, 3.0):
        texts = tiny.write(
            prefix,
            suffixes,
            seeds=range(12),
            max_tokens=6,
            temperature=temperature,
            top_p=0.9,
            grammar="root ::= [0-9]+",
        )
        assert all(re.fullmatch("[0-9]+", text) for text in texts)


def test_a_text_ends_where_its_grammar_does(tiny):
    texts = tiny.write(
        "Well? ", ["a", "b"], seeds=[1, 2], max_tokens=30, temperature=1.0, top_p=1.0, grammar='root ::= "yes"'
    )
    assert texts == ["yes", "yes"]


def test_logits_that_are_no_numbers_are_refused(tiny):
    sampler = Sampler(tiny._open_model(), Sampling(4, 0.8, 0.95, ()), 1)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ModelError, match="not finite"):
            sampler.draw(np.array([0.0, wrong], np.float32))
