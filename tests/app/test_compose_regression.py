"""A pasted regression in the composer: the form, the terms that were read, and messages at the field."""

import pytest
from streamlit.testing.v1 import AppTest

from app.composer.regression import term_rows
from app.drafts import Draft, problem_at
from app.views.compose import part_of
from engine.runs import open_workspace
from engine.spec import RegressionSpec

PASTED = "(Intercept)  -1.20  0.31\nage  0.02  0.01"


def _page() -> None:
    import streamlit as st

    from app import session
    from app.composer.deciders import show_deciders
    from engine.registry import discover

    discover()
    draft = session.draft()
    assert draft is not None
    study, problems = draft.check()
    show_deciders(draft, problems, study)
    st.text("end")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Return a draft and a way to open the part of its deciders."""
    workspace = open_workspace(tmp_path / "w")
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(workspace.path))
    draft = Draft.new(workspace.studies, "bounded_confidence")
    test = AppTest.from_function(_page, default_timeout=60)
    test.query_params["study"] = draft.name
    return draft, test.run()


def test_switched_on_pasted_and_read(opened):
    draft, test = opened
    next(item for item in test.toggle if item.label.startswith("A regression")).set_value(True).run()
    assert "no coefficients" in Draft.open(draft.path).check()[1][0].message
    next(item for item in test.text_area if item.label.startswith("Paste")).set_value(PASTED).run()
    assert not test.exception
    held = Draft.open(draft.path)
    study, problems = held.check()
    assert problems == ()
    assert study.decisions["listen"].regression.coefficients == {"intercept": -1.2, "age": 0.02}
    assert test.dataframe[0].value["term"].tolist() == ["intercept", "age"]
    assert test.text[-1].value == "end"
    next(item for item in test.toggle if item.label.startswith("A regression")).set_value(False).run()
    assert Draft.open(draft.path).get("decisions.listen.regression") is None


@pytest.mark.parametrize(
    ("pasted", "words"),
    [("(Intercept) 1 1\nnope 2 1", "nope"), ("age 0.02 0.01", "intercept"), ("", "no coefficients")],
)
def test_what_is_wrong_stands_at_the_field(opened, pasted, words):
    draft, test = opened
    draft.put("decisions.listen.regression", {"kind": "logit", "pasted": pasted})
    _, problems = Draft.open(draft.path).check()
    assert any(words in message for message in problem_at(problems, "decisions.listen.regression"))
    assert {part_of(problem.key) for problem in problems} == {"deciders"}
    test.run()
    assert not test.exception
    shown = " ".join(item.value for item in test.markdown if item.value.startswith(":red"))
    assert words in shown.replace("\\", "")


def test_thresholds_are_named_in_the_table():
    spec = RegressionSpec(kind="ordinal", coefficients={"age": 0.1}, thresholds=(-1.0, 1.0))
    assert [row["term"] for row in term_rows(spec)] == ["age", "threshold 1", "threshold 2"]
