"""From variables to columns: rescaling, recoding, missing answers, and everything that is refused."""

import numpy as np
import pytest
from survey_files import N, make_answers, write_dta, write_sav

from engine.errors import PopulationError
from engine.population import build_population, persona_columns
from engine.spec import PopulationSpec


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("mapping")
    write_sav(home / "ess.sav")
    write_dta(home / "small.dta")
    rows = ["code,town,score,n", "1,Ulm,0.5,1", "2,Bonn,1.5,2", "3,Ulm,99,3", "1,Ulm,2.5,4", "2,,-0.5,5"]
    (home / "list.csv").write_text("\n".join(rows))
    return home


def build(folder, file="ess.sav", size=3000, seed=3, **spec):
    spec = PopulationSpec(file=file, size=size, **spec)
    population = build_population(spec, seed, base=folder)
    assert persona_columns(spec, base=folder) == population.columns
    return population


def raw_rows(population):
    return make_answers()[(population.values["source_row"] - 1).tolist()]


def test_a_scale_is_rescaled_in_proportion(folder):
    mapped = {"opinion": {"variable": "lrscale", "range": [0, 10], "to": [-1, 1]}}
    population = build(folder, map=mapped)
    rows = raw_rows(population)
    assert rows["lrscale"].max() <= 10, "refusals are no opinions"
    assert np.allclose(population.values["opinion"], rows["lrscale"].to_numpy() / 5 - 1, atol=1e-15)
    column = population.columns["opinion"]
    assert (column.kind, column.low, column.high, column.help) == ("float", -1, 1, "Placement on left right scale")
    turned = build(folder, map={"opinion": {"variable": "lrscale", "range": [0, 10], "to": [1, 0]}})
    assert np.allclose(turned.values["opinion"], 1 - rows["lrscale"].to_numpy() / 10, atol=1e-15)
    plain = build(folder, map={"side": {"variable": "lrscale", "range": [0, 10]}})
    assert np.array_equal(plain.values["side"], rows["lrscale"].to_numpy())
    assert plain.columns["side"].kind == "integer"


def test_names_of_the_codebook_give_the_type(folder):
    mapped = {"age": {"variable": "agea"}, "left_right": {"variable": "lrscale"}, "party_id": {"variable": "prtclede"}}
    population = build(folder, map=mapped, keep=["cntry"])
    assert population.columns["age"].kind == "integer" and population.columns["age"].unit == "years"
    assert population.columns["left_right"].kind == "float"
    assert population.columns["party_id"].labels == ("Reds", "Blues", "Greens"), "in the order of the codes"
    assert population.columns["cntry"].labels == ("DE", "FR", "PL")
    rows = raw_rows(population)
    assert np.array_equal(population.values["age"], rows["agea"].to_numpy())
    assert population.decoded("cntry").to_list() == rows["cntry"].to_list()
    labels = {1.0: "Reds", 2.0: "Blues", 3.0: "Greens"}
    assert population.decoded("party_id").to_list() == [labels[code] for code in rows["prtclede"]]


def test_labels_translate_codes_and_labels(folder):
    mapped = {
        "gender": {"variable": "gndr", "labels": {"1": "man", "Female": "woman"}},
        "camp": {"variable": "prtclede", "labels": {"1": "left", "3": "left"}},
        "green": {"variable": "prtclede", "labels": {"1": False, "2": False, "Greens": True}},
        "heat": {"variable": "prtclede", "labels": {"1": 0.25, "2": 1, "3": 0}},
    }
    population = build(folder, map=mapped)
    party = raw_rows(population)["prtclede"].to_numpy()
    assert set(population.decoded("gender").unique()) == {"man", "woman"}
    assert population.columns["camp"].labels == ("left", "Blues"), "named codes are merged, others keep their label"
    assert np.array_equal(population.values["camp"], (party == 2).astype(int))
    assert population.columns["green"].kind == "boolean"
    assert np.array_equal(population.values["green"], party == 3)
    assert np.array_equal(population.values["heat"], np.select([party == 1, party == 2], [0.25, 1], 0))
    assert (population.columns["heat"].low, population.columns["heat"].high) == (0, 1)


def test_kinds_of_kept_variables(folder):
    population = build(folder, "list.csv", keep=["code", "town", "score"])
    assert [population.columns[name].kind for name in ("code", "town", "score")] == ["integer", "category", "float"]
    assert set(population.values["source_row"]) == {1, 2, 3, 4}, "the fifth respondent names no town"
    letters = build(folder, "small.dta", keep=["vote"])
    assert letters.columns["vote"].labels == ("Yes", "No")
    assert set(letters.values["source_row"]) == {1, 2, 5}


