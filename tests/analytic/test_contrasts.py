"""Contrasts between arms against closed forms: variance, intervals, tests, corrections and numbers of runs."""

import math

import numpy as np
import pytest
from scipy import stats

from engine import load_study, simulate
from engine.analysis import (
    adjust_p_values,
    bootstrap_interval,
    contrast_table,
    equivalence_test,
    paired_contrast,
    runs_needed,
)
from engine.errors import ReportError
from engine.experiment import plan_runs


def correlated(n, rho, seed=1, effect=0.0):
    """Return two arms of n runs, standard normal with correlation rho; the second shifted by `effect`."""
    rng = np.random.default_rng(seed)
    shared, one, other = rng.standard_normal((3, n))
    return (
        math.sqrt(rho) * shared + math.sqrt(1 - rho) * one,
        math.sqrt(rho) * shared + math.sqrt(1 - rho) * other + effect,
    )


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8, 0.95])
def test_variance_reduction_of_correlated_normals(rho):
    """Var(a) + Var(b) = 2 and Var(b - a) = 2 (1 - rho), so pairing reduces the variance 1 / (1 - rho) times.

    Its logarithm has a standard error of about sqrt(2 (1 + rho^2) / n).
    """
    n = 20_000
    contrast = paired_contrast(*correlated(n, rho), n_draws=10)
    tolerance = 4 * math.sqrt(2 * (1 + rho**2) / n)
    assert math.log(contrast.variance_reduction) == pytest.approx(-math.log(1 - rho), abs=tolerance)
    assert contrast.correlation == pytest.approx(rho, abs=4 * (1 - rho**2) / math.sqrt(n) + 1e-12)


def test_a_contrast_by_hand():
    """Five pairs worked out by hand: differences 1, 2, 0, 3, 1.5."""
    a, b = [1.0, 2.0, 4.0, 3.0, 2.0], [2.0, 4.0, 4.0, 6.0, 3.5]
    contrast = paired_contrast(a, b, margin=4.0)
    sd = math.sqrt((0.5**2 + 0.5**2 + 1.5**2 + 1.5**2 + 0) / 4)
    assert contrast.differences.tolist() == [1, 2, 0, 3, 1.5]
    assert (contrast.difference, contrast.mean_a, contrast.mean_b) == pytest.approx((1.5, 2.4, 3.9))
    assert contrast.sd == pytest.approx(sd)
    assert contrast.monte_carlo_error == pytest.approx(sd / math.sqrt(5))
    variances = np.var(a, ddof=1), np.var(b, ddof=1)
    assert contrast.variance_reduction == pytest.approx(sum(variances) / sd**2)
    assert contrast.effect_size == pytest.approx(1.5 / math.sqrt(sum(variances) / 2))
    assert contrast.p_value == pytest.approx(stats.ttest_rel(b, a).pvalue)
    assert contrast.low < 1.5 < contrast.high
    assert "5 pairs of runs" in contrast.sentence


def test_equivalence_by_hand():
    """Two one-sided tests: p = max(P(T > (m + d) / se), P(T > (m - d) / se)), n - 1 degrees of freedom (Schuirmann)."""
    rng = np.random.default_rng(3)
    found = rng.normal(0.1, 1, 25)
    mean, error = found.mean(), found.std(ddof=1) / 5
    for margin in (0.2, 0.6, 1.0):
        test = equivalence_test(found, margin)
        lower, upper = (mean + margin) / error, (margin - mean) / error
        assert test.p_value == pytest.approx(max(1 - stats.t.cdf(lower, 24), 1 - stats.t.cdf(upper, 24)))
        # The same as asking whether the 90 % interval lies within the margin.
        assert test.equivalent == (-margin < test.low and test.high < margin)
    one_sided = stats.ttest_1samp(found, 0.6, alternative="less").pvalue
    assert equivalence_test(found, 0.6).p_value == pytest.approx(one_sided)
    assert equivalence_test(found, 1.0).equivalent
    assert not equivalence_test(found, 0.2).equivalent


