"""Arms in a study: read, checked, written back, expanded; and the same chance in each of them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import StudyError, dump_study, load_study, parse_study, simulate
from engine.experiment import expand_arms, plan_runs
from engine.loading import study_hash

TEXT = """
scenario = "bounded_confidence"
steps = 20

[[interventions]]
name = "news"
at = 5
do = { effect = "broadcast", text = "The road is closed." }

[[arms]]
name = "as it is"

[[arms]]
name = "wide ring"
set = { params.epsilon = 0.3, "network.kind" = "ring", network = { k = 4 } }

[[arms.interventions]]
at = 3
do = { effect = "set", column = "opinion", value = 0.9 }
"""


def problems(tables, *overrides):
    """Return every problem of a study as (sentence, key)."""
    with pytest.raises(StudyError) as caught:
        load_study(tables, overrides)
    return [(problem.message, problem.key) for problem in caught.value.problems]


def test_arms_are_read_and_expanded():
    study = parse_study(TEXT)
    assert study.arms[1].set == {"params.epsilon": 0.3, "network.kind": "ring", "network.k": 4}
    assert study.arms[1].interventions[0].name == "wide ring 1"
    (first, same), (second, other) = expand_arms(study)
    assert (first, second) == ("as it is", "wide ring")
    assert same == study.model_copy(update={"arms": ()})
    assert other.params["epsilon"] == 0.3
    assert (other.layers[0].kind, other.layers[0].params) == ("ring", {"k": 4})
    assert [spec.name for spec in other.interventions] == ["news", "wide ring 1"]
    assert load_study(other) == other


def test_a_study_without_arms_stands_alone():
    study = load_study("sir")
    assert expand_arms(study) == [("", study)]


def test_arms_survive_the_file():
    study = parse_study(TEXT)
    text = dump_study(study)
    assert parse_study(text) == study
    assert dump_study(parse_study(text)) == text
    assert "[[arms.interventions]]" in text
    assert study_hash(study) != study_hash(study.model_copy(update={"arms": ()}))


ARM_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "params.epsilon": st.floats(0, 1),
        "params.mu": st.floats(0.1, 0.5),
        "params.topic": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "network.k": st.integers(1, 20).map(lambda k: 2 * k),
        "network.shuffle": st.booleans(),
        "decisions.listen.policy": st.sampled_from(["rule", "scripted", "language"]),
        "decisions.listen.persona_fields": st.just([]),
        "population.size": st.integers(50, 99),
        "steps": st.integers(6, 50),
        "stop_when": st.just("step > 5"),
    },
)


@settings(max_examples=60, deadline=None)
@given(first=ARM_VALUES, second=ARM_VALUES, seed=st.integers(0, 2**63 - 1))
def test_any_arms_survive_the_file_and_expand_to_studies(first, second, seed):
    arms = [
        {"name": "b", "set": first},
        {"name": "c", "set": second},
        {"name": "d", "set": {"params.rule": "deffuant"}},
    ]
    try:
        study = load_study({"scenario": "bounded_confidence", "seed": seed, "arms": arms})
    except StudyError as error:
        assert [str(problem).count("differ in nothing") for problem in error.problems] == [1]
        return
    assert parse_study(dump_study(study)) == study
    for _, own in expand_arms(study):
        assert own.seed == seed
        assert load_study(own) == own
        assert parse_study(dump_study(own)) == own


def test_an_arm_is_changed_from_the_command_line(tables):
    study = load_study(tables, ["arms.wide.set.params.epsilon=0.5", "arms.0.set.params.mu=0.2", "params.mu=0.4"])
    narrow, wide = (own.params for _, own in expand_arms(study))
    assert (narrow["epsilon"], narrow["mu"]) == (0.1, 0.2)
    assert (wide["epsilon"], wide["mu"]) == (0.5, 0.4)


def test_every_problem_of_every_arm_is_told_at_its_place(tables):
    tables["interventions"] = [{"name": "news", "at": 6, "do": {"effect": "broadcast", "text": "hello"}}]
    tables["arms"] = [
        {"name": "one", "set": {"params.epsilom": 0.2, "network": {"k": "x"}, "seed": 3, "steps": 4}, "sett": 1},
        {"name": "two", "set": {"params.epsilon": 7}, "interventions": [{"at": 99, "do": {"effect": "sett"}}]},
        {"name": "two", "set": 5},
    ]
    found = problems(tables)
    assert (
        "'epsilom' is not a knob of bounded_confidence; did you mean 'epsilon'?",
        "arms.0.set.params.epsilom",
    ) in found
    assert ("k = 'x' is not a whole number", "arms.0.set.network.k") in found
    assert ("'seed' cannot differ between arms: they share scenario, seeds and replicates", "arms.0.set.seed") in found
    assert ("in arm 'one': at = 6 is not in [0, 3]; the run has 4 steps", "interventions.0.at") in found
    assert ("'sett' is not a key of an arm; did you mean 'set'?", "arms.0.sett") in found
    assert ("epsilon = 7 is not in [0, 1]", "arms.1.set.params.epsilon") in found
    assert ("at = 99 is not in [0, 7]; the run has 8 steps", "arms.1.interventions.0.at") in found
    assert ("'sett' is not an effect; did you mean 'set'?", "arms.1.interventions.0.do.effect") in found
    assert ('set = 5 is not a table such as { "params.epsilon" = 0.1 }', "arms.2.set") in found
    assert ("two arms are called 'two'; each needs a name of its own", "arms.2.name") in found
    assert len(found) == 10


def test_problems_of_the_study_are_told_once(tables):
    tables["params"] = {"mu": 3}
    assert problems(tables) == [("mu = 3 is not in (0, 0.5]", "params.mu")]


@pytest.mark.parametrize(
    ("arms", "sentence"),
    [
        ([{"name": "a"}], "one arm compares nothing"),
        ([{"name": "a"}, {"name": "b"}], "the arms 'a' and 'b' differ in nothing"),
        ([{"name": "a"}, {"name": "b", "set": {"params.epsilon": 0.2}}], "the arms 'a' and 'b' differ in nothing"),
        ([{"name": "a"}, {"name": "b", "set": {"title": "B"}}], "the arms 'a' and 'b' differ in nothing"),
        ([{"name": "a"}, {"set": {"steps": 9}}], "'name' is missing"),
        ([{"name": "a"}, 3], "arms[1] = 3 is not a table"),
        ("a", "arms = 'a' is not a list of tables"),
        ([{"name": str(i), "set": {"steps": i + 1}} for i in range(101)], "101 arms are more than 100"),
    ],
)
def test_arms_that_compare_nothing_are_one_problem(arms, sentence):
    found = problems({"scenario": "bounded_confidence", "arms": arms})
    assert len(found) == 1
    assert found[0][0].startswith(sentence)


def test_common_random_numbers(vaccination):
    """Replicate r draws the same in every arm: equal digests until the arms part, and most people fare alike after."""
    twin = load_study(vaccination, ["arms.nobody.set.params.gamma=0.1", 'arms."a tenth".interventions.0.at=3'])
    runs = {}
    for planned in plan_runs(twin, 2):
        records = simulate(planned.study, replicate=planned.replicate)
        taken = [(record.digest, record.world.population["state"].copy()) for record in itertools.islice(records, 9)]
        runs[planned.arm, planned.replicate] = taken
    for replicate in (0, 1):
        one, other = (runs[arm, replicate] for arm in ("nobody", "a tenth"))
        assert [digest for digest, _ in one[:4]] == [digest for digest, _ in other[:4]]
        assert [a == b for (a, _), (b, _) in zip(one[4:], other[4:], strict=True)] == [False] * 5
        agreeing = [np.mean(a == b) for (_, a), (_, b) in zip(one[4:], other[4:], strict=True)]
        assert min(agreeing) > 0.85  # besides the tenth that was vaccinated, hardly anyone fares otherwise
    assert runs["nobody", 0][0][0] != runs["nobody", 1][0][0]


def test_runs_are_planned_pair_by_pair(study):
    planned = plan_runs(study)
    assert [(run.arm, run.replicate) for run in planned] == [("narrow", 0), ("wide", 0), ("narrow", 1), ("wide", 1)]
    assert {run.study.seed_of("dynamics", 1) for run in planned} == {1}
    assert not any(run.study.arms for run in planned)
