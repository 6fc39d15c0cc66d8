"""Deciding, writing, entering, and what a world refuses."""

from __future__ import annotations

import numpy as np
import pytest
from toy import MOVE, REMARK, toy, toy_study

from engine.errors import DecisionError, PopulationError, RunError
from engine.llm import load_model
from engine.simulation import build_world, simulate
from engine.spec import DecisionSpec, ModelSpec, PopulationSpec


@pytest.fixture
def scripted():
    return load_model(ModelSpec(file="scripted"))


def run_all(study, **options):
    return list(simulate(study, **options))


def test_the_same_seed_gives_the_same_chain_and_another_seed_another():
    with toy():
        one = [r.digest for r in run_all(toy_study())]
        two = [r.digest for r in run_all(toy_study())]
        other = [r.digest for r in run_all(toy_study(seed=8))]
        replicate = [r.digest for r in run_all(toy_study(), replicate=1)]
    assert one == two
    assert one[-1] != other[-1] and one[-1] != replicate[-1]
    assert replicate == other, "replicate 1 moves the dynamics seed by one"


def test_a_decision_of_100_000_agents_with_200_situations_costs_exactly_200(scripted):
    districts = [f"district {i % 50}" for i in range(100_000)]

    def step(world):
        mood = (world.agents // 50 % 4) / 4 + 0.1
        world.population["moved"][:] = world.decide(MOVE, mood=mood)

    study = toy_study(
        100_000,
        steps=1,
        population=PopulationSpec(size=100_000, columns={"district": districts}),
        decisions={"move": DecisionSpec(policy="language", persona_fields=("district",))},
    )
    with toy(step=step):
        last = run_all(study, model=scripted)[-1]
    assert last.world.counts == {"model_calls": 1, "situations": 200, "cache_hits": 0}
    assert scripted.n_situations == 200 == len(last.situations)
    assert len({(s.prefix, s.suffix) for s in last.situations}) == 200


def test_each_situations_share_follows_its_distribution(scripted):
    def step(world):
        world.population["moved"][:] = world.decide(MOVE, mood=np.full(world.n_agents, 0.6))

    study = toy_study(20_000, steps=1, decisions={"move": DecisionSpec(policy="language")})
    with toy(step=step):
        last = run_all(study, model=scripted)[-1]
    (situation,) = last.situations
    p = float(np.exp(situation.logp[1]))
    assert abs(last.measures["moved_share", ""] - p) < 4 * np.sqrt(p * (1 - p) / 20_000)
    assert "toy world with a pull of 0.5" in situation.prefix and "Your mood: good." in situation.suffix
    batch = last.decisions[0]
    assert np.allclose(batch.p[batch.actions == 1], p)
    assert (batch.situations == situation.situation_id).all()


def test_a_mixture_keeps_its_language_agents(scripted):
    study = toy_study(2000, steps=2, decisions={"move": DecisionSpec(policy="mixture", share=0.2)})
    with toy():
        records = run_all(study, model=scripted)
    first, second = records[1].decisions[0].policy, records[2].decisions[0].policy
    assert (first == second).all()
    assert abs(first.mean() - 0.2) < 4 * np.sqrt(0.16 / 2000)


def test_deciding_twice_is_refused_but_another_turn_is_not():
    def twice(world):
        world.decide(MOVE, mood=0.5)
        world.decide(MOVE, mood=0.5, turn=1)
        world.decide(MOVE, np.array([3]), mood=0.5)

    with toy(step=twice), pytest.raises(DecisionError, match="'move' was decided twice for one agent"):
        run_all(toy_study())

    def twice_by_index(world):
        world.decide(MOVE, np.array([3, 3]), turn=np.array([1, 2]), mood=0.5)
        world.decide(MOVE, np.array([3]), turn=np.array([2]), mood=0.5)

    with toy(step=twice_by_index), pytest.raises(DecisionError, match="give each a turn of its own"):
        run_all(toy_study())


@pytest.mark.parametrize("answer", [lambda s: s.log_weights(0.0, np.nan), lambda s: s.log_weights(-np.inf, -np.inf)])
def test_nan_from_a_rule_names_step_and_agent(answer):
    broken = type(MOVE)(**{**MOVE.__dict__, "rule": answer})
    with toy(step=lambda world: world.decide(broken, mood=0.5)), pytest.raises(DecisionError) as caught:
        run_all(toy_study())
    assert "for agent 0 at step 1" in str(caught.value)


def test_a_rules_action_outside_the_options_is_refused():
    broken = type(MOVE)(**{**MOVE.__dict__, "rule": lambda seen: np.full(len(seen), 2)})
    with (
        toy(step=lambda world: world.decide(broken, mood=0.5)),
        pytest.raises(DecisionError, match="allowed are 0 to 1"),
    ):
        run_all(toy_study())


def test_nan_in_a_state_stops_the_run_and_names_step_and_agent():
    def step(world):
        world.population["mood"][5] = np.nan

    with toy(step=step), pytest.raises(RunError, match="'mood' became NaN for agent 5 at step 1"):
        run_all(toy_study())


def test_agents_enter_with_new_ids_and_are_recorded():
    def step(world):
        if world.step == 2:
            world.enter(2, mood=0.9)

    with toy(step=step):
        records = run_all(toy_study(10, steps=3))
    assert records[2].entered.tolist() == [10, 11]
    world = records[-1].world
    assert world.n_agents == 12 and world.population["mood"][11] == 0.9
    assert [e.kind for e in records[2].events] == ["entered", "entered"]
    assert world.network.layer().n == 12


def test_conversation_gives_everyone_a_turn_and_keeps_a_transcript():
    heard = {}

    def step(world):
        heard["ids"] = world.converse(
            REMARK, world.agents, groups=np.repeat([0, 1], 3), turns=4, opening=["Hello one.", "Hello two."]
        )

    with toy(step=step):
        last = run_all(toy_study(6, steps=1))[-1]
    ids = heard["ids"]
    assert len(set(ids[:3])) == 1 and ids[0] != ids[3]
    transcript = last.world.text(int(ids[0]))
    assert transcript.startswith("Moderator: Hello one.\n") and transcript.count("\n") == 4
    assert {m.agent_id for m in last.messages} == {-1, 0, 1, 2, 3, 4, 5}


def test_the_journal_answers_before_the_model_is_asked(scripted):
    from engine.simulation import MemoryJournal

    study = toy_study(300, decisions={"move": DecisionSpec(policy="language")})
    journal = MemoryJournal()
    with toy():
        first = run_all(study, model=scripted, journal=journal)
        asked = scripted.n_situations
        again = run_all(study, model=scripted, journal=journal)
    assert scripted.n_situations == asked > 0
    assert [r.digest for r in first] == [r.digest for r in again]


def test_a_checkpoint_continues_bit_for_bit(scripted):
    study = toy_study(50, steps=6, decisions={"move": DecisionSpec(policy="language")})
    from engine.simulation import MemoryJournal

    with toy():
        journal = MemoryJournal()
        whole = []
        for record in simulate(study, model=scripted, journal=journal):
            whole.append(record.digest)
            if record.step == 3:
                state, digest = record.world.get_state(), record.digest
        rest = [r.digest for r in simulate(study, model=scripted, journal=journal, state=state, digest=digest)]
    assert rest == whole[4:]
    assert all(array.dtype != object for array in state.values())


def test_a_world_is_built_without_loading_a_model():
    with toy():
        world = build_world(toy_study(decisions={"move": DecisionSpec(policy="language")}))
    assert world.counts["model_calls"] == 0


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"mood": [0.1, 0.2, 3.0]}, r"mood = 3 is not in \[0, 1\] @ population.columns.mood"),
        ({"moved": ["no", "yes", "perhaps"]}, "'perhaps' is not a value of moved"),
        ({"moved": [1, 0, 1]}, "'moved' must hold one of no, yes"),
        ({"mood": ["a", "b", "c"]}, "'mood' is a float column and cannot hold texts"),
    ],
)
def test_a_population_may_bring_state_columns_of_the_right_kind_only(column, message):
    with toy(), pytest.raises(PopulationError, match=message):
        build_world(toy_study(population=PopulationSpec(size=3, columns=column)))


