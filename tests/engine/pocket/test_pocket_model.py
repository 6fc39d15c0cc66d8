"""The embedded model against the known truth: its rules on prompts never trained on, its texts, its file."""

import hashlib
import random

import gguf
import numpy as np
import pytest

from assets.pocket.audit import UNNAMED, find_position_bias, find_round_numbers, find_shift, find_unnamed
from assets.pocket.checker import find_fault
from assets.pocket.measure import compare, effect, sample, write_samples
from assets.pocket.rules import RULES, load_rules
from assets.pocket.situations import draw_case, draw_group, draw_retelling, list_asks
from assets.pocket.tokens import Tokenizer
from engine.llm import load_model, pocket_path, read_model_info
from engine.llm.library import load_library
from engine.llm.vocabulary import LoadedModel
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


@pytest.mark.parametrize("column", UNNAMED)
def test_an_audit_finds_nothing_that_no_rule_names(model, column):
    """At most 0.3 in logit, where stated traits reach 1 to 4."""
    assert find_unnamed(model, column) <= 0.3


def test_an_audit_finds_the_stated_biases(model):
    stated = {rule.get("first_listed", 0.0) for rule in load_rules().values()}
    assert abs(find_position_bias(model) - max(stated)) <= 0.1
    assert find_round_numbers(model) == pytest.approx(load_rules()["fishery.harvest"]["round_numbers"], rel=0.15)
    shift, right = find_shift(model, "reason")
    assert right >= 0.8 and shift > 0.2


def test_texts_are_readable_and_not_repeated(model):
    """At most 5 % faulty texts, with two standard errors of allowance for the sample."""
    texts = write_samples(model, 12)
    faults = [(text, fault) for text in texts if (fault := find_fault(text))]
    allowed = MOST_FAULTY_TEXTS * len(texts)
    assert len(texts) >= 250 and len(faults) <= allowed + 2 * (allowed * (1 - MOST_FAULTY_TEXTS)) ** 0.5, faults
    assert len(set(texts)) >= 0.6 * len(texts)


def test_a_retelling_keeps_words_of_the_news(model):
    rng = random.Random(4)
    news = [draw_retelling(rng) for _ in range(12)]
    told = sample(model, news[0].prefix, [case.suffix for case in news], 0)
    words = [
        (set(case.suffix.lower().split()), set(text.lower().split())) for case, text in zip(news, told, strict=True)
    ]
    assert np.mean([len(given & kept) >= 2 for given, kept in words]) >= 0.9


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
            texts = sample(model, group.prefix, [appeal] * 10, 0)
            found[shown_kind] = sum(any(word in text.lower() for word in words) for text in texts)
        assert found[kind] >= 7 and found["conflict"] <= 3, found
