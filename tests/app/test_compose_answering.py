"""How answers are corrected, in the composer: fields, shares as lines, and messages at the field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.composer.answering import read_shares, write_shares
from app.drafts import Draft
from engine.runs import open_workspace


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
    """Return a draft whose first decision a language model takes, and the page of its deciders."""
    workspace = open_workspace(tmp_path / "w")
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(workspace.path))
    draft = Draft.new(workspace.studies, "bounded_confidence")
    draft.put("decisions.listen.policy", "language")
    test = AppTest.from_function(_page, default_timeout=60)
    test.query_params["study"] = draft.name
    return draft, test.run()


def field(items, label):
    return next(item for item in items if item.label.startswith(label))


def test_corrections_are_stored_and_checked(opened):
    draft, test = opened
    field(test.selectbox, "Options are listed").set_value("rotations").run()
    field(test.selectbox, "Options are compared").set_value("pmi").run()
    field(test.toggle, "A short reason").set_value(True).run()
    field(test.text_input, "Neutral premise").set_value("You are someone.").run()
    field(test.number_input, "Least captured mass").set_value(0.2).run()
    assert not test.exception
    study, problems = Draft.open(draft.path).check()
    assert problems == ()
    listen = study.decisions["listen"]
    assert (listen.option_order, listen.reason) == ("rotations", True)
    assert (listen.calibration.normalisation, listen.calibration.neutral) == ("pmi", "You are someone.")
    assert listen.calibration.least_mass == 0.2


def test_shares_that_do_not_sum_to_one_are_told_at_their_field(opened):
    draft, test = opened
    options = [line.split(" = ")[0] for line in field(test.text_area, "Fit to shares").placeholder.splitlines()[:1]]
    field(test.text_area, "Fit to shares").set_value(f"{options[0]} = 0.4").run()
    assert not test.exception
    assert any("sum to 0\\.4" in item.value or "sum to 0.4" in item.value for item in test.markdown)
    field(test.text_area, "Fit to shares").set_value(f"{options[0]} = 1").run()
    study, problems = Draft.open(draft.path).check()
    assert problems == () and study.decisions["listen"].calibration.shares == {options[0]: 1.0}


def test_a_budget_asks_for_the_context_it_is_a_share_of(opened):
    draft, test = opened
    field(test.number_input, "texts").set_value(0.5).run()
    assert not test.exception
    assert [problem.key for problem in Draft.open(draft.path).check()[1]] == ["model.n_ctx"]


LABELS = st.text(alphabet="abc de", min_size=1, max_size=8).map(str.strip).filter(bool)
TABLES = st.dictionaries(LABELS, st.floats(0, 1), min_size=1, max_size=4)


@given(st.one_of(TABLES, st.dictionaries(LABELS, TABLES, min_size=1, max_size=3)))
def test_shares_survive_their_lines(shares):
    assert read_shares(write_shares(shares)) == shares


@pytest.mark.parametrize("given", ["yes = much", "yes", "[a]\nyes 0.4"])
def test_what_is_no_share_stays_as_it_was_written(given):
    assert read_shares(given) == given
