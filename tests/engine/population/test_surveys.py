"""Survey files in: labels, user-missing codes kept apart, encodings, and files that are none."""

import dataclasses
import datetime

import numpy as np
import polars as pl
import pyreadstat
import pytest
from survey_files import GENDER, SCALE, N, make_answers, write_cp1252, write_dta, write_sav

from engine.errors import PopulationError
from engine.population import Variable, read_survey, suggest_mapping, survey_stat


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return read_survey(write_sav(tmp_path_factory.mktemp("surveys") / "ess.sav"))


def test_labels_measures_and_types_arrive(survey):
    assert (survey.format, survey.n_rows, survey.encoding) == ("SPSS", N, "UTF-8")
    assert [variable.name for variable in survey.variables] == make_answers().columns
    scale = survey.variable("lrscale")
    assert scale.label == "Placement on left right scale"
    assert scale.value_labels == {float(code): label for code, label in SCALE.items()}
    assert scale.missing == ((77.0, 99.0),)
    assert (scale.measure, scale.type) == ("ordinal", "number")
    assert survey.variable("cntry").type == "text"
    assert survey.variable("gndr").value_labels[2.0] == GENDER[2]
    assert survey.weight_candidates == ("pspwght",)


def test_user_missing_codes_are_kept_apart(survey):
    raw = make_answers()["lrscale"].to_numpy()
    valid = survey.frame["lrscale"].to_numpy()
    assert np.array_equal(np.isnan(valid), raw > 10)
    assert np.array_equal(valid[raw <= 10], raw[raw <= 10])
    counts = survey.count_missing("lrscale")
    assert counts == {"77": int((raw == 77).sum()), "88": int((raw == 88).sum())}
    assert survey.codes["lrscale"].drop_nulls().len() == (raw > 10).sum()
    assert survey.count_missing("agea") == {}


def test_a_part_of_the_variables(tmp_path):
    path = write_sav(tmp_path / "ess.sav")
    part = read_survey(path, variables=["gndr", "cntry"])
    assert part.frame.columns == ["gndr", "cntry"]
    with pytest.raises(PopulationError, match=r"'gender' is not a variable of ess.sav; did you mean 'gndr'"):
        read_survey(path, variables=["gender"])
    with pytest.raises(PopulationError, match=r"'GNDR' is not a variable of ess.sav; did you mean 'gndr'"):
        read_survey(path, variables=["GNDR"])


def test_letters_of_stata_are_missing_answers(tmp_path):
    survey = read_survey(write_dta(tmp_path / "small.dta"))
    assert survey.format == "Stata"
    assert survey.frame["vote"].to_list() == [1.0, 2.0, None, None, 2.0]
    assert survey.codes["vote"].to_list() == [None, None, ".a", ".b", None]
    assert survey.variable("vote").value_labels == {1.0: "Yes", 2.0: "No", "a": "Refused", "b": "Does not know"}
    assert survey.count_missing("w") == {"": 1}
    assert survey.frame["town"].to_list() == list("xyzxy")


def test_missing_texts_and_dates(tmp_path):
    days = [datetime.date(2020, 1, 2), None, datetime.date(2021, 3, 4)]
    answers = pl.DataFrame({"town": ["Ulm", "??", ""], "day": days, "x": [1.0, None, 3.0]})
    pyreadstat.write_sav(answers, tmp_path / "t.sav", missing_ranges={"town": ["??"]})
    survey = read_survey(tmp_path / "t.sav")
    assert survey.frame["town"].to_list() == ["Ulm", None, None]
    assert survey.codes["town"].to_list() == [None, "??", None]
    assert survey.count_missing("town") == {"??": 1, "": 1}
    assert survey.variable("day").type == "date"
    assert survey.frame["day"].to_list() == days


