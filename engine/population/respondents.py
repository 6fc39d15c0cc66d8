"""Respondents of a survey as agents: rows are drawn whole, by weight, each agent by itself.

The draw is multinomial: agent i takes the respondent at whose share of the summed weights its own uniform number
falls, so its row depends on the seed and on i, never on the number of agents. Rows are drawn whole, so whatever holds
between variables in the file holds between columns.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.draws import draw_uniform
from engine.errors import PopulationError
from engine.population.codebook import Survey, nearest_variable
from engine.population.columns import Column
from engine.population.mapping import Mapped, map_variable
from engine.population.origins import Origin
from engine.population.raking import Raked
from engine.population.schema import load_schema, name_problem
from engine.population.scoring import find_instruments, score_columns
from engine.population.surveys import read_survey, read_variable_names
from engine.population.targets import rake_people
from engine.population.text import clean_text, quoted
from engine.spec import MapSpec, PopulationSpec, RakeSpec

SOURCE_ROW = "source_row"
SOURCE_REF = "source_ref"
WEIGHT = "weight"
STREAM = "population.rows"
WHOLE_BYTES = 32 * 1024**2
"""Up to this size a file is read whole and once, so that a changed mapping is checked at once; of a larger one only
the variables in use are read."""


@dataclass(frozen=True)
class Respondents:
    """The rows of a survey that can become agents.

    Attributes:
        columns: Type of each column by name.
        mapped: The columns over all rows of the file.
        drawn_when_missing: Names of columns whose missing answers are drawn from those given.
        weights: One per row of the file, not negative, float64; 0 where the row cannot be drawn for its weight.
        usable: Rows that can be drawn: with a weight above 0 and an answer wherever one is needed.
        dropped: Rows that cannot be drawn, by the column (or "weight") for which an answer is missing; a row counts
            once for each.
        in_order: Whether agents are the usable rows in order, each once, instead of draws.
    """

    columns: Mapping[str, Column]
    mapped: Mapping[str, Mapped]
    drawn_when_missing: frozenset[str]
    weights: NDArray[np.float64]
    usable: NDArray[np.bool_]
    dropped: Mapping[str, int]
    in_order: bool = False

    @property
    def n_in_order(self) -> int | None:
        """Number of agents where each usable row is one; None where rows are drawn."""
        return int(self.usable.sum()) if self.in_order else None

    @property
    def origins(self) -> dict[str, Origin]:
        """The variable that each column came from, by column."""
        return {name: mapped.origin for name, mapped in self.mapped.items() if mapped.origin is not None}

    def sample(self, name: str) -> NDArray[Any]:
        """Return the answers of a column that can be drawn, one per usable row that has one."""
        if name == SOURCE_ROW:
            return np.flatnonzero(self.usable) + 1
        return self.mapped[name].values[self.usable & self.mapped[name].present]

    def draw(self, agents: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
        """Return one value per agent and column, among them `source_row`.

        Args:
            agents: Agent ids.
            seed: Seed of the population.
        """
        if self.in_order:
            rows = self._rows_in_order(agents)
        else:
            rows = draw_rows(self.weights * self.usable, draw_uniform(seed, STREAM, 0, 0, agents))
        values: dict[str, NDArray[Any]] = {}
        for name, mapped in self.mapped.items():
            chosen = mapped.values[rows]
            lacking = np.flatnonzero(~mapped.present[rows])
            if lacking.size:
                uniforms = draw_uniform(seed, f"{STREAM}.{name}", 0, 0, agents[lacking])
                donors = draw_rows(self.weights * (self.usable & mapped.present), uniforms)
                chosen[lacking] = mapped.values[donors]
            values[name] = chosen
        if self.in_order and WEIGHT in self.columns:
            values[WEIGHT] = self.weights[rows] / self.weights[self.usable].mean()
        return values | {SOURCE_ROW: rows + 1}

    def _rows_in_order(self, agents: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = np.flatnonzero(self.usable)
        if agents.size and int(agents.max()) >= rows.size:
            raise PopulationError(
                f"{int(agents.max()) + 1} agents were asked for, but the survey has {rows.size} usable respondents; "
                "give a smaller size, or draw by weight @ population.size"
            )
        return rows[agents]


def draw_rows(weights: NDArray[np.float64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a row for each uniform number in [0, 1), with a probability proportional to the row's weight."""
    steps = np.cumsum(weights)
    last = int(np.flatnonzero(weights)[-1])
    rows: NDArray[np.int64] = np.searchsorted(steps[:last], uniforms * steps[-1], side="right").astype(np.int64)
    return rows


