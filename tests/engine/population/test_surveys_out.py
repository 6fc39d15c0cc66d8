"""Surveys in more forms, and out again: labels, measure levels and missing codes survive; bad files are refused."""

import json
import zipfile
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pyreadstat
import pytest
from survey_files import N, make_answers, write_dta, write_sav

from app.cli import main
from engine.errors import PopulationError
from engine.population import (
    build_population,
    describe_people,
    people_origins,
    persona_columns,
    read_survey,
    render_codebook,
    survey_tables,
    write_survey,
)
from engine.population import surveys as surveys_module
from engine.spec import PopulationSpec

STUDY = """
scenario = "bounded_confidence"
steps = 3
seed = 5

[population]
file = "ess.sav"
draw = "rows"
weight = "pspwght"
id = "idno"
keep = ["cntry", "agea"]

[population.map]
opinion = { variable = "lrscale", range = [0, 10], to = [0, 1] }
lrscale = { variable = "lrscale" }
party = { variable = "prtclede", missing = "keep" }
gndr = { variable = "gndr", missing = "keep" }
"""


def test_a_survey_out_and_in_again_is_the_same(tmp_path):
    first = read_survey(write_sav(tmp_path / "ess.sav"))
    again = read_survey(write_survey(first, tmp_path / "again.sav"))
    assert again.variables == first.variables and again.frame.equals(first.frame)
    assert {name: codes.to_list() for name, codes in again.codes.items()} == {
        name: codes.to_list() for name, codes in first.codes.items()
    }
    stata = read_survey(write_dta(tmp_path / "d.dta"))
    same = read_survey(write_survey(stata, tmp_path / "e.dta"))
    assert same.variables == stata.variables and same.frame.equals(stata.frame)
    assert same.codes["vote"].to_list() == stata.codes["vote"].to_list()


def test_missing_codes_cross_between_spss_and_stata(tmp_path):
    spss = read_survey(write_sav(tmp_path / "ess.sav"))
    stata = read_survey(write_survey(spss, tmp_path / "ess.dta"))
    scale = stata.variable("lrscale")
    assert scale.value_labels["a"] == "Refusal" and scale.value_labels["b"] == "Don't know"
    assert stata.count_missing("lrscale") == {
        ".a": spss.count_missing("lrscale")["77"], ".b": spss.count_missing("lrscale")["88"]
    }  # fmt: skip
    letters = read_survey(write_dta(tmp_path / "d.dta"))
    numbers = read_survey(write_survey(letters, tmp_path / "d.sav"))
    vote = numbers.variable("vote")
    assert vote.value_labels[-101.0] == "Refused" and vote.missing == ((-101.0, -101.0), (-102.0, -102.0))
    assert numbers.count_missing("vote") == {"-101": 1, "-102": 1}


def test_sav_to_study_to_sav_keeps_every_label_and_missing_code(tmp_path, capsys):
    source = read_survey(write_sav(tmp_path / "ess.sav"))
    (tmp_path / "study.toml").write_text(STUDY)
    workspace = ["--workspace", str(tmp_path / "w")]
    assert main(["run", str(tmp_path / "study.toml"), "--json", *workspace]) == 0
    run = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["run_id"]
    (tmp_path / "ess.sav").unlink()  # a run keeps what it needs
    assert main(["export", run, "--to", "sav", "-o", str(tmp_path / "out.sav"), *workspace]) == 0
    out = read_survey(tmp_path / "out.sav")
    for name, old in (("party", "prtclede"), ("gndr", "gndr"), ("lrscale", "lrscale"), ("cntry", "cntry")):
        now, then = out.variable(name), source.variable(old)
        assert (now.value_labels, now.missing, now.label) == (then.value_labels, then.missing, then.label), name
        assert now.measure == then.measure or then.measure == "unknown", name
    rows = out.frame["source_row"].cast(pl.Int64).to_numpy() - 1
    assert out.n_rows == source.n_rows - sum(source.count_missing("lrscale").values())
    raw = pyreadstat.read_sav(tmp_path / "out.sav", user_missing=True, output_format="polars")[0]
    answers = make_answers()[rows]
    for name, old in (("party", "prtclede"), ("gndr", "gndr"), ("lrscale", "lrscale"), ("agea", "agea")):
        assert raw[name].to_list() == answers[old].to_list(), name
    assert sum(out.count_missing("party").values()) == (answers["prtclede"] == 66).sum()
    assert np.allclose(raw["initial_opinion"], answers["lrscale"] / 10)
    codebook = ElementTree.fromstring((tmp_path / "out.codebook.xml").read_text())
    assert {node.get("name") for node in codebook.iter("{ddi:codebook:2_5}var")} == set(raw.columns)
    assert main(["export", run, "--to", "dta", "-o", str(tmp_path / "out.dta"), *workspace]) == 0
    assert read_survey(tmp_path / "out.dta").variable("party").value_labels["a"] == "Not applicable"
    assert main(["export", run, "--to", "sav", "-o", str(tmp_path / "out.txt"), *workspace]) == 1
    assert "must end in .sav" in capsys.readouterr().err


