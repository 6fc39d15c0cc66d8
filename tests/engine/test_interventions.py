"""When, whom, what."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from toy import toy, toy_study

from engine.errors import RunError
from engine.simulation import simulate
from engine.spec import Do, InterventionSpec, PopulationSpec, Sample, Top, Whom


def still(world):
    """A step in which nothing happens."""


def last_of(study):
    return list(simulate(study))[-1]


def change(name="change", **parts):
    return InterventionSpec(**({"name": name, "do": Do(effect="add", column="mood", amount=0.1)} | parts))


def test_at_acts_on_the_state_at_t_and_shows_at_t_plus_one():
    study = toy_study(4, steps=4, interventions=(change(at=2),))
    with toy(step=still, setup=lambda w: None):
        moods = [(r.step, float(r.world.population["mood"][0]), len(r.events)) for r in simulate(study)]
    assert [(s, round(m, 6)) for s, m, _ in moods] == [(0, 0.5), (1, 0.5), (2, 0.5), (3, 0.6), (4, 0.6)]
    assert [e for _, _, e in moods] == [0, 0, 0, 1, 0]


def test_every_acts_at_its_multiples_until_the_end_is_reached():
    study = toy_study(4, steps=9, interventions=(change(every=2, until=6),))
    with toy(step=still, setup=lambda w: None):
        acted = [r.step - 1 for r in simulate(study) if r.events]
    assert acted == [2, 4, 6]


def test_when_acts_once_each_time_its_condition_becomes_true():
    def step(world):
        world.population["moved"][:] = world.step in (2, 3, 5)

    study = toy_study(4, steps=7, interventions=(change(when="moved_share > 0.5"),))
    with toy(step=step, setup=lambda w: None):
        acted = [r.step - 1 for r in simulate(study) if r.events]
    assert acted == [2, 5]


@pytest.mark.parametrize(
    ("whom", "expected"),
    [
        (Whom(), list(range(10))),
        (Whom(ids=(7, 3)), [3, 7]),
        (Whom(where="age > 40 and club == 'a'"), [6, 8]),
        (Whom(top=Top(by="age", n=2)), [8, 9]),
        (Whom(where="club == 'b'", top=Top(by="age", share=0.4)), [7, 9]),
        (Whom(where="degree == 2 and agent_id < 2"), [0, 1]),
    ],
)
def test_whom(whom, expected):
    columns = {"age": [20, 22, 30, 31, 35, 36, 41, 42, 60, 61], "club": ["a", "b"] * 5}
    study = toy_study(
        10,
        steps=1,
        population=PopulationSpec(size=10, columns=columns),
        interventions=(change(at=0, whom=whom, do=Do(effect="set", column="mood", value=0.9)),),
    )
    with toy(step=still, setup=lambda w: None):
        world = last_of(study).world
    assert np.flatnonzero(world.population["mood"] == 0.9).tolist() == expected


def test_samples_are_drawn_afresh_and_keep_their_size():
    study = toy_study(100, steps=6, interventions=(change(every=1, whom=Whom(sample=Sample(share=0.1))),))
    with toy(step=still, setup=lambda w: None):
        moods = [r.world.population["mood"].copy() for r in simulate(study)]
    reached = [np.flatnonzero(b > a) for a, b in itertools.pairwise(moods[1:])]
    assert all(r.size == 10 for r in reached)
    assert any(set(reached[0]) != set(r) for r in reached[1:])


@pytest.mark.parametrize(
    ("do", "check"),
    [
        (Do(effect="scale", column="mood", factor=3.0), lambda w: (w.population["mood"] == 1.0).all()),
        (Do(effect="add", column="mood", amount=-0.2), lambda w: np.allclose(w.population["mood"], 0.3)),
        (Do(effect="set", column="moved", value="yes"), lambda w: (w.population["moved"] == 1).all()),
        (Do(effect="set_param", param="pull", value=0.25), lambda w: w.params.pull == 0.25),
        (Do(effect="cut_ties", share=1.0), lambda w: w.network.layer().n_ties == 0),
        (Do(effect="cut_ties", share=0.5), lambda w: w.network.layer().n_ties == 6),
        (Do(effect="add_ties", pairs=((0, 5),)), lambda w: 5 in w.network.layer().neighbours(0)),
        (Do(effect="add_ties", n=1), lambda w: w.network.layer().n_ties == 24),
        (Do(effect="seed_adopters", column="moved", value="yes", n=3), lambda w: w.population["moved"].sum() == 3),
        (
            Do(effect="seed_adopters", column="moved", value="yes", share=0.5),
            lambda w: w.population["moved"].sum() == 6,
        ),
    ],
)
def test_effects(do, check):
    study = toy_study(12, steps=1, interventions=(change(at=0, do=do),))
    with toy(step=still, setup=lambda w: None):
        record = last_of(study)
    assert check(record.world)
    assert [e.kind for e in record.events] == ["intervention"]


def test_cut_ties_are_recorded_one_by_one():
    study = toy_study(12, steps=1, interventions=(change(at=0, do=Do(effect="cut_ties", pairs=((0, 1),))),))
    with toy(step=still, setup=lambda w: None):
        record = last_of(study)
    assert [(t.source, t.target, t.added) for t in record.ties] == [(0, 1, False)]


def test_broadcasts_stand_in_later_prompts():
    from engine.llm import load_model
    from engine.spec import DecisionSpec, ModelSpec

    study = toy_study(
        6,
        steps=2,
        decisions={"move": DecisionSpec(policy="language")},
        interventions=(change(at=1, whom=Whom(ids=(0,)), do=Do(effect="broadcast", text="Stay <b>home</b>.")),),
    )
    with toy():
        records = list(simulate(study, model=load_model(ModelSpec(file="scripted"))))
    assert not any("Announcement" in s.suffix for s in records[1].situations)
    told = [s for s in records[2].situations if "Announcement: Stay <b>home</b>." in s.suffix]
    assert len(told) == 1
    assert (records[2].decisions[0].situations == told[0].situation_id).tolist() == [True] + [False] * 5


def test_an_intervention_that_cannot_be_applied_names_itself_and_the_step():
    study = toy_study(4, steps=3, interventions=(change("oops", at=1, do=Do(effect="set", column="moved", value="x")),))
    with toy(step=still), pytest.raises(RunError, match="intervention 'oops' at step 1: 'x' is not a value of moved"):
        list(simulate(study))


def settled(world):
    """Nothing changes by itself from the first step on."""
    world.settle("nothing moves")


@pytest.mark.parametrize(
    ("when", "last"),
    [
        ({"at": 3}, 4),
        ({"every": 2, "until": 5}, 5),
        ({"every": 4}, 9),
        ({"at": 0}, 1),
        ({"when": "moved_share > 2"}, 1),
        ({"when": "step >= 1"}, 2),
    ],
)
def test_a_settled_world_waits_for_interventions_that_may_still_act(when, last):
    study = toy_study(4, steps=9, interventions=(change(**when),))
    with toy(step=settled, setup=lambda w: None):
        records = list(simulate(study))
    assert records[-1].step == last
    assert records[-1].stopped == ("nothing moves" if last < 9 or "every" in when else None)


def test_a_settled_run_resumes_as_settled():
    with toy(step=settled, setup=lambda w: None):
        (_, record) = list(simulate(toy_study(4, steps=9)))
        assert record.stopped == "nothing moves"
        assert list(simulate(toy_study(4, steps=9), state=record.world.get_state(), digest=record.digest)) == []


def test_many_small_decisions_in_a_step_are_checked_quickly():
    from toy import MOVE

    def step(world):
        for turn in range(3000):
            world.decide(MOVE, np.array([turn % 40]), turn=turn, mood=0.5)

    with toy(step=step):
        (_, record) = list(simulate(toy_study(40, steps=1)))
    assert len(record.decisions) == 3000
