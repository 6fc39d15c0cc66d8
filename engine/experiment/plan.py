"""Which runs an experiment has: every arm once per replicate; and which of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.errors import MicrocosmError, RunError
from engine.loading import expand_arms
from engine.runs import (
    RunInfo,
    Workspace,
    create_run,
    experiment_id_of,
    read_experiment_record,
    read_info,
    write_experiment,
)
from engine.spec import Study
from engine.store.catalog import CATALOG_NAME, Catalog

_AT_ONCE = 8
_REMEMBERED = 20_000


@dataclass(frozen=True)
class PlannedRun:
    """One run of an experiment: an arm (empty where the study has none), a replicate, and the study without arms."""

    arm: str
    replicate: int
    study: Study


@dataclass(frozen=True)
class Experiment:
    """An experiment in a workspace.

    Attributes:
        experiment_id: Name, which follows from the study.
        study: The study with its arms.
        replicates: Runs of each arm that were asked for.
        base: Folder that relative paths of the study start from, or None.
        workspace: Where its runs lie.
        folders: Folder of each run that is there, by (arm, replicate), replicate by replicate.
    """

    experiment_id: str
    study: Study
    replicates: int
    base: Path | None
    workspace: Workspace
    folders: Mapping[tuple[str, int], Path]

    @property
    def arms(self) -> list[str]:
        """Names of the arms in the order of the study; one empty name where it has none."""
        return [arm.name for arm in self.study.arms] or [""]

    def folders_of(self, arm: str) -> list[Path]:
        """Return the folders of one arm's runs by replicate.

        Raises:
            RunError: no such arm.
        """
        if arm not in self.arms:
            raise RunError(f"'{arm}' is not an arm of this experiment; valid: {', '.join(map(repr, self.arms))}")
        return [folder for (name, _), folder in self.folders.items() if name == arm]


def plan_runs(
    study: Study, replicates: int | None = None, personas: Path | None = None, base: Path | None = None
) -> list[PlannedRun]:
    """Return every run of an experiment: all arms of replicate 0, then of replicate 1, ...

    So whatever is done when one stops early is made of whole pairs. Replicate r of all arms has the same seeds.

    Args:
        study: A checked study, with arms or without.
        replicates: Runs of each arm; None for the study's own number.
        personas: The user's own personas folder.
        base: Folder that relative paths of the study start from.

    Raises:
        RunError: fewer than one replicate.
        StudyError: an arm does not fit this version's scenarios.
    """
    n = study.replicates if replicates is None else replicates
    if n < 1:
        raise RunError(f"{n} replicates leave nothing to run; give at least 1")
    arms = expand_arms(study, personas, base)
    return [PlannedRun(name, replicate, own) for replicate in range(n) for name, own in arms]


def create_experiment(
    workspace: Workspace, study: Study, replicates: int | None = None, base: Path | None = None
) -> Experiment:
    """Make the runs of an experiment that are not there yet, queued, and return it whole.

    The same study goes on with the experiment that it began, also with more replicates than before.

    Args:
        workspace: Where the runs go.
        study: A checked study, with arms or without.
        replicates: Runs of each arm; None for the study's own number.
        base: Folder that relative paths of the study start from.

    Raises:
        RunError: fewer than one replicate.
        StorageFull: the disk is full.
    """
    planned = plan_runs(study, replicates, workspace.personas, base)
    record = write_experiment(workspace, study, 1 + planned[-1].replicate, base)
    there = _find_runs(workspace, record.experiment_id)

    def create(run: PlannedRun) -> Path:
        arm = run.arm or None
        identity = record.experiment_id
        return create_run(
            workspace, run.study, replicate=run.replicate, base=record.base, experiment_id=identity, arm=arm
        )

    missing = [run for run in planned if (run.arm, run.replicate) not in there]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # making a run is waiting for the disk
        list(pool.map(create, missing))
    return read_experiment(workspace, record.experiment_id)


def read_experiment(workspace: Workspace, experiment: str | Study) -> Experiment:
    """Return an experiment by its id, a unique beginning of it, or its study.

    Where several runs stand for one arm and replicate, the one that is done counts, else the newest.

    Raises:
        RunNotFound: there is none.
    """
    key = experiment_id_of(experiment) if isinstance(experiment, Study) else experiment
    record = read_experiment_record(workspace, key)
    there = _find_runs(workspace, record.experiment_id)
    order = [(arm, r) for r in range(record.replicates) for arm in ([a.name for a in record.study.arms] or [""])]
    folders = {place: there[place] for place in order if place in there}
    return Experiment(record.experiment_id, record.study, record.replicates, record.base, workspace, folders)


def _find_runs(workspace: Workspace, experiment_id: str) -> dict[tuple[str, int], Path]:
    found: dict[tuple[str, int], list[Path]] = {}
    for folder in workspace.runs.iterdir() if workspace.runs.is_dir() else ():
        if (folder / CATALOG_NAME).is_file():
            try:
                belongs, arm, replicate = _membership(folder)
            except (MicrocosmError, KeyError, ValueError):
                continue  # not a run that can be read; `list_runs` leaves it out as well
            if belongs == experiment_id:
                found.setdefault((arm, replicate), []).append(folder)
    return {place: _best(folders) for place, folders in found.items()}


@lru_cache(_REMEMBERED)
def _membership(folder: Path) -> tuple[str | None, str, int]:
    """Return (experiment, arm, replicate) of a run, which never change; an unfinished creation raises KeyError."""
    with Catalog(folder) as catalog:
        status = catalog.read_status()
    return status.get("experiment_id"), status.get("arm") or "", int(status["replicate"])


def _best(folders: list[Path]) -> Path:
    if len(folders) == 1:
        return folders[0]

    def rank(info: RunInfo) -> tuple[bool, float]:
        return info.status == "done", info.created_at

    return max((read_info(folder) for folder in folders), key=rank).folder