def test_labels_of_the_population_become_codes_of_the_state():
    with toy():
        world = build_world(toy_study(population=PopulationSpec(size=3, columns={"moved": ["yes", "yes", "no"]})))
    assert world.population["moved"].tolist() == [1, 1, 0]
    assert world.given == {"moved"}


def test_a_crash_in_the_middle_of_a_long_question_loses_one_chunk(scripted, monkeypatch):
    from engine.policy import asking
    from engine.simulation import MemoryJournal

    monkeypatch.setattr(asking, "CHUNK", 3)
    columns = {"district": [f"d{i}" for i in range(10)]}
    decisions = {"move": DecisionSpec(policy="language", persona_fields=("district",))}
    study = toy_study(10, steps=1, population=PopulationSpec(size=10, columns=columns), decisions=decisions)
    journal, score = MemoryJournal(), scripted.score

    def dying(*arguments, **options):
        if scripted.n_situations >= 6:
            raise KeyboardInterrupt
        return score(*arguments, **options)

    with toy(step=lambda world: world.decide(MOVE, mood=0.5)):
        whole = run_all(study, model=load_model(ModelSpec(file="scripted")))[-1]
        monkeypatch.setattr(scripted, "score", dying)
        with pytest.raises(KeyboardInterrupt):
            run_all(study, model=scripted, journal=journal)
        monkeypatch.setattr(scripted, "score", score)
        last = run_all(study, model=scripted, journal=journal)[-1]
    assert len(whole.situations) == len(last.situations) == 10
    assert scripted.n_situations == 10, "what was journalled is not asked again"
    assert last.digest == whole.digest
