"""`persuasion` against its logits; tolerances are four binomial standard errors."""

import numpy as np
import pytest

from engine import MicrocosmError, load_study, simulate
from engine.llm import ScriptedModel
from scenarios import persuasion
from scenarios.persuasion import NOT_ASKED, SKEPTIC

EFFECTS = {
    "knowledge": 0.9,
    "trust": 0.7,
    "support": 0.6,
    "status": 0.5,
    "similarity": 0.3,
    "identity": 0.3,
    "fun": 0.1,
    "power": 0.0,
    "romance": -0.2,
    "conflict": -0.5,
}


def probability(dimension, stubbornness):
    """Return P(yes) from the stated logits."""
    base = -2.5 if dimension == "none" else -1.2 + EFFECTS[dimension]
    return 1 / (1 + np.exp(-(base - stubbornness)))


def round_of(n_dyads, *overrides, model=None):
    """Return the last record of a run without personas."""
    last = None
    size = f"population={{size={2 * n_dyads}}}"
    for record in simulate(load_study("persuasion", [size, f"params.n_dyads={n_dyads}", *overrides]), model=model):
        last = record
    return last


@pytest.mark.parametrize("stubbornness", [0, 1, 2])
def test_shares_follow_the_logits(stubbornness):
    per_arm = 3000
    last = round_of(11 * per_arm, f"params.stubbornness={stubbornness}")
    for dimension in (*EFFECTS, "none"):
        p = probability(dimension, stubbornness)
        share = last.measures["persuaded_share", dimension]
        assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / per_arm), dimension
        assert last.measures["mean_shift", dimension] == pytest.approx(share, abs=1e-12)
    arms = [last.measures["persuaded_share", d] for d in (*EFFECTS, "none")]
    assert last.measures["persuaded_share", ""] == pytest.approx(np.mean(arms))


def test_published_order_and_the_control_at_the_bottom():
    assert persuasion.EFFECTS == EFFECTS
    ranked = sorted(EFFECTS, key=EFFECTS.get, reverse=True)
    assert ranked[:4] == ["knowledge", "trust", "support", "status"]
    assert all(probability(d, s) > probability("none", s) for d in EFFECTS for s in (0, 1, 2))
    assert probability("knowledge", 0) == pytest.approx(0.4256, abs=1e-4)


def test_the_control_arm_hears_nothing():
    last = round_of(4000, "params.dimension=none")
    assert last.messages == []
    p = probability("none", 0)
    assert abs(last.measures["persuaded_share", ""] - p) < 4 * np.sqrt(p * (1 - p) / 4000)
    assert {segment for _, segment in last.measures} == {"", "none"}


def test_one_dimension_only():
    last = round_of(50, "params.dimension=trust")
    assert {segment for _, segment in last.measures} == {"", "trust"}
    assert len(last.messages) == 50
    assert {message.text for message in last.messages} == {persuasion.BY_RULE["trust"]}


def test_opinions_move_by_one_point_up_to_agreement():
    n = 40
    before = None
    for record in simulate(
        load_study("persuasion", [f"population={{size={2 * n + 3}}}", f"params.n_dyads={n}", "steps=400"])
    ):
        population = record.world.population
        if before is not None:
            skeptic = population["role"] == SKEPTIC
            moved = population["opinion"] - before
            assert np.isin(moved, (0, 1)).all() and (moved[~skeptic] == 0).all()
            assert (population["answer"][before == 5] == NOT_ASKED).all()
            assert (population["opinion_before"] == before).all()
        before = population["opinion"].copy()
    assert record.stopped == "every skeptic agrees"
    assert (before[population["role"] == SKEPTIC] == 5).all()
    assert (before[-3:] == 2).all()


def test_too_many_dyads_are_refused():
    with pytest.raises(MicrocosmError, match="n_dyads = 30 needs 60 people and there are 50"):
        next(simulate(load_study("persuasion", ["population.size=50", "params.n_dyads=30"])))


def test_the_skeptic_reads_the_argument_but_not_its_dimension():
    model = ScriptedModel()
    last = round_of(11, "decisions.change.policy=language", model=model)
    said = [message.text for message in last.messages]
    assert len(said) == 10
    assert all(message.agent_id % 2 == 0 for message in last.messages)
    heard = dict(zip(last.decisions[0].agents.tolist(), last.decisions[0].situations.tolist(), strict=True))
    suffix_of = {s.situation_id: s.suffix for s in last.situations}
    for message in last.messages:
        assert f"The other person tells you:\n{message.text}\n" in suffix_of[heard[message.agent_id + 1]]
    told = [s.suffix for s in last.situations if "The other person tells you" in s.suffix]
    assert sum(text in suffix for text in set(said) for suffix in told) >= len(set(said))
    assert not any("appeals to" in s.prefix + s.suffix for s in last.situations)
    assert sum("The other person tells you" not in s.suffix for s in last.situations) == 1


class Mute(ScriptedModel):
    """A model whose texts are all unusable."""

    def write(self, prefix, suffixes, **options):
        return [None] * len(suffixes)


def test_an_unusable_argument_is_counted_and_nobody_is_asked_about_it():
    last = round_of(22, "decisions.change.policy=language", model=Mute())
    asked = last.world.population["answer"] != NOT_ASKED
    assert asked.sum() == 2  # the control arm only
    assert [(event.kind, event.detail["n"]) for event in last.events] == [("unusable_text", 20)]
    assert {segment for _, segment in last.measures} == {"", "none"}
