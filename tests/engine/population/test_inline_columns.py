"""Columns written in the study: types, sizes, precedence, and what is refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from engine.errors import PopulationError
from engine.population import Column, Population, build_population, persona_columns
from engine.population.schema import MAX_CATEGORIES
from engine.spec import PopulationSpec


def built(columns, **spec):
    return build_population(PopulationSpec(columns=columns, **spec), seed=2)


@pytest.mark.parametrize(
    ("given", "kind", "dtype"),
    [
        ([True, False, True], "boolean", "bool"),
        ([3, 1, 2], "integer", "int64"),
        ([3, 1.5, 2], "float", "float64"),
        (["Mr. Hi", "Officer", "Mr. Hi"], "category", "int16"),
        ([f"text {index}" for index in range(MAX_CATEGORIES + 1)], "text", "object"),
    ],
)
def test_unknown_columns_are_kept_with_an_inferred_type(given, kind, dtype):
    population = built({"q": given})
    column = population.columns["q"]
    assert (column.kind, column.dtype) == (kind, dtype)
    assert population.values["q"].dtype == np.dtype(dtype)
    assert population.n == len(given)
    assert (
        population.frame()["q"].cast(pl.String if kind in ("category", "text") else None or pl.Object).to_list()
        == (given)
        if kind in ("category", "text")
        else population.frame()["q"].to_list() == given
    )
    assert persona_columns(PopulationSpec(columns={"q": given})) == population.columns


def test_categories_keep_the_order_of_first_appearance():
    population = built({"club": ["Officer", "Mr. Hi", "Officer"]})
    assert population.columns["club"].labels == ("Officer", "Mr. Hi")
    assert population.values["club"].tolist() == [0, 1, 0]


def test_known_columns_take_the_codebooks_type():
    population = built(
        {"age": [30.0, 41], "big5_e": [1, 5], "sex": ["male", "female"], "occupation": ["smith", "cook"]}
    )
    assert population.values["age"].dtype == np.int64
    assert population.values["big5_e"].dtype == np.float64
    assert population.columns["sex"].labels == ("female", "male", "intersex")
    assert population.values["sex"].tolist() == [1, 0]
    assert population.columns["occupation"].labels == ("smith", "cook")
    assert population.columns["occupation"].help == "Present or last occupation."


def test_single_values_hold_for_everyone():
    population = built({"age": 40, "club": "chess", "member": True, "score": 0.5}, size=3)
    assert [row[1:] for row in population.frame().rows()] == [(40, "chess", True, 0.5)] * 3
    assert population.columns["member"].kind == "boolean"


def test_size_comes_from_the_study_the_lists_the_pack_or_the_default():
    assert built({"q": [1, 2]}).n == 2
    assert built({"q": 1}, size=5).n == 5
    assert built({"q": 1}, personas="town_25").n == 25
    assert build_population(PopulationSpec(), 1, default_size=9).n == 9
    assert build_population(PopulationSpec(size=4), 1).frame().columns == ["agent_id"]


def test_inline_wins_over_pack_and_pack_over_recipe():
    spec = PopulationSpec(recipe="villagers", personas="town_25", columns={"stubbornness": 0.5, "own": 1}, size=30)
    population = build_population(spec, 1)
    assert (population.values["stubbornness"] == 0.5).all()
    assert population.values["age"][:3].tolist() == [84, 17, 46]
    assert {"land", "bio", "own", "persona"} <= set(population.columns)
    assert persona_columns(spec) == population.columns


def test_recipe_columns_condition_on_given_lists():
    table = {"smith": {"value": 1}, "cook": {"value": 2}}
    population = built({"trade": ["smith", "cook", "cook"], "tools": {"given": "trade", "table": table}})
    assert population.values["tools"].tolist() == [1, 2, 2]


def test_table_rows_for_values_that_a_list_happens_to_lack_are_no_mistake():
    spec = PopulationSpec(recipe="villagers", columns={"occupation": ["farmer", "day labourer", "herder"]})
    land = build_population(spec, 1).values["land"]
    assert land[1] == 0 and (land[[0, 2]] > 0).all()
    table = {"smyth": {"value": 1}, "cook": {"value": 2}}
    with pytest.raises(PopulationError, match="no row for 'smith' of trade"):
        built({"trade": ["smith", "cook"], "tools": {"given": "trade", "table": table}})


@pytest.mark.parametrize(
    ("columns", "size", "message"),
    [
        ({"q": []}, None, "the list is empty"),
        ({"q": [1, 2]}, 3, "2 values were given for 3 agents; the list needs one per agent @ population.columns.q"),
        (
            {"q": [1, 2], "r": [1]},
            None,
            "1 values were given for 2 agents; the list needs one per agent @ population.colu",
        ),
        ({"q": [1, "a"]}, None, "column 'q' mixes numbers and texts; give values of one type @ population.columns.q"),
        ({"q": [True, 1]}, None, "mixes booleans and numbers"),
        ({"q": [[1], [2]]}, None, "mixes values of type list"),
        ({"q": [1.0, float("nan")]}, None, "row 1: q = nan is not a finite number"),
        ({"q": [1, 2**63]}, None, "is not a whole number below 2^63"),
        ({"q": ["x" * 201, "b"]}, None, "row 0: q has 201 characters, at most 200 are allowed"),
        ({"bio": ["x" * 601]}, None, "row 0: bio has 601 characters, at most 600 are allowed"),
        ({"age": [10, 111]}, None, "row 1: age = 111 is not in [0, 110] @ population.columns.age"),
        ({"age": 111}, 3, "age = 111 is not in [0, 110] @ population.columns.age"),
        ({"Agent_ID": [1]}, None, "is a name that the engine keeps for itself"),
        ({"persona": [1]}, None, "is a name that the engine keeps for itself"),
        ({"a.b": [1]}, None, "cannot name a column"),
        ({"a": [1], "A": [2]}, None, "differ only in capital letters"),
        ({"q": None}, 3, "is not a number, a boolean or a text"),
    ],
)
def test_bad_columns_are_refused(columns, size, message):
    with pytest.raises(PopulationError) as caught:
        built(columns, size=size)
    assert message in str(caught.value)


@pytest.mark.parametrize("size", [0, -1])
def test_empty_populations_are_refused(size):
    with pytest.raises(PopulationError, match="is empty"):
        build_population(PopulationSpec(), 1, default_size=size)
    with pytest.raises(PopulationError, match="is empty"):
        build_population(PopulationSpec.model_construct(size=0, columns={}, recipe=None, personas=None), 1)
    with pytest.raises(PopulationError, match="is empty"):
        Population(size)


def test_frame_of_some_agents_in_the_asked_order():
    population = built({"club": ["a", "b", "c"], "note": "x", "k": [5, 6, 7]})
    frame = population.frame(np.array([2, 0, 2]))
    assert frame.rows() == [(2, "c", "x", 7), (0, "a", "x", 5), (2, "c", "x", 7)]
    assert frame.schema["club"] == pl.Enum(["a", "b", "c"])
    assert population.frame(np.array([], dtype=np.int64)).height == 0
    with pytest.raises(PopulationError, match="agent ids go from 0 to 2; -1 to 3"):
        population.frame(np.array([-1, 3]))


def test_added_columns_are_checked():
    population = Population(3)
    population.add("x", Column("float", "float64", low=0, high=1), np.array([0, 1, 0]))
    assert population.values["x"].dtype == np.float64
    bad = [
        (Column("float", "float64"), np.zeros(4), "has shape (4,); (3,) is needed"),
        (Column("float", "float64"), np.array([0, np.nan, 1]), "are not in (-inf, inf)"),
        (Column("float", "float64", low=0, high=1), np.array([0, 2, 1]), "values from 0 to 2 are not in [0, 1]"),
        (Column("category", "int16", labels=("a",)), np.array([0, 1, 0]), "has 1 labels; codes 0 to 1 were given"),
        (Column("integer", "int64"), np.array(["a", "b", "c"]), "where numbers are needed"),
        (Column("text", "object"), np.array(["a", 1, "c"], dtype=object), "holds 1, which is not a text"),
    ]
    for column, array, message in bad:
        with pytest.raises(PopulationError) as caught:
            population.add("y", column, array)
        assert message in str(caught.value)
    assert list(population.columns) == ["x"]
