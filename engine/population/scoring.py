"""Survey answers to an instrument's items, scored into columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import PopulationError
from engine.population.codebook import Survey
from engine.population.instruments import Instrument, item_variables, load_instrument, score_answers
from engine.population.mapping import Mapped
from engine.population.schema import load_schema
from engine.population.text import quoted
from engine.spec import MapSpec, PopulationSpec


@dataclass(frozen=True)
class Asked:
    """One instrument of a study: its items' variables.

    Attributes:
        instrument: The instrument.
        variables: Variable of each item, in the instrument's order.
        where: Key in the study.
    """

    instrument: Instrument
    variables: tuple[str, ...]
    where: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the scores become."""
        return tuple(self.instrument.scales.values())

    @property
    def asked(self) -> list[tuple[str, str]]:
        """(key in the study, variable) of each item."""
        return [(self.where, variable) for variable in self.variables]


def find_instruments(
    spec: PopulationSpec, wanted: Mapping[str, tuple[MapSpec, str]], folder: Path | None, problems: list[str]
) -> dict[str, Asked]:
    """Return the instruments that a study scores, by the study's name for them; problems go to the list."""
    found: dict[str, Asked] = {}
    taken = {name: where for name, (_, where) in wanted.items()}
    for name, score in spec.score.items():
        where = f"population.score.{name}"
        try:
            instrument = load_instrument(score.instrument, folder)
            variables = item_variables(instrument, score.prefix, score.items)
        except PopulationError as error:
            problems += [f"{line} @ {where}" for line in str(error).splitlines()]
            continue
        for column in instrument.scales.values():
            if column in taken:
                problems.append(f"{quoted(column)} is also filled by {taken[column]}; leave one out @ {where}")
            taken[column] = where
        found[name] = Asked(instrument, tuple(variables.values()), where)
    return found


def score_columns(
    spec: PopulationSpec, survey: Survey, instruments: Mapping[str, Asked], problems: list[str]
) -> dict[str, Mapped]:
    """Return the scored columns over all respondents; answers outside the instrument's range are problems."""
    scored: dict[str, Mapped] = {}
    known = {variable.name: variable for variable in survey.variables}
    for asked in instruments.values():
        if any(name not in known for name in asked.variables):
            continue  # named as a problem where the variables are read
        texts = [name for name in asked.variables if known[name].type != "number"]
        if texts:
            problems.append(f"{quoted(texts[0])} holds no numbers, so it cannot be scored @ {asked.where}")
            continue
        answers = survey.frame.select(asked.variables).fill_null(np.nan).to_numpy()
        try:
            scores = score_answers(asked.instrument, answers.astype(np.float64))
        except PopulationError as error:
            problems.append(f"{error}; name what is no answer in the file's missing codes @ {asked.where}")
            continue
        for column, values in scores.values.items():
            present = ~np.isnan(values)
            known_column = load_schema()[column].column
            typed = dataclasses.replace(known_column, scale=asked.instrument.title)
            if not present.any():
                problems.append(f"nobody has a score for {quoted(column)} @ {asked.where}")
            scored[column] = Mapped(typed, np.where(present, values, known_column.low or 0.0), present)
    return scored
