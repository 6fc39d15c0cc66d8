"""Surveys in the composer: names of files, first mappings, typed ranges and labels, and the page itself."""

import numpy as np
import polars as pl
import pyreadstat
import pytest
from streamlit.testing.v1 import AppTest

from app.composer.mapping import known_columns, read_codes, read_ends, read_labels
from app.composer.people import people_of
from app.drafts import Draft, problem_at
from app.surveys import (
    default_mapping,
    keep_survey,
    list_surveys,
    open_survey,
    suggested_population,
    survey_file_name,
    valid_range,
    variable_rows,
)
from app.views.compose import part_of
from engine.errors import PopulationError
from engine.runs import open_workspace

HOSTILE = "<b>Left</b> **bold** {{ 7*7 }}"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A small SPSS file with a scale, missing codes, weights and a hostile label."""
    path = tmp_path_factory.mktemp("survey") / "s.sav"
    rng = np.random.default_rng(3)
    answers = pl.DataFrame(
        {
            "leri": [*rng.integers(0, 10, 58).astype(float), 77.0, 88.0],
            "agea": np.rint(rng.uniform(18, 90, 60)),
            "pspwght": rng.uniform(0.5, 2, 60),
        }
    )
    pyreadstat.write_sav(
        answers,
        path,
        column_labels={"leri": HOSTILE, "agea": "Age of respondent", "pspwght": "Weight"},
        variable_value_labels={"leri": {0: "Left", 10: "Right", 77: "Refusal"}},
        missing_ranges={"leri": [{"lo": 77, "hi": 99}]},
    )
    return path.read_bytes()


@pytest.fixture
def draft(tmp_path):
    return Draft.new(open_workspace(tmp_path / "w").studies, "bounded_confidence")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Wave 1 (Größe).SAV", "Wave_1_Groe.sav"),
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\data\\ess.dta", "ess.dta"),
        (".sav", "sav"),
        ("中文.sav", "survey.sav"),
        ("a.b.c.csv", "a_b_c.csv"),
    ],
)
def test_uploaded_files_get_harmless_names(given, kept):
    assert survey_file_name(given) == kept


def test_a_survey_is_kept_once_beside_the_studies(draft, content):
    folder = draft.path.parent
    assert keep_survey(folder, "s.sav", content) == "s.sav"
    assert keep_survey(folder, "s.sav", content) == "s.sav"
    assert keep_survey(folder, "s.sav", content + b"\0" * 16) in ("s_2.sav",)
    assert list_surveys(folder) == ["s.sav", "s_2.sav"]


def test_what_is_no_survey_is_refused_and_not_kept(draft):
    with pytest.raises(PopulationError, match="named like a file of SPSS"):
        keep_survey(draft.path.parent, "s.sav", b"hello, this is not SPSS at all")
    assert list_surveys(draft.path.parent) == []


def test_the_first_mapping_moves_labelled_answers_into_the_range(draft, content):
    survey = open_survey(draft.path.parent / keep_survey(draft.path.parent, "s.sav", content), None)
    assert valid_range(survey, survey.variable("leri")) == (0.0, 10.0), "10 is labelled, though nobody chose it"
    column = known_columns(draft)["opinion"]
    expected = {"variable": "leri", "range": [0.0, 10.0], "to": [0.0, 1.0]}
    assert default_mapping(survey, "leri", column) == expected
    found = suggested_population(survey)
    assert found["weight"] == "pspwght"
    assert found["map"]["age"]["variable"] == "agea"
    rows = {row["variable"]: row for row in variable_rows(survey)}
    assert rows["leri"]["no answer"] == 2
    assert rows["leri"]["label"] == HOSTILE


def test_people_come_from_the_survey_and_problems_stand_at_the_column(draft, content):
    name = keep_survey(draft.path.parent, "s.sav", content)
    mapping = {"variable": "leri", "range": [0.0, 10.0], "to": [0.0, 1.0]}
    draft.put("population", {"file": name, "weight": "pspwght", "size": 40, "map": {"opinion": mapping}})
    assert draft.check()[1] == ()
    people = people_of(draft)
    assert people.n == 40
    assert people.values["opinion"].max() <= 1
    draft.put("population.map.opinion.range", [0.0, 5.0])
    study, problems = draft.check()
    assert study is None
    assert problem_at(problems, "population.map.opinion")
    assert {part_of(problem.key) for problem in problems} == {"people"}


@pytest.mark.parametrize(
    ("text", "ends"),
    [("0 to 10", [0, 10]), ("10, 0", [10, 0]), ("-1; 1.5", [-1, 1.5]), ("", None), ("a to b", None), ("1", None)],
)
def test_two_numbers_from_a_text(text, ends):
    assert read_ends(text) == ends


def test_labels_and_codes_from_texts():
    assert read_labels("1 = man\n2 = woman\n\n=x\ny=") == {"1": "man", "2": "woman"}
    assert read_labels("1 = true\n2 = False") == {"1": True, "2": False}
    assert read_labels("low = 0\nhigh = 1.5") == {"low": 0.0, "high": 1.5}
    assert read_codes("77, 88 , a") == [77.0, 88.0, "a"]
    assert read_codes(" ") is None


def _page() -> None:
    import streamlit as st

    from app import session
    from app.composer.people import show_people
    from engine.registry import discover

    discover()
    draft = session.draft()
    assert draft is not None
    show_people(draft, draft.check()[1])
    st.text("end")


@pytest.mark.parametrize("shown", ["People", "Variables", "Fit"])
def test_the_page_of_a_survey(draft, content, shown, monkeypatch):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(draft.path.parent.parent))
    name = keep_survey(draft.path.parent, "s.sav", content)
    mapping = {"variable": "leri", "range": [0.0, 10.0], "to": [0.0, 1.0]}
    draft.put("population", {"file": name, "weight": "pspwght", "size": 40, "map": {"opinion": mapping}})
    test = AppTest.from_function(_page, default_timeout=60)
    test.query_params["study"] = draft.name
    test.session_state["survey_shown"] = shown
    test.run()
    assert not test.exception
    assert test.text[-1].value == "end"
    for item in [*test.markdown, *test.caption]:
        assert "<b>Left" not in str(item.value)
    if shown == "Fit":
        assert {metric.label for metric in test.metric} >= {"Drawn", "Effective n"}


def test_no_file_yet_says_what_to_do(draft, monkeypatch):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(draft.path.parent.parent))
    test = AppTest.from_function(_page, default_timeout=60)
    test.query_params["study"] = draft.name
    test.run()
    next(radio for radio in test.radio if radio.label == "Who are they?").set_value("file").run()
    assert not test.exception
    assert any("Upload a survey" in item.value for item in test.caption)
