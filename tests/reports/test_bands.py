"""Bands over runs: shape, coverage, edge cases."""

import numpy as np
import pytest

from engine.analysis import bootstrap_band


def test_mean_and_interval_of_many_runs():
    values = np.random.default_rng(1).normal(3.0, 2.0, size=(400, 3))
    band = bootstrap_band(values)
    assert band.mean == pytest.approx(values.mean(axis=0))
    # The bootstrap interval of a mean approaches mean +- 1.96 standard errors; its ends have a Monte Carlo error of
    # about 5 % of the half width with 4000 resamples.
    half = 1.96 * values.std(axis=0) / 20
    assert band.low == pytest.approx(values.mean(axis=0) - half, abs=0.1 * half.max())
    assert band.high == pytest.approx(values.mean(axis=0) + half, abs=0.1 * half.max())


def test_interval_covers_the_mean_about_as_often_as_it_says():
    draws = np.random.default_rng(2).normal(size=(300, 30))
    inside = sum(band.low[0] <= 0 <= band.high[0] for band in (bootstrap_band(row, n_draws=400) for row in draws))
    # Percentile intervals of 30 normal values cover .935; standard error of 300 intervals is .014.
    assert 0.935 - 4 * 0.014 < inside / 300 < 0.935 + 4 * 0.014


def test_equal_values_give_an_equal_band_whatever_was_drawn_before():
    values = np.arange(12.0).reshape(4, 3)
    first = bootstrap_band(values)
    np.random.default_rng(0).random(10)
    again = bootstrap_band(values)
    assert first.low.tolist() == again.low.tolist()
    assert first.high.tolist() == again.high.tolist()


def test_one_run_has_no_band():
    band = bootstrap_band(np.array([[1.0, 2.0]]))
    assert band.mean.tolist() == [1.0, 2.0]
    assert np.isnan(band.low).all()
    assert np.isnan(band.high).all()
    assert band.n_runs.tolist() == [1, 1]


def test_missing_values_are_left_out_point_by_point():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan], [5.0, 7.0, np.nan]])
    band = bootstrap_band(values)
    assert band.n_runs.tolist() == [3, 2, 0]
    assert band.mean[:2].tolist() == [3.0, 6.0]
    assert np.isnan(band.mean[2])
    assert band.low[1] == 5.0
    assert band.high[1] == 7.0


def test_a_constant_has_a_band_of_no_width():
    band = bootstrap_band(np.full(5, 0.25))
    assert band.low[0] == band.high[0] == 0.25
