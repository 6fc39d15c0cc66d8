"""Sets, rankings, decimals, offered items and masks: codes, draws, rules, language, and the contract of scenarios."""

from __future__ import annotations

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from answer_toys import DISHES, EAT, ORDER, PAY, PICK, TAKE, BiasedModel, answer_toys
from hypothesis import given
from hypothesis import strategies as st

from engine import load_study, simulate
from engine.decision import Choice, Decimals, Decision, Items, MultiSelect, Offered, Ranking
from engine.errors import DecisionError
from engine.llm import ScriptedModel
from engine.policy.drawing import draw_rankings, draw_sets
from engine.simulation import build_world
from engine.store.recording import decision_columns

KINDS = [decision.name for decision in (EAT, ORDER, PAY, PICK, TAKE)]


@pytest.fixture(scope="module", autouse=True)
def toys():
    with answer_toys() as names:
        yield names


def contract():
    """Return the contract tests as a module, so that the toys are held to the same contract as every scenario."""
    path = Path(__file__).parents[2] / "scenarios" / "test_contract.py"
    spec = importlib.util.spec_from_file_location("contract_of_toys", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def one_call(decision, rule, *, n=400, policy="rule", model=None, **given):
    """Return (world, values, batch) of one call with `rule`, in the toy of `decision`."""
    study = load_study(f"toy_{decision.name}", [f"population.size={n}", f"decisions.{decision.name}.policy={policy}"])
    world = build_world(study, model=model)
    world.begin_step()
    asked = Decision(decision.name, decision.answer, rule, decision.question, shows={}, labels={})
    return world, world.decide(asked, **given), world.traces.decisions[0]


# -- codes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "places"), [(2, 2), (4, 1), (4, 3), (5, 5)])
def test_rankings_are_numbered_as_in_a_dictionary(k, places):
    answer = Ranking(*[f"option {i}" for i in range(k)], places=places)
    orders = np.array(list(itertools.permutations(range(k), places)))
    assert answer.codes(orders).tolist() == list(range(math.perm(k, places)))
    assert (answer.orders(np.arange(len(orders))) == orders).all()


@given(st.permutations(range(20)))
def test_rankings_of_twenty_options_fit_into_a_number(order):
    answer = Ranking(*[f"option {i}" for i in range(20)])
    code = answer.codes(np.array([order]))
    assert 0 <= code[0] < 2**62
    assert answer.orders(code)[0].tolist() == list(order)


@given(st.lists(st.booleans(), min_size=62, max_size=62))
def test_sets_of_62_options_fit_into_a_number(chosen):
    answer = MultiSelect(*[f"option {i}" for i in range(62)])
    action = answer.masks(np.array([chosen]))
    assert action[0] >= 0
    assert answer.chosen(action)[0].tolist() == chosen


@given(st.integers(-50, 50), st.integers(1, 400), st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5]))
def test_decimals_give_back_their_grid(low, n_steps, step):
    answer = Decimals(low, low + n_steps * step, step)
    places = np.arange(n_steps + 1)
    assert [float(text) for text in answer.texts] == answer.values(places).tolist()
    assert (answer.places(answer.values(places)) == places).all()
    assert len({len(text.partition(".")[2]) for text in answer.texts}) == 1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Decimals(0, 1, 0.3), "0 to 1 in steps of 0.3 is not a grid"),
        (lambda: Decimals(0, 1, 0), "not a grid"),
        (lambda: Decimals(0, 1e9, 0.1), "at most 100,000"),
        (lambda: MultiSelect(*map(str, range(63))), "at most 62"),
        (lambda: MultiSelect("a", "a"), "duplicate options: 'a'"),
        (lambda: Ranking("a", "b", places=3), r"places = 3 is not in \[1, 2\]"),
        (lambda: Ranking(*map(str, range(30))), "too many orders"),
        (lambda: Offered([0, 2], [5, 5]), "item 5 is offered twice in row 0"),
        (lambda: Offered([0, 0, 1], [5]), "row 0 is offered nothing"),
        (lambda: Offered([0, 3], [5]), "does not ascend"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(make, sentence):
    with pytest.raises(DecisionError, match=sentence):
        make()


# -- draws -----------------------------------------------------------------------------------------------------------


def test_sets_have_the_stated_marginals_and_are_independent():
    """Each option is a Bernoulli draw: counts within 4 standard errors, joint p = product of marginals."""
    n, chances = 40_000, np.array([0.1, 0.5, 0.9, 0.0, 1.0])
    with np.errstate(divide="ignore"):
        log_odds = (np.log(chances) - np.log1p(-chances))[None]
    u = np.random.default_rng(1).random((n, 5))
    masks, p = draw_sets(log_odds, np.zeros(n, np.int64), u)
    taken = MultiSelect(*"abcde").chosen(masks)
    error = np.sqrt(chances * (1 - chances) / n)
    assert (np.abs(taken.mean(axis=0) - chances) <= 4 * error).all()
    both = (taken[:, 0] & taken[:, 1]).mean()
    assert abs(both - 0.05) <= 4 * math.sqrt(0.05 * 0.95 / n)
    assert np.allclose(p, np.where(taken, chances, 1 - chances).prod(axis=1))


def test_rankings_follow_plackett_and_luce():
    """P(order) = prod w_i / (sum of weights left), Plackett (1975) eq. 4, Luce (1959); within 4 standard errors."""
    n, weights = 60_000, np.array([0.5, 0.3, 0.15, 0.05])
    u = np.random.default_rng(2).random((n, 3))
    codes, p = draw_rankings(np.log(weights)[None], np.zeros(n, np.int64), u)
    answer = Ranking(*DISHES, places=3)
    seen = np.bincount(codes, minlength=24) / n
    theory = np.empty(24)
    for code, order in enumerate(answer.orders(np.arange(24)).tolist()):
        left, theory[code] = 1.0, 1.0
        for option in order:
            theory[code] *= weights[option] / left
            left -= weights[option]
    assert math.isclose(theory.sum(), 1.0)
    assert (np.abs(seen - theory) <= 4 * np.sqrt(theory * (1 - theory) / n)).all()
    assert np.allclose(p, theory[codes], rtol=1e-5)


def test_an_option_without_weight_comes_last():
    codes, _ = draw_rankings(np.array([[0.0, -np.inf, -1.0]]), np.zeros(50, np.int64), np.full((50, 3), 0.999))
    assert set(Ranking("a", "b", "c").orders(codes)[:, 2].tolist()) == {1}


# -- rules -----------------------------------------------------------------------------------------------------------


def test_rules_may_give_actions_of_every_kind():
    n = 400
    chosen = np.arange(n)[:, None] % 16 >> np.arange(4) & 1 == 1
    _, values, batch = one_call(EAT, lambda seen: chosen, mood=0.5)
    assert (values == np.arange(n) % 16).all() and (batch.p == 1).all()
    orders = np.tile([2, 0, 3], (n, 1))
    _, values, _ = one_call(ORDER, lambda seen: orders, mood=0.5)
    assert ORDER.answer.describe(int(values[0])) == "1. fish, 2. bread, 3. rice"
    _, values, batch = one_call(PAY, lambda seen: np.full(n, 0.74), mood=0.5)
    assert set(values.tolist()) == {0.75} and set(batch.actions.tolist()) == {3}
    items = Offered(np.arange(0, 2 * n + 1, 2), np.arange(2 * n), dict.fromkeys(range(2 * n), "x"))
    _, values, _ = one_call(PICK, lambda seen: seen.offered.items[1::2], mood=0.5, options=items)
    assert (values == np.arange(1, 2 * n, 2)).all()


@pytest.mark.parametrize(
    ("decision", "rule", "given", "sentence"),
    [
        (EAT, lambda s: np.full(400, 16), {}, "gave 16 for agent 0 at step 1; allowed are 0 to 15"),
        (EAT, lambda s: np.full((400, 4), np.nan), {}, "gave NaN"),
        (ORDER, lambda s: np.zeros((400, 3), int), {}, "3 different options"),
        (PAY, lambda s: np.full(400, 2.2), {}, "allowed are numbers from 0 to 2"),
        (TAKE, lambda s: np.zeros(400, int), {"mask": [[False, True, True, True]] * 400}, "options of its mask"),
        (TAKE, lambda s: np.zeros(400, int), {"mask": [[False] * 4] * 400}, "leaves agent 0 no option"),
        (TAKE, lambda s: np.zeros(400, int), {"mask": [[True] * 3] * 400}, "has the shape"),
        (ORDER, lambda s: np.zeros(400, int), {"mask": [[True] * 4] * 400}, "takes no mask"),
        (PICK, lambda s: np.zeros(400, int), {}, "needs `options`"),
        (TAKE, lambda s: np.zeros(400, int), {"options": Offered([0, 1], [1], {1: "x"})}, "takes no `options`"),
    ],
)
def test_a_wrong_rule_is_told_what_is_allowed(decision, rule, given, sentence):
    with pytest.raises(DecisionError, match=sentence):
        one_call(decision, rule, mood=0.5, **given)


def test_masked_options_are_never_drawn():
    mask = np.arange(4)[None] != np.arange(400)[:, None] % 4
    for policy in ("rule", "scripted", "language"):
        _, values, batch = one_call(TAKE, lambda s: np.zeros((400, 4)), policy=policy, model=ScriptedModel(), mask=mask)
        assert (values != np.arange(400) % 4).all()
        assert (batch.p < 1).all()


# -- language --------------------------------------------------------------------------------------------------------


def test_a_set_is_asked_option_by_option():
    chances = {"bread": 0.9, "soup": 0.2, "fish": 0.5, "rice": 0.1}

    def taste(suffix, option):
        item = next(dish for dish in DISHES if f"apply: {dish}?" in suffix)
        return math.log(chances[item] if option == "yes" else 1 - chances[item])

    world, values, _ = one_call(EAT, None, n=20_000, policy="language", model=BiasedModel(taste), mood=0.5)
    (situation,) = world.traces.situations
    assert np.allclose(np.exp(situation.logp), list(chances.values()))
    assert situation.options == DISHES and math.isclose(situation.mass, 0.8)
    assert "Answers of which any number may apply: bread; soup; fish; rice." in situation.prefix
    seen = EAT.answer.chosen(values).mean(axis=0)
    assert np.allclose(seen, list(chances.values()), atol=4 * 0.5 / math.sqrt(20_000))


def test_numbers_come_from_their_whole_grid():
    model = BiasedModel(lambda suffix, option: -abs(float(option) - 1.0) * 3)
    world, values, _ = one_call(PAY, None, n=5000, policy="language", model=model, mood=0.5)
    (situation,) = world.traces.situations
    assert situation.options == PAY.answer.texts == tuple(f"{0.25 * i:.2f}" for i in range(9))
    assert "Answer with one number from 0.00 to 2.00 in steps of 0.25." in situation.prefix
    assert abs(values.mean() - 1.0) < 4 * values.std() / math.sqrt(5000)


def test_items_with_the_same_words_share_their_probability():
    texts = {1: "war", 2: "peace", 3: "war"}
    offered = Offered(np.arange(0, 3 * 9000 + 1, 3), np.tile([1, 2, 3], 9000), texts)
    model = BiasedModel(lambda suffix, option: math.log(0.8 if option == "war" else 0.2))
    world, values, batch = one_call(PICK, None, n=9000, policy="language", model=model, options=offered)
    (situation,) = world.traces.situations
    assert situation.options == ("war", "peace")
    assert situation.suffix.endswith("Possible answers: war; peace.\n")
    assert "Possible answers" not in situation.prefix
    shares = np.bincount(values, minlength=4)[1:] / 9000
    assert np.allclose(shares, [0.4, 0.2, 0.4], atol=4 * 0.5 / math.sqrt(9000))
    assert np.allclose(batch.p, np.array([0.4, 0.2, 0.4])[values - 1])


def test_agents_with_the_same_offer_share_a_situation_and_others_do_not():
    offered = Offered([0, 2, 4, 7], [1, 2, 1, 2, 2, 1, 3], {1: "war", 2: "peace", 3: "art"})
    world, _, batch = one_call(PICK, None, n=3, policy="language", model=ScriptedModel(), options=offered)
    assert len(world.traces.situations) == 2
    assert batch.situations[0] == batch.situations[1] != batch.situations[2]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_runs_by_language_and_lists_as_the_study_says(kind):
    for order in ("forward", "both", "rotations"):
        study = load_study(
            f"toy_{kind}",
            ["steps=2", f"decisions.{kind}.policy=language", f"decisions.{kind}.option_order={order}"],
        )
        model = ScriptedModel()
        last = list(simulate(study, model=model))[-1]
        assert last.step == 2 and model.n_situations > 0
        for batch in last.decisions:
            assert ((batch.p > 0) & (batch.p <= 1)).all()
            frame = pl.DataFrame(decision_columns(batch, np.arange(batch.agents.size)))
            assert frame["action"].dtype == pl.Int64


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract_of_scenarios_holds_for_every_kind(kind):
    module, name = contract(), f"toy_{kind}"
    for policy in ("rule", "scripted"):
        module.test_measures_are_present_and_in_range(name, policy)
        module.test_same_seed_same_run(name, policy)
        module.test_checkpoint_at_three_ends_the_same(name, policy)
    module.test_state_columns_keep_type_shape_and_range(name)
    module.test_other_seed_other_run(name)
    module.test_an_intervention_without_effect_changes_nothing(name)
    module.test_scenario_holds_no_state(name)
    module.test_study_survives_its_file(name)


def test_plain_answers_are_as_they_were():
    assert Choice("a", "b").describe(1) == "b"
    assert Items().texts == ()
