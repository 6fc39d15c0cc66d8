"""Corrections of a model's answers: orders, neutral premises, length, fits to shares, unusable answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from answer_toys import DISHES, BiasedModel, answer_toys
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import load_study, simulate
from engine.decision import Decision
from engine.errors import ModelError, StudyError
from engine.loading import dump_study, parse_study
from engine.policy.calibration import fit_shares
from engine.policy.reading import log_probabilities, scores_of
from engine.simulation import MemoryJournal, build_world

LEVELS = st.lists(st.floats(-2, 2), min_size=4, max_size=4)


@pytest.fixture(scope="module", autouse=True)
def toys():
    with answer_toys() as names:
        yield names


def study_of(*overrides, kind="take", n=60, steps=1):
    return load_study(
        f"toy_{kind}", [f"population.size={n}", f"steps={steps}", f"decisions.{kind}.policy=language", *overrides]
    )


def ask(model, *overrides, kind="take", n=60, ask=None, **given):
    """Return the world after one unmasked decision of everyone by language, and the values."""
    world = build_world(study_of(*overrides, kind=kind, n=n), model=model)
    world.begin_step()
    decision = ask or world.info.decision(kind)
    values = world.decide(decision, mood=np.linspace(0, 1, n), **given)
    return world, values


def distributions(world):
    return {s.suffix: np.exp(s.logp) for s in world.traces.situations}


# -- orders and premises ---------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(place=LEVELS, taste=LEVELS)
def test_rotations_average_a_bias_of_place_away(place, taste):
    """Every option stands once at every place, so a place bias adds the same constant to each in log space."""
    model = BiasedModel(lambda suffix, option: taste[DISHES.index(option)], place)
    world, _ = ask(model, "decisions.take.option_order=rotations")
    want = np.exp(taste - np.logaddexp.reduce(taste))
    for p in distributions(world).values():
        assert np.allclose(p, want, atol=1e-9)


def test_forward_keeps_the_bias_that_both_orders_lessen():
    place, error = [1.5, 0, 0, 0], {}
    for order in ("forward", "both", "rotations"):
        world, _ = ask(BiasedModel(place=place), f"decisions.take.option_order={order}")
        error[order] = max(abs(p - 0.25).max() for p in distributions(world).values())
    assert error["forward"] > error["both"] > 0.05
    assert error["rotations"] < 1e-9


@settings(max_examples=30, deadline=None)
@given(prior=LEVELS, taste=LEVELS)
def test_pmi_removes_a_prior_that_is_the_same_in_every_prompt(prior, taste):
    """log P(x|s) - log P(x|neutral) has no term of the option alone, Holtzman et al. (2021) eq. 4."""

    def speak(suffix, option):
        return taste[DISHES.index(option)] if "Your mood: high" in suffix else 0.0

    plain = BiasedModel(speak)
    biased = BiasedModel(speak, prior=dict(zip(DISHES, prior, strict=True)))
    want, _ = ask(plain)
    got, _ = ask(biased, 'decisions.take.calibration.normalisation="pmi"')
    for suffix, p in distributions(want).items():
        assert np.allclose(distributions(got)[suffix], p, atol=1e-9)
    assert biased.n_situations == len(distributions(want)) + 1
    assert any("Nothing is known about you or your situation." in prompt for prompt in biased.prompts)


def test_bytes_remove_a_price_of_length():
    world, _ = ask(BiasedModel(per_byte=-0.7), 'decisions.take.calibration.normalisation="bytes"')
    assert all(np.allclose(p, 0.25) for p in distributions(world).values())
    world, _ = ask(BiasedModel(lambda s, o: -(len(o) ** 2) / 10))
    assert not any(np.allclose(p, 0.25) for p in distributions(world).values())


def test_raw_debiased_and_drawn_distributions_are_kept():
    model = BiasedModel(lambda s, o: DISHES.index(o) * 0.5, prior={"bread": 2.0})
    shares = {"bread": 0.1, "soup": 0.2, "fish": 0.3, "rice": 0.4}
    text = ", ".join(f"{option} = {share}" for option, share in shares.items())
    world, _ = ask(
        model,
        'decisions.take.calibration.normalisation="pmi"',
        f"decisions.take.calibration.shares={{ {text} }}",
        "decisions.take.temperature=2.0",
    )
    for situation in world.traces.situations:
        assert np.allclose(np.exp(situation.raw_logp).sum(), situation.mass)
        assert not np.allclose(situation.debiased_logp, situation.raw_logp - np.log(situation.mass))
        assert np.allclose(np.exp(situation.logp), list(shares.values()), atol=1e-4)
    (event,) = [event for event in world.traces.events if event.kind == "calibrated"]
    assert event.detail["temperature"] == 2.0 and not event.detail["temperature_fitted"]
    assert event.detail["agents"] == 60 and event.detail["divergence"] < 1e-8


# -- fits ------------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 4), st.booleans())
def test_a_fit_finds_the_temperature_and_intercepts_that_made_the_shares(seed, temperature, separately):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (40, 4))
    intercepts = rng.normal(0, 1, 4)
    if not separately:
        intercepts -= intercepts[0]
    n_agents = rng.integers(1, 20, (5, 40)) * (rng.integers(0, 5, 40) == np.arange(5)[:, None])
    n_agents = n_agents.astype(float) + 0.01
    p = np.exp(log_probabilities(scores, separately=separately, temperature=temperature, intercepts=intercepts))
    shares = (n_agents @ p) / n_agents.sum(axis=1, keepdims=True)
    fit = fit_shares(scores, n_agents, shares, separately=separately)
    assert fit.divergence < 1e-8
    assert math.isclose(fit.temperature, temperature, rel_tol=0.02)
    assert np.allclose(fit.intercepts, intercepts, atol=0.05)


def test_a_fit_with_one_segment_keeps_the_stated_temperature():
    scores = np.random.default_rng(3).normal(0, 1, (30, 3))
    shares = np.array([[0.7, 0.2, 0.1]])
    fit = fit_shares(scores, np.ones((1, 30)), shares, temperature=1.7)
    reached = np.exp(log_probabilities(scores, separately=False, temperature=1.7, intercepts=fit.intercepts))
    assert fit.temperature == pytest.approx(1.7)
    assert np.allclose(reached.mean(axis=0), shares[0], atol=1e-5)


def test_shares_by_segment_are_reached_and_a_replay_repeats_them():
    def speak(suffix, option):
        return 2.0 * (option == "rice") * ("old" in suffix)

    wanted = {}
    for label in ("young", "old"):
        z = (np.array([speak(label, option) for option in DISHES]) + np.array([0, -1.0, -1.0, 0.5])) / 0.8
        wanted[label] = np.round(np.exp(z - np.logaddexp.reduce(z)), 6)
    tables = ", ".join(
        f"{label} = {{ {', '.join(f'{option} = {share}' for option, share in zip(DISHES, shares, strict=True))} }}"
        for label, shares in wanted.items()
    )
    groups = "population.columns.group={ distribution = 'categorical', values = ['young', 'old'], weights = [1, 1] }"
    given = (groups, f"decisions.take.calibration.shares={{ {tables} }}", "decisions.take.calibration.by=group")
    study = study_of(*given, "decisions.take.persona_fields=['group']", n=4000, steps=3)
    world = build_world(study, model=BiasedModel(speak))
    world.begin_step()
    world.decide(world.info.decision("take"), mood=np.linspace(0, 1, 4000))
    p_of = {s.situation_id: np.exp(s.logp) for s in world.traces.situations}
    p = np.array([p_of[i] for i in world.traces.decisions[0].situations.tolist()])
    young = world.population["group"] == world.persona.columns["group"].labels.index("young")
    assert np.allclose(p[young].mean(axis=0), wanted["young"], atol=1e-4)
    assert np.allclose(p[~young].mean(axis=0), wanted["old"], atol=1e-4)
    (event,) = [event for event in world.traces.events if event.kind == "calibrated"]
    assert event.detail["temperature_fitted"] and event.detail["temperature"] == pytest.approx(0.8, abs=1e-3)
    journal, model = MemoryJournal(), BiasedModel(speak)
    first = [(record.digest, record.situations) for record in simulate(study, model=model, journal=journal)]
    calls = model.n_calls
    again = [record.digest for record in simulate(study, model=model, journal=journal)]
    assert again == [digest for digest, _ in first] and model.n_calls == calls
    assert [kind for _, _, kind, _ in journal.entries].count("calibration") == 1


def test_a_fit_outlives_a_checkpoint():
    shares = "{ bread = 0.1, soup = 0.2, fish = 0.3, rice = 0.4 }"
    study = study_of(f"decisions.take.calibration.shares={shares}", steps=4)
    records, held = [], None
    for record in simulate(study, model=BiasedModel()):
        records.append(record.digest)
        if record.step == 2:
            held = record.world.get_state(), record.digest
    state, digest = held
    rest = [record.digest for record in simulate(study, model=BiasedModel(), state=state, digest=digest)]
    assert records[:3] + rest == records


def test_shares_of_a_set_are_marginals():
    shares = "{ bread = 0.9, soup = 0.6, fish = 0.5, rice = 0.1 }"
    world, _ = ask(BiasedModel(), f"decisions.eat.calibration.shares={shares}", kind="eat")
    p = np.mean([np.exp(s.logp) for s in world.traces.situations], axis=0)
    assert np.allclose(p, [0.9, 0.6, 0.5, 0.1], atol=1e-3)


def test_log_odds_survive_log_probabilities():
    odds = np.array([[-30.0, -1.0, 0.0, 2.0, 30.0]])
    assert np.allclose(scores_of(log_probabilities(odds, separately=True), separately=True), odds, rtol=1e-3)


# -- unusable answers ------------------------------------------------------------------------------------------------


def test_answers_without_mass_are_counted_by_segment_and_kept():
    model = BiasedModel(mass=0.05)
    world, _ = ask(
        model,
        "decisions.take.calibration.least_mass=0.1",
        "population.columns.segment={ distribution = 'categorical', values = ['north', 'south'], weights = [1, 1] }",
    )
    (event,) = [event for event in world.traces.events if event.kind == "unusable_answer"]
    assert event.detail["agents"] == sum(event.detail["by_segment"].values()) == 60
    assert set(event.detail["by_segment"]) == {"north", "south"}
    assert (world.traces.decisions[0].policy == 1).all()


def test_the_rule_takes_over_where_the_study_says_so():
    model = BiasedModel()
    model.mass = 0.05
    given = ("decisions.take.calibration.least_mass=0.1", "decisions.take.calibration.unusable=rule")
    world, _ = ask(model, *given)
    batch = world.traces.decisions[0]
    assert (batch.policy == 0).all() and (batch.situations >= 0).all()
    with pytest.raises(ModelError, match=r"a captured mass of 0.05 for 'take' at step 1 \(60 agents in all\)"):
        ask(model, given[0], "decisions.take.calibration.unusable=stop")


def test_an_answer_that_is_no_number_never_passes_for_one():
    broken = BiasedModel(lambda suffix, option: math.nan if "high" in suffix else 0.0)
    with pytest.raises(ModelError, match="no usable probabilities for 'take'"):
        ask(broken)
    world, values = ask(broken, "decisions.take.calibration.unusable=rule")
    batch = world.traces.decisions[0]
    high = np.linspace(0, 1, 60) >= 0.5
    assert (batch.policy == np.where(high, 0, 1)).all()
    assert np.isfinite(batch.p).all() and values.size == 60


# -- the study file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        ("take", "shares={ bred = 1.0 }", "'bred' is not an option of 'take'; did you mean 'bread'?"),
        ("take", "shares={ bread = 0.5, soup = 0.3 }", "the shares sum to 0.8, not to 1"),
        ("take", "shares={ bread = 1.5, soup = -0.5 }", "bread = 1.5 is not in [0, 1]"),
        ("take", "shares={ young = { bread = 1.0 } }", "young is a table, but no column is named"),
        ("take", "by='age'", "shares are missing"),
        ("pay", "shares={ '0.25' = 1.0 }", "shares are given for named options, which 'pay' does not have"),
        ("eat", "shares={ bread = 0.5 }", "the share of 'soup' is missing"),
        ("eat", "normalisation='bytes'", "each option of a set is asked apart"),
        ("take", "normalisation='pmy'", "did you mean 'pmi'"),
        ("take", "unusable='guess'", "is not one of"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(kind, given, sentence):
    with pytest.raises(StudyError) as caught:
        study_of(f"decisions.{kind}.calibration.{given}", kind=kind)
    assert sentence in str(caught.value)
    assert f"@ decisions.{kind}.calibration" in str(caught.value)


def test_shares_by_a_number_or_for_a_stranger_are_refused():
    shares = "decisions.take.calibration.shares={ old = { bread = 1.0 } }"
    with pytest.raises(StudyError, match="'mood' is a float column; shares are given by the labels of a category"):
        study_of(shares, "decisions.take.calibration.by=mood")
    with pytest.raises(StudyError, match="'agee' is not a column"):
        study_of(shares, "decisions.take.calibration.by=agee", "population.columns.age=40")


def test_a_calibrated_study_survives_its_file():
    study = study_of(
        "decisions.take.option_order=rotations",
        "decisions.take.reason=true",
        "decisions.take.calibration={ normalisation = 'pmi', neutral = 'You are someone.', least_mass = 0.2 }",
        "decisions.take.calibration.shares={ bread = 0.1, soup = 0.2, fish = 0.3, rice = 0.4 }",
        "model.n_ctx=512",
        "model.budget={ texts = 0.5, persona = 0.2 }",
    )
    assert parse_study(dump_study(study)) == study
    assert isinstance(build_world(study).info.decisions[0], Decision)
