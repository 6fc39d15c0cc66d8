"""The page People: filters and tables, the grid, shares, instruments, drafting; without a browser."""

import json

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

import app
from app.composer.everyone import everyone_frame, everyone_of, find_matching, grouped, two_way
from app.composer.people_editing import change_pack, duplicate_person, fill_down, read_rows, replace_rows
from app.composer.people_shares import read_table
from app.composer.people_tables import find_circle, first_grid, look_over, put_table, read_grid
from app.drafts import Draft
from engine.errors import ExpressionError, PopulationError
from engine.population import load_pack, pack_tables, write_pack
from engine.runs import open_workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(tmp_path / "w"))
    return open_workspace(tmp_path / "w")


@pytest.fixture
def draft(workspace):
    made = Draft.new(workspace.studies, "bounded_confidence")
    made.put("population", {"recipe": "adults_generic", "size": 400})
    return made


def open_page(draft, tab):
    test = AppTest.from_file(app.__path__[0] + "/main.py", default_timeout=60)
    test.query_params["study"] = draft.name
    test.query_params["tab"] = tab
    test.run()
    test.query_params["study"] = draft.name
    test.query_params["tab"] = tab
    test.switch_page("views/people.py").run()
    assert not test.exception, test.exception
    return test


def words(test):
    kinds = ("markdown", "caption", "error", "text", "subheader")
    return " ".join(str(element.value) for kind in kinds for element in test.get(kind))


def test_every_part_opens_with_a_recipe_a_pack_and_without_a_study(draft, workspace):
    for population in ({"recipe": "adults_generic", "size": 300}, {"personas": "town_25"}):
        draft.put("population", population)
        for tab in ("look", "edit", "shares", "fit", "instruments", "draft"):
            test = open_page(draft, tab)
            assert not test.error, (tab, test.error)
    assert "Relations" not in words(open_page(draft, "look"))
    empty = AppTest.from_file(app.__path__[0] + "/main.py", default_timeout=60).run()
    empty.switch_page("views/people.py").run()
    assert not empty.exception


def test_a_person_of_a_pack_has_card_and_relations(draft):
    draft.put("population", {"personas": "town_25"})
    told = words(open_page(draft, "look"))
    assert "Agnes Holloway" in told and "Dorothy Pike" in told and "family" in told
    assert "25 people" in told


def test_filters_are_conditions_or_words(draft):
    people, frame = everyone_of(draft), everyone_frame(draft)
    older = find_matching(people, frame, "age > 60 and sex == 'female'")
    assert 0 < older.height < 400 and older["age"].min() > 60 and set(older["sex"]) == {"female"}
    word = find_matching(people, frame, "retired")
    assert word.height and set(word["employment"]) == {"retired"}
    assert find_matching(people, frame, "").height == 400
    with pytest.raises(ExpressionError, match="agee"):
        find_matching(people, frame, "agee > 3")


def test_two_way_tables_are_shares_of_each_row(draft):
    people, frame = everyone_of(draft), everyone_frame(draft)
    table = two_way(people, frame, "age", "sex")
    assert np.allclose(table.select(pl.sum_horizontal(table.columns[1:-1])).to_series(), 1)
    assert table["people"].sum() == 400
    by_hand = frame.filter((pl.col("age") >= 18) & (pl.col("age") <= 24))
    row = table.filter(pl.col("age") == "between 18 and 24 years")
    assert row["people"].item() == by_hand.height
    assert row["female"].item() == pytest.approx((by_hand["sex"] == "female").mean())
    assert grouped(people, frame, "big5_o").len() == 400


def test_the_grid_writes_a_pack_and_refuses_what_a_column_does_not_allow(draft, workspace):
    people = everyone_of(draft)
    write_pack("mine", pack_tables(people, title="mine", source="test", rows=np.arange(5)), workspace.personas)
    draft.put("population", {"personas": "mine"})
    change_pack(draft, "mine", lambda content: content["people"][0].update(age=33))
    change_pack(draft, "mine", lambda content: fill_down(content, 0, "age"))
    assert set(load_pack("mine", workspace.personas).parts["age"].values) == {33}
    change_pack(draft, "mine", lambda content: duplicate_person(content, 1))
    assert load_pack("mine", workspace.personas).n == 6
    with pytest.raises(PopulationError, match=r"age = 300 is not in \[0, 110\]"):
        change_pack(draft, "mine", lambda content: content["people"][0].update(age=300))
    assert load_pack("mine", workspace.personas).parts["age"].values[0] == 33, "the file stays as it was"
    assert open_page(draft, "edit").button(key="pack_undo").disabled


