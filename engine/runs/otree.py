"""Runs as oTree writes its data: one row per participant and round, with oTree's names of columns.

A run is a group, its agents are the participants, its steps are the rounds. Runs of one arm form a session, so that
`group.id_in_subsession` counts the groups of a treatment.

Source: oTree documentation, "Data export", columns of the per-app file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from engine.errors import ReportError
from engine.loading import scenario_info
from engine.runs.records import STUDY_NAME, RunInfo, read_info, read_study
from engine.spec import Study
from engine.store.catalog import Catalog
from engine.store.disk import storage_errors

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
MOST_ROWS = 5_000_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
PAYOFF, TOTALS = "received", ("gain", "wealth", "effort")
"""State columns that hold what a person got in a round, and in all of them."""


def write_otree(folders: Sequence[Path], out: Path) -> Path:
    """Write runs as one CSV in the form of oTree's, and return where.

    Args:
        folders: Folders of runs of one scenario; each is one group.
        out: File to write; must not exist yet.

    Raises:
        ReportError: as `read_otree`, or the file is there already or does not end in .csv.
        StorageFull: the disk is full.
    """
    if out.suffix.lower() != ".csv":
        raise ReportError(f"'{out.name}' must end in .csv; name the file so")
    if out.exists():
        raise ReportError(f"{out} exists already; name another place, or delete it first")
    frame = read_otree(folders)
    with storage_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(out)
    return out


def read_otree(folders: Sequence[Path]) -> pl.DataFrame:
    """Return one row per run, round and participant, in this order.

    Columns: session.code, session.config.name (the arm), participant.id_in_session, participant.code,
    participant.label, participant._is_bot (0 for someone played by a person), participant.payoff (what the person
    came to), participant.<trait>, player.id_in_group, player.payoff (of the round), player.<decision>,
    player.<decision>_decided_by, player.<state column>, group.id_in_subsession, group.<measure>,
    subsession.round_number.

    Raises:
        ReportError: no run, runs of different scenarios, states that were not recorded, or over 5 million rows.
    """
    infos = [read_info(folder) for folder in folders]
    if not infos:
        raise ReportError("no run is given, so there is nobody to write down")
    if len({info.scenario for info in infos}) > 1:
        raise ReportError("runs of different scenarios have no columns in common; export them one after another")
    n_rows = sum(info.step * info.n_agents for info in infos)
    if n_rows > MOST_ROWS:
        raise ReportError(f"{n_rows:,} rows are too many for one file of participants and rounds; export as parquet")
    groups: dict[str, int] = {}
    people: dict[str, int] = {}
    parts = []
    studies: dict[str, Study] = {}
    for info in infos:
        session = _session(info)
        groups[session] = groups.get(session, 0) + 1
        frame = _rows(info, session, groups[session], people.get(session, 0), studies)
        people[session] = people.get(session, 0) + info.n_agents
        parts.append(frame)
    whole = pl.concat(parts, how="diagonal_relaxed")
    return whole.with_columns(_guarded(name) for name, kind in whole.schema.items() if kind == pl.String)


def _guarded(name: str) -> pl.Expr:
    """Return a text column that no spreadsheet takes for a formula."""
    risky = pl.any_horizontal(pl.col(name).str.starts_with(sign) for sign in _FORMULA)
    return pl.when(risky).then(pl.lit("'") + pl.col(name)).otherwise(pl.col(name)).alias(name)


def _session(info: RunInfo) -> str:
    return _code(f"{info.experiment_id or info.title or info.scenario} {info.arm or ''}")


def _code(text: str) -> str:
    """Return eight letters and digits that follow from a text, like oTree's codes."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return "".join(LETTERS[byte % len(LETTERS)] for byte in digest)


def _study_of(folder: Path, known: dict[str, Study]) -> Study:
    """Return a run's study; those of one arm have the same text, so it is read once."""
    text = (folder / STUDY_NAME).read_text(encoding="utf-8")
    if text not in known:
        known[text] = read_study(folder)
    return known[text]


def _read_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """Return states, decisions, arrivals and measures of a run, straight from its segments."""
    with Catalog(folder) as catalog:
        segments, measures = catalog.segments(), catalog.measures()
    schema = {"step": pl.Int64, "agent_id": pl.Int64, "turn": pl.Int64, "decision": pl.String}
    found = {
        "states": pl.DataFrame(schema={"step": pl.Int64, "agent_id": pl.Int64}),
        "decisions": pl.DataFrame(schema={**schema, "action": pl.Int64, "policy": pl.String}),
    }
    for name in ("states", "decisions", "arrivals"):
        paths = [folder / segment.path for segment in segments if segment.name == name]
        if paths:
            found[name] = pl.concat([pl.read_parquet(path) for path in paths], how="diagonal_relaxed")
    kinds = {"step": pl.Int64, "measure": pl.String, "segment": pl.String, "value": pl.Float64}
    return {**found, "measures": pl.DataFrame(measures, schema=kinds, orient="row")}


