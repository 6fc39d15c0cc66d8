"""The stated rules, the prompts and texts made from them, and the checker of English."""

import dataclasses
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest

from assets.pocket.batches import Source, follow
from assets.pocket.checker import find_fault
from assets.pocket.prompts import find_changes
from assets.pocket.rules import Facts, Shown, expect_request, load_rules, sum_terms, weigh_choice, weigh_numbers
from assets.pocket.sentences import announce, give_reason
from assets.pocket.situations import draw_case, draw_group, draw_retelling, draw_unknown, grammar_of, list_asks
from assets.pocket.tokens import Tokenizer
from engine.decision import Integers
from engine.population.schema import load_schema

FOLDER = Path(__file__).parents[3] / "assets" / "pocket"
DECISIONS, WRITINGS = list_asks()


def level(code, n_codes, value=0.0):
    return Shown(code, n_codes, "", value)


def test_prompts_are_those_of_the_training():
    assert not find_changes(), find_changes()


def test_every_rule_belongs_to_a_decision_and_names_what_it_shows():
    assert {ask.name for ask in DECISIONS} == set(load_rules()), "a rule without a decision is a slip of the pen"
    for ask in DECISIONS:
        rule = load_rules()[ask.name]
        known = {*load_schema(), "essential_worker"}
        assert set(rule["traits"]) | set(rule.get("labels", {})) <= known
        assert set(rule.get("seen", {})) <= set(ask.ask.shows) and set(rule.get("texts", {})) <= set(ask.ask.texts)
        for name, term in rule.get("seen", {}).items():
            assert isinstance(term, dict) or len(term) == ask.ask.shows[name].n_codes
        if not isinstance(ask.ask.answer, Integers):
            assert rule["target"] in ask.ask.answer.texts


def test_nothing_in_the_rules_reads_who_somebody_is():
    forbidden = {
        "sex",
        "gender",
        "occupation",
        "country",
        "region",
        "religion",
        "ethnicity",
        "party_id",
        "display_name",
    }
    for rule in load_rules().values():
        assert not forbidden & (set(rule["traits"]) | set(rule.get("labels", {})))


def test_logit_of_a_choice_is_the_sum_of_its_terms():
    """logit = 0.2 + 0.5 (other in favour) + 1.6 x 1 (agreeableness, highest) - 0.8 x 0.5 (age, level 12 of 0..16)."""
    seen = {"own": level(0, 2), "other": level(1, 2)}
    facts = Facts({"big5_a": level(4, 5), "age": level(12, 17), "gender": level(1, 4)}, seen)
    rule = load_rules()["voter.adopt"]
    assert sum_terms(rule, facts) == pytest.approx(0.2 + 0.5 + 1.6 - 0.4)
    p = weigh_choice(rule, facts, ("keep", "copy"), ())
    assert p[1] == pytest.approx(1 / (1 + math.exp(-1.9))) and p.sum() == pytest.approx(1)
    first, last = (
        weigh_choice(rule, facts, ("keep", "copy"), listed) for listed in (("copy", "keep"), ("keep", "copy"))
    )
    assert np.log(first[1] / first[0]) - np.log(last[1] / last[0]) == pytest.approx(2 * rule["first_listed"])
    against = sum_terms(rule, dataclasses.replace(facts, announcement=-1, reason=1))
    assert against == pytest.approx(1.9 - rule["announcement"] + rule["reason"])


def test_requests_follow_the_fair_share():
    """Mean exp(ln(100 / (2 x 5)) + 0.25) with middling traits; habit adds 0.2 (ln 41 - ln 11)."""
    rule = load_rules()["fishery.harvest"]
    seen = {"stock": level(0, 9, 100.0), "n_people": level(0, 9, 5.0), "last": level(0, 102, -1.0), "aim": level(0, 2)}
    assert expect_request(rule, Facts({}, seen)) == pytest.approx(10 * math.exp(0.25))
    later = Facts({}, seen | {"last": level(41, 102, 40.0)})
    assert expect_request(rule, later) == pytest.approx(10 * math.exp(0.25 + 0.2 * math.log(41 / 11)))
    p = weigh_numbers(rule, later, 0, 100)
    mean, spread = expect_request(rule, later), 0.6 * expect_request(rule, later) + 2
    assert p.sum() == pytest.approx(1)
    assert np.log(p[14] / p[12]) == pytest.approx(((12 - mean) ** 2 - (14 - mean) ** 2) / (2 * spread**2))
    assert p[15] / np.sqrt(p[14] * p[16]) == pytest.approx(1.5 * math.exp(0.5 / spread**2)), "numbers on 5 are heaped"
    kind = Facts({"big5_a": level(4, 5)}, seen)
    yard = load_rules()["trash.harvest"]
    assert expect_request(rule, kind) < expect_request(rule, Facts({}, seen)), "the kind take less"
    assert expect_request(yard, kind) > expect_request(yard, Facts({}, seen)), "and carry more"


