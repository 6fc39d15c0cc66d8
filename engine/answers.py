"""Kinds of answers: one option, a number on a grid, a set of options, a ranking, or an item that is offered.

Policies choose an *index*; `actions` turns it into the whole number that is recorded, `values` turns that into what
the scenario works with, and `describe` into words for people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import DecisionError

IntArray = NDArray[np.int64]

MOST_SET_OPTIONS = 62
"""A set of options is one bit each of a signed 64-bit number; one bit is the sign, one is kept free."""
MOST_GRID_POINTS = 100_001
_CODE_LIMIT = 2**62


def _check_options(options: tuple[str, ...]) -> None:
    if len(options) < 2:
        raise DecisionError("a choice needs at least two options")
    twice = sorted({option for option in options if options.count(option) > 1})
    if twice:
        raise DecisionError(f"duplicate options: {', '.join(map(repr, twice))}")
    if any(not option.strip() for option in options):
        raise DecisionError("an option is empty")


class _OneIndex:
    """What answers share whose recorded action is the index and whose value is the action."""

    is_number: ClassVar[bool] = False

    def actions(self, indexes: IntArray) -> IntArray:
        """Return the recorded actions of indexes, int64, same shape."""
        return indexes

    def values(self, actions: IntArray) -> NDArray[Any]:
        """Return what the scenario gets for recorded actions."""
        return actions


@dataclass(frozen=True)
class Choice(_OneIndex):
    """One of a fixed list of options; an action is the option's index."""

    options: tuple[str, ...]

    def __init__(self, *options: str) -> None:
        object.__setattr__(self, "options", tuple(options))
        _check_options(self.options)

    @property
    def texts(self) -> tuple[str, ...]:
        """The options' texts, in order."""
        return self.options

    def describe(self, action: int) -> str:
        """Return the words of a recorded action."""
        return self.options[action] if 0 <= action < len(self.options) else str(action)


@dataclass(frozen=True)
class Integers(_OneIndex):
    """A whole number from low to high, both included; an action is the number itself."""

    low: int
    high: int
    is_number: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.high <= self.low:
            raise DecisionError(f"integers from {self.low} to {self.high} leave nothing to choose")

    @property
    def texts(self) -> tuple[str, ...]:
        """The numbers as texts, ascending."""
        return tuple(str(number) for number in range(self.low, self.high + 1))

    def actions(self, indexes: IntArray) -> IntArray:
        """Return the numbers of option indexes."""
        return indexes + self.low

    def describe(self, action: int) -> str:
        """Return the number as text."""
        return str(action)


@dataclass(frozen=True)
class Decimals(_OneIndex):
    """A number on the grid low, low + step, ..., high; an action is its place on the grid, a value the number.

    Every grid point is an option with a text of its own, so a model's distribution over them is exact.
    """

    low: float
    high: float
    step: float
    is_number: ClassVar[bool] = True

    def __post_init__(self) -> None:
        wide = self.step > 0 and self.high > self.low and math.isfinite(self.high - self.low)
        steps = (self.high - self.low) / self.step if wide else 0.0
        if not wide or abs(steps - round(steps)) > 1e-6 or round(steps) + 1 > MOST_GRID_POINTS:
            raise DecisionError(
                f"{self.low:g} to {self.high:g} in steps of {self.step:g} is not a grid; high must lie a whole number "
                f"of steps above low, at most {MOST_GRID_POINTS - 1:,} of them"
            )

    @property
    def n_points(self) -> int:
        """Number of grid points."""
        return round((self.high - self.low) / self.step) + 1

    @property
    def texts(self) -> tuple[str, ...]:
        """The grid points as texts, ascending, all with the same number of decimals."""
        return tuple(self.describe(place) for place in range(self.n_points))

    def values(self, actions: IntArray) -> NDArray[np.float64]:
        """Return the numbers of grid places, float64."""
        numbers = self.low + np.asarray(actions, np.int64) * self.step
        return np.round(numbers, self._decimals())

    def places(self, numbers: NDArray[Any]) -> IntArray:
        """Return the nearest grid place of each number; it lies outside 0..n_points-1 where the number is off."""
        steps = np.rint((np.asarray(numbers, np.float64) - self.low) / self.step)
        return np.where(np.isfinite(steps), steps, -1).astype(np.int64)

    def describe(self, action: int) -> str:
        """Return the number of a grid place as text."""
        return f"{self.low + action * self.step:.{self._decimals()}f}"

    def _decimals(self) -> int:
        return max(_decimals_of(self.step), _decimals_of(self.low))


def _decimals_of(number: float) -> int:
    digits = f"{number:.10f}".rstrip("0")
    return len(digits.partition(".")[2])


@dataclass(frozen=True)
class MultiSelect(_OneIndex):
    """Any of the options, also none or all; an action is a bit mask, its lowest bit the first option.

    Log weights of a rule are log odds of taking an option; each option is drawn independently of the others.
    """

    options: tuple[str, ...]

    def __init__(self, *options: str) -> None:
        object.__setattr__(self, "options", tuple(options))
        _check_options(self.options)
        if len(options) > MOST_SET_OPTIONS:
            raise DecisionError(f"{len(options)} options were given; a set is drawn from at most {MOST_SET_OPTIONS}")

    @property
    def texts(self) -> tuple[str, ...]:
        """The options' texts, in order."""
        return self.options

    def chosen(self, actions: IntArray) -> NDArray[np.bool_]:
        """Return which options were taken, shape (n, n_options)."""
        bits = np.arange(len(self.options), dtype=np.int64)
        return (np.asarray(actions, np.int64)[:, None] >> bits & 1).astype(bool)

    def masks(self, chosen: NDArray[Any]) -> IntArray:
        """Return the actions of a table of taken options, shape (n, n_options)."""
        bits = np.int64(1) << np.arange(len(self.options), dtype=np.int64)
        return np.asarray(chosen, bool).astype(np.int64) @ bits

    def describe(self, action: int) -> str:
        """Return the taken options, or "none of them"."""
        return "; ".join(text for place, text in enumerate(self.options) if action >> place & 1) or "none of them"