def test_lists_of_values(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text('name;"size; in m";note;id\nAda;1,5;=1+1;7\nBob;NA;"a\nb";8\n;2;;9\n;;;\n', encoding="utf-8-sig")
    survey = read_survey(path)
    assert survey.format == "CSV"
    assert survey.frame["name"].to_list() == ["Ada", "Bob", None]
    assert survey.frame["size; in m"].to_list() == [1.5, None, 2.0]
    assert survey.frame["note"].to_list() == ["=1+1", "a\nb", None], "a formula is a text like any other"
    assert survey.frame["id"].to_list() == [7.0, 8.0, 9.0]
    path.write_text("a,b\n1,NA\n2,Namibia\n")
    assert read_survey(path).frame["b"].to_list() == ["NA", "Namibia"], "among texts NA is one"
    assert read_survey(path, variables=["b"]).frame.columns == ["b"]


def test_texts_in_another_encoding(tmp_path):
    path = write_cp1252(tmp_path / "old.sav")
    with pytest.raises(PopulationError, match=r'another encoding than it declares; give its encoding.*"cp1252"'):
        read_survey(path)
    survey = read_survey(path, encoding="cp1252")
    assert survey.frame["town"].to_list() == ["Müößnchen", "Ulm"]
    assert survey.variable("town").label == "Wohnort (Grüößüößenklasse)"
    assert survey.variable("size").value_labels == {1.0: "grüößz"}
    assert read_survey(path, encoding="Latin-1").frame["town"][0] == "Müößnchen"
    declared = read_survey(write_cp1252(tmp_path / "told.sav", b"windows-1252"))
    assert declared.frame["town"][0] == "Müößnchen"
    for unknown in (b"klingon", b"\xff\xfe"):
        with pytest.raises(PopulationError, match=r"odd.sav has texts in another encoding than it declares"):
            read_survey(write_cp1252(tmp_path / "odd.sav", unknown))
    with pytest.raises(PopulationError, match=r"old.sav is not in the encoding big5; give its encoding"):
        read_survey(path, encoding="big5")
    listed = tmp_path / "old.csv"
    listed.write_bytes("town,n\nUlm,1\nMünchen,2\n".encode("cp1252"))
    with pytest.raises(PopulationError, match=r'old.csv: row 3 is not in the encoding utf-8; .*encoding = "cp1252"'):
        read_survey(listed)
    assert read_survey(listed, encoding="cp1252").frame["town"][1] == "München"


def bad_files(folder):
    """Return (path, options, message) of files that cannot be read."""
    good = write_sav(folder / "good.sav").read_bytes()

    def put(name, content):
        (folder / name).write_bytes(content)
        return folder / name

    with (folder / "huge.sav").open("wb") as opened:
        opened.write(b"$FL2")
        opened.truncate(2 * 1024**3 + 1)  # sparse: takes no room on the disk
    twins = folder / "twins.sav"
    pyreadstat.write_sav(pl.DataFrame({"abc": [1.0], "abd": [2.0]}), twins)
    twins.write_bytes(twins.read_bytes().replace(b"abd", b"abc").replace(b"ABD", b"ABC"))
    empty = folder / "no_rows.sav"
    pyreadstat.write_sav(pl.DataFrame({"abc": [1.0]}).clear(), empty)
    return [
        (folder / "gone.sav", {}, "gone.sav' does not exist; check the path"),
        (folder, {}, "is no survey file; its name must end in .sav"),
        (put("notes.docx", b"x"), {}, "'notes.docx' is no survey file; its name must end in .sav"),
        (put("nothing.sav", b""), {}, "nothing.sav is empty; export it again"),
        (put("nothing.csv", b"\xef\xbb\xbf\r\n"), {}, "nothing.csv is empty"),
        (put("list.sav", b"a,b\n1,2\n"), {}, "named like a file of SPSS, but it looks like CSV; rename or convert it"),
        (put("spss.dta", good), {}, "named like a file of Stata, but it looks like SPSS"),
        (put("spss.csv", good), {}, "named like a file of CSV, but it looks like SPSS"),
        (put("noise.csv", b"a\0\1\2"), {}, "its beginning is not; export it again"),
        (put("cut.sav", good[:700]), {}, "cut.sav is a damaged SPSS file .*; export it again"),
        (put("short.sav", good[:-5000]), {}, "short.sav is a damaged SPSS file"),
        (folder / "huge.sav", {}, "huge.sav has 2.0 GB, at most 2 GB are read"),
        (twins, {}, "twins.sav gives a variable name twice: 'ABC', 'abc'; rename one of them"),
        (empty, {}, "no_rows.sav has variables but no respondents"),
        (put("head.csv", b"a,b\n"), {}, "head.csv has variables but no respondents"),
        (put("twice.csv", b"a,b,a\n1,2,3\n"), {}, "twice.csv gives a variable name twice: 'a'"),
        (put("nameless.csv", b"a,,b\n1,2,3\n"), {}, "column 2 has no name in the first row"),
        (put("ragged.csv", b"a,b\n1,2\n1,2,3\n"), {}, "row 3 has more than 2 cells .1 such rows."),
        (folder / "good.sav", {"encoding": "cp125"}, "'cp125' is not an encoding; did you mean"),
    ]


def test_files_that_cannot_be_read(tmp_path):
    for path, options, message in bad_files(tmp_path):
        with pytest.raises(PopulationError, match=message) as caught:
            read_survey(path, **options)
        assert "\n" not in str(caught.value), path.name


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "damaged SPSS file .its reader stopped.; export"),
        ("import time; time.sleep(60)", "was not read within 0.5 s; export it again"),
    ],
)
def test_a_file_that_breaks_its_reader_breaks_nothing_else(tmp_path, monkeypatch, program, message):
    """Damaged files were seen to crash the library that reads them."""
    (tmp_path / "reader.py").write_text(program)
    monkeypatch.setattr(survey_stat, "PROGRAM", tmp_path / "reader.py")
    monkeypatch.setattr(survey_stat, "LONGEST_S", 0.5)
    with pytest.raises(PopulationError, match=message):
        read_survey(write_sav(tmp_path / "ess.sav"))


def test_suggested_mapping(survey):
    suggested = suggest_mapping(survey)
    assert suggested == {
        "age": {"variable": "agea"},
        "gender": {"variable": "gndr", "labels": {"1": "man", "2": "woman"}},
        "country": {"variable": "cntry"},
        "party_id": {"variable": "prtclede"},
        "left_right": {"variable": "lrscale"},
        "trust_general": {"variable": "ppltrst"},
    }
    labels = {f"{code}": f"step {code}" for code in range(1, 6)}
    stepped = Variable("ppltrst", "Most people", value_labels={float(code): label for code, label in labels.items()})
    rescaled = dataclasses.replace(survey, variables=(stepped,))
    assert suggest_mapping(rescaled) == {
        "trust_general": {"variable": "ppltrst", "range": [1.0, 5.0], "to": [0.0, 10.0]}
    }


def test_a_year_of_birth_becomes_an_age(tmp_path):
    (tmp_path / "s.csv").write_text("yrbrn,inwyr,hinctnta\n1950,2020,3\n2001,2020,10\n")
    suggested = suggest_mapping(read_survey(tmp_path / "s.csv"))
    assert suggested["age"] == {"variable": "yrbrn", "range": [1950.0, 2020.0], "to": [70.0, 0.0]}
    assert suggested["income_decile"] == {"variable": "hinctnta"}
