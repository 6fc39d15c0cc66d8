"""`fishery` and its siblings against what their equations give; Piatti et al. (2024), Curvo et al. (2025)."""

import functools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import gain_equality, load_study, simulate
from engine.llm import ScriptedModel
from scenarios import _commons as commons

SAME_MATHEMATICS = ["fishery", "pasture", "pollution"]


def run(name, *overrides, model=None):
    """Return the records of a run as (last record, all decisions, all messages, all situations, all events)."""
    last, decisions, messages, situations, events = None, [], [], [], []
    for record in simulate(load_study(name, overrides), model=model):
        last = record
        decisions += record.decisions
        messages += [(record.step, message) for message in record.messages]
        situations += [(record.step, situation) for situation in record.situations]
        events += [(record.step, event) for event in record.events]
    return last, decisions, messages, situations, events


def measures(name, *overrides):
    """Return the last measures of a run by name."""
    return {measure: value for (measure, _), value in run(name, *overrides)[0].measures.items()}


def fixed(request):
    """Return the overrides that let everyone always ask for the same."""
    return "params.rule=fixed", f"params.fixed_request={request}"


@pytest.mark.parametrize("allocation", ["stochastic", "proportional"])
@pytest.mark.parametrize("name", SAME_MATHEMATICS)
@pytest.mark.parametrize(
    ("each", "months", "gain", "efficiency", "collapsed"),
    [
        (10, 12, 120, 1.0, 0),
        (12, 3, 32, 160 / 600, 1),
        (20, 1, 20, 100 / 600, 1),
        (100, 1, 20, 100 / 600, 1),
        (5, 12, 60, 0.5, 0),
        (0, 12, 0, 0.0, 0),
    ],
)
def test_constant_requests(name, allocation, each, months, gain, efficiency, collapsed):
    found = measures(name, *fixed(each), f"params.allocation={allocation}")
    assert found["survival_months"] == months
    assert found["gain_mean"] == pytest.approx(gain, abs=1e-12)
    assert found["efficiency"] == pytest.approx(efficiency, abs=1e-12)
    assert found["collapsed"] == collapsed


def test_sustainable_rule_takes_an_equal_share_of_what_regrows():
    found = measures("fishery")
    assert (found["gain_mean"], found["stock"], found["overuse_share"], found["gain_equality"]) == (120, 100, 0, 1)
    found = measures("fishery", "population={size=7}", "steps=1")
    assert found["gain_mean"] == 7  # floor(100 / 14)
    found = measures("fishery", "params.growth=4", "steps=2")
    assert found["gain_mean"] == 30  # 100 (1 - 1/4) / 5 a month


def test_greed_ends_at_once():
    found = measures("fishery", "params.rule=greedy")
    assert (found["survival_months"], found["gain_mean"], found["overuse_share"], found["stock"]) == (1, 20, 1, 0)


def last_month_all(name):
    """Return the measures of a run in which everyone takes ten for eleven months and then all there is."""
    study = load_study(name, [*fixed(10)])
    change = {"name": "all", "at": 11, "do": {"effect": "set_param", "param": "fixed_request", "value": 100}}
    study = type(study)(**{**study.model_dump(exclude_defaults=True), "interventions": [change]})
    last = None
    for record in simulate(study):
        last = record
    return {measure: value for (measure, _), value in last.measures.items()}


@pytest.mark.parametrize("name", SAME_MATHEMATICS)
def test_best_plan_of_twelve_months(name):
    found = last_month_all(name)
    assert found["gain_mean"] == 130
    assert found["survival_months"] == 12


def test_no_plan_of_twelve_months_is_better():
    @functools.cache
    def best(stock, months):
        if months == 0:
            return 0
        return max(
            total + (best(min(100, 2 * (stock - total)), months - 1) if stock - total >= 5 else 0)
            for total in range(stock + 1)
        )

    assert best(100, 12) / 5 == 130


def test_the_end_is_tested_after_the_harvest_and_before_growth():
    found = measures("fishery", *fixed(19))  # 95 of 100 are taken; 5 are left, which is not below 5, and become 10
    assert (found["survival_months"], found["gain_mean"], found["collapsed"]) == (2, 21, 1)
    found = measures("fishery", "population={size=4}", *fixed(24))  # 96 are taken, 4 are left, and 8 never come
    assert (found["survival_months"], found["stock"], found["collapsed"]) == (1, 4, 1)


