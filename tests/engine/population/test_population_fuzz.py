"""Whatever stands in `[population.columns]` or in a pack either builds or is refused with words."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import PopulationError
from engine.population import build_population
from engine.population.packs import parse_pack
from engine.spec import PopulationSpec

SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from([0, 1, 25, "a", "b", "*", "<25"])
)
NUMERIC_KEYS = ["mean", "sd", "low", "high", "a", "b", "median", "sigma", "edges", "values", "weights", "value"]
KEYS = st.sampled_from([*NUMERIC_KEYS, "distribution", "given", "table", "*", "<25", ">=25", "kind", "unit"])
NAMES = st.sampled_from(["age", "sex", "occupation", "bio", "x", "y", "big5_o", "weight"])
DISTRIBUTIONS = ["normal", "uniform", "beta", "histogram", "lognormal", "categorical", "constant", "truncated_normal"]
CELLS = st.recursive(
    st.one_of(SCALARS, st.sampled_from(DISTRIBUTIONS), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)
NUMBERS = st.one_of(st.sampled_from([-1, 0, 0.3, 1, 4, 1e-300, 1e308, -1e308, 1e19, 2**63]), st.floats(0, 1e9))
WELL_FORMED = st.one_of(
    *(
        st.fixed_dictionaries({"distribution": st.just(name)} | dict.fromkeys(required, NUMBERS), optional=extra)
        for name, required, extra in (
            ("normal", ("mean", "sd"), {"low": NUMBERS, "high": NUMBERS, "kind": st.just("integer")}),
            ("truncated_normal", ("mean", "sd"), {"low": NUMBERS, "high": NUMBERS}),
            ("lognormal", ("median", "sigma"), {"high": NUMBERS, "kind": st.just("integer")}),
            ("beta", ("a", "b"), {"low": NUMBERS, "high": NUMBERS}),
            ("uniform", ("low", "high"), {"kind": st.just("integer")}),
        )
    ),
    st.fixed_dictionaries({"values": st.lists(SCALARS, min_size=1, max_size=3)}),
    st.fixed_dictionaries(
        {"given": NAMES, "table": st.dictionaries(st.sampled_from(["<2", ">=2", "*", "female", "a"]), SCALARS)}
    ),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, st.one_of(CELLS, WELL_FORMED, WELL_FORMED), max_size=4))
def test_columns_build_or_are_refused(columns):
    try:
        population = build_population(PopulationSpec.model_construct(size=4, columns=columns), 1)
    except PopulationError as error:
        assert str(error).strip()
        return
    for name, column in population.columns.items():
        values = population.values[name]
        assert values.shape == (4,) and values.dtype == np.dtype(column.dtype)
        if column.kind in ("integer", "float"):
            assert np.isfinite(values).all()
    assert population.frame().height == 4


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.one_of(NAMES, st.just("people"), st.just("columns")), CELLS, max_size=3), CELLS)
def test_packs_parse_or_are_refused(head, people):
    try:
        pack = parse_pack("p", {"people": people, **head})
    except PopulationError as error:
        assert str(error).strip()
        return
    assert all(part.values.shape == (pack.n,) for part in pack.parts.values())