def test_a_pack_of_many_is_edited_page_by_page(draft, workspace):
    people = everyone_of(draft)
    write_pack("many", pack_tables(people, title="many", source="test", rows=np.arange(400)), workspace.personas)
    draft.put("population", {"personas": "many"})
    test = open_page(draft, "edit")
    test.number_input(key="pack_page_2").set_value(2).run()
    assert not test.exception
    rows = [{"age": 50}] * 100
    change_pack(draft, "many", lambda content: replace_rows(
        content, [{**old, **new} for old, new in zip(content["people"][300:], rows, strict=True)], 300))  # fmt: skip
    ages = load_pack("many", workspace.personas).parts["age"].values
    assert len(ages) == 400 and set(ages[300:]) == {50}
    assert ages[:300].tolist() == people.values["age"][:300].tolist()


def test_rows_added_in_the_grid_take_the_first_persons_values():
    shown = [{"display_name": "A", "age": 3, "bio": "x"}]
    assert read_rows(pl.DataFrame(shown), shown) is None
    rows = [*shown, {"display_name": None, "age": 7, "bio": None}, dict.fromkeys(shown[0])]
    assert read_rows(pl.DataFrame(rows), shown) == [shown[0], {"display_name": "Person 2", "age": 7, "bio": "x"}]


def test_a_pasted_table_becomes_targets():
    given = "column\tvalue\tshare\ngender\twoman\t50,7 %\ngender\tman\t49,3\nage\t<30\t20\n"
    assert read_table(given) == {"gender": {"woman": 50.7, "man": 49.3}, "age": {"<30": 20.0}}
    assert read_table("age,<30,0.2\nage,>=30,0.8") == {"age": {"<30": 0.2, ">=30": 0.8}}
    with pytest.raises(PopulationError, match="row 2 is not column, value, share"):
        read_table("a,b,1\nnonsense")
    with pytest.raises(PopulationError, match="stands twice"):
        read_table("a,b,1\na,b,2")


def test_a_conditional_table_of_two_parents_goes_through_the_grid(draft):
    people = everyone_of(draft)
    keys = {"sex": list(people.columns["sex"].labels), "age": ["<40", ">=40"]}
    grid = first_grid({}, "marital", people.columns, keys, people)
    assert grid.columns[:2] == ["sex is", "age is"] and grid.height == 6
    assert np.allclose(grid.drop("sex is", "age is").sum_horizontal(), 1, atol=1e-3)
    frame = everyone_frame(draft).filter((pl.col("sex") == "female") & (pl.col("age") < 40))
    row = grid.filter((pl.col("sex is") == "female") & (pl.col("age is") == "<40"))
    assert row["married"].item() == pytest.approx((frame["marital"] == "married").mean(), abs=1e-3)
    assert look_over(grid, ["sex", "age"], people.columns) == ([], [])
    table = read_grid(grid, ["sex", "age"])
    put_table(draft, "marital", table)
    assert first_grid(table, "marital", people.columns, keys).equals(grid)
    assert draft.check()[1] == ()
    only = {label: float(label == "widowed") for label in grid.columns[2:]}
    for key, value in only.items():
        grid = grid.with_columns(pl.when((pl.col("sex is") == "male") & (pl.col("age is") == ">=40"))
                                 .then(value).otherwise(pl.col(key)).alias(key))  # fmt: skip
    put_table(draft, "marital", read_grid(grid, ["sex", "age"]))
    told = everyone_frame(draft).filter((pl.col("sex") == "male") & (pl.col("age") >= 40))["marital"]
    assert set(told) == {"widowed"}
    assert not open_page(draft, "shares").exception