def _rows(info: RunInfo, session: str, group: int, before: int, known: dict[str, Study]) -> pl.DataFrame:
    study = _study_of(info.folder, known)
    tables = _read_tables(info.folder)
    states = tables["states"]
    if states.is_empty():
        raise ReportError(f"run {info.run_id} recorded no states (record.states = none), so there are no rounds")
    grid = pl.DataFrame({"agent_id": np.arange(info.n_agents)}).join(
        pl.DataFrame({"step": np.arange(1, info.step + 1)}), how="cross"
    )
    sorted_states = states.with_columns(pl.col("agent_id").cast(pl.Int64), pl.col("step").cast(pl.Int64)).sort("step")
    rows = grid.sort("step").join_asof(sorted_states, on="step", by="agent_id", check_sortedness=False)
    rows = rows.join(_decisions(tables["decisions"], states.columns), on=["step", "agent_id"], how="left")
    rows = rows.join(_measures(tables["measures"]), on="step", how="left").join(
        _people(tables["arrivals"], study), on="agent_id", how="left"
    )
    payoff = PAYOFF if PAYOFF in states.columns else None
    total = _total(states, study)
    last = rows["step"].max()
    came_to = rows.filter(pl.col("step") == last).select("agent_id", pl.col(total).alias("came_to")) if total else None
    if came_to is not None:
        rows = rows.join(came_to, on="agent_id", how="left")
    id_in_session = pl.col("agent_id") + 1 + before
    ordered = [
        pl.lit(session).alias("session.code"),
        pl.lit(info.arm or "").alias("session.config.name"),
        id_in_session.alias("participant.id_in_session"),
        pl.col("agent_id")
        .map_elements(lambda agent: _code(f"{info.run_id} {agent}"), return_dtype=pl.String)
        .alias("participant.code"),
        pl.col("trait:display_name").alias("participant.label") if "trait:display_name" in rows.columns else _EMPTY,
        pl.col("agent_id").is_in(_seats(study)).not_().cast(pl.Int8).alias("participant._is_bot"),
        *([pl.col("came_to").alias("participant.payoff")] if came_to is not None else []),
        *_renamed(rows, "trait:", "participant.", ("trait:display_name",)),
        (pl.col("agent_id") + 1).alias("player.id_in_group"),
        *([pl.col(payoff).alias("player.payoff")] if payoff else []),
        *_renamed(rows, "action:", "player."),
        *[_state(study, name) for name in _shown_states(states, study)],
        pl.lit(group).alias("group.id_in_subsession"),
        *_renamed(rows, "measure:", "group."),
        pl.col("step").alias("subsession.round_number"),
    ]
    return rows.sort("step", "agent_id").select(ordered)


_EMPTY = pl.lit("").alias("participant.label")


def _renamed(rows: pl.DataFrame, prefix: str, new: str, without: Sequence[str] = ()) -> list[pl.Expr]:
    names = [name for name in rows.columns if name.startswith(prefix) and name not in without]
    return [pl.col(name).alias(new + name.removeprefix(prefix)) for name in names]


def _seats(study: Study) -> list[int]:
    return sorted({seat for spec in study.decisions.values() if spec.policy == "human" for seat in spec.seats})


def _shown_states(states: pl.DataFrame, study: Study) -> list[str]:
    """Return the state columns without ids of texts, which say nothing outside of the run."""
    info = scenario_info(study.scenario)
    texts = {name for ask in (*info.decisions, *info.writings) for name in ask.texts}
    return [name for name in states.columns if name in info.columns and name not in texts]


def _state(study: Study, name: str) -> pl.Expr:
    labels = scenario_info(study.scenario).columns[name].labels
    column = pl.col(name)
    shown = column.replace_strict(dict(enumerate(labels)), return_dtype=pl.String) if labels else column
    return shown.alias(f"player.{name}")


def _total(states: pl.DataFrame, study: Study) -> str | None:
    """Return the column of what a person came to in all rounds, or None where the scenario has none."""
    return next((name for name in TOTALS if name in _shown_states(states, study)), None)


def _decisions(decided: pl.DataFrame, states: Sequence[str]) -> pl.DataFrame:
    """Return step, agent_id and, for each decision, the last action of the step and who decided.

    Args:
        decided: The run's decisions.
        states: Names of state columns, which no decision's column may take.
    """
    keyed = (pl.col("step").cast(pl.Int64), pl.col("agent_id").cast(pl.Int64))
    frame = decided.select(*keyed, "turn", "decision", "action", "policy")
    keys = pl.DataFrame(schema={"step": pl.Int64, "agent_id": pl.Int64})
    names = frame["decision"].unique().sort().to_list()
    for name in names:
        own = frame.filter(pl.col("decision") == name).sort("turn").unique(["step", "agent_id"], keep="last")
        action = f"action:{name}" if name not in states else f"action:{name}_decision"
        columns = (pl.col("action").alias(action), pl.col("policy").alias(f"{action}_decided_by"))
        chosen = own.select("step", "agent_id", *columns)
        keys = keys.join(chosen, on=["step", "agent_id"], how="full", coalesce=True)
    return keys


def _measures(measured: pl.DataFrame) -> pl.DataFrame:
    frame = measured.filter(pl.col("segment") == "")
    wide = frame.with_columns(pl.col("step").cast(pl.Int64)).pivot(on="measure", index="step", values="value")
    return wide.rename({name: f"measure:{name}" for name in wide.columns if name != "step"})


def _people(arrivals: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the agents' traits, without state columns and long texts."""
    frame = arrivals.with_columns(pl.col("agent_id").cast(pl.Int64))
    left_out = {"agent_id", "entered", "left", "persona", *scenario_info(study.scenario).columns}
    names = [name for name in frame.columns if name not in left_out and not name.startswith("initial_")]
    return frame.select("agent_id", *(pl.col(name).alias(f"trait:{name}") for name in names))
