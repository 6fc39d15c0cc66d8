"""The contract that every registered scenario keeps; a new scenario is tested without an edit here."""

import math
import re

import numpy as np
import pytest

from engine import dump_study, load_study, parse_study, registry, simulate
from engine.contract import SIGNED_MEASURES
from engine.llm import ScriptedModel
from engine.loading import preset_names
from engine.simulation import build_world

registry.discover()
SCENARIOS = sorted(registry.scenarios)
DECIDING = [name for name in SCENARIOS if registry.scenarios.get(name).decisions]
STEPS = 5


def study_of(name, *overrides, policy="rule", steps=STEPS):
    """Return a scenario's default study with one policy for all its decisions."""
    policies = [f"decisions.{d.name}.policy={policy}" for d in registry.scenarios.get(name).decisions]
    return load_study(name, [f"steps={steps}", *policies, *overrides])


def digests(study, **options):
    """Return the digest chain of a run."""
    return [record.digest for record in simulate(study, **options)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_docstring_tells_what_a_reader_needs(name):
    info = registry.scenarios.get(name)
    for section in ("Question:", "Mechanism", "Source:", "Expect:", "Units:"):
        assert re.search(rf"^{section}", info.document, re.MULTILINE), f"{name} lacks {section}"
    assert info.title and info.promise.endswith(".") and re.search(r"\d{4}", info.source)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_part_is_explained(name):
    info = registry.scenarios.get(name)
    knobs = info.params.model_fields
    assert [knob for knob, field in knobs.items() if not field.description] == []
    assert [column for column, declared in info.columns.items() if not declared.help] == []
    assert [measure.name for measure in info.measures if not (measure.help and measure.source)] == []
    assert info.display in info.columns
    assert len({measure.name for measure in info.measures}) == len(info.measures)
    for decision in info.decisions:
        assert decision.question.endswith("?")
        assert set(decision.shows) <= set(decision.labels)


@pytest.mark.parametrize("name", SCENARIOS)
def test_study_survives_its_file(name):
    study = load_study(name)
    assert parse_study(dump_study(study)) == study


@pytest.mark.parametrize("policy", ["rule", "scripted"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_measures_are_present_and_in_range(name, policy):
    declared = {measure.name: measure for measure in registry.scenarios.get(name).measures}
    unsigned = set(declared) - {measure.name for measure in SIGNED_MEASURES}
    for record in simulate(study_of(name, policy=policy)):
        assert {measure for measure, segment in record.measures if segment == ""} == unsigned
        for (measure, segment), value in record.measures.items():
            low, high = declared[measure].low, declared[measure].high
            assert math.isfinite(value), (measure, segment, record.step)
            assert low is None or value >= low - 1e-12, (measure, segment, value)
            assert high is None or value <= high + 1e-12, (measure, segment, value)


@pytest.mark.parametrize("name", SCENARIOS)
def test_state_columns_keep_type_shape_and_range(name):
    info = registry.scenarios.get(name)
    for record in simulate(study_of(name, policy="scripted")):
        world = record.world
        for column, declared in info.columns.items():
            values = world.population[column]
            assert values.shape == (world.n_agents,), column
            assert values.dtype == np.dtype(declared.dtype), column
            assert declared.low is None or values.min() >= declared.low, column
            assert declared.high is None or values.max() <= declared.high, column
            assert not declared.labels or (values.min() >= 0 and values.max() < len(declared.labels)), column
        assert all(type(value) in (float, int, bool, str) for value in world.env.values()), world.env


@pytest.mark.parametrize("policy", ["rule", "scripted"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_same_seed_same_run(name, policy):
    study = study_of(name, policy=policy)
    assert digests(study) == digests(study)


@pytest.mark.parametrize("name", SCENARIOS)
def test_other_seed_other_run(name):
    first = digests(study_of(name, "seed=1", policy="scripted"))
    assert first != digests(study_of(name, "seed=2", policy="scripted"))
    moved = digests(study_of(name, "seed=1", policy="scripted"), replicate=1)
    assert first != moved


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_intervention_without_effect_changes_nothing(name):
    info = registry.scenarios.get(name)
    plain = study_of(name, policy="scripted")
    knob, value = next(iter(info.params().model_dump().items()))
    given = {
        **plain.model_dump(exclude_defaults=True),
        "interventions": [
            {"name": "same", "every": 1, "do": {"effect": "set_param", "param": knob, "value": value}},
            {"name": "nothing added", "at": 1, "do": {"effect": "add", "column": _number(info), "amount": 0.0}},
        ],
    }
    if _number(info) is None:
        given["interventions"].pop()
    changed = type(plain)(**given)
    assert digests(changed) == digests(plain)


def _number(info):
    columns = info.columns.items()
    return next((name for name, column in columns if column.kind in ("float", "integer")), None)


@pytest.mark.parametrize("policy", ["rule", "scripted"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_checkpoint_at_three_ends_the_same(name, policy):
    study = study_of(name, policy=policy, steps=6)
    undisturbed, held = [], None
    for record in simulate(study):
        undisturbed.append(record.digest)
        if record.step == 3 or (record.stopped and held is None):
            held = record.step, record.world.get_state(), record.digest
    step, state, digest = held
    assert all(array.dtype.kind in "biufS" for array in state.values())
    resumed = digests(study, state=state, digest=digest)
    assert undisturbed[: step + 1] + resumed == undisturbed


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_holds_no_state(name):
    world = build_world(study_of(name, policy="scripted"))
    instance = world.info.build()
    class_before = {key: repr(value) for key, value in vars(type(instance)).items()}
    instance.setup(world)
    for _ in range(2):
        world.begin_step()
        instance.step(world)
    assert vars(instance) == {}
    assert {key: repr(value) for key, value in vars(type(instance)).items()} == class_before


@pytest.mark.parametrize("name", DECIDING)
def test_a_language_model_can_decide(name):
    model = ScriptedModel()
    small = ["population.size=22"] if name == "persuasion" else ["population.size=20"]
    if name == "persuasion":
        small.append("params.n_dyads=11")
    situations = []
    for record in simulate(study_of(name, *small, policy="language", steps=2), model=model):
        situations += record.situations
    assert situations
    for situation in situations:
        assert "{{" not in situation.prefix and "{%" not in situation.prefix
        assert math.isclose(np.exp(situation.logp).sum(), 1.0, rel_tol=1e-9)


@pytest.mark.parametrize("name", SCENARIOS)
def test_two_presets_or_more(name):
    assert len(preset_names(name)) >= 2
    assert all(preset.startswith(f"{name}_") for preset in preset_names(name))


@pytest.mark.parametrize("preset", preset_names())
def test_presets_load_and_run(preset):
    study = load_study(preset, ["steps=3", "model.file=scripted"])
    assert study.title and study.question.endswith("?")
    last = None
    for record in simulate(study, model=ScriptedModel()):
        last = record
    assert last.step == 3 or last.stopped


def test_presets_keep_their_file():
    for preset in preset_names():
        study = load_study(preset)
        assert parse_study(dump_study(study)) == study
