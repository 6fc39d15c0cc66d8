"""Households and evenly spread traits: their laws, their plausibility and what is refused."""

import numpy as np
import polars as pl
import pytest

from engine.errors import PopulationError
from engine.population import build_population, describe_fit, load_schema
from engine.population.households import ROLES
from engine.spec import PopulationSpec

SIZES = {"1": 40, "2": 30, "3": 15, "4": 15}


def people_of(n=20_000, **changes):
    spec = PopulationSpec(**{"recipe": "adults_generic", "size": n, "households": {"sizes": SIZES}} | changes)
    return spec, build_population(spec, 11)


@pytest.fixture(scope="module")
def housed():
    return people_of()


def test_household_sizes_have_their_shares(housed):
    spec, people = housed
    _, first, counts = np.unique(people.values["household_id"], return_index=True, return_counts=True)
    assert np.array_equal(people.values["hh_size"][first], counts), "hh_size counts the people who live there"
    error = np.sqrt(0.25 / counts.size)
    for size, share in SIZES.items():
        assert abs((counts == int(size)).mean() - share / 100) < 4.5 * error, size
    report = describe_fit(spec, people, 11)
    assert set(report.frame.filter(report.frame["column"] == "hh_size")["label"]) == set(SIZES)
    assert any("Households have the given sizes" in note for note in report.notes)


def test_ages_fit_within_a_household(housed):
    _, people = housed
    frame = people.frame()
    child, parent = (pl.col("age").filter(pl.col("household_role") == role) for role in ("child", "parent"))
    roles = frame.group_by("household_id").agg(oldest_child=child.max(), youngest_parent=parent.min())
    roles = roles.drop_nulls()
    gap = (roles["youngest_parent"] - roles["oldest_child"]).to_numpy()
    assert gap.size > 500 and gap.min() >= 18 and gap.max() <= 60
    assert frame.filter(frame["household_role"] != "child")["age"].min() >= 18
    assert frame.filter(frame["household_role"] == "child")["age"].max() <= 24


def test_couples_share_their_partnership_and_children_go_to_school(housed):
    _, people = housed
    frame = people.frame()
    partners = frame.filter(frame["household_role"] == "partner")
    assert partners.group_by("household_id").n_unique()["marital"].max() == 1
    assert set(partners["marital"]) <= {"married", "living with a partner"}
    children = frame.filter((frame["household_role"] == "child") & (frame["age"] < 16))
    assert set(children["marital"]) == {"single"} and set(children["employment"]) == {"in education"}
    assert set(children.filter(children["age"] < 12)["education"]) == {"no primary school"}
    alone = frame.filter(frame["hh_size"] == 1)
    assert not {"married", "living with a partner"} & set(alone["marital"])


def test_all_but_the_last_household_stay_when_the_population_grows(housed):
    _, people = housed
    _, fewer = people_of(999)
    last = fewer.values["household_id"] < fewer.values["household_id"].max()
    for name in ("household_id", "age", "household_role", "marital"):
        assert np.array_equal(fewer.values[name][last], people.values[name][:999][last]), name
    assert set(people.columns["household_role"].labels) == set(ROLES)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"households": {"sizes": {"1": 0.5}}}, "sum to 0.5; they must sum to 1 or 100"),
        ({"households": {"sizes": {"0": 1.0}}}, "'0' is not a number of people from 1 to 20"),
        ({"households": {"sizes": {"1": 1}, "couples": 0.8, "single_parents": 0.3}}, "together, above 1"),
        ({"recipe": None, "personas": "town_25"}, "has given values, but households give it"),
    ],
)
def test_impossible_households_are_refused(changes, told):
    with pytest.raises(PopulationError, match=told):
        people_of(100, **changes)


@pytest.mark.parametrize("method", ["sobol", "halton"])
def test_spread_traits_cover_their_range_better_than_chance(method):
    spec = PopulationSpec(
        recipe="adults_generic", size=512, spread={"columns": ["moral_care", "trust_general", "sex"], "method": method}
    )
    people = build_population(spec, 3)
    values = np.sort(people.values["moral_care"] / 5)  # not in the recipe: even over the codebook's range
    gap = np.abs(values - (np.arange(512) + 0.5) / 512).max()
    assert gap < 0.25 * 0.8687 / np.sqrt(512), "a quarter of what chance would leave (Kolmogorov's mean)"
    assert abs((people.values["sex"] == 0).mean() - 0.51) < 0.01, "a column of the recipe keeps its distribution"
    more = build_population(spec.model_copy(update={"size": 700}), 3)
    assert np.array_equal(more.values["moral_care"][:512], people.values["moral_care"])
    notes = " ".join(describe_fit(spec, people, 3).notes)
    assert "resemble no population" in notes


def test_what_cannot_be_spread_is_refused():
    for columns, told in ((["bio"], "no range"), (["agge"], "did you mean 'age'"), (["age", "age"], "stands twice")):
        spec = PopulationSpec(recipe="adults_generic", size=10, spread={"columns": columns})
        with pytest.raises(PopulationError, match=told):
            build_population(spec, 1)
    town = PopulationSpec(personas="town_25", spread={"columns": ["age"]})
    with pytest.raises(PopulationError, match="has given values"):
        build_population(town, 1)
    assert load_schema()["age"].column.high == 110