def test_equivalence_keeps_its_level():
    """At a true difference of exactly the margin, the test says equivalent in at most 5 % of cases."""
    rng = np.random.default_rng(8)
    said = np.mean([equivalence_test(rng.normal(1.0, 1, 20), 1.0).equivalent for _ in range(2000)])
    assert said == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 2000))


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_the_interval_covers_the_mean(method, draw):
    """Of 95 % intervals over 40 runs about 95 % hold the true mean; with skewed values a little fewer."""
    rng = np.random.default_rng(2)
    held, n = 0, 400
    for _ in range(n):
        sample = rng.normal(1, 1, 40) if draw == "normal" else rng.exponential(1, 40)
        low, high = bootstrap_interval(sample, method=method, n_draws=600)
        held += low <= 1 <= high
    assert 0.95 - 0.03 - 4 * math.sqrt(0.95 * 0.05 / n) <= held / n <= 0.95 + 4 * math.sqrt(0.95 * 0.05 / n)


def test_bca_leans_to_the_long_tail():
    """For a mean, BCa shifts both ends by about (2 + z^2) a se, a = skewness / (6 sqrt(n)) (Efron 1987, section 4)."""
    sample = np.random.default_rng(4).exponential(1, 60)
    (low, high), (plain_low, plain_high) = (
        bootstrap_interval(sample, method=method, n_draws=40_000) for method in ("bca", "percentile")
    )
    error = sample.std() / math.sqrt(60)
    acceleration = stats.skew(sample) / (6 * math.sqrt(60))
    assert low > plain_low
    assert high > plain_high
    assert high - plain_high == pytest.approx((2 + 1.96**2) * acceleration * error, rel=0.5)
    reference = stats.bootstrap((sample,), np.mean, method="BCa", n_resamples=40_000, rng=np.random.default_rng(1))
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval), abs=0.04 * error)


def test_equal_values_give_an_equal_interval():
    a, b = correlated(12, 0.5)
    first, again, other = (paired_contrast(a, b, seed=seed) for seed in (0, 0, 1))
    assert (first.low, first.high) == (again.low, again.high)
    assert (first.low, first.high) != (other.low, other.high)


def test_a_constant_difference_has_no_spread():
    a, _ = correlated(9, 0.5)
    contrast = paired_contrast(a, a + 0.25, margin=0.3)
    assert contrast.low == pytest.approx(0.25)
    assert contrast.high == pytest.approx(0.25)
    assert (contrast.sd, contrast.p_value, contrast.variance_reduction) == (0, 0, math.inf)
    assert contrast.equivalence.equivalent
    same = paired_contrast(a, a)
    assert (same.difference, same.p_value, same.effect_size) == (0, 1, 0)
    still = paired_contrast([1.0, 1.0], [1.0, 1.0])
    assert math.isnan(still.variance_reduction)


@pytest.mark.parametrize(("sd", "half_width"), [(1.0, 0.1), (3.2, 0.5), (0.01, 0.4), (1.0, 2.0)])
def test_the_runs_needed_are_the_fewest(sd, half_width):
    n = runs_needed(sd, half_width)

    def reach(runs):
        return stats.t.ppf(0.975, runs - 1) * sd / math.sqrt(runs)

    assert reach(n) <= half_width
    assert n == 2 or reach(n - 1) > half_width
    normal = (1.96 * sd / half_width) ** 2
    assert normal <= n <= normal + 6


def test_holm_and_benjamini_hochberg_by_hand():
    """Holm (1979) multiplies the k-th smallest of m by m - k + 1; Benjamini and Hochberg (1995) by m / k."""
    p = [0.04, 0.005, math.nan, 0.03, 0.01]
    assert adjust_p_values(p)[[1, 4, 3, 0]].tolist() == pytest.approx([0.02, 0.03, 0.06, 0.06])
    assert adjust_p_values(p, "benjamini_hochberg")[[1, 4, 3, 0]].tolist() == pytest.approx([0.02, 0.02, 0.04, 0.04])
    assert math.isnan(adjust_p_values(p)[2])
    many = np.random.default_rng(0).random(40) ** 3
    assert adjust_p_values(many, "benjamini_hochberg").tolist() == pytest.approx(
        stats.false_discovery_control(many).tolist()
    )


