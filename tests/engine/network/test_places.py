"""Places where all meet all: cliques by hand, sizes and cells as asked, households with ages that fit."""

import numpy as np
import pytest

from engine.errors import NetworkError, StudyError
from engine.loading import load_study
from engine.network import build_network, expected_ties
from engine.network.places import match_household, tie_places
from engine.population import build_population
from engine.runs.memory import count_expected_ties
from engine.simulation import build_world
from engine.spec import LayerSpec, PopulationSpec

N = 20_000


@pytest.fixture(scope="module")
def city():
    """20,000 people of the city's recipe."""
    return build_population(PopulationSpec(recipe="city_census", size=N), 7)


def layer(population, kind, seed=1, **params):
    """Build one layer."""
    return build_network([LayerSpec(kind=kind, params=params)], population.n, seed, None, population).layer()


def test_places_become_cliques():
    graph = tie_places(np.array([0, 1, 0, -1, 0, 1]))
    assert [graph.neighbours(agent).tolist() for agent in range(6)] == [[2, 4], [5], [0, 4], [], [0, 2], [1]]
    assert graph.n_ties == 4 and graph.indices.dtype == np.uint32
    assert tie_places(np.full(3, -1)).n_ties == 0
    with pytest.raises(NetworkError, match="make the places smaller"):
        tie_places(np.zeros(40_000, np.int64))


def test_only_those_who_match_meet_and_only_within_their_cell(city):
    graph = layer(city, "groups", where="age >= 6 and age < 18", by=["area", "age"], sizes=[20])
    age, area, degree = city.values["age"], city.values["area"], graph.degree()
    pupils = (age >= 6) & (age < 18)
    assert (degree[~pupils] == 0).all() and degree.max() == 19
    source = np.repeat(np.arange(N), degree)
    assert (age[source] == age[graph.indices]).all() and (area[source] == area[graph.indices]).all()
    # Of a cell with m pupils all but m mod 20 are in full classes.
    cells = np.unique(area[pupils] * 100 + age[pupils], return_counts=True)[1]
    assert np.count_nonzero(degree[pupils] == 19) == np.sum(cells - cells % 20)


def test_sizes_of_places_follow_their_weights():
    """Shares of 40,000 people by place size: size x weight, within four standard errors of the drawn places."""
    population = build_population(PopulationSpec(recipe="city_census", size=40_000), 3)
    graph = layer(population, "groups", sizes=[1, 5, 10], weights=[2, 1, 1])
    people = np.bincount(graph.degree(), minlength=10)
    n_places = people[[0, 4, 9]] / np.array([1, 5, 10])
    share = n_places / n_places.sum()
    error = np.sqrt(0.25 / n_places.sum())
    assert np.all(np.abs(share - [0.5, 0.25, 0.25]) < 4 * error + 1e-3)
    ties = expected_ties(LayerSpec(kind="groups", params={"sizes": [1, 5, 10], "weights": [2, 1, 1]}), 40_000)
    assert abs(graph.n_ties / ties - 1) < 0.03


@pytest.mark.parametrize(
    "params",
    [
        {"where": "age >= 6 and age < 18", "by": ["area", "age"], "sizes": [20]},
        {"where": "age >= 18", "sizes": [3, 30], "weights": [0.9, 0.1]},
        {"by": ["area", "age"], "sizes": []},
        {"by": ["area", "age"], "sizes": [60]},
        {"where": "age > 200"},
    ],
)
def test_expected_ties_count_only_those_who_take_part_and_are_alike(city, params):
    """Against the mean of built networks; a sample of a quarter of the people is as good up to its own chance."""
    spec = LayerSpec(kind="groups", params=params)
    built = float(np.mean([layer(city, "groups", seed, **params).n_ties for seed in range(5)]))
    assert expected_ties(spec, N, None, city) == pytest.approx(built, rel=0.05)
    quarter = build_population(PopulationSpec(recipe="city_census", size=N // 4), 3)
    assert expected_ties(spec, N, None, quarter) == pytest.approx(built, rel=0.2)
    assert expected_ties(spec, N) >= 0.95 * built


def test_expected_ties_of_households_follow_their_sizes(city):
    spec = LayerSpec(kind="households", params={"area": "area"})
    assert expected_ties(spec, N, None, city) == pytest.approx(layer(city, "households", area="area").n_ties, rel=0.05)


def test_an_estimate_of_a_study_counts_who_takes_part():
    layers = "{kind='groups',where='age >= 6 and age < 18',by=['area','age'],sizes=[20]}"
    study = load_study("voter", ["population={recipe='city_census',size=4000}", f"network={layers}"])
    built = build_world(study).network.n_ties
    assert count_expected_ties(study, 4000) == pytest.approx(built, rel=0.05)


def test_the_same_seed_gives_the_same_places(city):
    for kind, params in (("groups", {"sizes": [3, 7]}), ("households", {"area": "area"})):
        first, again, other = (layer(city, kind, seed, **params) for seed in (1, 1, 2))
        assert np.array_equal(first.indices, again.indices) and np.array_equal(first.indptr, again.indptr)
        assert not np.array_equal(first.indices, other.indices)


def test_households_have_the_size_that_their_members_name_and_ages_that_fit(city):
    graph = layer(city, "households", area="area")
    age, degree, area = city.values["age"], graph.degree(), city.values["area"]
    assert np.mean(degree + 1 == city.values["hh_size"]) > 0.95
    source, other = np.repeat(np.arange(N), degree), graph.indices
    assert (area[source] == area[other]).all()
    with_adult = np.bincount(source, weights=age[other] >= 18, minlength=N) > 0
    assert with_adult[age < 18].all(), "no minor lives without an adult"
    child_parent = (age[source] < 18) & (age[other] >= 25)
    gap = (age[other] - age[source])[child_parent]
    assert 22 < np.median(gap) < 38 and np.percentile(gap, 1) >= 15
    couples = (degree[source] == 1) & (age[source] >= 25) & (age[other] >= 25)
    assert np.percentile(np.abs(age[source] - age[other])[couples], 95) <= 10


def test_a_household_without_grown_ups_is_still_filled():
    household, count = match_household(np.array([5.0, 7.0, 9.0, 11.0, 13.0]), np.full(5, 0.5), 2, 18)
    assert count == 3 and np.bincount(household).tolist() == [2, 2, 1]
    household, count = match_household(np.array([3.0, 4.0, 5.0, 40.0]), np.full(4, 0.5), 2, 18)
    assert count == 1 and household.tolist() == [0, 0, 0, 0], "one adult leads them all"


def test_what_places_cannot_be_built_on_is_said(city):
    for params, message in (
        ({"by": ["quarter"]}, "by: 'quarter' is not a column of the population"),
        ({"where": "agee > 3"}, "where: .*'agee'.*did you mean 'age'"),
        ({"sizes": [3, 4], "weights": [1]}, "1 weights were given for 2 sizes"),
        ({"sizes": [3], "weights": [0]}, "all weights of the sizes are 0"),
    ):
        with pytest.raises(NetworkError, match=message):
            layer(city, "groups", **params)
    with pytest.raises(NetworkError, match="size: 'area' is a category column"):
        layer(city, "households", size="area")
    with pytest.raises(NetworkError, match="the network needs a population"):
        build_network([LayerSpec(kind="households")], 10, 1)
    with pytest.raises(StudyError, match=r"by: 'ages' is not a column .* did you mean 'age'\? @ network"):
        load_study("epidemic_city", ["network.layers=[{kind='groups', by=['ages']}]"])