def source_row_column() -> Column:
    """Return the type of the column that names each agent's row in the survey file."""
    return Column(
        "integer", "int64", low=1, help="Row of the respondent in the survey file; the first respondent is row 1."
    )


def find_survey_file(file: str, base: Path | None, folder: Path | None) -> Path:
    """Return the survey file that a study means.

    It is looked for from the study's folder and, by its plain name, in `surveys/` of the user's personas folder and
    among the shipped files.

    Raises:
        PopulationError: none of them has it.
    """
    start = base or Path()
    places = [start / file]
    if Path(file).name == file:
        shipped = Path(str(importlib.resources.files("personas")))
        places += [place / "surveys" / file for place in (folder, shipped) if place is not None]
    try:
        found = next((place for place in places if place.is_file()), None)
    except ValueError:
        found = None
    if found is None:
        raise PopulationError(
            f"the survey file {quoted(file)} is not in {start.absolute()}; put it there, or give its path "
            "@ population.file"
        )
    return found


def load_respondents(spec: PopulationSpec, base: Path | None = None, folder: Path | None = None) -> Respondents:
    """Return the respondents of a study's survey file, every answer checked.

    Args:
        spec: A population with a file.
        base: Folder that relative paths of the study start from; None for the current folder.
        folder: The user's own personas folder.

    Raises:
        PopulationError: one line per problem.
    """
    path = find_survey_file(spec.file or "", base, folder)
    try:
        state = path.stat()
        return _load(str(path.absolute()), (state.st_mtime_ns, state.st_size), _Key(spec, folder))
    except OSError as error:
        raise PopulationError(f"{path.name} cannot be read: {error} @ population.file") from None


class _Key:
    """What of a population decides on its respondents, as a key of the cache."""

    def __init__(self, spec: PopulationSpec, folder: Path | None) -> None:
        self.spec, self.folder = spec, folder
        self.text = survey_key(spec)

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.text == other.text


def survey_key(spec: PopulationSpec) -> str:
    """Return a text that is equal for populations which take the same from the same survey file."""
    return spec.model_dump_json(include={"file", "draw", "weight", "id", "encoding", "map", "keep", "score", "rake"})


@functools.lru_cache(maxsize=8)
def _load(path: str, state: tuple[int, int], key: _Key) -> Respondents:
    """Read and map a file; `state` tells versions of it apart."""
    spec, problems = key.spec, list[str]()
    wanted = _wanted(spec, problems)
    instruments = find_instruments(spec, wanted, key.folder, problems)
    scored = {column: spec.score[name].missing for name, found in instruments.items() for column in found.columns}
    asked = _asked(spec, wanted) + [item for found in instruments.values() for item in found.asked]
    survey = _read_asked(Path(path), state, spec, asked, problems)
    known = [] if survey is None else [variable.name for variable in survey.variables]
    mapped: dict[str, Mapped] = {}
    weights = None
    if survey is not None:
        weights = _weights(spec, survey, problems) if spec.weight is None or spec.weight in known else None
        for name, (mapping, where) in wanted.items():
            found = map_variable(name, mapping, survey, problems, where) if mapping.variable in known else None
            if found is not None:
                mapped[name] = found
        mapped |= score_columns(spec, survey, instruments, problems)
        if spec.id in known:
            mapped[SOURCE_REF] = _identify(str(spec.id), survey, problems)
    if problems or weights is None:
        raise PopulationError("\n".join(dict.fromkeys(problems)))
    drawn = {name for name, (mapping, _) in wanted.items() if mapping.missing == "draw"}
    drawn |= {name for name in mapped if name in scored and scored[name] == "draw"}
    return _combine(mapped, frozenset(drawn), weights, spec)