def test_a_table_of_outcomes_corrects_for_their_number():
    contrasts = {f"outcome {k}": paired_contrast(*correlated(20, 0.5, seed=k, effect=k / 4)) for k in range(4)}
    contrasts["tested"] = paired_contrast(*correlated(20, 0.5, seed=9), margin=0.5)
    table = contrast_table(contrasts)
    assert table["p_adjusted"].to_list() == adjust_p_values(table["p_value"].to_numpy()).tolist()
    assert table["p_equivalence"].null_count() == 4
    assert table["outcome"].to_list() == list(contrasts)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: paired_contrast([1.0], [2.0]), "one replicate gives a difference but no band; run at least 2"),
        (lambda: paired_contrast([1.0], [2.0], level=None, margin=1), "one replicate gives a difference but no band"),
        (lambda: paired_contrast([], []), "no replicate is done in both arms"),
        (lambda: paired_contrast([1.0, 2.0], [2.0]), "2 runs of one arm and 1 of the other are no pairs"),
        (lambda: paired_contrast([1.0, math.nan], [2.0, 1.0]), "one finite number per run"),
        (lambda: paired_contrast([1.0, 2.0], [2.0, 1.0], level=95), "level of 95 is not in"),
        (lambda: paired_contrast([1.0, 2.0], [2.0, 1.0], margin=-1), "margin of -1 is not above 0"),
        (lambda: bootstrap_interval([1.0, 2.0], method="basic"), "'basic' is no bootstrap interval"),
        (lambda: adjust_p_values([0.1], "bonferroni"), "'bonferroni' is no correction"),
        (lambda: adjust_p_values([1.1]), r"a p-value lies in \[0, 1\]"),
        (lambda: runs_needed(1, 0), "half width of 0 is not above 0"),
        (lambda: runs_needed(math.nan, 1), "run at least 2 replicates first"),
        (lambda: runs_needed(1, 1e-9), "takes over 10,000,000 runs"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(ask, sentence):
    with pytest.raises(ReportError, match=sentence) as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_one_pair_without_a_band_is_a_difference():
    contrast = paired_contrast([1.0], [2.5], level=None)
    assert (contrast.difference, contrast.n_runs) == (1.5, 1)
    assert math.isnan(contrast.low)
    assert "no band" in contrast.sentence


@pytest.mark.parametrize(
    ("knobs", "n_pairs", "known"),
    [({"mixing": "well_mixed"}, 50, 5.3), ({"mixing": "network"}, 50, 2.3)],
    ids=["well mixed", "small world"],
)
def test_pairing_reduces_the_variance_of_a_vaccination_effect(knobs, n_pairs, known):
    """1 % infected, a tenth vaccinated at random: under common random numbers at least twice less variance.

    `known` is the factor at 600 pairs. Its logarithm has a standard error of about sqrt(2 (1 + rho^2) / n), rho =
    1 - 1 / factor, so the factor at n pairs is held against a tolerance of three of these.
    """
    vaccinate = {
        "at": 0,
        "whom": {"where": "state == 'susceptible'", "sample": {"share": 0.1}},
        "do": {"effect": "set", "column": "state", "value": "recovered"},
    }
    study = load_study(
        {
            "scenario": "sir",
            "steps": 300,
            "population": {"size": 1000},
            "params": {"initial_infected": 10, **knobs},
            "arms": [{"name": "nobody"}, {"name": "a tenth", "interventions": [vaccinate]}],
        }
    )
    spared = {"nobody": [], "a tenth": []}
    for planned in plan_runs(study, n_pairs):
        *_, last = simulate(planned.study, replicate=planned.replicate)
        spared[planned.arm].append(last.measures["susceptible_share", ""])
    # Of the 990 susceptible, 99 are vaccinated: the attack rate is what is neither spared nor vaccinated.
    contrast = paired_contrast(1 - np.array(spared["nobody"]), 1 - np.array(spared["a tenth"]) - 0.099)
    rho = 1 - 1 / known
    tolerance = 3 * math.sqrt(2 * (1 + rho**2) / n_pairs)
    assert contrast.high < 0
    assert math.log(contrast.variance_reduction) == pytest.approx(math.log(known), abs=tolerance)
    assert contrast.variance_reduction >= 2
