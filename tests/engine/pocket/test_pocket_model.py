"""The embedded model against the known truth: its rules on prompts never trained on, its texts, its file."""

import dataclasses
import hashlib
import random
import statistics

import gguf
import numpy as np
import pytest

from assets.pocket.checker import find_fault
from assets.pocket.measure import ask_model, bias, compare, effect, stated
from assets.pocket.rules import RULES, load_rules
from assets.pocket.sentences import give_reason
from assets.pocket.situations import draw_case, draw_group, draw_retelling, list_asks
from assets.pocket.tokens import Tokenizer
from engine.llm import load_model, pocket_path, read_model_info
from engine.llm.library import load_library
from engine.llm.vocabulary import LoadedModel
from engine.policy.prompt import show_reason
from engine.spec import ModelSpec
from scenarios.persuasion import EFFECTS

DECISIONS, WRITINGS = list_asks()
WORST_DISTANCE = 0.12  # mean total variation distance to the rule, per decision
MOST_WRONG_SIGNS = 0.05
MOST_FAULTY_TEXTS = 0.05


@pytest.fixture(scope="module")
def model():
    loaded = load_model(ModelSpec(file="pocket"), n_threads=1)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def header():
    return gguf.GGUFReader(pocket_path())


def test_file_says_what_it_is(header):
    info = read_model_info(pocket_path())
    assert info["name"].startswith("pocket (demonstration model with built-in rules)")
    assert "not for research" in info["description"] and info["licence"] == "apache-2.0"
    assert info["size_bytes"] <= 12_000_000 and info["architecture"] == "llama"
    stored = header.fields["microcosm.rules.blake2b"].contents()
    now = hashlib.blake2b(RULES.read_bytes(), digest_size=16).hexdigest()
    assert stored == now, "the rules have changed since the training; retrain: python assets/pocket/train.py"
    assert header.fields["tokenizer.ggml.tokens"].contents() == Tokenizer.load().pieces


def test_training_and_llama_cpp_read_the_same_tokens():
    loaded = LoadedModel(load_library(), pocket_path(), 0)
    rng, tokenizer = random.Random(1), Tokenizer.load()
    for ask in (*DECISIONS, *WRITINGS):
        case = draw_case(draw_group(ask, rng, "choice" if ask in DECISIONS else "text"), rng)
        assert list(loaded.plain_tokens(case.prefix + case.suffix)) == tokenizer.encode(case.prefix + case.suffix)
    loaded.close()
    assert all(len(tokenizer.encode(f"{space}{number}")) == 1 for number in range(101) for space in ("", " "))


@pytest.mark.parametrize("ask", DECISIONS, ids=lambda ask: ask.name)
def test_decision_follows_its_rule(model, ask):
    found = compare(model, ask, n_groups=8, n_cases=8)
    assert found.n_cases >= 40
    assert found.distance <= WORST_DISTANCE, found
    assert found.distance <= 0.5 * found.constant, found
    assert found.mass >= 0.97, "almost nothing is spent on other words"


def test_traits_act_in_the_stated_direction(model):
    signs = {}
    for ask in DECISIONS:
        for trait in load_rules()[ask.name]["traits"]:
            answer, rule = effect(model, ask, trait, n_groups=2, n_cases=3)
            signs[ask.name, trait] = answer * rule > 0
    wrong = [pair for pair, right in signs.items() if not right]
    assert len(signs) >= 50 and len(wrong) <= MOST_WRONG_SIGNS * len(signs), wrong


@pytest.mark.parametrize("column", ["gender", "sex", "occupation", "religion"])
def test_what_no_rule_names_makes_no_difference(model, column):
    """An audit of the model must find none of these: at most 0.3 in logit, where stated traits reach 1 to 4."""
    found = [effect(model, ask, column, n_groups=2, n_cases=2)[0] for ask in DECISIONS if "harvest" not in ask.name]
    assert statistics.median(map(abs, found)) <= 0.3, found


def answers_and_rules(model, name, n_groups, n_cases):
    """Return (cases, the model's answers, the rule's) of random prompts of one decision."""
    ask, rng, cases, answers, rules = next(a for a in DECISIONS if a.name == name), random.Random(11), [], [], []
    for _ in range(n_groups):
        group = draw_group(ask, rng)
        own = [draw_case(group, rng) for _ in range(n_cases)]
        answers.append(ask_model(model, group, own)[0])
        rules.append(np.stack([stated(case, group) for case in own]))
        cases += own
    return cases, np.concatenate(answers), np.concatenate(rules)


