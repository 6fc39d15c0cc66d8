"""What is known of a run: its state while it goes on, its result, and how to find it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from engine.errors import MicrocosmError, RunNotFound
from engine.loading import parse_study
from engine.runs.inputs import base_of, inputs_of
from engine.runs.locking import is_locked
from engine.runs.workspace import Workspace
from engine.spec import Study
from engine.store.catalog import CATALOG_NAME, Catalog
from engine.store.database import DATABASE_NAME

STUDY_NAME = "study.toml"
FINISHED = ("done", "cancelled", "failed")


@dataclass(frozen=True)
class RunInfo:
    """State of a run as its catalog tells it.

    Attributes:
        run_id: Name of the run's folder.
        title, scenario: As in the study.
        status: queued, running, paused, waiting, done, cancelled, failed, or interrupted (its worker is gone).
        phase: What the worker does: starting, loading model, compiling, setting up, layout, running, consolidating.
        step, steps: Last step done, and how many there are to be.
        steps_per_s: Rate over the last seconds; 0 while unknown.
        remaining_s: Estimated time to the end, None while unknown.
        created_at, started_at, ended_at: Seconds since 1970, None while it has not happened.
        message: What went wrong, or why the run ended early; else empty.
        digest: Digest of the last committed step.
        n_agents, seed, replicate: As in the study.
        parent_run_id, forked_at: Where a fork comes from.
        folder: The run's folder.
        experiment_id, arm: Experiment that the run belongs to, and its arm there; None where it belongs to none.
    """

    run_id: str
    title: str
    scenario: str
    status: str
    phase: str
    step: int
    steps: int
    steps_per_s: float
    remaining_s: float | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    message: str
    digest: str
    n_agents: int
    seed: int
    replicate: int
    parent_run_id: str | None
    forked_at: int | None
    folder: Path
    experiment_id: str | None = None
    arm: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether no worker will change the run unless asked to resume it."""
        return self.status in FINISHED


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        run_id: Name of the run's folder.
        database: Path of `run.duckdb`.
        status: As in `RunInfo`.
        steps: Last step done.
        wall_s: Time of all its workers, from start to end.
        step_s: Time of the step loop with recording and flush; without set-up, compilation and consolidation.
        setup_s: Time to build and record population, network and first state.
        compile_s: Time to compile kernels on a tiny study, or to load them compiled.
        consolidate_s: Time to build `run.duckdb`.
        digest: Digest of the last step.
        measures: Last value of every measure, NaN where undefined.
        n_agents: Number of agents at the end.
        agent_steps_per_s: Agents x steps / `step_s`.
        recorded_bytes: Size of the recorded states.
        changes: Recorded rows of states.
        peak_rss_bytes: Largest resident memory of a worker.
        model_calls, situations: What the language model was asked.
        cache_hits: Situations that needed no question.
        message: What went wrong, or why the run ended early; else empty.
        folder: The run's folder.
    """

    run_id: str
    database: Path
    status: str
    steps: int
    wall_s: float
    step_s: float
    setup_s: float
    compile_s: float
    consolidate_s: float
    digest: str
    measures: Mapping[str, float]
    n_agents: int
    agent_steps_per_s: float
    recorded_bytes: int
    changes: int
    peak_rss_bytes: int
    model_calls: int
    situations: int
    cache_hits: int
    message: str
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Return the object that `run --json` prints; an undefined measure is null."""
        plain = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
        plain["measures"] = {k: None if math.isnan(v) else v for k, v in self.measures.items()}
        return plain


