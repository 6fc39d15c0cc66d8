"""Distributions of one column: checked when they are written, drawn by the inverse of their distribution function.

Drawing through the inverse uses exactly one uniform number per agent, so that an agent's value depends on nothing else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from engine.population.text import quoted
from engine.population.typed import is_number
from engine.registry import nearest

FloatArray = NDArray[np.float64]
SMALLEST_INSIDE = 1e-9
_HALF_STEP = 2.0**-54
_SCORES = np.linspace(-8.5, 8.5, 8193)


@dataclass(frozen=True)
class Parameter:
    """One number of a distribution: whether it must be given, and its open lower bound."""

    required: bool = True
    above: float = -math.inf


BOUNDS = {"low": Parameter(required=False), "high": Parameter(required=False)}
DISTRIBUTIONS: Mapping[str, Mapping[str, Parameter]] = {
    "normal": {"mean": Parameter(), "sd": Parameter(above=0.0), **BOUNDS},
    "truncated_normal": {"mean": Parameter(), "sd": Parameter(above=0.0), **BOUNDS},
    "uniform": {"low": Parameter(), "high": Parameter()},
    "lognormal": {"median": Parameter(above=0.0), "sigma": Parameter(above=0.0), **BOUNDS},
    "beta": {"a": Parameter(above=0.0), "b": Parameter(above=0.0), **BOUNDS},
    "histogram": {},
    "categorical": {},
    "constant": {},
}
LISTS = {"histogram": ("edges", "weights"), "categorical": ("values", "weights"), "constant": ("value",)}


@dataclass(frozen=True)
class Distribution:
    """One checked distribution.

    Attributes:
        name: A key of `DISTRIBUTIONS`.
        numbers: Its parameters; `low` and `high` only where bounded.
        values: Outcomes of a categorical or constant one.
        edges: Edges of a histogram, ascending, one more than weights.
        weights: Relative weights of values or bins, at least 0, with a positive sum.
    """

    name: str
    numbers: Mapping[str, float]
    values: tuple[Any, ...] = ()
    edges: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def is_listed(self) -> bool:
        """Whether the outcomes are a list of values."""
        return self.name in ("categorical", "constant")

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest outcome of a numeric distribution, infinite where open."""
        if self.edges:
            return self.edges[0], self.edges[-1]
        default = {"lognormal": (0.0, math.inf), "beta": (0.0, 1.0)}.get(self.name, (-math.inf, math.inf))
        return self.numbers.get("low", default[0]), self.numbers.get("high", default[1])

    def choices(self, uniforms: FloatArray) -> NDArray[np.int64]:
        """Return the index of a listed outcome for each uniform number in [0, 1)."""
        steps = np.cumsum(self.weights) / np.sum(self.weights)
        # The last step is 1 up to rounding; leaving it out keeps every index within the list.
        last = max(index for index, weight in enumerate(self.weights) if weight > 0)
        return np.searchsorted(steps[:last], uniforms, side="right").astype(np.int64)

    def quantiles(self, uniforms: FloatArray, whole: bool = False) -> FloatArray:
        """Return the numbers at these probabilities, float64, same shape.

        Args:
            uniforms: Numbers in [0, 1).
            whole: Return whole numbers: a uniform or histogram is then one over whole numbers, others are rounded.
        """
        inner = np.minimum(uniforms + _HALF_STEP, 1.0 - 2.0 * _HALF_STEP)
        # Extreme parameters may leave the range of float64; the caller refuses what is not finite.
        with np.errstate(all="ignore"):
            drawn = _QUANTILES[self.name](self, inner, whole)
        low, high = self.bounds
        if whole:
            low, high = math.ceil(low) if math.isfinite(low) else low, math.floor(high) if math.isfinite(high) else high
            drawn = np.rint(drawn)
        return np.asarray(np.clip(drawn, low, high), np.float64)


def _normal(distribution: Distribution, uniforms: FloatArray, whole: bool) -> FloatArray:
    numbers = distribution.numbers
    return np.asarray(numbers["mean"] + numbers["sd"] * special.ndtri(uniforms), np.float64)


