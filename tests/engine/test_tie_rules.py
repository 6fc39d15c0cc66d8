"""Ties that change by rule: what each effect does to a network, against counts and expectations."""

import itertools
import math

import numpy as np
import pytest
from toy import toy, toy_study

from engine.errors import MicrocosmError
from engine.simulation import simulate
from engine.spec import Do, InterventionSpec, LayerSpec

N = 400


def run(do, *, steps=1, n=N, layer=None, values=None, seed=3, whom=None):
    """Return the records of a toy in which nothing but the effect happens, every step."""

    def setup(world):
        if values is not None:
            world.population["mood"][:] = values

    layer = layer or LayerSpec(kind="erdos_renyi", params={"mean_degree": 8})
    spec = InterventionSpec(name="rule", every=1, do=do, **({"whom": whom} if whom else {}))
    study = toy_study(n, steps=steps + 1, layers=(layer,), interventions=(spec,), seed=seed)
    with toy(step=lambda world: None, setup=setup):
        return list(simulate(study))


def ties(record):
    source, target, _ = record.world.network.layer().edges()
    return set(zip(source.tolist(), target.tolist(), strict=True))


def test_only_friends_of_friends_meet():
    for before, after in itertools.pairwise(snapshots(Do(effect="close_triads", p=0.5), 3)):
        neighbours = {}
        for a, b in before:
            neighbours.setdefault(a, set()).add(b)
            neighbours.setdefault(b, set()).add(a)
        assert before <= after
        for a, b in after - before:
            assert neighbours[a] & neighbours[b]


def snapshots(do, steps, **settings):
    """Return the ties after each step."""
    found = []

    def keep(world):
        source, target, _ = world.network.layer().edges()
        found.append(set(zip(source.tolist(), target.tolist(), strict=True)))

    spec = InterventionSpec(name="rule", every=1, do=do)
    layer = settings.pop("layer", LayerSpec(kind="erdos_renyi", params={"mean_degree": 8}))
    values = settings.pop("values", None)

    def setup(world):
        if values is not None:
            world.population["mood"][:] = values

    study = toy_study(N, steps=steps + 1, layers=(layer,), interventions=(spec,), seed=3)
    with toy(step=keep, setup=setup):
        for _ in simulate(study):
            pass
    return found


def test_closing_triads_raises_clustering():
    before, *_, after = snapshots(Do(effect="close_triads", p=1.0), 5)
    assert clustering(after) > 3 * clustering(before)


def clustering(pairs):
    """Transitivity, 3 triangles / connected triples (Newman 2010, eq. 7.41), by matrices."""
    a = np.zeros((N, N))
    for i, j in pairs:
        a[i, j] = a[j, i] = 1
    degree = a.sum(axis=0)
    return np.trace(a @ a @ a) / (degree * (degree - 1)).sum()


def test_rewiring_keeps_the_number_of_ties_and_ends_unlike_ties():
    values = np.repeat([0.2, 0.8], N // 2)
    taken = snapshots(Do(effect="rewire_alike", column="mood", p=1.0, within=0.1), 80, values=values)
    assert len({len(pairs) for pairs in taken}) == 1
    unlike = [sum(values[a] != values[b] for a, b in pairs) for pairs in taken]
    assert unlike[0] > 500 and unlike[-1] == 0
    assert all(after <= before for before, after in itertools.pairwise(unlike))


def test_each_unlike_tie_is_cut_with_its_own_chance():
    values = np.repeat([0.0, 1.0], N // 2)
    p, layer = 0.3, LayerSpec(kind="erdos_renyi", params={"mean_degree": 20})
    before, after = snapshots(Do(effect="unfollow", column="mood", p=p, within=0.5), 1, values=values, layer=layer)[:2]
    unlike = {pair for pair in before if values[pair[0]] != values[pair[1]]}
    cut = before - after
    assert cut <= unlike and not after - before
    error = math.sqrt(len(unlike) * p * (1 - p))
    assert abs(len(cut) - p * len(unlike)) < 4 * error  # binomial


def test_within_counts_as_alike():
    values = np.linspace(0, 1, N)
    (before, *_, after) = snapshots(Do(effect="unfollow", column="mood", p=1.0, within=0.25), 2, values=values)
    assert after == {pair for pair in before if abs(values[pair[0]] - values[pair[1]]) <= 0.25}


def test_changes_are_recorded_tie_by_tie():
    records = run(Do(effect="close_triads", p=0.2), steps=2)
    told = [(t.source, t.target) for record in records for t in record.ties]
    assert told and len(told) == len(set(told))
    assert set(told) <= ties(records[-1])


@pytest.mark.parametrize(
    ("do", "layer", "sentence"),
    [
        (Do(effect="close_triads"), LayerSpec(kind="complete"), "implicit"),
        (Do(effect="unfollow", column="mood", layer="none"), None, "is not a layer"),
    ],
)
def test_what_cannot_change_says_so(do, layer, sentence):
    with pytest.raises(MicrocosmError, match=sentence):
        run(do, layer=layer)


def test_people_without_ties_or_without_their_like_stay_as_they_are():
    empty = LayerSpec(kind="erdos_renyi", params={"mean_degree": 0})
    values = np.linspace(0, 1, N)
    assert not ties(run(Do(effect="close_triads", p=1.0), layer=empty)[-1])
    taken = snapshots(Do(effect="rewire_alike", column="mood", p=1.0, within=0.0), 3, values=values)
    assert taken[0] == taken[-1]