def read_info(folder: Path | str) -> RunInfo:
    """Return the state of a run.

    Raises:
        RunNotFound: the folder is no run, or one that is being made at this moment.
    """
    home = Path(folder)
    with Catalog(home) as catalog:
        status = catalog.read_status()
        if "status" not in status:
            raise RunNotFound(f"{home} is not a run yet: it is being made, or was left half-made; look again")
        if status.get("status") in ("running", "waiting") and not is_locked(home):
            # Read again: the worker may have ended between the two looks.
            status = catalog.read_status()
            if status.get("status") in ("running", "waiting"):
                message = "the worker is gone; resume the run, nothing that was committed is lost"
                status |= {"status": "interrupted", "step": max(catalog.last_step(), 0), "message": message}
    status |= {"steps_per_s": status.get("steps_per_s") or 0.0, "folder": home}
    if status["status"] != "running":
        status |= {"phase": "", "remaining_s": None}
    return RunInfo(**{item.name: status.get(item.name) for item in fields(RunInfo)})  # type: ignore[arg-type]


def read_result(folder: Path | str) -> RunResult:
    """Return what a run came to so far.

    Raises:
        RunNotFound: the folder is no run.
    """
    home = Path(folder)
    info = read_info(home)
    with Catalog(home) as catalog:
        status = catalog.read_status()
        states = catalog.segments("states")
        model_calls, situations = catalog.journal_counts()
        measures = {name: math.nan if v is None else v for name, v in catalog.last_measures().items()}
    step_s, timed = float(status.get("step_s") or 0.0), int(status.get("timed_steps") or 0)
    return RunResult(
        run_id=info.run_id,
        database=home / DATABASE_NAME,
        status=info.status,
        steps=info.step,
        wall_s=float(status.get("wall_s") or 0.0),
        step_s=step_s,
        setup_s=float(status.get("setup_s") or 0.0),
        compile_s=float(status.get("compile_s") or 0.0),
        consolidate_s=float(status.get("consolidate_s") or 0.0),
        digest=info.digest,
        measures=measures,
        n_agents=info.n_agents,
        agent_steps_per_s=info.n_agents * timed / step_s if step_s > 0 else 0.0,
        recorded_bytes=sum(segment.bytes for segment in states),
        changes=sum(segment.rows for segment in states),
        peak_rss_bytes=int(status.get("peak_rss_bytes") or 0),
        model_calls=model_calls,
        situations=situations,
        cache_hits=int(status.get("cache_hits") or 0),
        message=info.message,
        folder=home,
    )


def read_study(folder: Path | str) -> Study:
    """Return the study of a run.

    Raises:
        RunNotFound: the folder is no run.
        StudyError: the study no longer fits this version's scenarios.
    """
    path = Path(folder) / STUDY_NAME
    if not path.is_file():
        raise RunNotFound(f"{folder} is not a run: it has no {STUDY_NAME}; `microcosm list runs` names the runs")
    text = path.read_text(encoding="utf-8")
    home = path.parent
    return parse_study(text, file=f"{home.name}/{STUDY_NAME}", personas=inputs_of(home), base=base_of(home, None))


def list_runs(workspace: Workspace) -> list[RunInfo]:
    """Return the workspace's runs, newest first; a folder that cannot be read as a run is left out."""
    found = []
    for path in workspace.runs.iterdir() if workspace.runs.is_dir() else ():
        if (path / CATALOG_NAME).is_file():
            try:
                found.append(read_info(path))
            except (MicrocosmError, json.JSONDecodeError, KeyError):
                continue
    return sorted(found, key=lambda info: (info.created_at, info.run_id), reverse=True)


def find_run(workspace: Workspace, key: str | Path) -> Path:
    """Return the folder of a run by id, unique beginning of an id, or folder.

    Raises:
        RunNotFound: none or several answer to it; the text says which.
    """
    text = str(key)
    ids = sorted(path.name for path in workspace.runs.iterdir() if (path / CATALOG_NAME).is_file())
    if text in ids:
        return workspace.runs / text
    if (Path(text) / CATALOG_NAME).is_file():
        return Path(text).absolute()
    matching = [run_id for run_id in ids if text and run_id.startswith(text)]
    if len(matching) == 1:
        return workspace.runs / matching[0]
    if matching:
        raise RunNotFound(f"'{text}' fits {len(matching)} runs: {', '.join(matching[:5])}; give more of the id")
    raise RunNotFound(f"no run '{text}' in {workspace.runs} ({len(ids)} runs there); `microcosm list runs` names them")
