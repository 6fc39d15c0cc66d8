"""Raking: closed forms, invariance, its limits, and populations that are drawn to match shares."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from survey_files import write_sav

from engine.errors import PopulationError
from engine.population import build_population, describe_fit
from engine.population.raking import Marginal, rake
from engine.spec import PopulationSpec


def marginal(name, shares, codes):
    return Marginal(name, tuple(map(str, range(len(shares)))), np.array(shares, float), np.asarray(codes, np.int64))


def test_one_marginal_is_poststratification():
    # Weights become share / observed share within each cell (Deming and Stephan 1940, one margin).
    codes = np.array([0] * 30 + [1] * 70)
    found = rake([marginal("sex", [0.5, 0.5], codes)], np.ones(100))
    assert found.is_converged and found.rounds == 1
    assert np.allclose(found.weights, np.where(codes == 0, 0.5 / 0.3, 0.5 / 0.7))


def test_two_marginals_keep_the_odds_ratio_of_the_table():
    # The raked table has the odds ratio of the first one: rows and columns are only rescaled.
    table = np.array([[40, 10], [20, 30]])
    rows, columns = np.repeat([0, 0, 1, 1], table.ravel()), np.repeat([0, 1, 0, 1], table.ravel())
    found = rake([marginal("a", [0.3, 0.7], rows), marginal("b", [0.6, 0.4], columns)], np.ones(100), tolerance=1e-12)
    raked = np.array([[found.weights[(rows == i) & (columns == j)].sum() for j in (0, 1)] for i in (0, 1)]) / 100
    assert np.allclose(raked.sum(axis=1), [0.3, 0.7]) and np.allclose(raked.sum(axis=0), [0.6, 0.4])
    assert raked[0, 0] * raked[1, 1] / (raked[0, 1] * raked[1, 0]) == pytest.approx(40 * 30 / (10 * 20))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_weights_meet_every_marginal_and_depend_on_nobodys_place(seed):
    rng = np.random.default_rng(seed)
    n = 400
    marginals = [marginal(str(k), rng.dirichlet(np.full(k + 2, 8.0)), rng.integers(0, k + 2, n)) for k in range(3)]
    weights = rng.uniform(0.5, 2, n)
    found = rake(marginals, weights)
    assert found.is_converged and found.weights.mean() == pytest.approx(1)
    for one in marginals:
        shares = np.bincount(one.codes, found.weights, len(one.labels)) / found.weights.sum()
        assert np.abs(shares - one.shares).max() <= 1.0001e-6
    order = rng.permutation(n)
    moved = rake([marginal(one.name, one.shares, one.codes[order]) for one in marginals], weights[order])
    assert np.allclose(moved.weights, found.weights[order])


def test_a_hundred_thousand_rows_and_six_marginals_take_less_than_the_time_of_a_sort_of_them():
    rng = np.random.default_rng(1)
    n = 100_000
    sizes = (2, 6, 5, 8, 4, 10)
    marginals = [
        marginal(f"m{k}", rng.dirichlet(np.full(k, 8.0)), rng.choice(k, n, p=rng.dirichlet(np.full(k, 8.0))))
        for k in sizes
    ]
    started = time.process_time()
    found = rake(marginals, np.ones(n))
    took = time.process_time() - started
    assert found.is_converged and found.difference <= 1e-6
    started = time.process_time()
    for _ in range(100):
        np.sort(rng.random(n))
    assert took < time.process_time() - started, "far below the two seconds that are promised"


def test_contradictory_marginals_do_not_converge_and_say_where():
    # Everyone of row 0 is in column 0, so column 0 cannot have less than row 0.
    rows, columns = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    found = rake([marginal("a", [0.8, 0.2], rows), marginal("b", [0.5, 0.5], columns)], np.ones(4), rounds=50)
    assert not found.is_converged and found.rounds == 50 and found.difference > 0.01 and found.worst[0] in ("a", "b")
    assert found.n_cells == 4 and found.n_empty == 1


def spec(targets, **changes):
    return PopulationSpec(**{"recipe": "adults_generic", "size": 4000, "rake": {"targets": targets}} | changes)


def test_people_of_a_recipe_are_drawn_to_the_shares():
    targets = {"gender": {"woman": 60, "man": 38, "*": 2}, "age": {"<30": 30, "30..60": 40, ">=60": 30}}
    people = build_population(spec(targets), 5)
    error = np.sqrt(0.25 / 4000)
    assert abs((people.values["gender"] == 0).mean() - 0.6) < 4.5 * error
    assert abs((people.values["age"] < 30).mean() - 0.3) < 4.5 * error
    fewer = build_population(spec(targets, size=100), 5)
    assert np.array_equal(fewer.values["age"], people.values["age"][:100]), "an agent depends on the seed and its id"
    report = describe_fit(spec(targets), people, 5)
    assert "Only the shares of gender, age were matched" in " ".join(report.notes)
    assert report.effective_n < 20_000 and report.weight_ratio > 1 and report.difference <= 1e-6


def test_respondents_are_drawn_by_raked_weights(tmp_path):
    write_sav(tmp_path / "ess.sav")
    targets = {"party_id": {"Reds": 0.5, "Blues": 0.3, "Greens": 0.2}}
    study = {"file": "ess.sav", "weight": "pspwght", "map": {"party_id": {"variable": "prtclede"}}, "size": 20_000}
    people = build_population(PopulationSpec(**study, rake={"targets": targets}), 5, base=tmp_path)
    shares = np.bincount(people.values["party_id"]) / people.n
    assert np.abs(shares - [0.5, 0.3, 0.2]).max() < 4.5 * np.sqrt(0.25 / people.n)


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ({"gender": {"woman": 0.6, "man": 0.3}}, "the shares sum to 0.9; they must sum to 1 or 100"),
        ({"gendre": {"woman": 0.6, "man": 0.4}}, "'gendre' is not a column; did you mean 'gender'?"),
        ({"age": {"<18": 0.2, ">=18": 0.8}}, "nobody is in '<18', so the share 0.2 cannot be reached"),
        ({"gender": {"woman": 1.2, "man": -0.2}}, "'man' = -0.2 is no share of at least 0"),
        ({"gender": {"woman": 1.0}}, "no row for"),
        ({"age": {"<30": 0.5, "20..60": 0.3, ">=60": 0.2}}, "overlap"),
        ({}, "raking needs the shares of 1 to"),
    ],
)
def test_impossible_targets_are_one_clear_sentence(targets, told):
    with pytest.raises(PopulationError) as error:
        build_population(spec(targets), 1)
    assert told in str(error.value) and "population.rake.targets" in str(error.value)


def test_counts_with_one_total_are_shares():
    targets = {"gender": {"woman": 510, "man": 480, "*": 10}, "sex": {"female": 500, "male": 500}}
    people = build_population(spec(targets), 3)
    assert abs((people.values["sex"] == 0).mean() - 0.5) < 4.5 * np.sqrt(0.25 / 4000)


def test_what_raking_would_break_is_refused():
    for changes, told in (
        ({"columns": {"opinion": [0.1] * 4000}}, "lists a value per agent"),
        ({"households": {"sizes": {"1": 1}}}, "would part people who live together"),
    ):
        with pytest.raises(PopulationError, match=told):
            build_population(spec({"gender": {"woman": 50, "man": 49, "*": 1}}, **changes), 1)