@dataclass(frozen=True)
class Ranking(_OneIndex):
    """The options in an order, or the first `places` of it; an action is the order's lexicographic number.

    The number counts orders as a dictionary would: 0 is the order in which the options are declared. It is the Lehmer
    code of the order read in the factorial number system. Log weights are those of a Plackett-Luce model.
    """

    options: tuple[str, ...]
    n_places: int

    def __init__(self, *options: str, places: int | None = None) -> None:
        object.__setattr__(self, "options", tuple(options))
        object.__setattr__(self, "n_places", len(options) if places is None else places)
        _check_options(self.options)
        if not 1 <= self.n_places <= len(options):
            raise DecisionError(f"places = {places} is not in [1, {len(options)}], the number of options")
        if math.perm(len(options), self.n_places) >= _CODE_LIMIT:
            raise DecisionError(
                f"{self.n_places} places of {len(options)} options have too many orders for a 64-bit number; "
                "rank fewer options or give a smaller `places`"
            )

    @property
    def texts(self) -> tuple[str, ...]:
        """The options' texts, in order."""
        return self.options

    def codes(self, orders: NDArray[Any]) -> IntArray:
        """Return the actions of orders: option indexes by place, shape (n, n_places)."""
        orders = np.asarray(orders, np.int64)
        code = np.zeros(len(orders), np.int64)
        for place in range(self.n_places):
            earlier = (orders[:, :place] < orders[:, place, None]).sum(axis=1)
            code = code * (len(self.options) - place) + orders[:, place] - earlier
        return code

    def orders(self, actions: IntArray) -> IntArray:
        """Return the option indexes by place of recorded actions, shape (n, n_places)."""
        rest = np.asarray(actions, np.int64).copy()
        digits = np.empty((rest.size, self.n_places), np.int64)
        for place in reversed(range(self.n_places)):
            rest, digits[:, place] = np.divmod(rest, len(self.options) - place)
        left = np.broadcast_to(np.arange(len(self.options)), (rest.size, len(self.options))).copy()
        orders = np.empty_like(digits)
        for place in range(self.n_places):
            orders[:, place] = np.take_along_axis(left, digits[:, place, None], axis=1)[:, 0]
            kept = np.arange(left.shape[1]) != digits[:, place, None]
            left = left[kept].reshape(rest.size, -1)
        return orders

    def describe(self, action: int) -> str:
        """Return the options in their order."""
        order = self.orders(np.array([action]))[0].tolist()
        return ", ".join(f"{place + 1}. {self.options[option]}" for place, option in enumerate(order))


@dataclass(frozen=True)
class Items(_OneIndex):
    """One of the items that the caller offers, which may differ by agent; an action is the item's id."""

    @property
    def texts(self) -> tuple[str, ...]:
        """No text is fixed."""
        return ()

    def describe(self, action: int) -> str:
        """Return the item's id."""
        return str(action)


@dataclass(frozen=True)
class Offered:
    """Items offered to n agents: agent i is offered items[indptr[i]:indptr[i + 1]], listed in this order.

    Attributes:
        indptr: int64, shape (n + 1,).
        items: Item ids, int64, shape (indptr[-1],); no id twice for one agent.
        texts: Item id -> words; None where ids are text ids of the world.
    """

    indptr: IntArray
    items: IntArray
    texts: Mapping[int, str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "indptr", np.asarray(self.indptr, np.int64))
        object.__setattr__(self, "items", np.asarray(self.items, np.int64))
        sizes = np.diff(self.indptr)
        if self.indptr.size == 0 or self.indptr[0] != 0 or self.indptr[-1] != self.items.size or (sizes < 0).any():
            raise DecisionError(f"indptr does not ascend from 0 to the {self.items.size} items that are offered")
        if (sizes == 0).any():
            raise DecisionError(f"row {int(np.flatnonzero(sizes == 0)[0])} is offered nothing; leave such agents out")
        rows = np.repeat(np.arange(sizes.size), sizes)
        order = np.lexsort((self.items, rows))
        same = (np.diff(self.items[order]) == 0) & (np.diff(rows[order]) == 0)
        if same.any():
            place = order[int(np.flatnonzero(same)[0])]
            raise DecisionError(f"item {int(self.items[place])} is offered twice in row {int(rows[place])}")

    def __len__(self) -> int:
        return int(self.indptr.size - 1)

    @property
    def sizes(self) -> IntArray:
        """Number of items of each agent."""
        return np.diff(self.indptr)

    def part(self, mask: NDArray[np.bool_]) -> Offered:
        """Return what is offered to some of the agents."""
        sizes = self.sizes
        kept = np.repeat(mask, sizes)
        indptr = np.concatenate([[0], np.cumsum(sizes[mask])])
        return Offered(indptr, self.items[kept], self.texts)

    def padded(self, log_weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return one log weight per item as a table of shape (n, largest number of items), -inf where there is none."""
        table = np.full((len(self), int(self.sizes.max(initial=0))), -np.inf)
        table[np.arange(table.shape[1]) < self.sizes[:, None]] = log_weights
        return table

    def at(self, places: IntArray) -> IntArray:
        """Return the item at a place of each agent's list."""
        chosen: IntArray = self.items[self.indptr[:-1] + places]
        return chosen


Answer = Choice | Integers | Decimals | MultiSelect | Ranking | Items
