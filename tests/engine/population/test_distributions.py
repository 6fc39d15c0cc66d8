"""Distributions against their closed forms, with tolerances from standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from engine.population.distributions import build_distribution

N = 60_000
UNIFORMS = (np.arange(N) + 0.5) / N
RANDOM = np.random.default_rng(4).random(N)

CASES = [
    ({"distribution": "normal", "mean": 3, "sd": 2}, stats.norm(3, 2)),
    ({"distribution": "uniform", "low": -1, "high": 4}, stats.uniform(-1, 5)),
    ({"distribution": "lognormal", "median": 5, "sigma": 0.7}, stats.lognorm(0.7, scale=5)),
    ({"distribution": "beta", "a": 0.7, "b": 1.9}, stats.beta(0.7, 1.9)),
    ({"distribution": "beta", "a": 3, "b": 2, "low": 1, "high": 5}, stats.beta(3, 2, loc=1, scale=4)),
    (
        {"distribution": "truncated_normal", "mean": 0, "sd": 1, "low": -0.5, "high": 2},
        stats.truncnorm(-0.5, 2),
    ),
    (
        {"distribution": "histogram", "edges": [0, 1, 3], "weights": [3, 1]},
        stats.rv_histogram((np.array([3.0, 1.0]), np.array([0.0, 1.0, 3.0])), density=False),
    ),
]


def built(table, range_=(-np.inf, np.inf)):
    problems = []
    distribution = build_distribution(table, problems, "x", range_)
    assert not problems
    return distribution


@pytest.mark.parametrize(("table", "reference"), CASES, ids=[case[0]["distribution"] for case in CASES])
def test_quantiles_are_the_closed_form(table, reference):
    distribution = built(table)
    np.testing.assert_allclose(distribution.quantiles(UNIFORMS), reference.ppf(UNIFORMS), rtol=2e-5, atol=2e-5)
    assert stats.kstest(distribution.quantiles(RANDOM), reference.cdf).pvalue > 1e-4


def test_clipped_normal_piles_up_at_its_bounds_and_a_truncated_one_does_not():
    table = {"mean": 0, "sd": 1, "low": -1, "high": 1}
    clipped = built({"distribution": "normal", **table}).quantiles(UNIFORMS)
    truncated = built({"distribution": "truncated_normal", **table}).quantiles(UNIFORMS)
    assert np.mean(clipped == -1) == pytest.approx(stats.norm.cdf(-1), abs=2 / N)
    assert np.mean(truncated <= -1) < 2 / N
    assert clipped.min() == -1 and clipped.max() == 1 and truncated.max() <= 1


def test_open_bounds_take_the_columns_range():
    values = built({"distribution": "normal", "mean": 90, "sd": 50}, (0.0, 110.0)).quantiles(UNIFORMS)
    assert values.min() == 0 and values.max() == 110


def test_whole_numbers():
    dice = built({"distribution": "uniform", "low": 1, "high": 6}).quantiles(UNIFORMS, whole=True)
    np.testing.assert_array_equal(np.bincount(dice.astype(int)), [0] + [N // 6] * 6)
    ages = built({"distribution": "histogram", "edges": [18, 20, 24], "weights": [1, 1]}).quantiles(UNIFORMS, True)
    np.testing.assert_array_equal(np.bincount(ages.astype(int))[18:], [N // 4] * 2 + [N // 8] * 4)
    rounded = built({"distribution": "normal", "mean": 3, "sd": 1, "low": 0.4, "high": 5.6}).quantiles(UNIFORMS, True)
    assert set(rounded.tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}


@pytest.mark.parametrize("table", [case[0] for case in CASES])
def test_extreme_uniforms_give_finite_numbers_in_order(table):
    edges = built(table).quantiles(np.array([0.0, 1e-300, 0.5, 1 - 2.0**-53]))
    assert np.isfinite(edges).all() and (np.diff(edges) >= 0).all()


def test_choices_cover_exactly_the_weights():
    distribution = built({"values": ["a", "b", "c", "d"], "weights": [1, 0, 2, 1]})
    np.testing.assert_array_equal(np.bincount(distribution.choices(UNIFORMS), minlength=4), [N // 4, 0, N // 2, N // 4])
    assert built({"values": ["a", "b"], "weights": [1, 0]}).choices(np.array([0.0, 1 - 2.0**-53])).tolist() == [0, 0]
