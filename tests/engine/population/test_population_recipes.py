"""Recipes: marginals, tables, draws that do not depend on the size, and everything that a recipe may get wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import PopulationError
from engine.population import build_population, list_recipes, load_recipe, load_schema, persona_columns
from engine.population.tables import parse_interval
from engine.spec import PopulationSpec

N = 40_000
SIGMAS = 4.5


def drawn(columns, n=N, seed=3):
    return build_population(PopulationSpec(size=n, columns=columns), seed)


def check_shares(codes, expected):
    """Compare shares with expected ones, each within 4.5 standard errors of a share."""
    expected = np.asarray(expected, float) / np.sum(expected)
    shares = np.bincount(codes, minlength=expected.size) / codes.size
    error = np.sqrt(expected * (1 - expected) / codes.size)
    np.testing.assert_array_less(np.abs(shares - expected), SIGMAS * error + 1e-12)


def problems_of(columns, n=10):
    with pytest.raises(PopulationError) as caught:
        drawn(columns, n)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipe_loads_states_its_source_and_keeps_to_the_codebook(name):
    recipe = load_recipe(name)
    assert recipe.title and recipe.source.lower().startswith("ours")
    population = build_population(PopulationSpec(recipe=name, size=3000), seed=5)
    assert population.columns == persona_columns(PopulationSpec(recipe=name))
    schema = load_schema()
    for column, values in population.values.items():
        if column in schema and schema[column].column.low is not None:
            low, high = schema[column].column.low, schema[column].column.high
            assert low <= values.min() and values.max() <= high, column
            assert np.unique(values).size > 3, column


def test_adults_follow_the_written_shares_and_tables():
    recipe = load_recipe("adults_generic").tables
    population = build_population(PopulationSpec(recipe="adults_generic", size=N), seed=1)
    values, columns = population.values, population.columns
    age = values["age"]
    check_shares(np.searchsorted(recipe["age"]["edges"], age, side="right") - 1, recipe["age"]["weights"])
    young_women = (age < 25) & (values["sex"] == columns["sex"].labels.index("female"))
    check_shares(values["employment"][young_women], recipe["employment"]["table"]["<25"]["female"])
    check_shares(values["marital"][age >= 80], recipe["marital"]["table"][">=80"])
    retired = values["employment"] == columns["employment"].labels.index("retired")
    masters = values["education"] >= 6
    median = recipe["hh_income"]["table"]["retired"]["*"]["median"]
    logs = np.log(values["hh_income"][retired & masters] / median)
    assert abs(logs.mean()) < SIGMAS * 0.5 / np.sqrt(logs.size)


def test_adults_are_sensible_people():
    population = build_population(PopulationSpec(recipe="adults_generic", size=N), seed=2)
    values, columns = population.values, population.columns
    student = values["occupation"] == columns["occupation"].labels.index("student")
    in_education = values["employment"] == columns["employment"].labels.index("in education")
    np.testing.assert_array_equal(student, in_education)
    assert not (values["employment"][values["age"] >= 75] == columns["employment"].labels.index("in education")).any()
    alone = values["hh_size"] == 1
    married = values["marital"] == columns["marital"].labels.index("married")
    assert not (alone & married).any()
    tenths = np.bincount(values["income_decile"], minlength=11)[1:] / N
    assert np.abs(tenths - 0.1).max() < 0.01
    assert np.corrcoef(values["stubbornness"], values["susceptibility"])[0, 1] < -0.3
    assert np.corrcoef(values["education"], values["hh_income"])[0, 1] > 0.2


@pytest.mark.parametrize("recipe", list_recipes())
def test_an_agents_values_do_not_depend_on_the_size(recipe):
    small = build_population(PopulationSpec(recipe=recipe, size=97), seed=11)
    large = build_population(PopulationSpec(recipe=recipe, size=2113), seed=11)
    for name in small.columns:
        np.testing.assert_array_equal(small.values[name], large.values[name][:97])
    other = build_population(PopulationSpec(recipe=recipe, size=97), seed=12)
    assert any((small.values[name] != other.values[name]).any() for name in small.columns)


def test_a_column_does_not_depend_on_the_others():
    age = {"distribution": "normal", "mean": 40, "sd": 10}
    alone = drawn({"age": age}, 50)
    among = drawn({"x": {"values": ["a", "b"]}, "age": age, "y": {"distribution": "beta", "a": 1, "b": 1}}, 50)
    np.testing.assert_array_equal(alone.values["age"], among.values["age"])
    assert abs(
        np.corrcoef(
            drawn(
                {
                    "u": {"distribution": "uniform", "low": 0, "high": 1},
                    "v": {"distribution": "uniform", "low": 0, "high": 1},
                }
            )
            .frame()
            .select("u", "v")
            .to_numpy()
            .T
        )[0, 1]
    ) < SIGMAS / np.sqrt(N)


def test_two_parents_in_any_order_of_writing():
    columns = {
        "trust": {
            "given": ["group", "age"],
            "distribution": "constant",
            "table": {"a": {"<40": 1.5, ">=40": 2.5}, "b|c": {"*": 3.5}},
        },
        "group": {"values": ["a", "b", "c"]},
        "age": {"distribution": "uniform", "low": 20, "high": 59},
    }
    population = drawn(columns, 4000)
    group, age = population.values["group"], population.values["age"]
    expected = np.where(group > 0, 3.5, np.where(age < 40, 1.5, 2.5))
    np.testing.assert_array_equal(population.values["trust"], expected)
    assert list(population.columns) == ["trust", "group", "age"]


def test_cells_may_hold_other_distributions_and_booleans_may_be_parents():
    columns = {
        "works": {"values": [True, False], "weights": [3, 1]},
        "wage": {
            "given": "works",
            "unit": "EUR",
            "table": {
                "yes": {"distribution": "lognormal", "median": 100, "sigma": 0.5, "high": 1e6},
                "no": 0.0,
            },
        },
    }
    population = drawn(columns)
    works, wage = population.values["works"], population.values["wage"]
    assert works.dtype == bool and not wage[~works].any() and (wage[works] > 0).all()
    check_shares(works.astype(int), [1, 3])
    assert population.columns["wage"].unit == "EUR" and population.columns["wage"].high == 1e6


def test_intervals_include_the_lower_bound_only():
    columns = {"k": {"values": [1, 2, 3]}, "w": {"given": "k", "table": {"<2": "low", "2..3": "mid", ">=3": "high"}}}
    population = drawn(columns, 300)
    assert population.columns["w"].labels == ("low", "mid", "high")
    np.testing.assert_array_equal(population.values["w"], population.values["k"] - 1)


@pytest.mark.parametrize(
    ("key", "bounds"),
    [("<25", (-np.inf, 25)), (">= -1.5", (-1.5, np.inf)), ("-2..-1", (-2, -1)), ("0.2..0.4", (0.2, 0.4))],
)
def test_interval_keys(key, bounds):
    assert parse_interval(key) == bounds


@pytest.mark.parametrize("key", ["", "25", "a..b", "<", ">=x", ">5", "1-2"])
def test_keys_that_are_no_interval(key):
    assert parse_interval(key) is None


AGE = {"distribution": "uniform", "low": 18, "high": 90}
BAD_COLUMNS = [
    (
        {"a": {"given": "b", "table": {"<1": 1, ">=1": 2}}, "b": {"given": "a", "table": {"<1": 1, ">=1": 2}}},
        "circle: a -> b -> a",
    ),
    ({"a": {"given": "a", "table": {"*": 1}}}, "circle: a -> a"),
    ({"age": AGE, "x": {"given": "aged", "table": {"*": 1}}}, "'aged' is not a column; did you mean 'age'"),
    ({"x": {"values": ["a", "b"], "weights": [0, 0]}}, "the weights sum to 0; at least one must be above 0"),
    ({"x": {"values": ["a", "b"], "weights": [1]}}, "weights: 2 are needed, one per value or bin, 1 given"),
    ({"x": {"values": ["a", "b"], "weights": [2, -1]}}, "weight -1 is not a finite number of at least 0"),
    ({"x": {"values": ["a", "b"], "weights": [float("inf"), 1]}}, "weight inf is not a finite number"),
    ({"x": {"values": ["a", "b"], "weights": "heavy"}}, "'heavy' given"),
    ({"x": {"values": ["a", "a"]}}, "'a' stands twice"),
    ({"x": {"values": []}}, "needs 'values', a list that is not empty"),
    ({"x": {"values": [[1]]}}, "is not a number, a boolean or a text"),
    ({"x": {"value": {"a": 1}}}, "is not a number, a boolean or a text"),
    ({"x": {}}, "needs 'values'"),
    ({"x": {"distribution": "norml", "mean": 1, "sd": 1}}, "'norml' is not a distribution; did you mean 'normal'"),
    ({"x": {"distribution": 5}}, "5 is not a distribution"),
    ({"x": {"distribution": "normal", "mean": 1}}, "normal needs 'sd' @ population.columns.x"),
    ({"x": {"distribution": "normal", "mean": 1, "sd": 0}}, "sd = 0 is not a finite number above 0"),
    ({"x": {"distribution": "normal", "mean": "m", "sd": 1}}, "mean = 'm' is not a finite number"),
    ({"x": {"distribution": "normal", "mean": 1, "sd": 1, "maen": 2}}, "'maen' is not a parameter of normal"),
    ({"x": {"distribution": "uniform", "low": 2, "high": 1}}, "low = 2 lies above high = 1"),
    ({"x": {"distribution": "histogram", "edges": [1, 1], "weights": [1]}}, "not at least two ascending numbers"),
    ({"age": {"distribution": "uniform", "low": 0, "high": 200}}, "uniform: 200 is not in [0, 110]"),
    ({"age": {"distribution": "normal", "mean": 40, "sd": 9, "low": -4}}, "normal: -4 is not in [0, 110]"),
    ({"age": {"values": [20, 300]}}, "value 2: age = 300 is not in [0, 110]"),
    ({"sex": {"values": ["female", "f"]}}, "sex = 'f' is not one of 'female', 'male', 'intersex'"),
    ({"sex": {"distribution": "normal", "mean": 0, "sd": 1}}, "column 'sex' takes no numbers"),
    ({"x": {"values": ["a", 1]}}, "column 'x' mixes numbers and texts"),
    ({"age": AGE, "x": {"given": "age", "table": {"<30": 1, "40..50": 2}}}, "no row for '30..40', '>=50' of age"),
    ({"age": AGE, "x": {"given": "age", "table": {"<30": 1, "20..50": 2, ">=50": 3}}}, "'<30' and '20..50' overlap"),
    ({"age": AGE, "x": {"given": "age", "table": {"young": 1, "*": 2}}}, "'young' is not an interval"),
    ({"s": {"values": ["a", "b"]}, "x": {"given": "s", "table": {"a": 1}}}, "no row for 'b' of s"),
    ({"s": {"values": ["abc", "b"]}, "x": {"given": "s", "table": {"abd": 1, "*": 1}}}, "did you mean 'abc'"),
    ({"s": {"values": ["a", "b"]}, "x": {"given": "s", "table": {"a": 1, "a|b": 1}}}, "'a' stands in the table twice"),
    ({"bio": {"value": "Hm."}, "x": {"given": "bio", "table": {"*": 1}}}, "'bio' is a text column"),
    ({"age": AGE, "x": {"given": "age"}}, "'given' and a 'table' that is not empty belong together"),
    ({"age": AGE, "x": {"table": {"*": 1}}}, "'given' and a 'table'"),
    ({"age": AGE, "x": {"given": "age", "table": {}}}, "'given' and a 'table'"),
    ({"x": {"given": ["a", "b", "c", "d", "e"], "table": {"*": 1}}}, "is not one to four different column names"),
    ({"x": {"given": 3, "table": {"*": 1}}}, "is not one to four different column names"),
    ({"age": AGE, "s": {"values": ["a"]}, "x": {"given": ["age", "s"], "table": {"*": 1}}}, "is not a table"),
    ({"age": {"distribution": "uniform", "low": 18.2, "high": 18.8}}, "no whole number in [18.2, 18.8]"),
    (
        {"x": {"distribution": "truncated_normal", "mean": 0, "sd": 1, "low": 50, "high": 60}},
        "too far from the mean",
    ),
    ({"x": {"values": ["a", "b"], "kind": "integer"}}, "kind = 'integer' does not fit values of kind category"),
]


@pytest.mark.parametrize(("columns", "message"), BAD_COLUMNS, ids=[message[:40] for _, message in BAD_COLUMNS])
def test_each_mistake_is_named_with_its_key(columns, message):
    lines = problems_of(columns)
    assert any(message in line for line in lines)
    assert all("circle" in line or "population.columns." in line for line in lines)
    with pytest.raises(PopulationError):
        persona_columns(PopulationSpec(size=10, columns=columns))


def test_numbers_beyond_the_columns_type_are_refused_when_drawn():
    for kind, median in (("float", 1e300), ("integer", 1e30)):
        lines = problems_of({"x": {"distribution": "lognormal", "median": median, "sigma": 99, "kind": kind}})
        assert "more than the column holds" in lines[0] and "population.columns.x" in lines[0]


def test_all_mistakes_of_a_recipe_at_once(tmp_path: Path):
    (tmp_path / "recipes").mkdir()
    text = '[columns.age]\ndistribution = "normal"\nmean = 4\n[columns."q q"]\n'
    text += '[columns.x]\ngiven = "y"\ntable = { "*" = 1 }\n'
    (tmp_path / "recipes" / "bad.toml").write_text(f"colour = 1\n{text}", "utf-8")
    with pytest.raises(PopulationError) as caught:
        load_recipe("bad", tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4 and all("bad.toml" in line for line in lines)
    with pytest.raises(PopulationError, match="normal needs 'sd'"):
        build_population(PopulationSpec(recipe="bad"), 1, folder=tmp_path)


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(
        PopulationError, match=r"'vilagers' is not a recipe; did you mean 'villagers'.*population.recipe"
    ):
        build_population(PopulationSpec(recipe="vilagers"), 1)


def test_children_follow_the_column_that_wins():
    spec = PopulationSpec(size=200, recipe="adults_generic", columns={"age": {"value": 83}})
    population = build_population(spec, 4)
    assert (population.values["age"] == 83).all()
    labels = population.columns["employment"].labels
    seen = {labels[code] for code in population.values["employment"]}
    assert "retired" in seen and seen <= {"retired", "homemaker", "self-employed", "employed part time"}


def test_override_that_leaves_the_table_is_refused():
    spec = PopulationSpec(recipe="adults_generic", columns={"sex": ["female", "intersex"]})
    with pytest.raises(PopulationError, match=r"no row for 'intersex' of sex.*columns.gender.table"):
        build_population(spec, 4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=6), st.integers(0, 2**32))
def test_outcomes_without_weight_never_occur(weights, seed):
    values = [f"v{index}" for index in range(len(weights))]
    columns = {"x": {"values": values, "weights": weights}}
    if not sum(weights) > 0:
        assert "sum to" in problems_of(columns)[0]
        return
    population = drawn(columns, 200, seed)
    assert all(weights[code] > 0 for code in population.values["x"])


@pytest.mark.timeout(60)
def test_a_million_agents_take_seconds():
    population = build_population(PopulationSpec(recipe="adults_generic", size=1_000_000), 1)
    frame = population.frame()
    assert frame.height == 1_000_000 and frame.width == 25
