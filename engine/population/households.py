"""Households from a distribution of sizes: agents next to each other live together, with ages that fit.

Households are filled in the order of the agents. A household is led by two partners, by one parent with children, or
has adults only; the oldest child is born when the mother (or father) is 18 to 44, the next ones one to five years
apart, and children older than 24 have left. All numbers below are ours, made up to look plausible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from engine.draws import draw_uniform
from engine.population.columns import Column
from engine.population.schema import load_schema
from engine.population.text import quoted
from engine.spec import HouseholdSpec

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
STREAM = "population.households"
NAMES = ("household_id", "household_role", "hh_size", "age")
ROLES = ("adult", "partner", "parent", "child")
ADULT_FROM = 18
OLDEST_CHILD = 24
_BIRTH = (29.0, 5.0, 18.0, 44.0)  # mean, sd, lowest, highest age of a parent at the birth of the oldest child
_PARTNER_GAP_SD = 4.0
_SUM_TOLERANCE = 5e-3
_MAX_PEOPLE = 20
_OLDEST = 96
_LEAVES_SCHOOL = 16
_LEAVES_PRIMARY = 12
_SINGLE_BELOW = 40


@dataclass(frozen=True)
class Households:
    """Households of agents.

    Attributes:
        household: Number of the household of each agent, from 0, ascending.
        size: People in it who are agents.
        role: Code into `ROLES`.
        place: Place of the agent in its household, from 0.
    """

    household: IntArray
    size: IntArray
    role: NDArray[np.int16]
    place: IntArray


def household_columns() -> dict[str, Column]:
    """Return the columns that households give, in their order."""
    schema = load_schema()
    number = Column("integer", "int64", low=0, help="Number of the household; people who share it live together.")
    role = Column("category", "int16", labels=ROLES, help="Place of the person in the household.")
    found = {"household_id": number, "household_role": role, "hh_size": schema["hh_size"].column}
    return found | {"age": schema["age"].column}


def check_households(spec: HouseholdSpec, problems: list[str]) -> None:
    """Add what is wrong with the sizes and shares."""
    where = "population.households"
    for key, share in spec.sizes.items():
        if not (key.isdecimal() and 1 <= int(key) <= _MAX_PEOPLE):
            problems.append(f"{quoted(key)} is not a number of people from 1 to {_MAX_PEOPLE} @ {where}.sizes")
        elif share < 0:
            problems.append(f"the share {share:g} of households of {key} is below 0 @ {where}.sizes")
    total = sum(spec.sizes.values())
    if not any(abs(total - whole) <= _SUM_TOLERANCE * whole for whole in (1.0, 100.0)):
        problems.append(f"the shares of household sizes sum to {total:.6g}; they must sum to 1 or 100 @ {where}.sizes")
    if spec.couples + spec.single_parents > 1:
        problems.append(
            f"couples and single_parents are {spec.couples + spec.single_parents:g} together, above 1 @ {where}"
        )


def size_shares(spec: HouseholdSpec) -> dict[int, float]:
    """Return the share of households by number of people, summing to 1, in ascending order."""
    total = sum(spec.sizes.values())
    return {int(key): spec.sizes[key] / total for key in sorted(spec.sizes, key=int)}


def build_households(spec: HouseholdSpec, n: int, seed: int) -> Households:
    """Put n agents into households.

    Household h has the size and kind that its own draws give, so all but the last household stay the same when n grows;
    the last one holds whoever is left.
    """
    shares = size_shares(spec)
    sizes_of = np.array([*shares], np.int64)
    steps = np.cumsum([*shares.values()])
    ids = np.arange(n, dtype=np.int64)  # no more households than people
    drawn = sizes_of[np.searchsorted(steps[:-1], draw_uniform(seed, STREAM, 0, 0, ids), side="right")]
    starts = np.concatenate([[0], np.cumsum(drawn)])
    n_households = int(np.searchsorted(starts, n, side="left"))
    starts = np.append(starts[:n_households], n)
    actual = np.diff(starts)
    household = np.repeat(np.arange(n_households, dtype=np.int64), actual)
    place = ids - starts[household]
    kind = draw_uniform(seed, f"{STREAM}.kind", 0, 0, np.arange(n_households, dtype=np.int64))
    is_couple = (kind < spec.couples) & (actual >= 2)
    is_single = (kind >= spec.couples) & (kind < spec.couples + spec.single_parents) & (actual >= 2)
    has_children = is_single | (is_couple & (actual >= 3))
    n_heads = np.where(is_couple, 2, 1)
    role = np.zeros(n, np.int16)
    head = place < n_heads[household]
    role[head & has_children[household]] = ROLES.index("parent")
    role[head & (is_couple & ~has_children)[household]] = ROLES.index("partner")
    role[~head & has_children[household]] = ROLES.index("child")
    return Households(household, actual[household], role, place)


def household_ages(found: Households, adult_ages: IntArray, seed: int) -> IntArray:
    """Return an age in years for each agent.

    Args:
        found: The households.
        adult_ages: An age of 18 or more per agent, for adults whom no child ties to an age.
        seed: Seed of the population.
    """
    n = found.household.size
    agents = np.arange(n, dtype=np.int64)
    ages = np.clip(adult_ages, ADULT_FROM, _OLDEST).astype(np.int64)
    is_child = found.role == ROLES.index("child")
    is_parent = found.role == ROLES.index("parent")
    first = agents - found.place  # the household's first person
    gap = np.rint(_PARTNER_GAP_SD * special.ndtri(_inner(draw_uniform(seed, f"{STREAM}.gap", 0, 0, agents)))).astype(
        np.int64
    )
    eldest = np.floor(draw_uniform(seed, f"{STREAM}.child", 0, 0, first) * (OLDEST_CHILD + 1)).astype(np.int64)
    birth = _birth_ages(draw_uniform(seed, f"{STREAM}.birth", 0, 0, first))
    ages[is_parent] = (eldest + birth)[is_parent]
    second = (found.place == 1) & np.isin(found.role, (ROLES.index("partner"), ROLES.index("parent")))
    youngest_allowed = np.where(is_parent, eldest + ADULT_FROM, ADULT_FROM)
    ages[second] = np.clip(ages[first] + gap, youngest_allowed, _OLDEST)[second]
    apart = 1 + np.floor(draw_uniform(seed, f"{STREAM}.apart", 0, 0, agents) * 5).astype(np.int64)
    n_heads = np.bincount(found.household, is_parent, int(found.household.max(initial=0)) + 1).astype(np.int64)
    order = found.place - n_heads[found.household]  # 0 for the eldest child
    behind = np.where(is_child & (order > 0), apart, 0)
    run = np.cumsum(behind)
    within = run - run[first] + behind[first]
    ages[is_child] = np.maximum(eldest - within, 0)[is_child]
    return ages


def _inner(uniforms: FloatArray) -> FloatArray:
    return np.clip(uniforms, 1e-12, 1 - 1e-12)


def _birth_ages(uniforms: FloatArray) -> IntArray:
    mean, sd, low, high = _BIRTH
    bottom, top = special.ndtr((low - mean) / sd), special.ndtr((high - mean) / sd)
    drawn = mean + sd * special.ndtri(bottom + _inner(uniforms) * (top - bottom))
    return np.asarray(np.clip(np.rint(drawn), low, high), np.int64)


def describe_sizes(spec: HouseholdSpec, values: Mapping[str, NDArray[np.int64]]) -> list[tuple[str, float, float]]:
    """Return (label, target, achieved) share of households by size."""
    _, first = np.unique(values["household_id"], return_index=True)
    sizes = values["hh_size"][first]
    shares = size_shares(spec)
    labels = sorted({*shares, *sizes.tolist()})
    return [(str(size), shares.get(size, 0.0), float((sizes == size).mean())) for size in labels]


def settle_households(values: dict[str, NDArray[Any]], columns: Mapping[str, Column]) -> None:
    """Set the codebook's columns right where drawing each person alone cannot: children and couples.

    Children are single, at school until 16 and have the schooling of their age; partners share one partnership; an
    adult of a household that no couple leads is not married.

    Args:
        values: Arrays of all columns, households among them; changed in place.
        columns: Types of the drawn columns.
    """
    role, age = values["household_role"], values["age"]
    is_child = role == ROLES.index("child")
    known = {name: _codes(columns[name]) for name in ("marital", "employment", "education") if name in columns}
    if "marital" in known:
        _settle_partnerships(values["marital"], known["marital"], values["household_id"], role, age, is_child)
    is_pupil = is_child & (age < _LEAVES_SCHOOL)
    if "employment" in known and "in education" in known["employment"]:
        values["employment"][is_pupil] = known["employment"]["in education"]
    levels = known.get("education", {})
    for label, until in (("primary school", _LEAVES_SCHOOL), ("no primary school", _LEAVES_PRIMARY)):
        if label in levels:
            values["education"][is_child & (age < until)] = levels[label]


def _codes(column: Column) -> dict[str, int]:
    return {label: code for code, label in enumerate(column.labels)}


def _settle_partnerships(
    marital: NDArray[Any],
    codes: Mapping[str, int],
    household: IntArray,
    role: NDArray[Any],
    age: IntArray,
    is_child: NDArray[np.bool_],
) -> None:
    together = [codes[label] for label in ("married", "living with a partner") if label in codes]
    if not together or "single" not in codes:
        return
    heads = np.isin(role, (ROLES.index("partner"), ROLES.index("parent")))
    n_heads = np.bincount(household, heads, int(household.max(initial=0)) + 1)
    is_couple = heads & (n_heads[household] == 2)
    first = np.searchsorted(household, household)  # the household's first person leads the couple
    shared = np.where(np.isin(marital[first], together), marital[first], together[0])
    alone = ~is_couple & np.isin(marital, together)
    marital[alone & (age < _SINGLE_BELOW)] = codes["single"]
    marital[alone & (age >= _SINGLE_BELOW)] = codes.get("divorced", codes["single"])
    marital[is_couple] = shared[is_couple]
    marital[is_child] = codes["single"]