@given(
    wanted=st.lists(st.integers(0, 100), min_size=1, max_size=12),
    stock=st.floats(0, 300),
    allocation=st.sampled_from(["stochastic", "proportional"]),
    seed=st.integers(0, 2**32),
)
def test_sharing_out(wanted, stock, allocation, seed):
    wanted = np.array(wanted, np.int64)
    received = commons.share_out(wanted, stock, allocation, np.random.default_rng(seed))
    assert (received >= 0).all() and (received <= wanted).all()
    if wanted.sum() <= stock:
        assert (received == wanted).all()
    else:
        assert received.sum() == np.floor(stock + commons.SLACK)
        if allocation == "proportional":
            assert (np.abs(received - wanted * stock / wanted.sum()) < 1 + 1e-6).all()


def test_chance_favours_nobody_who_still_wants_more():
    rng = np.random.default_rng(6)
    runs = 3000
    received = np.array([commons.share_out(np.array([100, 100, 3]), 12.0, "stochastic", rng) for _ in range(runs)])
    difference = received[:, 0] - received[:, 1]
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(runs)
    assert received[:, 2].max() == 3
    # The first unit goes to each with 1/3: over one unit, exactly so.
    first = np.array([commons.share_out(np.array([5, 50, 3]), 1.0, "stochastic", rng) for _ in range(runs)]).mean(
        axis=0
    )
    assert np.abs(first - 1 / 3).max() < 4 * np.sqrt(2 / 9 / runs)


def test_proportional_shares_round_down_and_deal_out_the_rest():
    shares = commons.share_out(np.array([60, 30, 10]), 50.0, "proportional", np.random.default_rng(0))
    assert shares.tolist() == [30, 15, 5]
    shares = commons.share_out(np.array([40, 40, 40]), 100.0, "proportional", np.random.default_rng(0))
    assert sorted(shares.tolist()) == [33, 33, 34]


def test_equality_and_overuse():
    assert gain_equality([0, 0, 0, 0, 0]) == 1
    assert gain_equality([7, 0, 0, 0, 0]) == pytest.approx(0.2)
    r = np.array([3.0, 1, 4, 1, 5])
    assert gain_equality(r) == pytest.approx(1 - np.abs(r[:, None] - r).sum() / (2 * 5 * r.sum()))
    found = measures("fishery", *fixed(11), "steps=2")  # 11 > 100 / 10 and 11 > 90 / 10
    assert found["overuse_share"] == 1


def test_a_fifth_person_joins_after_month_three():
    overrides = ["params.newcomer=true", "steps=15"]
    last, decisions, _, _, events = run("fishery", *overrides)
    assert [batch.agents.size for batch in decisions] == [4] * 3 + [5] * 12
    assert [batch.actions[0] for batch in decisions] == [12] * 3 + [10] * 12  # floor(100 / 8), then floor(100 / 10)
    assert [(step, event.agent_id) for step, event in events] == [(4, 4)]
    assert last.measures["gain_mean", ""] == pytest.approx((4 * (36 + 120) + 120) / 5)
    assert last.measures["efficiency", ""] == pytest.approx(744 / 750)
    assert last.world.population["gain"].tolist() == [156, 156, 156, 156, 120]


def test_overuse_counts_the_people_of_each_month():
    joined = ["params.newcomer=true", "steps=4"]  # the fair share is 12.5 of four people, 10 of five, at 100 tonnes
    assert measures("fishery", *fixed(13), *joined, "steps=1")["overuse_share"] == 1
    assert measures("fishery", *fixed(12), *joined)["overuse_share"] == pytest.approx(5 / 17)


def test_the_newcomer_is_told_to_make_money_and_knows_no_last_month():
    overrides = ["params.newcomer=true", "params.talk=true", "steps=5", "decisions.harvest.policy=language"]
    prompts = {}
    _, _, _, situations, _ = run("trash", *overrides, model=ScriptedModel(3))
    for step, situation in situations:
        prompts.setdefault(step, []).append(situation.suffix)
    assert [len(prompts[step]) for step in range(1, 6)] == [4, 4, 4, 5, 5]
    money = [[p for p in prompts[step] if "to make as much money as possible" in p] for step in range(1, 6)]
    assert [len(found) for found in money] == [0, 0, 0, 1, 1]
    assert "this is your first month" in money[3][0] and "What was said" not in money[3][0]
    assert "this is your first month" not in money[4][0] and "What was said" in money[4][0]
    assert all("this is your first month" in p for p in prompts[1])
    assert not any("this is your first month" in p for p in prompts[2] + prompts[3])
    assert all("People taking part, you included: 5." in p for p in prompts[4])


