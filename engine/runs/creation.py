"""Make the folder of a new run."""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import PopulationError, RunError
from engine.loading import dump_study, expand_arms, study_hash
from engine.runs.experiments import write_experiment
from engine.runs.inputs import base_of, copy_inputs, keep_inputs
from engine.runs.memory import check_memory
from engine.runs.records import STUDY_NAME
from engine.runs.workspace import Workspace
from engine.spec import Study
from engine.store.catalog import Catalog
from engine.store.disk import storage_errors, sync_folder, write_durably

_VERSIONED = ("microcosm-studio", "numpy", "numba", "polars", "duckdb", "llama-cpp-python")


def create_run(
    workspace: Workspace,
    study: Study,
    *,
    replicate: int = 0,
    parent: str | None = None,
    forked_at: int | None = None,
    base: Path | None = None,
    experiment_id: str | None = None,
    arm: str | None = None,
    like: Path | None = None,
) -> Path:
    """Make a queued run and return its folder.

    Args:
        workspace: Where it goes.
        study: A checked study without arms.
        replicate: Number of the replicate.
        parent: Id of the run that it is forked from.
        forked_at: Last step that it shares with its parent.
        base: Folder that relative paths of the study start from.
        experiment_id: Experiment that it belongs to.
        arm: Name of its arm there.
        like: Folder of a run whose inputs (respondents, recipes, packs) it takes over instead of reading them again.

    Raises:
        RunError: a replicate below 0, or a study with arms.
        PopulationError: a survey file that is gone or has problems, or more agents than fit into memory.
        StorageFull: the disk is full.
    """
    if replicate < 0:
        raise RunError(f"replicate {replicate} does not exist; replicates count from 0")
    if study.arms:
        raise RunError(f"a run has one arm, but the study has {len(study.arms)}; create_runs makes a run for each")
    check_memory(study, base, workspace.personas)
    folder = workspace.runs / f"{secrets.token_hex(4)}-{study.scenario}"
    with storage_errors(workspace.path):
        folder.mkdir(parents=True)
        for name in ("segments", "checkpoints"):
            (folder / name).mkdir()
        text = dump_study(study)
        write_durably(folder / STUDY_NAME, lambda path: write_text(path, text))
        if like is None:
            _keep_inputs(folder, workspace, study, replicate, base)
        else:
            copy_inputs(like, folder)
        sync_folder(folder)
    base = base_of(folder, base)
    with Catalog(folder, create=True) as catalog:
        first = first_status(folder, study, replicate)
        first |= {"parent_run_id": parent, "forked_at": forked_at, "base": str(base.absolute()) if base else None}
        first |= {"experiment_id": experiment_id, "arm": arm}
        catalog.write_status(**first)
    return folder


def _keep_inputs(folder: Path, workspace: Workspace, study: Study, replicate: int, base: Path | None) -> None:
    try:
        keep_inputs(folder, workspace, study, replicate, base)
    except PopulationError:
        shutil.rmtree(folder)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    path.write_text(text, encoding="utf-8")


def create_runs(
    workspace: Workspace, study: Study, replicates: int | None = None, base: Path | None = None
) -> list[Path]:
    """Make one queued run per replicate, as many as the study says by default.

    A study with arms becomes an experiment: one run per replicate and arm, replicate by replicate.
    """
    n = study.replicates if replicates is None else replicates
    if n < 1:
        raise RunError(f"{n} replicates leave nothing to run; give at least 1")
    if not study.arms:
        return [create_run(workspace, study, replicate=replicate, base=base) for replicate in range(n)]
    record = write_experiment(workspace, study, n, base)
    arms = expand_arms(study, workspace.personas, base)
    return [
        create_run(workspace, own, replicate=r, base=base, experiment_id=record.experiment_id, arm=name)
        for r in range(n)
        for name, own in arms
    ]


def first_status(folder: Path, study: Study, replicate: int) -> dict[str, Any]:
    """Return the status values of a run that has not begun."""
    parts: Sequence[Any] = ("population", "network", "dynamics")
    return {
        "run_id": folder.name,
        "title": study.title or study.scenario,
        "scenario": study.scenario,
        "status": "queued",
        "phase": "",
        "step": 0,
        "steps": study.steps,
        "steps_per_s": 0.0,
        "remaining_s": None,
        "created_at": time.time(),
        "started_at": None,
        "ended_at": None,
        "message": "",
        "digest": "",
        "n_agents": study.population.size or 0,
        "seed": study.seed,
        "seeds": {part: study.seed_of(part, replicate) for part in parts},
        "replicate": replicate,
        "study_hash": study_hash(study),
        "versions": dict(versions()),
        "model": None,
    }


@cache
def versions() -> Mapping[str, str]:
    """Return the versions that an exact repetition needs, and the processor class."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