def _truncated_normal(distribution: Distribution, uniforms: FloatArray, whole: bool) -> FloatArray:
    numbers = distribution.numbers
    low, high = distribution.bounds
    bottom = special.ndtr((low - numbers["mean"]) / numbers["sd"])
    top = special.ndtr((high - numbers["mean"]) / numbers["sd"])
    return _normal(distribution, bottom + uniforms * (top - bottom), whole)


def _uniform(distribution: Distribution, uniforms: FloatArray, whole: bool) -> FloatArray:
    low, high = distribution.bounds
    if whole:
        low, high = math.ceil(low), math.floor(high)
        return np.asarray(np.floor(low + uniforms * (high - low + 1)), np.float64)
    return np.asarray(low + uniforms * (high - low), np.float64)


def _lognormal(distribution: Distribution, uniforms: FloatArray, whole: bool) -> FloatArray:
    numbers = distribution.numbers
    return np.asarray(numbers["median"] * np.exp(numbers["sigma"] * special.ndtri(uniforms)), np.float64)


@lru_cache(128)
def _beta_shares(a: float, b: float) -> FloatArray:
    """Return the quantiles of a beta distribution on [0, 1] at the tabulated normal scores."""
    return np.asarray(special.betaincinv(a, b, special.ndtr(_SCORES)), np.float64)


def _beta(distribution: Distribution, uniforms: FloatArray, whole: bool) -> FloatArray:
    # The inverse is tabulated over normal scores, where it is smooth: exact to 1e-5, twenty times faster.
    low, high = distribution.bounds
    shares = _beta_shares(distribution.numbers["a"], distribution.numbers["b"])
    return np.asarray(low + np.interp(special.ndtri(uniforms), _SCORES, shares) * (high - low), np.float64)


def _histogram(distribution: Distribution, uniforms: FloatArray, whole: bool) -> FloatArray:
    edges = np.asarray(distribution.edges)
    steps = np.concatenate([[0.0], np.cumsum(distribution.weights) / np.sum(distribution.weights)])
    drawn = np.interp(uniforms, steps, edges)
    # A bin [a, b) of whole numbers holds a, ..., b - 1.
    return np.asarray(np.minimum(np.floor(drawn), edges[-1] - 1) if whole else drawn, np.float64)


_QUANTILES: Mapping[str, Callable[[Distribution, FloatArray, bool], FloatArray]] = {
    "normal": _normal,
    "truncated_normal": _truncated_normal,
    "uniform": _uniform,
    "lognormal": _lognormal,
    "beta": _beta,
    "histogram": _histogram,
}


def build_distribution(
    given: Mapping[str, Any],
    problems: list[str],
    where: str,
    range_: tuple[float, float] = (-math.inf, math.inf),
) -> Distribution | None:
    """Return the distribution that a table describes, or None after adding every problem to `problems`.

    Args:
        given: The table: `distribution` and its parameters; without the name, `values` mean categorical and `value`
            means constant.
        problems: Receives sentences, each ending in `@ where`.
        where: Dotted key of the table.
        range_: Range of the column; an open bound of a distribution takes it, a wider one is a problem.
    """
    name = given.get("distribution", "constant" if "value" in given else "categorical")
    if not isinstance(name, str) or name not in DISTRIBUTIONS:
        problems.append(f"{quoted(name)} is not a distribution{nearest(str(name), DISTRIBUTIONS)} @ {where}")
        return None
    known = {"distribution", *DISTRIBUTIONS[name], *LISTS.get(name, ())}
    before = len(problems)
    for key in given:
        if key not in known:
            problems.append(f"{quoted(key)} is not a parameter of {name}{nearest(str(key), known)} @ {where}.{key}")
    numbers = _numbers(name, given, problems, where, range_)
    distribution = _listed(name, given, numbers, problems, where)
    if len(problems) > before:
        return None
    _check_range(distribution, problems, where, range_)
    return distribution if len(problems) == before else None


