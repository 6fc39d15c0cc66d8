"""Forms: what is drawn for each kind of value, and text that stays text."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field
from streamlit.testing.v1 import AppTest

from app import forms
from engine import registry
from engine.contract import knob

HOSTILE = "<script>alert(1)</script> **bold** [x](http://evil.example) :red[y] {{ 7*7 }} $\\alpha$ `code` :smile: #"


class Knobs(BaseModel):
    """Every kind of knob."""

    p: float = knob(0.5, ge=0, le=1, unit="per step", help="A chance.")
    n: int = knob(3, gt=0, help="A count.", at_setup=True)
    rule: Literal["a", "b"] = knob("a", help="A choice.")
    on: bool = knob(True, help="A switch.")
    name: str = knob("x", help="A text.")
    sizes: tuple[int, ...] = knob((1, 2), help="A list.")
    most: int | None = knob(None, ge=1, help="May be left out.")
    free: float | bool | str = Field("x", description="Anything.")


def test_bounds_in_words():
    words = {name: forms.bounds_of(info) for name, info in Knobs.model_fields.items()}
    assert words["p"] == "0 to 1"
    assert words["n"] == "above 0"
    assert words["most"] == "at least 1"
    assert words["name"] == ""


def test_labels_and_help_carry_unit_default_and_key():
    info = Knobs.model_fields["p"]
    assert forms.label_of("p", info) == "p (per step)"
    words = forms.help_of("params.p", info)
    assert "Default: 0" in words
    assert "`params.p`" in words
    assert "set\\-up" in forms.help_of("params.n", Knobs.model_fields["n"]).replace("set-up", "set\\-up")


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ("1, 2.5, x", "sizes", [1, 2.5, "x"]),
        ("1, 2; 3, 4", "sizes", [[1, 2], [3, 4]]),
        ("", "name", None),
        ("true", "free", True),
        ("0.25", "free", 0.25),
        ("infected", "free", "infected"),
        ("abc", "n", "abc"),
        ("12", "n", 12),
    ],
)
def test_typed_texts_become_values(given, name, expected):
    kind = forms.plain_type(Knobs.model_fields[name].annotation)
    assert forms._split(given, kind, None) == expected


def test_safe_escapes_every_mark():
    text = forms.safe(HOSTILE)
    for mark in "<>*[]():{}$`#_":
        position = text.find(mark)
        while position >= 0:
            assert text[position - 1] == "\\", (mark, text)
            position = text.find(mark, position + 1)


def _page(values):
    import streamlit as st
    from tests_forms_model import Knobs

    from app import session
    from app.drafts import Draft
    from app.forms import model_fields
    from engine.errors import Problem

    if not session.recall("begun"):
        from pathlib import Path

        session.open_draft(Draft(Path(values["path"]), {"params": values["params"]}))
        session.remember("begun", True)
    draft = session.value_of("draft")
    model_fields(Knobs, "params", draft, (Problem("p = 7 is <b>too</b> much", "params.p"),))
    st.json(draft.content)


@pytest.fixture
def page(tmp_path, monkeypatch):
    import sys
    import types

    module = types.ModuleType("tests_forms_model")
    module.Knobs = Knobs
    monkeypatch.setitem(sys.modules, "tests_forms_model", module)
    values = {"path": str(tmp_path / "draft.toml"), "params": {"p": 7.0, "sizes": [3, 4]}}
    return AppTest.from_function(_page, args=(values,), default_timeout=20).run()


def test_one_field_per_kind_with_its_message(page):
    assert not page.exception
    assert {item.label for item in page.number_input} == {"p (per step)", "n", "most"}
    assert page.selectbox[0].options == ["a", "b"]
    assert page.toggle[0].value is True
    assert page.number_input[0].value == 7.0, "a value outside its bounds is kept"
    assert "\\<b\\>too" in page.markdown[0].value


def test_an_edit_lands_in_the_draft(page):
    page.number_input[0].set_value(0.25).run()
    page.selectbox[0].select("b").run()
    page.text_input[1].set_value("5, 6").run()
    assert not page.exception
    held = page.session_state["draft"]
    assert held.get("params.p") == 0.25
    assert held.get("params.rule") == "b"
    assert held.get("params.sizes") == [5, 6]
    assert "0.25" in held.path.read_text(encoding="utf-8")


def test_every_registered_model_can_be_drawn():
    registry.discover()
    models = [entry.params for _, entry in [*registry.networks.items(), *registry.effects.items()]]
    models += [info.params for _, info in registry.scenarios.items()]
    assert models
    for model in models:
        for name, info in model.model_fields.items():
            assert forms.label_of(name, info)
            assert forms.help_of(name, info)
