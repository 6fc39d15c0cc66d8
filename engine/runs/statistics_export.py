"""A run's agents for statistics programs: one row per agent, with labels, measure levels and missing codes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from engine.errors import PopulationError
from engine.population import Column, Survey, describe_people, people_origins, persona_columns
from engine.population.survey_writer import render_codebook, write_survey
from engine.runs.inputs import inputs_of
from engine.runs.records import read_study
from engine.store.readers import query

MAX_AGENTS = 5_000_000


def describe_agents(folder: Path) -> tuple[Survey, dict[str, str]]:
    """Return a run's agents as a survey, and where each of its variables comes from.

    Variables are the persona columns, then for each state the first value (`initial_NAME`) and the last recorded one
    (`NAME`).

    Raises:
        PopulationError: more agents than a statistics program reads.
    """
    n = int(query(folder, "select count(*) from agents").item())
    if n > MAX_AGENTS:
        raise PopulationError(f"{n:,} agents are more than the {MAX_AGENTS:,} of such a file; export parquet instead")
    study, inputs = read_study(folder), inputs_of(folder)
    columns = persona_columns(study.population, inputs, folder)
    origins = people_origins(study.population, inputs, folder)
    frame, states = last_agents(folder), _state_columns(folder)
    for name, column in states.items():
        columns[f"initial_{name}"] = column
    named = {**columns, **states, "agent_id": Column("integer", "int64", help="Number of the agent in the run.")}
    named["entered"] = Column("integer", "int64", help="Step at which the agent entered.")
    named["left"] = Column("integer", "int64", help="Step at which the agent left.")
    kept = {name: origin for name, origin in origins.items() if name not in states}
    provenance = {name: str(columns[name].provenance or "run") if name in columns else "run" for name in frame.columns}
    survey = describe_people(frame, named, kept, file=folder.name, label=study.title)
    return survey, provenance


def _state_columns(folder: Path) -> dict[str, Column]:
    rows = query(folder, 'select "column", kind, labels, unit, help, low, high from columns where "table" = \'states\'')
    return {
        name: Column(kind, "float64", unit or "", low, high, tuple(labels or ()), help_ or "")
        for name, kind, labels, unit, help_, low, high in rows.iter_rows()
    }


def _last_states(folder: Path, states: Mapping[str, Column]) -> pl.DataFrame:
    """Return the last recorded state of each agent: categories as texts."""
    frame = query(
        folder,
        "select * exclude (step, keyframe) from states qualify row_number() over "
        "(partition by agent_id order by step desc) = 1 order by agent_id",
    )
    for name, column in states.items():
        if column.kind == "category" and name in frame.columns:
            labels = pl.Series(name, list(column.labels), dtype=pl.String)
            frame = frame.with_columns(labels.gather(frame[name].cast(pl.UInt32)).alias(name))
    return frame


def last_agents(folder: Path) -> pl.DataFrame:
    """Return one row per agent: number, persona columns, steps of coming and going, and the last recorded states."""
    agents = query(folder, "select * from agents order by agent_id")
    last = _last_states(folder, _state_columns(folder))
    return agents.join(last, on="agent_id", how="left", maintain_order="left") if len(last.columns) > 1 else agents


def write_agents(folder: Path, out: Path) -> Path:
    """Write a run's agents as SPSS or Stata file, and beside it the codebook as DDI; returns the file."""
    survey, provenance = describe_agents(folder)
    path = write_survey(survey, out)
    path.with_suffix(".codebook.xml").write_text(render_codebook(survey, provenance), encoding="utf-8")
    return path