def test_an_audit_finds_the_taste_for_round_numbers(model):
    """Multiples of 5 are 1.5 times as likely as their neighbours, in the rule and in the answers."""
    _, answers, rules = answers_and_rules(model, "fishery.harvest", 4, 8)
    round_ones = np.arange(5, answers.shape[1] - 5, 5)

    def taste(p):
        neighbours = sum(p[:, round_ones + shift].sum() for shift in (-2, -1, 1, 2)) / 4
        return p[:, round_ones].sum() / neighbours

    assert taste(rules) == pytest.approx(1.5, abs=0.1)
    assert taste(answers) == pytest.approx(taste(rules), abs=0.15)


def test_an_audit_finds_who_is_copied(model):
    """An opinion in favour is copied otherwise than one against, by as much as the rule says."""
    cases, answers, rules = answers_and_rules(model, "voter.adopt", 8, 24)
    first = np.array([case.facts.seen["other"].code == 0 for case in cases])

    def gap(p):
        logit = np.log(p[:, 0]) - np.log(p[:, 1])
        return logit[first].mean() - logit[~first].mean()

    assert gap(answers) == pytest.approx(gap(rules), abs=0.25)
    assert abs(gap(answers)) > 0.2


def test_reasons_move_the_choice(model):
    """The same prompt with a reason for the target and with one against it."""
    rng = random.Random(3)
    moved = []
    for ask in DECISIONS:
        target = load_rules()[ask.name].get("target")
        if target is None:
            continue
        group = draw_group(ask, rng)
        case = draw_case(group, rng)
        reasons = [give_reason(ask.name, side, rng) for side in (1, -1) * 4]
        told = [dataclasses.replace(case, suffix=case.suffix + show_reason(reason)) for reason in reasons]
        p, _ = ask_model(model, group, told)
        share = p[:, ask.ask.answer.texts.index(target)]
        moved += list(share[::2] > share[1::2])
    assert np.mean(moved) >= 0.8


@pytest.mark.parametrize("kind", ["announcement", "reason"])
def test_an_audit_finds_no_more_than_was_put_in(model, kind):
    """What announcements and reasons do lies between nothing and the stated effect; see the model card."""
    shares = [bias(model, ask, kind, n_groups=2, n_cases=2) for ask in DECISIONS if "harvest" not in ask.name]
    assert 0 < np.mean(shares) < 1


def test_texts_are_readable_and_not_repeated(model):
    rng = random.Random(4)
    texts = []
    for number, ask in enumerate((*WRITINGS, *DECISIONS)):
        form = "text" if ask in WRITINGS else "reason"
        group = draw_group(ask, rng, form)
        cases = [draw_case(group, rng) for _ in range(6)]
        seeds = [1000 * number + k for k in range(len(cases))]
        suffixes = [case.suffix for case in cases]
        texts += model.write(cases[0].prefix, suffixes, seeds=seeds, max_tokens=64, temperature=0.8, top_p=0.95)
    news = [draw_retelling(rng) for _ in range(12)]
    seeds = list(range(12))
    told = model.write(
        news[0].prefix, [c.suffix for c in news], seeds=seeds, max_tokens=64, temperature=0.8, top_p=0.95
    )
    texts += told
    faults = [(text, find_fault(text or "")) for text in texts if text != "pass"]
    wrong = [pair for pair in faults if pair[1]]
    assert len(wrong) <= MOST_FAULTY_TEXTS * len(faults), wrong
    written = [text for text, _ in faults]
    assert len(set(written)) >= 0.7 * len(written)
    kept = [
        bool(set(c.suffix.lower().split()) & set(text.lower().strip(".").split()))
        for c, text in zip(news, told, strict=True)
    ]
    assert np.mean(kept) >= 0.9, "a retelling keeps words of the news"


def test_arguments_suit_their_dimension(model):
    """Words that only one appeal uses turn up under that appeal and not under the others."""
    ask = next(ask for ask in WRITINGS if ask.name == "persuasion.argument")
    marks = {
        "knowledge": ("figures", "facts", "evidence", "numbers", "data", "research", "measured", "studies", "experts"),
        "fun": ("fun", "laugh", "joy", "party", "jokes", "games", "music"),
    }
    rng = random.Random(5)
    group = draw_group(ask, rng, "text")
    shown = ask.ask.shows["dimension"]
    kinds = list(EFFECTS)
    for kind, words in marks.items():
        found = {}
        for shown_kind in (kind, "conflict"):
            appeal = f"Your argument appeals to: {shown.text(kinds.index(shown_kind))}.\n"
            texts = model.write(
                group.prefix, [appeal] * 10, seeds=range(10), max_tokens=64, temperature=0.8, top_p=0.95
            )
            found[shown_kind] = sum(any(word in (text or "").lower() for word in words) for text in texts)
        assert found[kind] >= 7 and found["conflict"] <= 3, found