@pytest.mark.parametrize("name", [*SAME_MATHEMATICS, "trash"])
def test_the_hint_names_the_fair_share(name):
    language = ["decisions.harvest.policy=language", "steps=1"]
    hinted = run(name, "params.hint=true", *language, model=ScriptedModel())[3]
    silent = run(name, *language, model=ScriptedModel())[3]
    assert hinted and silent
    assert all("everyone" in situation.suffix and " 10 " in situation.suffix for _, situation in hinted)
    assert not any("Bear in mind" in situation.suffix for _, situation in silent)


def test_nobody_is_told_the_number_of_months():
    _, _, _, situations, _ = run(
        "trash", "steps=3", "decisions.harvest.policy=language", "params.talk=true", model=ScriptedModel()
    )
    texts = {situation.prefix + situation.suffix for _, situation in situations}
    assert texts and not any("months" in text for text in texts)


def test_talk_by_rule_reports_every_catch_and_changes_nothing():
    quiet, _, none, _, _ = run("fishery", *fixed(11))
    loud, _, messages, _, _ = run("fishery", *fixed(11), "params.talk=true")
    assert none == []
    assert quiet.measures == loud.measures
    months = int(loud.measures["survival_months", ""])
    for step in range(1, months):  # nobody talks after the collapse
        said = [message for at, message in messages if at == step]
        assert said[0].agent_id == -1
        assert len(re.findall(r"asked for 11 and caught \d+[;.]", said[0].text)) == 5
        assert 5 <= len(said) - 1 <= commons.TALK_TURNS
        assert {message.agent_id for message in said[1:]} == {0, 1, 2, 3, 4}
    assert not [message for at, message in messages if at == months]


def test_talk_by_language_reaches_the_next_decision():
    overrides = ["params.talk=true", "steps=3", "decisions.harvest.policy=language"]
    last, _, messages, situations, _ = run("trash", *overrides, model=ScriptedModel())
    assert last.step == 3
    utterances = [message.text for step, message in messages if step == 1 and message.channel == "utterance"]
    reflections = {message.agent_id for step, message in messages if step == 1 and message.channel == "reflection"}
    assert len(utterances) == 1 + commons.TALK_TURNS
    assert reflections == {0, 1, 2, 3, 4}
    second = [situation.suffix for step, situation in situations if step == 2]
    assert len(second) == 5
    for suffix in second:
        assert "Moderator: The month is over" in suffix
        assert all(text in suffix for text in utterances if not text.lower().startswith("pass"))
        assert suffix.index("What was said after last month") < suffix.index("What you wanted to remember")
        assert suffix.index("What you wanted to remember") < suffix.index("years old")
    first = [situation.suffix for step, situation in situations if step == 1]
    assert not any("Moderator" in suffix for suffix in first)


@pytest.mark.parametrize(
    ("people", "each", "months", "collapsed"),
    [(5, 1, 12, 0), (5, 0, 1, 1), (4, 1, 1, 1), (5, 10, 12, 0), (5, 100, 12, 0), (1, 5, 12, 0)],
)
def test_trash_survives_five_units_a_month(people, each, months, collapsed):
    found = measures("trash", *fixed(each), f"population={{size={people}}}")
    assert (found["survival_months"], found["collapsed"]) == (months, collapsed)


def test_trash_reports_effort_and_survival_apart():
    found = measures("trash", *fixed(1))
    assert (found["effort_mean"], found["gain_mean"], found["stock"]) == (12, -12, 100)
    assert found["efficiency"] == pytest.approx(60 / 600)
    assert found["overuse_share"] == 1
    found = measures("trash", "params.cost=3")
    assert (found["effort_mean"], found["gain_mean"], found["efficiency"], found["overuse_share"]) == (120, -360, 1, 0)
    found = measures("trash", "params.rule=greedy")
    assert (found["effort_mean"], found["survival_months"]) == (0, 1)