def test_arguments_keep_the_published_order():
    """Knowledge, trust, support and status lead; even conflict beats no argument. Breum et al. (2023), 2312.15523."""
    from scenarios.persuasion import EFFECTS

    kinds = load_rules()["persuasion.change"]["texts"]["argument"]["kinds"]
    assert kinds == EFFECTS and min(kinds.values()) > load_rules()["persuasion.change"]["texts"]["argument"]["empty"]


@pytest.mark.parametrize("ask", DECISIONS, ids=lambda ask: ask.name)
def test_prompts_of_a_decision(ask):
    rng = random.Random(1)
    for form in ("choice", "reason", "reasoned"):
        group = draw_group(ask, rng, form)
        case = draw_case(group, rng)
        assert case.prefix.endswith("\n\n") and ask.ask.question in case.prefix
        assert ("Give your reason" in case.prefix) == (form == "reason")
        assert ("Your reason: " in case.suffix) == (form == "reasoned")
        assert case.text if form == "reason" else case.p.sum() == pytest.approx(1)
    for side in (-1, 0, 1):
        assert re.fullmatch(r"[A-Z].*\.", announce(grammar_of(ask.name), side, rng))
        assert side == 0 or not find_fault(give_reason(grammar_of(ask.name), side, rng))


def test_training_texts_are_english():
    rng = random.Random(2)
    texts = [draw_case(draw_group(ask, rng, "text"), rng).text for ask in WRITINGS for _ in range(20)]
    texts += [draw_retelling(rng).text for _ in range(50)]
    wrong = [text for text in texts if text != "pass" and find_fault(text)]
    assert len(wrong) <= 0.01 * len(texts), wrong
    assert len(set(texts)) > 0.6 * len(texts)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("We should all hold back next month, so that the fish can recover.", ""),
        ("Let us all ask for less. The lake must last.", ""),
        ("The of it carry fish the.", "the of"),
        ("I is proud to help.", "i is"),
        ("We should all ask for for less.", "repeated"),
        ("We should help. We should help.", "repeated"),
        ("The lake must last and the lake must last and the lake must last.", "loop"),
        ("Fish green fewer tonnes.", "no subject"),
        ("We should all hold", "no mark"),
        ("We should all xqzt back.", "unknown words"),
        ("", "no sentence"),
    ],
)
def test_checker(text, fault):
    found = find_fault(text)
    assert (fault in found) if fault else not found, found


def test_batches_hold_the_stated_distribution_and_no_prompt_of_the_tests():
    tokenizer = Tokenizer.load()
    rng = random.Random(3)
    ask = next(ask for ask in DECISIONS if ask.name == "epidemic_city.work")
    case = draw_case(draw_group(ask, rng), rng)
    tokens, targets = follow(tokenizer, case, rng)
    place, root, weight = targets[0]
    assert tokens[place] == tokenizer.special["<|assistant|>"] and weight == 1
    first = {text: tokenizer.encode(text)[0] for text in case.options}
    assert root == {first[text]: pytest.approx(p) for text, p in zip(case.options, case.p, strict=True)}
    source = Source(tokenizer, 5)
    for _ in range(30):
        batch = source.batch()
        assert np.allclose(batch.target.sum(axis=1), 1, atol=1e-5)
        assert batch.places.min() >= batch.prefix.size - 1 and batch.places.max() < batch.prefix.size + batch.rows.size
    held = [draw_case(draw_group(ask, rng), rng).is_held_out for _ in range(400)]
    assert 0.04 < np.mean(held) < 0.2, "about one prompt in ten is kept for tests"


def test_a_made_up_question_lists_its_options():
    case = next(draw_unknown(random.Random(4)))
    assert all(option in case.prefix for option in case.options) and case.p[0] == max(case.p)


def test_only_the_training_knows_torch():
    users = {
        path.name
        for path in FOLDER.glob("*.py")
        if re.search(r"^\s*(import|from) torch", path.read_text("utf-8"), re.M)
    }
    assert users == {"train.py", "network.py", "export.py"}