def test_columns_say_where_they_come_from(tmp_path):
    write_sav(tmp_path / "ess.sav")
    spec = PopulationSpec(
        file="ess.sav", recipe="adults_generic", keep=("cntry",), map={"age": {"variable": "agea"}}, columns={"x": 1.5}
    )
    columns = persona_columns(spec, base=tmp_path)
    told = {name: columns[name].provenance for name in ("cntry", "age", "sex", "x")}
    assert told == {"cntry": "survey", "age": "survey", "sex": "sampled", "x": "sampled"}
    pack = persona_columns(PopulationSpec(personas="town_25"))
    assert {column.provenance for name, column in pack.items() if name != "persona"} == {"manual"}
    assert people_origins(spec, base=tmp_path)["age"].variable.label == "Age of respondent, calculated"


def test_a_codebook_counts_answers_and_marks_missing_ones():
    spec = PopulationSpec(recipe="adults_generic", size=50)
    people = build_population(spec, 1)
    survey = describe_people(people.frame(), people.columns, label="<b>& title</b>")
    text = render_codebook(survey, {"age": "sampled"})
    root = ElementTree.fromstring(text)
    assert root.find(".//{ddi:codebook:2_5}titl").text == "<b>& title</b>" and "<b>" not in text
    node = next(var for var in root.iter("{ddi:codebook:2_5}var") if var.get("name") == "sex")
    counts = [int(stat.text) for stat in node.iter("{ddi:codebook:2_5}catStat")]
    assert sum(counts) == 50 and counts[0] == (people.values["sex"] == 0).sum()


# -- other forms ------------------------------------------------------------------------------------------------------
def write_xlsx(path, rows):
    """Write the least that is a workbook: one sheet of inline texts and numbers."""

    def cell(value):
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return "<c/>" if value is None else f"<c><v>{value}</v></c>"

    body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    space = "http://schemas.openxmlformats.org/"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{space}package/2006/content-types"><Default Extension="xml" '
        'ContentType="application/xml"/><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}package/2006/relationships"><Relationship Id="r1" '
        f'Type="{space}officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{space}spreadsheetml/2006/main" '
        f'xmlns:r="{space}officeDocument/2006/relationships"><sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets>'
        "</workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{space}package/2006/relationships"><Relationship Id="r1" '
        f'Type="{space}officeDocument/2006/relationships/worksheet" Target="worksheets/s.xml"/></Relationships>',
        "xl/worksheets/s.xml": f'<worksheet xmlns="{space}spreadsheetml/2006/main"><sheetData>{body}</sheetData>'
        "</worksheet>",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def test_parquet_and_excel_are_read(tmp_path):
    frame = pl.DataFrame({"age": [31, 40, None], "town": ["Ulm", "", "=1+1"], "glad": [True, False, None]})
    frame.write_parquet(tmp_path / "s.parquet")
    read = read_survey(tmp_path / "s.parquet")
    assert read.frame["age"].to_list() == [31.0, 40.0, None] and read.frame["town"].to_list() == ["Ulm", None, "=1+1"]
    assert read.variable("glad").value_labels == {0.0: "no", 1.0: "yes"} and read.format == "Parquet"
    assert read_survey(tmp_path / "s.parquet", variables=["town"]).frame.columns == ["town"]
    write_xlsx(tmp_path / "s.xlsx", [["age", "town"], [31, "Ulm"], [40.5, "=1+1"], [None, "@x"]])
    sheet = read_survey(tmp_path / "s.xlsx")
    assert sheet.frame["age"].to_list() == [31.0, 40.5, None] and sheet.frame["town"].to_list() == ["Ulm", "=1+1", "@x"]
    people = build_population(PopulationSpec(file="s.xlsx", keep=("town",), draw="rows"), 1, base=tmp_path)
    assert people.n == 3