def _read_asked(
    path: Path, state: tuple[int, int], spec: PopulationSpec, asked: Sequence[tuple[str, str]], problems: list[str]
) -> Survey | None:
    """Read the variables that a study names; None after adding what is wrong to `problems`."""
    try:
        whole = read_once(path, state, spec.encoding, None) if state[1] <= WHOLE_BYTES else None
        names = (
            read_variable_names(path, encoding=spec.encoding)
            if whole is None
            else [variable.name for variable in whole.variables]
        )
        known = set(names)
        for where, variable in asked:
            if variable not in known:
                wrong = f"{quoted(variable)} is not a variable of {path.name}{nearest_variable(variable, names)}"
                problems.append(f"{wrong} @ {where}")
        used = tuple(sorted({variable for _, variable in asked if variable in known}))
        return whole or (read_once(path, state, spec.encoding, used) if used else None)
    except PopulationError as error:
        place = "population.encoding" if "encoding" in str(error) else "population.file"
        problems.append(f"{error} @ {place}")
        return None


@functools.lru_cache(maxsize=4)
def read_once(path: Path, state: tuple[int, int], encoding: str | None, variables: tuple[str, ...] | None) -> Survey:
    """Return a survey file, or some of its variables, read once for everybody who looks at the same version of it.

    Args:
        path: The file.
        state: Its time of change in nanoseconds and its size in bytes, which tell versions apart.
        encoding: As for `read_survey`.
        variables: Names in order; None for all.

    Raises:
        PopulationError: as `read_survey`.
    """
    return read_survey(path, encoding=encoding, variables=variables)


def _wanted(spec: PopulationSpec, problems: list[str]) -> dict[str, tuple[MapSpec, str]]:
    """Return the mapping of each column and its key in the study."""
    wanted = {name: (mapping, f"population.map.{name}") for name, mapping in spec.map.items()}
    for name in spec.keep:
        if name in spec.map:
            problems.append(f"{quoted(name)} is mapped and kept; leave it out of one @ population.keep")
        wanted.setdefault(name, (MapSpec(variable=name), "population.keep"))
    for name, (_, where) in wanted.items():
        wrong = name_problem(name)
        if name == SOURCE_ROW:
            wrong = f"'{SOURCE_ROW}' is the column of the respondents' rows; choose another name"
        if wrong:
            told = "; map it under another name instead" if where == "population.keep" else ""
            problems.append(f"{wrong}{told} @ {where}")
    if not wanted and not spec.score:
        problems.append("no variable of the survey is used; name some in map or keep @ population.file")
    return wanted


def _asked(spec: PopulationSpec, wanted: Mapping[str, tuple[MapSpec, str]]) -> list[tuple[str, str]]:
    """Return (key, variable) of all that the study names."""
    asked = [
        (where if where == "population.keep" else f"{where}.variable", mapping.variable)
        for mapping, where in wanted.values()
    ]
    named = (("population.weight", spec.weight), ("population.id", spec.id))
    return asked + [(where, variable) for where, variable in named if variable is not None]


def _weights(spec: PopulationSpec, survey: Survey, problems: list[str]) -> NDArray[np.float64] | None:
    if spec.weight is None:
        return np.ones(survey.n_rows)
    if survey.variable(spec.weight).type != "number":
        problems.append(f"{quoted(spec.weight)} holds no numbers, so it cannot be a weight @ population.weight")
        return None
    weights = survey.frame[spec.weight].fill_null(0.0).to_numpy().astype(np.float64)
    negative = np.flatnonzero(weights < 0)
    if negative.size:
        shown = f"{weights[negative[0]]:g} in row {negative[0] + 1}"
        problems.append(f"{quoted(spec.weight)} has negative weights ({shown}) @ population.weight")
    elif not weights.sum() > 0:
        problems.append(f"all weights in {quoted(spec.weight)} are 0 or missing @ population.weight")
    else:
        return weights
    return None


