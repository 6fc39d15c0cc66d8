"""The respondents that a run drew, kept as Parquet, so that it can be repeated without the survey file.

Kept are the drawn columns alone, one row per agent: nothing else of the survey leaves its file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import PopulationError
from engine.population.columns import Column
from engine.population.origins import Origin
from engine.population.respondents import Respondents, survey_key
from engine.population.schema import load_schema
from engine.spec import PopulationSpec

STORED_NAME = "respondents.parquet"
_MEANING = "microcosm"
_PLAIN = ("kind", "dtype", "unit", "low", "high", "labels", "help", "scale", "provenance")


@dataclass(frozen=True)
class StoredDraw:
    """Drawn respondents as read back; stands for `Respondents` where a population is built.

    Attributes:
        path: The file.
        key: What the study took from which survey.
        seed: Seed of the population.
        columns: Type of each column by name.
        origins: The variable that each column came from, by column.
        n_in_order: Number of agents where each respondent is one; None where they were drawn.
    """

    path: Path
    key: str
    seed: int
    columns: Mapping[str, Column]
    origins: Mapping[str, Origin]
    n_in_order: int | None = None

    def sample(self, name: str) -> NDArray[Any]:
        """Return one column of all agents."""
        return self._values(pl.read_parquet(self.path, columns=[name]))[name]

    def draw(self, agents: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
        """Return one value per agent and column.

        Raises:
            PopulationError: more agents, or another seed, than were stored; only the survey file has them.
        """
        frame = pl.read_parquet(self.path)
        if seed != self.seed or (agents.size and int(agents.max()) >= frame.height):
            raise PopulationError(
                f"the run keeps the {frame.height} respondents that it drew under seed {self.seed}; other ones need "
                "the survey file @ population.file"
            )
        return {name: values[agents] for name, values in self._values(frame).items()}

    def _values(self, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
        values: dict[str, NDArray[Any]] = {}
        for name in frame.columns:
            column = self.columns[name]
            if column.kind == "text":
                values[name] = np.empty(frame.height, dtype=object)
                values[name][:] = frame[name].to_list()
            else:
                values[name] = frame[name].to_numpy().astype(column.dtype)
        return values


def write_draw(path: Path, spec: PopulationSpec, respondents: Respondents, n: int, seed: int) -> None:
    """Write the respondents that n agents are.

    Args:
        path: The file to write; `find_draw` looks for `STORED_NAME`.
        spec: The population.
        respondents: From its survey file.
        n: Number of agents.
        seed: Seed of the population.
    """
    values = respondents.draw(np.arange(n, dtype=np.int64), seed)
    columns = {name: {key: getattr(column, key) for key in _PLAIN} for name, column in respondents.columns.items()}
    origins = {name: origin.to_plain() for name, origin in respondents.origins.items()}
    meaning = json.dumps(
        {
            "key": survey_key(spec),
            "seed": seed,
            "columns": columns,
            "origins": origins,
            "n_in_order": respondents.n_in_order,
        }
    )
    series = [pl.Series(name, array.tolist() if array.dtype == object else array) for name, array in values.items()]
    pl.DataFrame(series).write_parquet(path, metadata={_MEANING: meaning})


def find_draw(spec: PopulationSpec, folder: Path | None, seed: int | None = None) -> StoredDraw | None:
    """Return the stored respondents of a population, or None where the folder has none of these.

    Args:
        spec: The population; another file, mapping or weight finds nothing.
        folder: Where they may be.
        seed: Seed of the population; None for any.

    Raises:
        PopulationError: the file is there but cannot be read.
    """
    path = None if folder is None else folder / STORED_NAME
    if path is None or not path.is_file():
        return None
    try:
        meaning = json.loads(pl.read_parquet_metadata(path)[_MEANING])
        columns = {name: _column(name, held) for name, held in meaning["columns"].items()}
        origins = {name: Origin.from_plain(held) for name, held in meaning.get("origins", {}).items()}
        n_in_order = meaning.get("n_in_order")
        found = StoredDraw(path, meaning["key"], int(meaning["seed"]), columns, origins, n_in_order)
    except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise PopulationError(f"the stored respondents {path} cannot be read: {error} @ population.file") from None
    return found if found.key == survey_key(spec) and seed in (None, found.seed) else None


def _column(name: str, held: Mapping[str, Any]) -> Column:
    column = Column(**{**held, "labels": tuple(held["labels"])})
    known = load_schema().get(name)
    return dataclasses.replace(column, presentation=known.column.presentation) if known else column