def test_a_formula_stays_text_and_is_neutralised_on_the_way_out(tmp_path):
    (tmp_path / "s.csv").write_text('town,n\n"=HYPERLINK(""x"")",1\n-Ulm,2\nBonn,3\n')
    survey = read_survey(tmp_path / "s.csv")
    assert survey.frame["town"].to_list() == ['=HYPERLINK("x")', "-Ulm", "Bonn"]
    lines = write_survey(survey, tmp_path / "out.csv").read_text().splitlines()
    assert lines == ["town,n", '"\'=HYPERLINK(""x"")",1.0', "'-Ulm,2.0", "Bonn,3.0"]


def test_a_zip_bomb_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_tables, "MAX_UNPACKED", 10_000)
    path = write_xlsx(tmp_path / "bomb.xlsx", [["a"], *[[0]] * 5_000])
    assert path.stat().st_size < 3_000
    monkeypatch.setitem(survey_tables.check_unpacked.__globals__, "MAX_UNPACKED", 10_000)
    with pytest.raises(PopulationError, match="when it is unpacked and was not opened; save it as CSV"):
        survey_tables.check_unpacked(path, 10_000)


def test_damaged_and_unfit_tables_are_refused(tmp_path):
    bad = {
        "x.parquet": (b"PAR1nothing", "damaged Parquet file"),
        "x.xlsx": (b"PK\x03\x04nothing", "damaged Excel file"),
        "x.sas7bdat": (b"\0" * 40, "named like a file of SAS"),
    }
    for name, (content, told) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PopulationError, match=told):
            read_survey(tmp_path / name)
    pl.DataFrame({"a": [[1, 2]]}).write_parquet(tmp_path / "n.parquet")
    with pytest.raises(PopulationError, match="'a' holds lists or bytes"):
        read_survey(tmp_path / "n.parquet")
    with pytest.raises(PopulationError, match="column 2 has no name"):
        read_survey(write_xlsx(tmp_path / "h.xlsx", [["a", "", "c"], [1, 2, 3]]))
    with pytest.raises(PopulationError, match="gives a variable name twice"):
        read_survey(write_xlsx(tmp_path / "t.xlsx", [["a", "a"], [1, 2]]))


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = write_sav(tmp_path / "ess.sav")
    monkeypatch.setattr(surveys_module, "MAX_BYTES", 1000)
    monkeypatch.setattr(surveys_module, "read_stat", lambda *_: pytest.fail("it was read"))
    with pytest.raises(PopulationError, match="at most 2 GB are read"):
        read_survey(path)


def test_duplicated_ids_are_named(tmp_path):
    answers = make_answers()
    twice = answers.with_columns(pl.when(pl.col("idno") == 9).then(4.0).otherwise(pl.col("idno")).alias("idno"))
    write_sav(tmp_path / "ess.sav", twice)
    study = {"file": "ess.sav", "id": "idno", "map": {"age": {"variable": "agea"}}}
    with pytest.raises(PopulationError, match=r"'idno' = '4' stands in row 4 and in row 9;.*@ population.id"):
        build_population(PopulationSpec(**study), 1, base=tmp_path)
    write_sav(tmp_path / "ess.sav", answers)
    people = build_population(PopulationSpec(**study, draw="rows"), 1, base=tmp_path)
    assert people.n == N and people.values["source_ref"][3] == "4"
    with pytest.raises(PopulationError, match="the survey has 2000 usable respondents"):
        build_population(PopulationSpec(**study, draw="rows", size=N + 1), 1, base=tmp_path)


def test_missing_answers_are_kept_as_categories_only(tmp_path):
    write_sav(tmp_path / "ess.sav")
    study = {"file": "ess.sav", "map": {"left_right": {"variable": "lrscale", "missing": "keep"}}}
    with pytest.raises(PopulationError, match=r"@ population.map.left_right"):
        build_population(PopulationSpec(**study), 1, base=tmp_path)
