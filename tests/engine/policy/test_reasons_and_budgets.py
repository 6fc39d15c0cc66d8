"""Reasons before a choice, prompts shortened to a budget, and the registry of policies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from answer_toys import EAT, PAY, TAKE, BiasedModel, answer_toys
from hypothesis import given
from hypothesis import strategies as st

from engine import load_study, registry, simulate
from engine.decision import Choice, Decision
from engine.errors import StudyError
from engine.policy.budget import fitting, split_sentences
from engine.policy.policies import PolicyInfo, policy_of_code
from engine.policy.prompt import REASON_LINE, ask_reason, build_prefix
from engine.policy.records import POLICY_NAMES
from engine.policy.rule import decide_by_rule
from engine.simulation import MemoryJournal, build_world


@pytest.fixture(scope="module", autouse=True)
def toys():
    with answer_toys() as names:
        yield names


def language_study(*overrides, kind="take", n=40, steps=2):
    return load_study(
        f"toy_{kind}", [f"population.size={n}", f"steps={steps}", f"decisions.{kind}.policy=language", *overrides]
    )


# -- reasons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", [TAKE, EAT, PAY])
def test_a_reason_is_asked_before_the_blank_line_and_scored_after_the_suffix(decision):
    model, journal = BiasedModel(), MemoryJournal()
    study = language_study(f"decisions.{decision.name}.reason=true", kind=decision.name)
    records = list(simulate(study, model=model, journal=journal))
    situations = [situation for record in records for situation in record.situations]
    asked = [prompt for prompt in model.prompts if REASON_LINE in prompt]
    prefix = build_prefix(decision, "", decision.answer.texts)
    assert ask_reason(prefix) == prefix[:-2] + f"\n{REASON_LINE}\n\n"
    prefixes = {situation.prefix for situation in situations}
    assert decision is TAKE or prefixes == {prefix}  # the toy of TAKE masks options, which are then not listed
    assert {prompt[: prompt.index("Your mood")] for prompt in asked} == {ask_reason(one) for one in prefixes}
    assert len(asked) == len(set(asked)) == len(situations)
    messages = [message for record in records for message in record.messages if message.channel == "reason"]
    assert {message.situation_id for message in messages} == {situation.situation_id for situation in situations}
    for message in messages:
        (situation,) = [one for one in situations if one.situation_id == message.situation_id]
        assert situation.suffix.endswith(f".\nYour reason: {message.text}\n")
    texts = {text for record in records for _, text in record.texts}
    assert {message.text for message in messages} <= texts
    calls = model.n_calls
    again = list(simulate(study, model=model, journal=journal))
    assert [record.digest for record in again] == [record.digest for record in records] and model.n_calls == calls


def test_equal_situations_have_equal_reasons_in_other_runs():
    def reasons(seed):
        study = language_study("decisions.take.reason=true", f"seed={seed}")
        records = simulate(study, model=BiasedModel())
        return {message.text for record in records for message in record.messages}

    assert reasons(1) == reasons(2) != set()


def test_a_reason_that_was_not_written_is_counted():
    model = BiasedModel()
    model.write = lambda prefix, suffixes, **rest: [None for _ in suffixes]
    records = list(simulate(language_study("decisions.take.reason=true", steps=1), model=model))
    (event,) = [event for event in records[-1].events if event.kind == "unusable_text"]
    assert event.detail == {"writing": "reason for take", "n": len(records[-1].situations), "agents": 40}
    assert all("Your reason" not in situation.suffix for situation in records[-1].situations)


def test_a_checkpoint_between_reasons_changes_nothing():
    study, journal = language_study("decisions.take.reason=true", steps=4), MemoryJournal()
    digests, held = [], None
    for record in simulate(study, model=BiasedModel(), journal=journal):
        digests.append(record.digest)
        if record.step == 2:
            held = record.world.get_state(), record.digest
    rest = simulate(study, model=BiasedModel(), journal=journal, state=held[0], digest=held[1])
    assert digests[:3] + [record.digest for record in rest] == digests


# -- budgets ---------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="ab .!?\n…", max_size=80))
def test_sentences_joined_are_the_text(text):
    pieces = split_sentences(text)
    assert "".join(pieces) == text
    assert all(pieces)


@given(st.integers(0, 50), st.integers(0, 60))
def test_as_much_is_kept_as_fits(n, limit):
    assert fitting(n, lambda k: k <= limit) == min(n, limit)


def shortened(budget, transcript, model=None, journal=None):
    """Return (suffix of the only situation, events) where everybody reads a transcript."""
    ask = Decision(
        "take", Choice("bread", "soup"), TAKE.rule, "Which?", texts=("transcript",), persona_fields=("likes", "hates")
    )
    people = [
        "population.columns.likes={ distribution = 'constant', value = 'long walks in the hills' }",
        "population.columns.hates={ distribution = 'constant', value = 'rain on a holiday' }",
    ]
    study = language_study(*people, "model.n_ctx=256", f"model.budget={budget}", n=7)
    world = build_world(study, model=model or BiasedModel(), journal=journal)
    world.begin_step()
    world.decide(ask, texts={"transcript": np.full(7, world.add_text(transcript))})
    (situation,) = world.traces.situations
    return situation.suffix, [event.detail for event in world.traces.events if event.kind == "shortened"]


def test_the_oldest_sentences_of_a_text_go_first_and_are_counted():
    transcript = " ".join(f"Sentence number {i} stands here." for i in range(20))
    suffix, events = shortened("{ texts = 0.1 }", transcript)  # 25 words of the double, 5 a sentence
    assert suffix.startswith("Transcript:\nSentence number 15 stands here. Sentence number 16")
    assert "number 19" in suffix and "number 14" not in suffix
    assert events == [
        {
            "decision": "take",
            "part": "texts",
            "agents": 7,
            "situations": 1,
            "sentences": 15,
            "limit_tokens": 25,
        }
    ]


def test_the_last_sentences_of_a_persona_go_first():
    whole, none = shortened("{ persona = 1.0 }", "")
    suffix, events = shortened("{ persona = 0.04 }", "")  # 10 words
    assert none == [] and "holiday" in whole
    assert "hills" in suffix and "holiday" not in suffix
    assert [event["part"] for event in events] == ["persona"]


def test_a_replay_needs_no_model_to_shorten_again():
    transcript, journal = "One sentence is here. " * 30, MemoryJournal()
    first = shortened("{ texts = 0.05 }", transcript, journal=journal)
    silent = BiasedModel()
    silent.count_tokens = None
    assert shortened("{ texts = 0.05 }", transcript, model=silent, journal=journal) == first


def test_a_text_that_fits_is_left_alone():
    transcript = "Short. Very short."
    suffix, events = shortened("{ texts = 0.5 }", transcript)
    assert suffix.startswith(f"Transcript:\n{transcript}\n") and events == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["model.budget={ texts = 0.5 }"], "shares of n_ctx, which is missing"),
        (["model.n_ctx=512", "model.budget={ texts = 0.8, persona = 0.4 }"], "together exceed 1"),
        (["model.n_ctx=512", "model.budget={ texts = 1.5 }"], "texts = 1.5 is not in (0, 1]"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(given, sentence):
    with pytest.raises(StudyError) as caught:
        language_study(*given)
    assert sentence in str(caught.value)


def test_reasons_belong_to_decisions_and_not_to_writings():
    with pytest.raises(StudyError, match="'argument' is a writing; reason is for decisions"):
        load_study("persuasion", ["decisions.argument.reason=true"])


# -- policies --------------------------------------------------------------------------------------------------------


def test_codes_of_policies_never_change():
    assert POLICY_NAMES[:5] == ("rule", "language", "scripted", "human", "surrogate")
    for name, info in registry.policies.items():
        assert info.name == name
        assert info.decide is not None or info.assign is not None
        if info.decide is not None:
            assert policy_of_code(info.code) is info


def test_a_policy_needs_nothing_but_its_registration(monkeypatch):
    calls = []

    def decide(room, call, u):
        calls.append(call.agents.size)
        return decide_by_rule(room, call, u)

    monkeypatch.setitem(registry.policies._entries, "replay", PolicyInfo("replay", "Like the rule.", False, decide))
    by_rule = load_study("toy_take", ["steps=2"])
    study = load_study("toy_take", ["steps=2", "decisions.take.policy=replay"])
    pairs = zip(simulate(study), simulate(by_rule), strict=True)
    assert all(a.digest == b.digest for a, b in pairs)
    assert calls == [30, 30]
    with pytest.raises(StudyError, match="'replai' is not a policy; did you mean 'replay'"):
        load_study("toy_take", ["decisions.take.policy=replai"])


def test_a_mixture_is_language_for_a_share_and_rule_for_the_rest():
    study = load_study("toy_take", ["population.size=2000", "decisions.take={ policy = 'mixture', share = 0.3 }"])
    records = itertools.islice(simulate(study, model=BiasedModel()), 3)
    policies = [batch.policy for record in records for batch in record.decisions]
    assert (policies[0] == policies[1]).all() and set(policies[0].tolist()) == {0, 1}
    assert abs((policies[0] == 1).mean() - 0.3) < 4 * np.sqrt(0.21 / 2000)
