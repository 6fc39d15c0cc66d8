"""All agents' personas as columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import PopulationError
from engine.population.columns import Column
from engine.population.origins import Origin
from engine.population.relations import Relations
from engine.population.text import quoted
from engine.population.typed import range_words
from engine.registry import nearest


class Population:
    """All agents' attributes as typed columns.

    Attributes:
        n: Number of agents; agent ids are 0 to n - 1.
        columns: Type, unit, range and labels of each column, by name.
        origins: The survey's variable behind a column, by column.
        lang: Language of the sentences that describe a person.
        relations: Who knows whom by the persona pack, or None.
        values: One array of shape (n,) per column: float64, int64, bool, int16 codes into the column's labels for
            a category, or an object array of str for text.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise PopulationError(f"a population of {n} agents is empty; give a size of at least 1 @ population.size")
        self.n = int(n)
        self.columns: dict[str, Column] = {}
        self.values: dict[str, NDArray[Any]] = {}
        self.origins: Mapping[str, Origin] = {}
        self.lang = "en"
        self.relations: Relations | None = None

    def __len__(self) -> int:
        return self.n

    def add(self, name: str, column: Column, array: NDArray[Any]) -> None:
        """Add a column, or replace the one of that name; the array is converted to the column's dtype.

        Raises:
            PopulationError: the array has another shape than (n,), or holds what the column does not allow.
        """
        given = np.asarray(array)
        if given.shape != (self.n,):
            raise PopulationError(f"column {quoted(name)} has shape {given.shape}; {(self.n,)} is needed")
        if column.kind == "text":
            strange = [value for value in given.tolist() if not isinstance(value, str)]
            if strange:
                raise PopulationError(f"column {quoted(name)} holds {quoted(strange[0])}, which is not a text")
            given = given.astype(object)
        elif column.kind != "boolean":
            _check_numbers(name, column, given)
        self.columns[name] = column
        self.values[name] = np.ascontiguousarray(given, dtype=column.dtype)

    def column(self, name: str) -> Column:
        """Return a column's type.

        Raises:
            PopulationError: no such column; the text names the nearest one.
        """
        try:
            return self.columns[name]
        except KeyError:
            raise PopulationError(
                f"{quoted(name)} is not a column of this population{nearest(name, self.columns)}"
            ) from None

    def decoded(self, name: str, agents: NDArray[np.int64] | None = None) -> pl.Series:
        """Return a column as a polars series: categories as an Enum of their labels.

        Args:
            name: Column name.
            agents: Agent ids, in the wanted order; None for all.
        """
        column = self.column(name)
        values = self.values[name] if agents is None else self.values[name][agents]
        if column.kind == "category":
            labels = pl.Series(name, list(column.labels), dtype=pl.Enum(list(column.labels)))
            return labels.gather(values)
        if column.kind == "text":
            # Many agents may share a text (a pack that repeats): each text is stored once and pointed to.
            places: dict[str, int] = {}
            rows = np.fromiter((places.setdefault(text, len(places)) for text in values), np.int64, values.size)
            return pl.Series(name, list(places), dtype=pl.String).gather(rows)
        return pl.Series(name, values)

    def frame(self, agents: NDArray[np.int64] | None = None) -> pl.DataFrame:
        """Return agent_id and all decoded columns, one row per agent.

        Args:
            agents: Agent ids, in the wanted order; None for all.
        """
        ids = np.arange(self.n, dtype=np.int64) if agents is None else np.asarray(agents, np.int64)
        if agents is not None and ids.size and not (ids.min() >= 0 and ids.max() < self.n):
            raise PopulationError(f"agent ids go from 0 to {self.n - 1}; {ids.min()} to {ids.max()} were asked for")
        chosen = None if agents is None else ids
        return pl.DataFrame([pl.Series("agent_id", ids), *(self.decoded(name, chosen) for name in self.columns)])


def _check_numbers(name: str, column: Column, given: NDArray[Any]) -> None:
    if given.dtype.kind not in "iufb":
        raise PopulationError(f"column {quoted(name)} holds {given.dtype} where numbers are needed")
    if not given.size:
        return
    lowest, highest = float(given.min()), float(given.max())
    if column.kind == "category":
        if not (lowest >= 0 and highest < len(column.labels)):
            raise PopulationError(
                f"column {quoted(name)} has {len(column.labels)} labels; codes {lowest:g} to {highest:g} were given"
            )
        return
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high
    if not (low <= lowest and highest <= high and math.isfinite(lowest) and math.isfinite(highest)):
        allowed = range_words(column)
        raise PopulationError(f"column {quoted(name)}: values from {lowest:g} to {highest:g} are not in {allowed}")
