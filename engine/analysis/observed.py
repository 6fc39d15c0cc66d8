"""Observed people beside simulated ones: a scenario's measure on the respondents of a survey file.

The respondents become the state that the scenario would start from, mapped as the study maps its own survey, and the
measure is taken of that state. Weights count as they do in the survey; the band is a bootstrap over respondents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine import registry
from engine.draws import stream_rng
from engine.errors import Problem, ReportError, StudyError
from engine.llm import LanguageModel
from engine.network import build_network
from engine.policy.asking import Asker, MemoryJournal
from engine.population import Population, build_population
from engine.problems import unknown
from engine.spec import LayerSpec, PopulationSpec, Study
from engine.store.disk import write_durably
from engine.world import World
from engine.world_state import initial_values

N_PLACES = 100_000
"""People who stand for the respondents, in proportion to their weights: shares are exact to one in so many."""
N_DRAWS = 200
OBSERVED_NAME = "observed.json"


@dataclass(frozen=True)
class Observed:
    """A measure of the respondents of a survey.

    Attributes:
        file: Name of the file.
        measure: Name of the measure.
        value: Its weighted value.
        low, high: 95 % percentile bootstrap over respondents, each drawn with the same probability and its weight.
        n_respondents: Usable respondents.
        variables: Variable of the file behind each state column.
    """

    file: str
    measure: str
    value: float
    low: float
    high: float
    n_respondents: int
    variables: Mapping[str, str]


def mapped_states(study: Study) -> dict[str, str]:
    """Return the state columns that the study's survey fills, with their variables; none where it has no survey."""
    columns = registry.scenarios.get(study.scenario).columns if study.population.file else {}
    return {name: spec.variable for name, spec in study.population.map.items() if name in columns}


def observe(
    study: Study,
    measure: str,
    *,
    file: str | None = None,
    variables: Mapping[str, str] | None = None,
    weight: str | None = None,
    base: Path | None = None,
    folder: Path | None = None,
    seed: int = 0,
) -> Observed:
    """Return a scenario's measure on the respondents of a survey.

    Args:
        study: A study whose people come from a survey.
        measure: A measure that follows from the mapped state columns.
        file: The other wave; the study's own file by default.
        variables: Variable of the file for each state column that is not called there as in the study's file.
        weight: Variable of its weights; that of the study by default.
        base: Folder that relative paths start from.
        folder: The user's own personas folder.
        seed: Seed of the bootstrap.

    Raises:
        ReportError: no state of the scenario comes from a survey, so nothing observed can be set beside it.
        StudyError: the scenario does not measure it.
        PopulationError: the file or a variable cannot be used.
    """
    registry.discover()
    info: Any = registry.scenarios.get(study.scenario)
    states = mapped_states(study)
    if not states:
        raise ReportError(
            "no state of the scenario comes from a survey, so there is nothing observed to set beside it; map a "
            f"variable to {' or '.join(info.columns)} in the people"
        )
    known = [m.name for m in info.measures]
    if measure not in known:
        raise StudyError([Problem(unknown(measure, f"measured by {info.name}", known), "outcome")])
    spec = _second_wave(study.population, states, file, variables or {}, weight)
    people = build_population(spec, 0, folder=folder, base=base)
    weights = people.values["weight"] if spec.weight else np.ones(people.n)
    names = [name for name in states if name in people.columns]
    world = _world(study, info, people, names)
    answers = {name: np.asarray(initial_values(name, info.columns[name], people)) for name in names}

    def value(counted: NDArray[Any]) -> float:
        rows = _in_proportion(counted)
        for name in names:
            world.population[name] = answers[name][rows].astype(world.population[name].dtype)
        return float(world.measure()[measure, ""])

    rng = stream_rng(seed, "observed", 0)
    drawn = [value(weights * rng.multinomial(people.n, np.full(people.n, 1 / people.n))) for _ in range(N_DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    used = {name: spec.map[name].variable for name in names}
    shown = Path(spec.file or "").name
    return Observed(shown, measure, value(weights), float(low), float(high), people.n, used)


def _second_wave(
    own: PopulationSpec, states: Mapping[str, str], file: str | None, variables: Mapping[str, str], weight: str | None
) -> PopulationSpec:
    """Return people who are all usable respondents of a wave, each once, with the mapped states alone."""
    mapped = {name: own.map[name].model_copy(update={"variable": variables.get(name, states[name])}) for name in states}
    chosen = weight if weight is not None else own.weight
    return PopulationSpec(file=file or own.file, draw="rows", weight=chosen or None, encoding=own.encoding, map=mapped)


def _in_proportion(weights: NDArray[Any]) -> NDArray[np.int64]:
    """Return the respondents of evenly spaced places on the axis of summed weights, int64, shape (N_PLACES,)."""
    shares = np.cumsum(np.asarray(weights, np.float64))
    places = (np.arange(N_PLACES) + 0.5) / N_PLACES * shares[-1]
    rows: NDArray[np.int64] = np.minimum(np.searchsorted(shares, places, side="right"), shares.size - 1)
    return rows


def _world(study: Study, info: Any, people: Population, names: list[str]) -> World:
    """Return a world of as many people as there are places, tied to everyone."""
    stand_in = Population(N_PLACES)
    rows = np.arange(N_PLACES) % people.n
    for name in names:
        stand_in.add(name, people.columns[name], people.values[name][rows])
    network = build_network((LayerSpec(),), N_PLACES, 0)

    def no_model() -> LanguageModel:
        raise ReportError(f"'{study.scenario}' asks a language model before its first step; nothing is observed there")

    world = World(study, info, stand_in, network, Asker(no_model, MemoryJournal()), 0)
    info.build().setup(world)
    return world


def write_observed(folder: Path, observed: Observed, beside: pl.DataFrame) -> None:
    """Keep what was observed in an experiment's folder, for its report.

    Args:
        folder: The experiment's folder.
        observed: The other wave.
        beside: Observed and simulated values, one row each; columns what, start, end, change, low, high.
    """
    if not folder.is_dir():
        return
    held = {**asdict(observed), "beside": beside.to_dicts()}
    text = json.dumps(held, ensure_ascii=False)
    path = folder / OBSERVED_NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_durably(path, lambda partial: _write_text(partial, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def read_observed(folder: Path) -> dict[str, Any] | None:
    """Return what `write_observed` kept, or None where nothing was, or what is there cannot be read."""
    try:
        held = json.loads((folder / OBSERVED_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    wanted = {"file", "measure", "value", "low", "high", "n_respondents", "beside"}
    return held if isinstance(held, dict) and wanted <= held.keys() else None
