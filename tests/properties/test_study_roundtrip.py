import tomllib
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import registry
from engine.loading import default_study, dump_study, load_study, parse_study, study_hash

registry.discover()
SCENARIOS = [name for name in registry.scenarios if not name.startswith("test_only")]

TEXT = st.text(max_size=30)
NAMES = st.text(min_size=1, max_size=12).filter(str.strip)
SHARES = st.floats(0, 1, exclude_min=True)


def some_of(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return tables with some of the given keys."""
    return st.fixed_dictionaries({}, optional=parts)


def knob_values(info: Any) -> st.SearchStrategy[Any] | None:
    """Return values that a knob takes, from its type and bounds; None for a type that is left at its default."""
    bounds = {key: getattr(m, key) for m in info.metadata for key in ("ge", "gt", "le", "lt") if hasattr(m, key)}
    low, high = bounds.get("ge", bounds.get("gt", -1000)), bounds.get("le", bounds.get("lt", 1000))
    if get_origin(info.annotation) is not None and all(isinstance(option, str) for option in get_args(info.annotation)):
        return st.sampled_from(get_args(info.annotation))
    if info.annotation is bool:
        return st.booleans()
    if info.annotation is int:
        return st.integers(low + ("gt" in bounds), high - ("lt" in bounds))
    if info.annotation is float:
        return st.floats(low, high, exclude_min="gt" in bounds, exclude_max="lt" in bounds)
    return TEXT.filter(bool) if info.annotation is str and not info.metadata else None


LAYERS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("erdos_renyi")}, optional={"mean_degree": st.floats(0, 4)}),
    st.fixed_dictionaries(
        {"kind": st.just("watts_strogatz"), "k": st.sampled_from([2, 4])}, optional={"p_rewire": st.floats(0, 1)}
    ),
    st.just({"kind": "ring", "k": 4}),
    st.just({"kind": "complete"}),
    st.fixed_dictionaries({"kind": st.just("stochastic_block"), "p_within": st.floats(0, 1), "p_between": SHARES}),
)
NETWORKS = st.one_of(
    LAYERS,
    st.tuples(LAYERS, NAMES).map(lambda pair: {**pair[0], "name": pair[1]}),
    st.lists(NAMES, min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.tuples(*[LAYERS] * len(names)).map(
            lambda layers: {"layers": [{**layer, "name": name} for layer, name in zip(layers, names, strict=True)]}
        )
    ),
)
POPULATIONS = st.fixed_dictionaries(
    {"size": st.integers(50, 20_000)},
    optional={
        "columns": st.dictionaries(
            st.sampled_from(["age", "own_income", "own_likes"]),
            st.one_of(
                st.integers(20, 80),
                st.builds(lambda low: {"distribution": "uniform", "low": low, "high": 80.5}, st.floats(18, 80)),
            ),
        )
    },
)
SCHEDULES = st.one_of(
    st.builds(lambda at: {"at": at}, st.integers(0, 9)),
    st.builds(lambda every, until: {"every": every, "until": until}, st.integers(1, 5), st.integers(5, 99)),
    st.just({"when": "step > 3 and not step in [5, 6.5]"}),
)
WHOMS = some_of(
    ids=st.lists(st.integers(0, 10**6), max_size=4),
    where=st.sampled_from(["degree > 2", "agent_id / 2 < 10 or degree in [1, 2]"]),
    top=st.builds(lambda share: {"by": "degree", "share": share}, SHARES),
    sample=st.builds(lambda n: {"n": n}, st.integers(1, 9)),
)
EFFECTS = st.one_of(
    st.builds(lambda text: {"effect": "broadcast", "text": text}, TEXT.filter(bool)),
    st.builds(lambda share: {"effect": "cut_ties", "share": share}, SHARES),
    st.just({"effect": "add_ties", "pairs": [[0, 1], [2, 3]]}),
)


@st.composite
def study_tables(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a study with anything chosen, in the form of its file."""
    info = registry.scenarios.get(draw(st.sampled_from(SCENARIOS)))
    knobs = {name: knob_values(field) for name, field in info.params.model_fields.items()}
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    interventions = [
        {"name": name, **draw(SCHEDULES), "do": draw(EFFECTS), **draw(some_of(whom=WHOMS))} for name in names
    ]
    policies = st.fixed_dictionaries(
        {"policy": st.sampled_from(["rule", "language", "scripted", "mixture"])},
        optional={
            "share": SHARES,
            "temperature": st.floats(0.1, 10),
            "persona_fields": st.just([]),
            "option_order": st.sampled_from(["forward", "both", "rotations"]),
            "reason": st.booleans(),
            "calibration": some_of(
                normalisation=st.sampled_from(["none", "pmi", "bytes"]),
                neutral=TEXT.filter(bool),
                least_mass=st.floats(0, 1),
                unusable=st.sampled_from(["count", "rule", "stop"]),
            ),
        },
    )
    decisions = some_of(**{decision.name: policies for decision in info.decisions})
    optional = some_of(
        title=TEXT,
        question=TEXT,
        seed=st.integers(0, 2**63 - 1),
        replicates=st.integers(1, 100),
        redraw=st.lists(st.sampled_from(["population", "network"]), unique=True),
        seeds=some_of(population=st.integers(0, 2**62), network=st.integers(0, 9), dynamics=st.integers(0, 9)),
        params=some_of(**{name: values for name, values in knobs.items() if values is not None}),
        population=POPULATIONS,
        network=NETWORKS,
        decisions=decisions,
        model=some_of(file=TEXT, n_ctx=st.integers(256, 4096), top_p=SHARES, temperature=st.floats(0, 5)),
        record=some_of(every=st.integers(1, 9), states=st.sampled_from(["dense", "none"])),
    )
    given = draw(optional)
    if "columns" in given.get("population", {}):  # other people than the default ones may lack what its ties go by
        given.setdefault("network", {"kind": "complete"})
    return {
        "scenario": info.name,
        "steps": draw(st.integers(10, 10**7)),
        **given,
        "interventions": interventions,
    }


@settings(max_examples=120, deadline=None)
@given(tables=study_tables())
def test_a_study_survives_its_file(tables):
    if "population" not in tables:  # networks are drawn for at least 50 agents
        tables = {**tables, "population": {"size": 60}}
    study = load_study(tables)
    text = dump_study(study)
    again = parse_study(text)
    assert again == study
    assert dump_study(again) == text
    assert study_hash(again) == study_hash(study)
    assert load_study(study) == study


@settings(max_examples=60, deadline=None)
@given(tables=study_tables(), seed=st.integers(0, 2**63 - 1))
def test_an_override_changes_nothing_else(tables, seed):
    study = load_study({**tables, "population": {"size": 60}})
    assert load_study(study, [f"seed={seed}"]) == study.model_copy(update={"seed": seed})


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_file_of_a_default_study_is_complete(name):
    study = default_study(name)
    text = dump_study(study)
    assert parse_study(text) == study
    tables = tomllib.loads(text)
    shown = {field for field, value in registry.scenarios.get(name).params().model_dump().items() if value is not None}
    assert set(tables["params"]) == shown
    assert {"title", "seed", "steps", "population", "network", "model", "record"} <= set(tables)
