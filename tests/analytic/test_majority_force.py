"""`majority_force` against mean field and its exact chain; statistical tolerances are four standard errors."""

import numpy as np
import pytest
from scipy.optimize import brentq

from engine import MicrocosmError, load_study, simulate
from engine.llm import ScriptedModel
from engine.simulation import build_world
from engine.world import World
from scenarios import majority_force as mf


def started(n, *overrides, n_plus=None):
    """Return (scenario, world) after set-up without personas, with the first `n_plus` in favour if that is given."""
    world = build_world(load_study("majority_force", [f"population={{size={n}}}", *overrides]))
    instance = world.info.build()
    instance.setup(world)
    if n_plus is not None:
        world.population["opinion"] = (np.arange(n) < n_plus).astype(np.int8)
    return instance, world


def series(instance, world, steps, burn=0):
    """Return m after each of some steps, the first ones left out."""
    m = np.empty(steps)
    for t in range(-burn, steps):
        world.begin_step()
        instance.step(world)
        if t >= 0:
            m[t] = mf.magnetization(world)
    return m


def batch_error(values, n_batches=25):
    """Return the standard error of a correlated series' mean from means of batches."""
    means = values[: values.size // n_batches * n_batches].reshape(n_batches, -1).mean(axis=1)
    return means.std(ddof=1) / np.sqrt(n_batches)


def settled(beta):
    """Return the root above 0 of m = tanh(beta m)."""
    return brentq(lambda m: m - np.tanh(beta * m), 1e-6, 1)


def exact_law(n, beta):
    """Return the stationary law of the number in favour: the chain of single updates goes up and down by one."""
    k = np.arange(n + 1)
    plus = (np.tanh(beta * (2 * k - n) / n) + 1) / 2
    up, down = (n - k) / n * plus, k / n * (1 - plus)
    law = np.concatenate([[0.0], np.cumsum(np.log(up[:-1] / down[1:]))])
    law = np.exp(law - law.max())
    return law / law.sum()


def test_the_published_root():
    assert settled(2.0) == pytest.approx(0.9575, abs=5e-5)
    assert settled(1.5) == pytest.approx(0.858, abs=1e-3)
    assert np.tanh(0.999 * 1e-3) < 1e-3 < np.tanh(1.001 * 1e-3)  # critical beta = 1


@pytest.mark.parametrize("beta", [1.2, 1.5, 2.0, 3.0])
def test_above_the_critical_beta_the_crowd_settles_at_the_root(beta):
    n = 20_000
    m = series(*started(n, f"params.beta={beta}", n_plus=int(0.9 * n)), steps=250, burn=60)
    # The mean lies below the root by about half the curvature of tanh times the variance, of order 1 / n.
    assert abs(m.mean() - settled(beta)) <= 4 * batch_error(m) + 20 / n


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_below_the_critical_beta_no_side_wins(beta):
    n = 20_000
    m = series(*started(n, f"params.beta={beta}", n_plus=n), steps=600, burn=200)
    assert abs(m.mean()) <= 4 * batch_error(m)
    assert np.abs(m).mean() < 6 / np.sqrt(n * (1 - beta))


def test_the_start_is_a_fair_coin_and_a_side_is_taken_by_chance():
    n, runs = 2000, 100
    study = load_study("majority_force", [f"population={{size={n}}}", "params.beta=2.0", "steps=40"])
    first, last = [], []
    for replicate in range(runs):
        values = [record.measures["magnetization", ""] for record in simulate(study, replicate=replicate)]
        first.append(values[0])
        last.append(values[-1])
    assert abs(np.mean(first)) <= 4 / np.sqrt(runs * n)
    assert np.std(first) == pytest.approx(1 / np.sqrt(n), rel=0.3)
    assert min(np.abs(last)) > 0.9
    assert abs(np.mean(np.sign(last))) <= 4 / np.sqrt(runs)


@pytest.mark.parametrize(("n", "beta"), [(30, 0.7), (30, 1.0), (50, 1.15), (11, 1.3)])
def test_small_crowds_follow_the_exact_law(n, beta):
    law, k = exact_law(n, beta), np.arange(n + 1)
    m = series(*started(n, f"params.beta={beta}"), steps=8000, burn=100)
    size = np.abs(2 * k - n) / n
    assert abs(np.abs(m).mean() - law @ size) <= 4 * batch_error(np.abs(m))
    assert abs((m**2).mean() - law @ size**2) <= 4 * batch_error(m**2)


def test_weights_give_the_stated_probability():
    for beta in (0.0, 0.3, 2.0, 40.0, 1e4):
        plus, total = mf.weight_table(beta, 100)
        m = mf.mean_of(np.arange(101), 100)
        np.testing.assert_allclose(plus / total, (np.tanh(beta * m) + 1) / 2, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("n", "beta"), [(120, 1.3), (60, 0.2)])
def test_kernel_equals_the_rule_through_decide(monkeypatch, n, beta):
    study = load_study("majority_force", [f"population={{size={n}}}", f"params.beta={beta}", "steps=3"])
    fused = [record.world.population["opinion"].copy() for record in simulate(study)]
    monkeypatch.setattr(World, "decided_by_rule", lambda self, decision: False)
    for step, record in enumerate(simulate(study)):
        np.testing.assert_array_equal(record.world.population["opinion"], fused[step])
        assert sum(batch.agents.size for batch in record.decisions) == (n if step else 0)


def test_batches_for_a_language_model_change_no_outcome(monkeypatch):
    study = load_study("majority_force", ["population={size=120}", "decisions.choose.policy=language", "steps=3"])

    def trajectory():
        records = [
            (r.world.population["opinion"].copy(), len(r.decisions)) for r in simulate(study, model=ScriptedModel())
        ]
        return np.array([opinion for opinion, _ in records]), sum(n for _, n in records)

    together, n_calls = trajectory()
    monkeypatch.setattr(mf, "steady_updates", lambda n: np.ones(n + 1, np.int64))
    one_by_one, n_single = trajectory()
    np.testing.assert_array_equal(together, one_by_one)
    assert n_single == 360 and n_calls < 180


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1001])
def test_words_cannot_change_within_a_batch(n):
    codes, steady = mf.ELEVEN_CROWDS.codes(mf.mean_of(np.arange(n + 1), n)), mf.steady_updates(n)
    assert (steady >= 1).all()
    for k in range(n + 1):
        reach = steady[k] - 1  # updates before the last one of the batch
        assert len(set(codes[max(k - reach, 0) : k + reach + 1])) == 1
    assert steady[0] > n * 0.04


def test_given_opinions():
    study = {"scenario": "majority_force", "network": {"kind": "complete"}, "population": {"size": 4}}
    study["population"]["columns"] = {"opinion": ["against", "against", "against", "in favour"]}
    record = next(simulate(load_study(study)))
    assert record.measures["magnetization", ""] == -0.5 and record.measures["abs_magnetization", ""] == 0.5
    study["population"]["columns"] = {"opinion": ["+", "against", "against", "in favour"]}
    with pytest.raises(MicrocosmError, match=r"'\+'"):
        next(simulate(load_study(study)))