def test_missing_answers_drop_the_row_or_are_drawn(folder):
    scale = {"variable": "lrscale", "range": [0, 10]}
    raw = make_answers()["lrscale"].to_numpy()
    dropped = build(folder, map={"side": scale})
    assert (raw[dropped.values["source_row"] - 1] <= 10).all()
    drawn = build(folder, map={"side": scale | {"missing": "draw"}})
    lacking = raw[drawn.values["source_row"] - 1] > 10
    assert 0.05 < lacking.mean() < 0.15
    assert np.array_equal(drawn.values["side"][~lacking], raw[drawn.values["source_row"] - 1][~lacking])
    given = raw[raw <= 10]
    error = given.std() / lacking.sum() ** 0.5
    assert abs(drawn.values["side"][lacking].mean() - given.mean()) < 4 * error
    stated = {"score": {"variable": "score", "missing_codes": [99]}}
    assert set(build(folder, "list.csv", map=stated).values["source_row"]) == {1, 2, 4, 5}


def refused(folder, message, file="ess.sav", **spec):
    with pytest.raises(PopulationError) as caught:
        persona_columns(PopulationSpec(file=file, **spec), base=folder)
    lines = str(caught.value).splitlines()
    assert message in lines, lines


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"variable": "lrscle"},
            "'lrscle' is not a variable of ess.sav; did you mean 'lrscale'? @ population.map.x.variable",
        ),
        (
            {"variable": "lrscale", "range": [0, 8], "to": [0, 1]},
            "outside range = [0, 8]; name what is no answer in missing_codes @ population.map.x.range",
        ),
        (
            {"variable": "agea", "to": [0, 1]},
            "'to' needs the 'range' of the answers that it rescales @ population.map.x.to",
        ),
        ({"variable": "agea", "range": [90, 18]}, "range = [90, 18] does not ascend @ population.map.x.range"),
        (
            {"variable": "agea", "range": [0, 90], "to": [1, 1]},
            "to = [1, 1] makes all answers equal @ population.map.x.to",
        ),
        ({"variable": "cntry", "range": [0, 1]}, "cntry holds texts; a range needs numbers @ population.map.x.range"),
        (
            {"variable": "gndr", "labels": {"Mle": "a"}},
            "'Mle' is no answer to gndr; did you mean 'Male'? @ population.map.x.labels",
        ),
        (
            {"variable": "gndr", "labels": {"1": "a", "2": 2.0}},
            "labels mix numbers and texts; give values of one type @ population.map.x.labels",
        ),
        (
            {"variable": "gndr", "labels": {"1": True}},
            "has no value in labels; add it, or name it in missing_codes @ population.map.x.labels",
        ),
        (
            {"variable": "agea", "range": [0, 99], "labels": {"18": "young"}},
            "'range' and 'labels' are two transformations; keep one @ population.map.x.labels",
        ),
        (
            {"variable": "agea", "missing_codes": ["none"]},
            "'none' is not a number, as agea holds @ population.map.x.missing_codes",
        ),
    ],
)
def test_mappings_that_are_refused(folder, table, message):
    with pytest.raises(PopulationError) as caught:
        persona_columns(PopulationSpec(file="ess.sav", map={"x": table}), base=folder)
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)


def test_answers_outside_are_named_with_their_labels(folder):
    write_sav(folder / "bare.sav", missing_ranges={})
    counts = make_answers()["lrscale"].value_counts()
    n = {int(code): count for code, count in counts.iter_rows()}
    with pytest.raises(PopulationError) as caught:
        persona_columns(PopulationSpec(file="bare.sav", map={"left_right": {"variable": "lrscale"}}), base=folder)
    listed = [f"77 ('Refusal', {n[77]} respondents)", f"88 ('Don't know', {n[88]} respondents)"]
    assert all(words in str(caught.value) for words in listed)
    assert "not in [0, 10], the range of 'left_right'; rescale with range and to" in str(caught.value)
    stated = {"left_right": {"variable": "lrscale", "missing_codes": [77, 88]}}
    assert persona_columns(PopulationSpec(file="bare.sav", map=stated), base=folder)["left_right"].high == 10