def test_a_grid_says_what_is_missing_double_or_sums_to_something_else(draft):
    columns = everyone_of(draft).columns
    keys = {"sex": list(columns["sex"].labels), "age": ["<40", ">=40"]}
    grid = first_grid({}, "marital", columns, keys)
    given = ["sex", "age"]
    assert look_over(grid.slice(1), given, columns)[0] == [
        "no row for '<40' of age in [0, 110]; add one, or '*' for all others where sex female"
    ]
    assert "no row for 'female' of sex" in look_over(grid.slice(2), given, columns)[0][0]
    assert look_over(pl.concat([grid, grid.head(1)]), given, columns)[0] == [
        "two rows stand for the same values; delete one of them"
    ]
    wrong, told = look_over(grid.with_columns(single=pl.lit(0.5)), given, columns)
    assert not wrong and len(told) == 1 and "sex female, age <40 to 1.3" in told[0] and "and 3 more rows" in told[0]
    zero = grid.with_columns(pl.lit(0.0).alias(name) for name in grid.columns[2:])
    assert "all shares are 0" in look_over(zero, given, columns)[0][0]
    empty = grid.with_columns(pl.lit(None, pl.String).alias("age is"))
    assert "age (empty)" in look_over(empty, given, columns)[0][0]
    held = {"sex": {"given": "marital", "values": ["female"], "table": {"*": [1]}}}
    assert "marital -> sex -> marital" in find_circle(held, "marital", given)
    draft.put("population.columns", {**held, "marital": {"given": "sex", "values": ["single"], "table": {"*": [1]}}})
    assert "depend on each other in a circle" in words(open_page(draft, "shares")).replace("\\", "")


def test_targets_are_added_and_problems_stand_beside_them(draft):
    test = open_page(draft, "shares")
    test.selectbox(key="rake_column").set_value("sex").run()
    test.button(key="rake_add").click().run()
    assert not test.exception
    held = Draft.open(draft.path).table("population.rake.targets")
    assert list(held) == ["sex"] and sum(held["sex"].values()) == pytest.approx(100, abs=0.1)
    wrong = Draft.open(draft.path)
    wrong.put("population.rake.targets", {"sex": {"female": 0.3, "male": 0.3}})
    assert "sum to 0" in words(open_page(wrong, "shares")).replace("\\", "")


def test_drafting_with_the_scripted_model_lists_what_is_not_usable(draft, workspace):
    draft.put("model", {"file": "scripted"})
    test = open_page(draft, "draft")
    test.text_area(key="draft_description").input("Nurses of a small hospital").run()
    test.number_input(key="draft_count").set_value(2).run()
    test.button(key="draft_go").click().run()
    assert not test.exception and not test.error, [error.value for error in test.error]
    pack = load_pack("drafted_people", workspace.personas)
    assert pack.n == 2 and {column.provenance for column in pack.columns.values()} == {"model"}
    assert "left empty" in words(test).replace("\\", "")
    test.button(key="draft_use").click().run()
    assert Draft.open(draft.path).get("population.personas") == "drafted_people"


def test_own_item_texts_are_taken_over(draft, workspace):
    test = open_page(draft, "instruments")
    test.selectbox(key="instrument").set_value("bfi_2_s").run()
    area = next(area for area in test.text_area if "One item a line" in area.label)
    area.input("\n".join(f"{n}. text {n}" for n in range(1, 31))).run()
    test.button(key="take_texts").click().run()
    assert not test.exception
    held = (workspace.personas / "instruments" / "bfi_2_s_texts.toml").read_text()
    assert "text 30" in held and json.dumps("text 1") in held


def test_a_long_list_is_paged_and_ordered(draft):
    draft.put("population.size", 1200)
    test = open_page(draft, "look")
    test.selectbox(key="people_order").set_value("age").run()
    test.number_input(key="people_page_3").set_value(3).run()
    assert not test.exception
    ages = test.dataframe[0].value["age"]
    assert len(ages) == 200 and ages.is_monotonic_increasing
    assert ages.iloc[-1] == everyone_frame(draft)["age"].max()
