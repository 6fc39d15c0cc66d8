"""Texts written in batches: limits, stop texts, seeds, and what is unusable."""

from __future__ import annotations

import re

import pytest

from engine.errors import ContextOverflow, ModelError
from engine.llm.context import Context
from engine.llm.writing import clean_text

PREFIX = "You live in a small town by the river. " * 8
SUFFIXES = [f"You are {age} years old. Say something." for age in range(20, 60)]


def write(model, suffixes=SUFFIXES, seeds=None, **changes):
    settings = {"max_tokens": 12, "temperature": 0.8, "top_p": 0.95} | changes
    return model.write(PREFIX, suffixes, seeds=range(len(suffixes)) if seeds is None else seeds, **settings)


def test_equal_calls_give_equal_texts_whatever_was_asked_before(tiny, load):
    first = write(tiny)
    other = load()
    other.score("Something else. " * 30, ["Well?"], ["yes", "no"])
    assert write(other) == first
    assert len(set(first)) > 30, "more texts than slots, all different"


def test_texts_follow_their_seed_and_not_their_place(tiny):
    order = list(range(len(SUFFIXES)))[::-1]
    forward = write(tiny)
    backward = write(tiny, [SUFFIXES[i] for i in order], list(order))
    assert backward[::-1] == forward


def test_one_prompt_with_several_seeds(tiny):
    texts = write(tiny, [SUFFIXES[0]] * 6, [1, 2, 3, 1, 2**70, -5])
    assert texts[0] == texts[3]
    assert len(set(texts)) == 5


def test_neighbours_change_a_text_only_through_rounding(tiny):
    together = write(tiny)
    alone = [write(tiny, [SUFFIXES[i]], [i])[0] for i in range(10)]
    assert sum(a == b for a, b in zip(alone, together, strict=False)) >= 9


def test_zero_temperature_takes_the_most_probable(tiny):
    assert write(tiny, temperature=0, seeds=range(40)) == write(tiny, temperature=0, seeds=range(40, 80))


def test_length_is_limited(tiny):
    for n_tokens in (1, 3):
        texts = [text for text in write(tiny, max_tokens=n_tokens) if text]
        assert texts and all(tiny.count_tokens(" " + text) <= n_tokens + 2 for text in texts)


def test_stop_texts_end_a_text_and_are_cut_off(tiny):
    free = write(tiny, stop=())
    letter = "e"
    cut = write(tiny, stop=(letter,))
    assert any(letter in text for text in free if text)
    assert not any(letter in text for text in cut if text)
    for whole, part in zip(free, cut, strict=True):
        assert part is None or (whole or "").startswith(part)


def test_texts_hold_no_control_tokens_and_no_line_breaks(tiny):
    for text in write(tiny, max_tokens=40, temperature=2.0, top_p=1.0):
        assert text is None or ("<|" not in text and "\n" not in text and text == text.strip())


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"  ", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b"\n\n Well, yes.\nUser: no", "Well, yes."),
        (b"caf\xc3\xa9 \xe2\x82", "café"),
        (b"a\x00\x1b[31mb", "a[31mb"),
        (b"\n", None),
    ],
)
def test_unusable_texts_are_none_and_the_rest_is_cleaned(raw, expected):
    assert clean_text(raw, ("\n",)) == expected


def test_wrong_requests_are_refused(tiny):
    with pytest.raises(ModelError, match="2 seeds were given for 3 texts"):
        write(tiny, SUFFIXES[:3], [1, 2])
    with pytest.raises(ModelError, match="max_tokens = 0"):
        write(tiny, max_tokens=0)
    with pytest.raises(ContextOverflow, match="for the answer exceed"):
        write(tiny, max_tokens=5000)
    assert write(tiny, []) == []


def test_long_texts_take_turns(load):
    model = load()
    texts = write(model, [suffix + " It rains." * 300 for suffix in SUFFIXES[:20]], max_tokens=2)
    assert len(texts) == 20
    assert model.n_ctx <= 32_768


def test_a_grammar_shapes_every_text(load):
    grammar = 'root ::= "I say " ("yes" | "no" | "perhaps later") ", because " [a-z ]{5,12} "."'
    model = load()
    texts = write(model, grammar=grammar, max_tokens=60)
    pattern = re.compile(r"I say (yes|no|perhaps later), because [a-z ]{5,12}\.")
    assert all(text and pattern.fullmatch(text) for text in texts)
    assert len(set(texts)) > 30
    with pytest.raises(ModelError, match="cannot read the grammar"):
        write(model, grammar="root ::= (")
    assert write(model, grammar=grammar, max_tokens=60) == texts


def test_every_text_is_under_way_at_once(load):
    model = load()
    write(model, SUFFIXES[:1], max_tokens=1)
    passes, decode = [], Context.decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "decode", lambda context: passes.append(context.batch.size) or decode(context))
        write(model, SUFFIXES[:32], max_tokens=30)
    assert passes[2] >= 30 and len(passes) <= 2 + 30, "32 texts are written side by side"