def test_duplicate_labels_must_be_told_apart_or_merged(folder):
    labels = {"prtclede": {1: "Other", 2: "Blues", 3: "Other", 66: "Not applicable"}}
    write_sav(folder / "twins.sav", variable_value_labels=labels)
    message = (
        "codes 1 and 3 of prtclede share the label 'Other'; give each its own in labels, or all of them the same one "
        "to merge them @ population.map.party_id.labels"
    )
    refused(folder, message, "twins.sav", map={"party_id": {"variable": "prtclede"}})
    named = {"1": "Reds", "3": "Greens"}
    columns = persona_columns(
        PopulationSpec(file="twins.sav", map={"party_id": {"variable": "prtclede", "labels": named}}), base=folder
    )
    assert columns["party_id"].labels == ("Reds", "Blues", "Greens")
    merged = {"Other": "small parties"}
    columns = persona_columns(
        PopulationSpec(file="twins.sav", map={"party_id": {"variable": "prtclede", "labels": merged}}), base=folder
    )
    assert columns["party_id"].labels == ("small parties", "Blues")


def test_columns_of_the_codebook_are_closed(folder):
    message = (
        "'Male' (code 1 of gndr) is not a value of 'gender'; valid: woman, man, non-binary, other; translate it in "
        "labels @ population.map.gender.labels"
    )
    with pytest.raises(PopulationError) as caught:
        persona_columns(PopulationSpec(file="ess.sav", map={"gender": {"variable": "gndr"}}), base=folder)
    first, second = str(caught.value).splitlines()
    assert first == message
    assert "'Female' (code 2 of gndr)" in second
    columns = persona_columns(PopulationSpec(file="ess.sav", map={"sex": {"variable": "gndr"}}), base=folder)
    assert columns["sex"].labels == ("female", "male", "intersex"), "capital letters do not matter"
    whole = "'age' takes whole numbers, but score = 0.5 (1 respondent)"
    with pytest.raises(PopulationError, match="takes whole numbers") as caught:
        persona_columns(
            PopulationSpec(file="list.csv", map={"age": {"variable": "score", "range": [-1, 100]}}), base=folder
        )
    assert whole.partition("0.5")[0] in str(caught.value)


def test_everything_wrong_is_told_at_once(folder):
    spec = PopulationSpec(
        file="ess.sav",
        weight="cntry",
        keep=["idnr", "agea"],
        map={"agea": {"variable": "agea"}, "source_row": {"variable": "idno"}, "a b": {"variable": "gndr"}},
    )
    with pytest.raises(PopulationError) as caught:
        persona_columns(spec, base=folder)
    assert str(caught.value).splitlines() == [
        "'agea' is mapped and kept; leave it out of one @ population.keep",
        "'source_row' is the column of the respondents' rows; choose another name @ population.map.source_row",
        "'a b' cannot name a column: use letters, digits and underscores, at most 64, not a digit first "
        "@ population.map.a b",
        "'idnr' is not a variable of ess.sav; did you mean 'idno'? @ population.keep",
        "'cntry' holds no numbers, so it cannot be a weight @ population.weight",
    ]


def test_what_belongs_to_a_file_needs_one(folder):
    for part in ({"weight": "w"}, {"keep": ["a"]}, {"map": {"x": {"variable": "v"}}}, {"encoding": "cp1252"}):
        key = next(iter(part))
        with pytest.raises(PopulationError, match=f"'{key}' belongs to a survey file; name it with file @"):
            persona_columns(PopulationSpec(**part))
    with pytest.raises(PopulationError, match=r"no variable of the survey is used; name some in map or keep"):
        persona_columns(PopulationSpec(file="ess.sav"), base=folder)
    with pytest.raises(PopulationError, match="a persona pack and a survey file cannot both say"):
        persona_columns(PopulationSpec(file="ess.sav", personas="town_25", keep=["agea"]), base=folder)
    with pytest.raises(PopulationError, match=r"the survey file 'ess.sav' is not in .*@ population.file"):
        persona_columns(PopulationSpec(file="ess.sav", keep=["agea"]), base=folder / "other")
    with pytest.raises(PopulationError, match=r"another encoding|is not an encoding.*@ population.encoding"):
        persona_columns(PopulationSpec(file="ess.sav", keep=["agea"], encoding="nope"), base=folder)


def test_recipes_and_columns_stand_beside_respondents(folder):
    columns = {
        "vote": {"given": "cntry", "values": ["yes", "no"], "table": {"DE": [1, 0], "FR|PL": [0, 1]}},
        "agea": [30] * 500,
    }
    population = build(folder, size=500, keep=["cntry", "agea"], columns=columns)
    assert (population.values["agea"] == 30).all(), "what the study writes wins"
    is_german = population.decoded("cntry") == "DE"
    assert ((population.decoded("vote") == "yes") == is_german).all()
    assert len(population.columns) == 4 and N == 2000
    with_recipe = build(folder, size=50, keep=["cntry"], map={"age": {"variable": "agea"}}, recipe="adults_generic")
    assert np.array_equal(with_recipe.values["age"], raw_rows(with_recipe)["agea"].to_numpy())
    assert "big5_o" in with_recipe.columns