def _numbers(
    name: str, given: Mapping[str, Any], problems: list[str], where: str, range_: tuple[float, float]
) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for key, parameter in DISTRIBUTIONS[name].items():
        if key not in given:
            if parameter.required:
                problems.append(f"{name} needs '{key}' @ {where}")
            continue
        value = given[key]
        if not is_number(value) or not value > parameter.above:
            allowed = "a finite number" + (f" above {parameter.above:g}" if math.isfinite(parameter.above) else "")
            problems.append(f"{key} = {quoted(value)} is not {allowed} @ {where}.{key}")
            continue
        numbers[key] = float(value)
    if name in ("normal", "truncated_normal", "lognormal"):
        for key, bound in zip(("low", "high"), range_, strict=True):
            if math.isfinite(bound):
                numbers.setdefault(key, bound)
    if "low" in numbers and "high" in numbers and numbers["low"] > numbers["high"]:
        problems.append(f"low = {numbers['low']:g} lies above high = {numbers['high']:g} @ {where}")
    return numbers


def _listed(
    name: str, given: Mapping[str, Any], numbers: Mapping[str, float], problems: list[str], where: str
) -> Distribution:
    if name == "constant":
        if "value" not in given:
            problems.append(f"constant needs 'value' @ {where}")
        _check_values([given.get("value", 0)], problems, f"{where}.value")
        return Distribution(name, numbers, values=(given.get("value"),), weights=(1.0,))
    if name not in LISTS:
        return Distribution(name, numbers)
    outcome = LISTS[name][0]
    outcomes = given.get(outcome)
    if not isinstance(outcomes, Sequence) or isinstance(outcomes, str) or not outcomes:
        problems.append(f"{name} needs '{outcome}', a list that is not empty @ {where}")
        return Distribution(name, numbers)
    n_weights = len(outcomes) - (name == "histogram")
    weights = _weights(given.get("weights", [1.0] * n_weights), n_weights, problems, where)
    if name == "categorical":
        _check_values(outcomes, problems, f"{where}.values")
        return Distribution(name, numbers, values=tuple(outcomes), weights=weights)
    ascending = all(is_number(edge) for edge in outcomes) and all(a < b for a, b in itertools.pairwise(outcomes))
    if n_weights < 1 or not ascending:
        problems.append(f"edges = {quoted(outcomes)} are not at least two ascending numbers @ {where}.edges")
        return Distribution(name, numbers)
    return Distribution(name, numbers, edges=tuple(float(edge) for edge in outcomes), weights=weights)


def _check_values(outcomes: Sequence[Any], problems: list[str], where: str) -> None:
    strange = [value for value in outcomes if not isinstance(value, bool | int | float | str)]
    if strange:
        problems.append(f"{quoted(strange[0])} is not a number, a boolean or a text @ {where}")
    twice = [value for index, value in enumerate(outcomes) if value in outcomes[:index]]
    if twice:
        problems.append(f"{quoted(twice[0])} stands twice in the list @ {where}")


def _weights(given: Any, n: int, problems: list[str], where: str) -> tuple[float, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != n:
        count = len(given) if isinstance(given, Sequence) and not isinstance(given, str) else quoted(given)
        problems.append(f"weights: {n} are needed, one per value or bin, {count} given @ {where}.weights")
        return ()
    bad = [weight for weight in given if not is_number(weight) or weight < 0]
    if bad:
        problems.append(f"weight {quoted(bad[0])} is not a finite number of at least 0 @ {where}.weights")
        return ()
    if not (sum(given) > 0 and math.isfinite(sum(given))):
        problems.append(f"the weights sum to {sum(given):g}; at least one must be above 0 @ {where}.weights")
        return ()
    return tuple(float(weight) for weight in given)


def _check_range(distribution: Distribution, problems: list[str], where: str, range_: tuple[float, float]) -> None:
    """Add a problem for each bound outside the column's range; listed values are checked with the column's type."""
    low, high = range_
    if distribution.is_listed:
        return
    for bound in distribution.bounds:
        if not low <= bound <= high:
            problems.append(f"{distribution.name}: {bound:g} is not in [{low:g}, {high:g}] @ {where}")
    if distribution.name == "truncated_normal" and _inside(distribution) < SMALLEST_INSIDE:
        problems.append(f"truncated_normal: the range lies too far from the mean to draw from it @ {where}")


def _inside(distribution: Distribution) -> float:
    """Return the probability that the normal lies within the bounds of a truncated one."""
    mean, sd = distribution.numbers["mean"], distribution.numbers["sd"]
    low, high = distribution.bounds
    with np.errstate(all="ignore"):
        return float(special.ndtr((high - mean) / sd) - special.ndtr((low - mean) / sd))
