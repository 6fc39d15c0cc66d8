"""Chat templates: cut around the user's text, rendered apart with limits."""

from __future__ import annotations

import time

import pytest

from engine.errors import ModelError
from engine.llm.random_model import CHATML, build_random_model
from engine.llm.template import PLAIN, SENTINEL, build_frame

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for message in messages %}{{ '<start_of_turn>' + message['role'] + '\n' + message['content'] | trim "
    "+ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
DATED = (
    "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% else %}26 Jul 2024{% endif %}"
    "{{ messages[0].content }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)


def test_chatml_is_cut_around_the_message():
    frame = build_frame(CHATML)
    assert frame.head == "<|im_start|>user\n"
    assert frame.tail == "<|im_end|>\n<|im_start|>assistant\n"


def test_usual_templates_render():
    assert build_frame(GEMMA, "<bos>").head == "<bos><start_of_turn>user\n"
    assert build_frame(GEMMA, "<bos>").tail == "<end_of_turn>\n<start_of_turn>model\n"


def test_a_template_sees_no_date_and_no_thinking():
    frame = build_frame(DATED)
    assert frame.head == "26 Jul 2024" and frame.tail == "<think></think>"


def test_no_template_is_plain_text():
    assert build_frame(None) == PLAIN


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ messages[0].content }}{{ messages[0].content }}", "2 times instead of once"),
        ("hello", "0 times instead of once"),
        ("{% for x in %}", "template fails: TemplateSyntaxError"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages[0].content }}", "template fails: SecurityError"),
        ("{{ messages.append(1) }}{{ messages[0].content }}", "template fails: SecurityError"),
        ("{{ raise_exception('no users') }}", "no users"),
        ("{% include '/etc/passwd' %}", "template fails"),
        ("x" * 30_000 + "{{ messages[0].content }}", "adds 30,0"),
        ("y" * 200_001, "200,001 characters"),
        ("{{ 'a' * 4000000000 }}{{ messages[0].content }}", "template fails: MemoryError|exceeds its limits"),
    ],
)
def test_templates_that_are_refused(template, message):
    with pytest.raises(ModelError, match=message):
        build_frame(template)


def test_a_template_that_never_ends_is_stopped():
    started = time.monotonic()
    with pytest.raises(ModelError, match="exceeds its limits"):
        build_frame("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}" + SENTINEL)
    assert time.monotonic() - started < 25


def test_a_model_with_a_bad_template_is_refused_at_load(tmp_path, load):
    with pytest.raises(ModelError, match="chat template"):
        load(build_random_model(tmp_path / "bad.gguf", template="{{ nothing.at.all }}"))
