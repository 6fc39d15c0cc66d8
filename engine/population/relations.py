"""Who knows whom in a persona pack: named relations between its people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.population.text import clean_text, quoted
from engine.registry import nearest

_KEYS = {"between", "kind", "weight"}
_KIND_LIMIT = 40
_REPORTED = 12


@dataclass(frozen=True)
class Relations:
    """Undirected relations between the people of a pack.

    Attributes:
        source, target: Places of the two people in the pack, from 0, source below target, int64.
        kind: What they are to each other, as code into `kinds`.
        kinds: Names of the kinds, for example family, work, friend.
        weight: Strength of each, above 0, float64.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    kind: NDArray[np.int64]
    kinds: tuple[str, ...]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.source.size)

    def of(self, person: int) -> list[tuple[int, str, float]]:
        """Return (other person, kind, weight) of each relation of one person."""
        found = []
        for one, other in ((self.source, self.target), (self.target, self.source)):
            rows = np.flatnonzero(one == person)
            found += [(int(other[row]), self.kinds[self.kind[row]], float(self.weight[row])) for row in rows]
        return sorted(found)

    def ties(
        self, persons: NDArray[np.int64], n_people: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        """Return (source, target, row) of the relations between agents.

        Where agents repeat the pack, each repetition is a copy of it with relations of its own.

        Args:
            persons: Place in the pack of each agent: agent i is person i modulo n_people.
            n_people: People in the pack.
        """
        n = persons.size
        copies = np.arange(0, n, n_people, dtype=np.int64)[:, None]
        rows = np.broadcast_to(np.arange(len(self), dtype=np.int64), (copies.size, len(self))).ravel()
        source, target = (copies + self.source).ravel(), (copies + self.target).ravel()
        inside = (source < n) & (target < n)
        return source[inside], target[inside], rows[inside]


def read_relations(given: Any, names: Sequence[str], problems: list[str], file: str) -> Relations | None:
    """Return the `[[relations]]` of a pack, or None where it has none; bad ones are added to `problems`.

    Args:
        given: Tables with `between` (two names, or two places from 1), `kind` and, where wanted, `weight`.
        names: Names of the people, in order.
        problems: Receives one sentence per bad relation, at most a dozen.
        file: Name of the file.
    """
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(table, Mapping) for table in given):
        problems.append(f"relations are tables such as [[relations]] with between and kind ({file})")
        return None
    found: dict[tuple[int, int, str], float] = {}
    before = len(problems)
    for place, table in enumerate(given, start=1):
        wrong = _read_one(table, names, found)
        if wrong and len(problems) - before < _REPORTED:
            problems.append(f"relation {place}: {wrong} ({file})")
    kinds = tuple(dict.fromkeys(kind for _, _, kind in found))
    source, target = (np.array([key[side] for key in found], np.int64) for side in (0, 1))
    codes = np.array([kinds.index(kind) for _, _, kind in found], np.int64)
    return Relations(source, target, codes, kinds, np.array([*found.values()], np.float64))


def _read_one(table: Mapping[str, Any], names: Sequence[str], found: dict[tuple[int, int, str], float]) -> str:
    """Add one relation to `found`; returns what is wrong with it, or an empty text."""
    strange = [key for key in table if key not in _KEYS]
    if strange:
        return f"{quoted(strange[0])} is not a key of a relation{nearest(strange[0], sorted(_KEYS))}"
    between, weight = table.get("between"), table.get("weight", 1.0)
    kind = clean_text(str(table.get("kind", "knows")), _KIND_LIMIT)
    if not isinstance(between, list) or len(between) != 2:
        return f"between = {quoted(between)} is not two people"
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        return f"weight = {quoted(weight)} is not a number above 0"
    places = []
    for person in between:
        if isinstance(person, int) and not isinstance(person, bool) and 1 <= person <= len(names):
            places.append(person - 1)
        elif isinstance(person, str) and person in names:
            places.append(list(names).index(person))
        else:
            return f"{quoted(person)} is nobody in this pack{nearest(str(person), [n for n in names if n])}"
    if places[0] == places[1]:
        return f"{quoted(between[0])} cannot be related to itself"
    key = (min(places), max(places), kind)
    if key in found:
        return f"{quoted(between[0])} and {quoted(between[1])} are {quoted(kind)} twice"
    found[key] = float(weight)
    return ""
