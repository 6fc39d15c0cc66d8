"""Survival of runs against estimates worked out by hand and against statsmodels."""

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from engine.analysis import event_times, logrank_test, survival_curve
from engine.errors import ReportError
from engine.runs import create_run, open_workspace
from engine.runs.execution import Worker, execute_run

from engine import load_study  # isort: skip


def test_kaplan_meier_by_hand():
    """Events at 2, 2, 5; one run seen up to 3 and one up to 8: S(2) = 3/5, S(5) = 3/5 * 1/2."""
    curve = survival_curve(np.array([2, 2, 3, 5, 8]), np.array([True, True, False, True, False]))
    assert curve.steps.tolist() == [0, 2, 5, 8]
    assert curve.share.tolist() == pytest.approx([1, 0.6, 0.3, 0.3])
    assert curve.at_risk.tolist() == [5, 5, 2, 1]
    assert curve.events.tolist() == [0, 2, 1, 0]
    assert np.isnan(curve.low[0])


@pytest.mark.parametrize("seed", range(3))
def test_band_and_share_agree_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    steps, happened = rng.integers(1, 13, 40), rng.random(40) < 0.7
    curve = survival_curve(steps, happened)
    reference = SurvfuncRight(steps, happened)
    own = dict(zip(curve.steps.tolist(), curve.share.tolist(), strict=True))
    for step, share, error in zip(reference.surv_times, reference.surv_prob, reference.surv_prob_se, strict=True):
        assert own[int(step)] == pytest.approx(share, abs=1e-12)
        place = curve.steps.tolist().index(int(step))
        if 0 < share < 1:
            z = 1.959963984540054 * error / (share * np.log(share))
            assert curve.low[place] == pytest.approx(share ** np.exp(-z))
            assert curve.high[place] == pytest.approx(share ** np.exp(z))
            assert curve.low[place] < share < curve.high[place]


@pytest.mark.parametrize("n_groups", [2, 3])
def test_logrank_agrees_with_statsmodels(n_groups):
    rng = np.random.default_rng(n_groups)
    groups = {f"g{g}": (rng.integers(1, 9 + 3 * g, 30), rng.random(30) < 0.8) for g in range(n_groups)}
    times, events = (np.concatenate([own[part] for own in groups.values()]) for part in (0, 1))
    _, p_value = survdiff(times, events, np.repeat(np.arange(n_groups), 30))
    assert logrank_test(groups) == pytest.approx(p_value, rel=1e-9)


def test_groups_without_any_event_cannot_be_told_apart():
    alive = (np.full(4, 12), np.zeros(4, bool))
    assert np.isnan(logrank_test({"a": alive, "b": alive}))
    with pytest.raises(ReportError, match="takes two groups"):
        logrank_test({"a": alive})
    with pytest.raises(ReportError, match="no run is given"):
        survival_curve(np.array([], int), np.array([], bool))


def test_events_of_runs(tmp_path):
    """Five who ask for 12 tonnes empty the lake in month 3 (SCENARIOS: 60 -> 3 months); with 10 it lasts."""
    workspace = open_workspace(tmp_path / "workspace")
    folders = []
    for request in (12, 10):
        study = load_study("fishery", ["params.rule=fixed", f"params.fixed_request={request}"])
        folders.append(create_run(workspace, study))
        execute_run(folders[-1], Worker(live=False))
    steps, happened = event_times(folders, "collapsed")
    assert (steps.tolist(), happened.tolist()) == ([3, 12], [True, False])
    with pytest.raises(ReportError, match="'stock' is no event: it takes the value"):
        event_times(folders, "stock")
    with pytest.raises(ReportError, match="has recorded no 'colapsed'"):
        event_times(folders, "colapsed")