def _identify(variable: str, survey: Survey, problems: list[str]) -> Mapped:
    """Return the ids of respondents as texts; ids that are missing or stand twice are problems."""
    answers = survey.frame[variable]
    numbers = answers.dtype == pl.Float64
    texts = [None if value is None else f"{value:.15g}" if numbers else str(value) for value in answers.to_list()]
    empty = [row for row, text in enumerate(texts, start=1) if text is None]
    if empty:
        problems.append(f"{quoted(variable)} is empty in row {empty[0]}; every respondent needs an id @ population.id")
    first: dict[str, int] = {}
    for row, text in enumerate(texts, start=1):
        if text is not None and first.setdefault(text, row) != row:
            problems.append(
                f"{quoted(variable)} = {quoted(text)} stands in row {first[text]} and in row {row}; give each "
                "respondent an id of their own, or leave id out @ population.id"
            )
            break
    values = np.empty(len(texts), dtype=object)
    values[:] = [clean_text(text or "", 200) for text in texts]
    column = load_schema()[SOURCE_REF].column
    return Mapped(column, values, np.ones(len(texts), dtype=np.bool_), Origin(survey.variable(variable)))


def _combine(
    mapped: dict[str, Mapped], drawn: frozenset[str], weights: NDArray[np.float64], spec: PopulationSpec
) -> Respondents:
    usable, dropped = weights > 0, dict[str, int]()
    if not usable.all():
        dropped["weight"] = int((~usable).sum())
    for name in mapped:
        if name not in drawn and not mapped[name].present.all():
            dropped[name] = int((~mapped[name].present).sum())
    for name in dropped.keys() & mapped.keys():
        usable = usable & mapped[name].present
    without = [name for name in drawn if not (usable & mapped[name].present).any()]
    if not usable.any() or without:
        listed = ", ".join(f"{name} ({n})" for name, n in dropped.items()) or ", ".join(without)
        raise PopulationError(
            f"no respondent is left: answers are missing for {listed}; leave a variable out, or draw what is missing "
            "@ population.map"
        )
    columns = {name: _sourced(part.column) for name, part in mapped.items()}
    in_order = spec.draw == "rows"
    if in_order and WEIGHT not in columns:
        columns[WEIGHT] = _sourced(load_schema()[WEIGHT].column)
    columns[SOURCE_ROW] = _sourced(source_row_column())
    if spec.rake is not None and set(spec.rake.targets) <= mapped.keys():
        weights = rake_respondents(spec.rake, mapped, weights, usable).weights
    return Respondents(columns, mapped, drawn, weights, usable, dropped, in_order)


def _sourced(column: Column) -> Column:
    return dataclasses.replace(column, provenance="survey")


def rake_respondents(
    spec: RakeSpec, mapped: Mapping[str, Mapped], weights: NDArray[np.float64], usable: NDArray[np.bool_]
) -> Raked:
    """Return the raked weights of a survey's rows; those that cannot be drawn have weight 0.

    Raises:
        PopulationError: one line per target that cannot be reached.
    """
    people = {name: (part.column, part.values) for name, part in mapped.items()}
    return rake_people(spec, people, np.where(usable, weights, 0.0))


def summarise_weights(weights: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Return (effective number of respondents, largest weight by the smallest) of weights above 0.

    Source: Kish (1965), Survey Sampling, section 11.7: (sum w)^2 / sum w^2.
    """
    positive = np.asarray(weights, np.float64)
    positive = positive[positive > 0]
    return float(positive.sum() ** 2 / (positive**2).sum()), float(positive.max() / positive.min())
