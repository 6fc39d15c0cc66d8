"""The surrogate against models whose answers are known: one that is a logit, one that is not, one with surprises."""

import re

import numpy as np
import pytest

from engine import MicrocosmError, load_study, simulate
from engine.llm import ScriptedModel
from engine.llm.protocol import Scores
from engine.policy.records import LANGUAGE, SURROGATE
from engine.policy.surrogate_fit import Fit, build_columns, fit_surrogate
from engine.simulation import MemoryJournal

CASES = ("none or", "fewer than 10", "between 10 and", "between 50", "between 200", "between 500", "more than")
CITY = ["population.size=3000", "steps=60", "params.initial_infected=100", "seed=5", "model.file=scripted"]


class LogitModel(ScriptedModel):
    """Answers by a logit of what the text says; `bend` adds an interaction that no sum of terms can follow."""

    def __init__(self, bend=0.0):
        super().__init__()
        self.bend = bend

    def score(self, prefixes, suffixes, options, *, lead=""):
        """Return the logit's distributions."""
        self._count(suffixes)
        logp = []
        for suffix in suffixes:
            eta = self.logit(suffix)
            logp.append(np.array([-np.log1p(np.exp(-eta)), -np.log1p(np.exp(eta))]))
        return Scores(logp, [row.copy() for row in logp], np.ones(len(suffixes)))

    def logit(self, text):
        """Return the log odds of the first option."""
        age = int(re.search(r"(?:between |least )(\d+)", text).group(1))
        level = next(k for k, words in enumerate(CASES) if f"last week: {words}" in text)
        eta = -2 + 0.03 * (age - 45) + 0.4 * level - 0.5 * ("worker: yes" in text) + 0.3 * ("clerk" in text)
        return eta + self.bend * (1 if (age // 5 + level) % 2 else -1)


class SilentModel(LogitModel):
    """Refuses every question."""

    def score(self, prefixes, suffixes, options, *, lead=""):
        """Fail."""
        raise AssertionError("the model was asked")


def study_of(policy, *overrides):
    """Return the city with one policy for both decisions."""
    policies = [f"decisions.{decision}.policy={policy}" for decision in ("isolate", "work")]
    return load_study("epidemic_city", [*CITY, *policies, *overrides])


def test_the_fit_finds_a_logit_again():
    """Probabilities of a three-option logit in 2 columns: coefficients recovered, error 0."""
    rng = np.random.default_rng(1)
    codes = np.stack([rng.integers(0, 3, 200), rng.integers(0, 5, 200)], axis=1)
    names, n_codes, ordered = ["a", "b"], [3, 5], [False, False]
    even = np.full((200, 2), -np.log(2))
    x = build_columns(fit_surrogate(names, n_codes, ordered, codes, even, np.arange(20)).features, codes)
    true = rng.normal(size=(2, x.shape[1]))
    eta = np.concatenate([np.zeros((200, 1)), x @ true.T], axis=1)
    logp = eta - np.logaddexp.reduce(eta, axis=1, keepdims=True)
    fit = fit_surrogate(names, n_codes, ordered, codes, logp, np.arange(50))
    assert np.allclose(fit.coefficients, true, atol=1e-5)
    assert fit.error.n_fitted == 150 and fit.error.n_held_out == 50
    assert fit.error.mean < 1e-6 < 0.05 < fit.error.baseline
    assert np.allclose(fit.predict(codes)[0], logp, atol=1e-5)
    assert Fit.parse(fit.dump()).dump() == fit.dump()


def test_a_code_without_an_example_is_new():
    codes = np.array([[0, 4], [1, 4], [0, 6], [1, 6]] * 10)
    fit = fit_surrogate(["a", "b"], [3, 40], [False, True], codes, np.full((40, 2), -np.log(2)), np.arange(8))
    assert fit.is_new(np.array([[0, 5], [2, 5], [0, 3], [0, 7]])).tolist() == [False, True, True, True]


def test_a_surrogate_of_a_logit_answers_like_the_model_for_a_fraction_of_its_work():
    truth, stand_in = LogitModel(), LogitModel()
    list(simulate(study_of("language"), model=truth))
    told, near, used = [], [], set()
    for record in simulate(study_of("surrogate", "decisions.isolate.surrogate.situations=150"), model=stand_in):
        told += [event.detail for event in record.events if event.kind == "surrogate_fitted"]
        for batch in record.decisions:
            used |= set(np.unique(batch.policy).tolist())
        for situation in record.situations:
            if situation.source == "surrogate":
                near.append(abs(np.exp(situation.logp[0]) - 1 / (1 + np.exp(-truth.logit(situation.suffix)))))
    assert [detail["decision"] for detail in told] == ["isolate", "work"]
    assert all(detail["trusted"] and detail["distance_mean"] < 1e-6 for detail in told)
    assert told[0]["asked"] <= 150 and told[0]["distance_of_the_mean"] > 0.1
    assert len(near) > 200 and max(near) < 1e-5
    assert used == {LANGUAGE, SURROGATE}
    assert stand_in.n_situations < 0.75 * truth.n_situations


def test_a_surrogate_that_is_far_off_leaves_everything_to_the_model():
    model = LogitModel(bend=1.5)
    by_model = [record.digest for record in simulate(study_of("language", "steps=15"), model=model)]
    records = list(simulate(study_of("surrogate", "steps=15"), model=LogitModel(bend=1.5)))
    told = [event.detail for record in records for event in record.events if event.kind == "surrogate_fitted"]
    assert len(told) == 2 and not any(detail["trusted"] for detail in told)
    assert [record.digest for record in records] == by_model


def test_where_it_is_unsure_the_model_answers():
    """With unsure = 0 no prediction is sure enough, whatever the error on the part held out."""
    model = LogitModel(bend=0.2)
    changes = [f"decisions.{d}.surrogate={{largest_distance=1, unsure=0}}" for d in ("isolate", "work")]
    for record in simulate(study_of("surrogate", "steps=8", *changes), model=model):
        assert all((batch.policy == LANGUAGE).all() for batch in record.decisions)
        assert all(situation.source != "surrogate" for situation in record.situations)


def test_it_resumes_and_replays_without_the_model():
    journal, study = MemoryJournal(), study_of("surrogate", "steps=30")
    digests, held = [], None
    for record in simulate(study, model=LogitModel(), journal=journal):
        digests.append(record.digest)
        if record.step == 16:
            held = record.world.get_state(), record.digest
    assert [r.digest for r in simulate(study, model=SilentModel(), journal=journal)] == digests
    state, digest = held
    later = list(simulate(study, model=SilentModel(), journal=journal, state=state, digest=digest))
    assert [r.digest for r in later] == digests[17:]
    assert not [event for record in later for event in record.events if event.kind == "surrogate_fitted"]


def test_it_refuses_what_it_cannot_stand_in_for():
    small = ["population.size=22", "params.n_dyads=11", "decisions.change.policy=surrogate", "model.file=scripted"]
    with pytest.raises(MicrocosmError, match="shows free text"):
        list(simulate(load_study("persuasion", small), model=ScriptedModel()))
    with pytest.raises(MicrocosmError, match="not one of at most 12 options"):
        list(simulate(load_study("fishery", ["decisions.harvest.policy=surrogate"]), model=ScriptedModel()))
