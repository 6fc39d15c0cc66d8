"""Measures on arrays against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MicrocosmError
from engine.measures import (
    bimodality,
    cluster_sizes,
    esteban_ray,
    gain_equality,
    gini,
    major_clusters,
    top_share,
    variance_polarization,
)

AMOUNTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=40)


@given(AMOUNTS)
def test_gini_equals_its_double_sum(values):
    x = np.array(values)
    expected = np.abs(x[:, None] - x).sum() / (2 * x.size * x.sum()) if x.sum() > 0 else 0
    assert gini(x) == pytest.approx(expected, abs=1e-9)
    assert 0 <= gini(x) <= 1 - 1 / x.size + 1e-9
    assert gain_equality(x) == pytest.approx(1 - expected, abs=1e-9)


def test_gini_known_values():
    assert gini([1, 1, 1]) == 0
    assert gini([0, 0, 0, 1]) == 0.75
    assert gini(np.arange(1, 5)) == pytest.approx(0.25)
    assert np.isnan(gini([]))
    for wrong in ([1, -1], [1, np.nan], [np.inf]):
        with pytest.raises(MicrocosmError, match="finite and not negative"):
            gini(wrong)


def test_top_share():
    assert top_share(np.arange(10), 0.1) == pytest.approx(9 / 45)
    assert top_share([5.0], 0.5) == 1
    assert np.isnan(top_share([0, 0]))
    with pytest.raises(MicrocosmError, match=r"not in \(0, 1\]"):
        top_share([1, 2], 0)


def test_polarization_known_values():
    assert variance_polarization([0, 0, 1, 1]) == 1
    assert variance_polarization([0.3] * 5) == pytest.approx(0)
    assert variance_polarization(np.linspace(0, 1, 100_001)) == pytest.approx(1 / 3, abs=1e-4)
    assert np.isnan(variance_polarization([]))


def test_esteban_ray_known_values():
    assert esteban_ray([0, 0, 1, 1]) == pytest.approx(1)
    assert esteban_ray([0.5] * 9) == 0
    assert esteban_ray([0, 0, 0.45, 0.45]) == pytest.approx(0.4 / 0.9)
    assert esteban_ray(np.linspace(0, 1, 1000)) < 0.2


def test_bimodality_known_values():
    assert bimodality([0, 0, 1, 1]) == pytest.approx(1)
    assert bimodality([0, 0, 0, 0, 1]) == pytest.approx(1)  # the trap: 80/20 is no less bimodal
    assert bimodality(np.linspace(0, 1, 100_001)) == pytest.approx(5 / 9, abs=1e-4)
    assert np.isnan(bimodality([1, 1]))


def test_clusters():
    x = [0.9, 0.1, 0.12, 0.5, 0.11, 0.91]
    assert cluster_sizes(x, 0.1).tolist() == [3, 1, 2]
    assert cluster_sizes(x, 1.0).tolist() == [6]
    assert cluster_sizes([], 0.1).size == 0
    camps = np.concatenate([np.full(50, 0.2), np.full(46, 0.7), np.full(4, 0.99)])
    np.testing.assert_allclose(major_clusters(camps, 0.2), [0.5, 0.46])
    with pytest.raises(MicrocosmError, match="finite opinions"):
        cluster_sizes([0.1, np.nan], 0.1)
