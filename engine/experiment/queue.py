"""The queue of an experiment: worker processes that go on while one does something else."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from engine.errors import RunError
from engine.experiment.plan import Experiment, create_experiment, read_experiment
from engine.runs import RunInfo, Workspace, queue_run, read_experiment_record, read_info, share_runs, start_worker
from engine.runs.locking import is_locked
from engine.spec import Study
from engine.store.disk import storage_errors, write_durably

WORKERS_NAME = "workers.json"
MAX_WORKERS = 64
POLL_S = 0.25
RESTING = ("paused", "interrupted", "failed", "cancelled")


@dataclass(frozen=True)
class _Worker:
    """A worker process as it is written down: its id, when it began (ids come back), and the runs that it was given."""

    pid: int
    created: float | None
    folders: tuple[str, ...]


@dataclass(frozen=True)
class QueueStatus:
    """Where an experiment's queue stands.

    Attributes:
        experiment_id: Name of the experiment.
        n_runs: Runs that were asked for: arms x replicates.
        counts: How many runs have which status; "missing" for those that are not made yet.
        running: The runs that go on.
        failed: The runs that failed, with their reasons.
        workers: Worker processes that live.
        remaining_s: Estimated time to the end, None while unknown or while nothing works.
    """

    experiment_id: str
    n_runs: int
    counts: Mapping[str, int]
    running: tuple[RunInfo, ...]
    failed: tuple[RunInfo, ...]
    workers: int
    remaining_s: float | None

    @property
    def n_done(self) -> int:
        """Runs that are done."""
        return self.counts.get("done", 0)

    @property
    def is_finished(self) -> bool:
        """Whether no worker has anything left to do."""
        return not any(self.counts.get(status, 0) for status in ("queued", "running", "waiting", "missing"))


def run_experiment(
    workspace: Workspace,
    study: Study,
    *,
    replicates: int | None = None,
    workers: int = 1,
    base: Path | None = None,
    on_progress: Callable[[QueueStatus], None] | None = None,
) -> Experiment:
    """Run every arm of a study as often as asked, and return the experiment; what is done already stays.

    A KeyboardInterrupt pauses the runs that go on, with a checkpoint; a second call goes on with what is missing.

    Args:
        workspace: Where the runs go.
        study: A checked study, with arms or without.
        replicates: Runs of each arm; None for the study's own number.
        workers: Processes that work at once, 1 to 64.
        base: Folder that relative paths of the study start from.
        on_progress: Called about four times a second.

    Raises:
        RunError: a run failed (says which and why), or workers end without taking runs up.
    """
    experiment = create_experiment(workspace, study, replicates, base)
    start_experiment(experiment, workers)
    try:
        _wait(experiment, workers, on_progress)
    except BaseException:
        pause_experiment(workspace, experiment.experiment_id)
        raise
    failed = [info for info in map(read_info, experiment.folders.values()) if info.status == "failed"]
    if failed:
        shown = "; ".join(f"{_label(info)} ({info.run_id}): {info.message}" for info in failed[:3])
        raise RunError(f"{len(failed)} of {len(experiment.folders)} runs failed: {shown}")
    return experiment


def start_experiment(experiment: Experiment, workers: int = 1) -> list[int]:
    """Let worker processes take up everything that is not done, and return the ids of those that were started.

    Runs that were paused, cancelled, interrupted or failed are taken up again. Workers that still live count.

    Args:
        experiment: From `create_experiment` or `read_experiment`.
        workers: Processes that work at once, 1 to 64.

    Raises:
        RunError: the number of workers is out of range.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise RunError(f"{workers} workers cannot share the runs; give 1 to {MAX_WORKERS}")
    return _start(experiment, workers, RESTING)


def _start(experiment: Experiment, workers: int, taken_up: Collection[str]) -> list[int]:
    living = _living(_record_folder(experiment))
    covered = {name for worker in living for name in worker.folders}
    waiting, again = [], False
    for folder in experiment.folders.values():
        info = read_info(folder)
        if info.status in RESTING and info.status in taken_up and not is_locked(folder):
            queue_run(folder)
            again = True
        elif info.is_finished or info.status == "paused":
            continue
        again = again or folder.name not in covered
        waiting.append(folder)
    if not waiting:
        return []
    n_new = max(workers - len(living), 1 if again else 0)
    started = []
    for number in range(min(n_new, len(waiting))):
        own = share_runs(waiting, number, n_new)
        pid = start_worker(own, live=False)
        started.append(_Worker(pid, _created(pid), tuple(folder.name for folder in own)))
    _write_workers(_record_folder(experiment), [*living, *started])
    return [worker.pid for worker in started]


def queue_status(workspace: Workspace, experiment_id: str, known: Mapping[Path, RunInfo] | None = None) -> QueueStatus:
    """Return where an experiment's queue stands.

    Args:
        workspace: Where its runs are.
        experiment_id: Its id.
        known: Runs whose state the caller has read and that have not changed since; they are not read again.

    Raises:
        RunNotFound: there is no such experiment.
    """
    return _status(read_experiment(workspace, experiment_id), dict(known or {}))


def pause_experiment(workspace: Workspace, experiment_id: str) -> None:
    """Ask an experiment's workers to end: the runs that go on pause with a checkpoint, the others stay queued.

    `start_experiment` and `run_experiment` go on from there.

    Raises:
        RunNotFound: there is no such experiment.
    """
    folder = read_experiment_record(workspace, experiment_id).folder
    for worker in _living(folder):
        os.kill(worker.pid, signal.SIGTERM)


def _wait(experiment: Experiment, workers: int, on_progress: Callable[[QueueStatus], None] | None) -> None:
    """Wait until nothing is queued; start workers again where runs are left over, as long as that helps."""
    ended: dict[Path, RunInfo] = {}
    helped = -1
    while True:
        working = bool(_living(_record_folder(experiment)))
        status = _status(experiment, ended)
        if on_progress is not None:
            on_progress(status)
        if status.is_finished and not status.counts.get("interrupted"):
            return
        if not working:
            left = [folder for folder in experiment.folders.values() if folder not in ended]
            if len(ended) == helped:
                raise RunError(f"no worker took up run {left[0].name}; its worker.log may say why")
            helped = len(ended)
            _start(experiment, workers, ("interrupted",))
        time.sleep(POLL_S)


def _status(experiment: Experiment, ended: dict[Path, RunInfo]) -> QueueStatus:
    """Return the queue's status; `ended` remembers runs that need no second look."""
    infos = [ended.get(folder) or read_info(folder) for folder in experiment.folders.values()]
    ended.update({info.folder: info for info in infos if info.is_finished})
    n_runs = len(experiment.arms) * experiment.replicates
    counts: dict[str, int] = {"missing": n_runs - len(infos)} if n_runs > len(infos) else {}
    for info in infos:
        counts[info.status] = counts.get(info.status, 0) + 1
    running = tuple(info for info in infos if info.status == "running")
    failed = tuple(info for info in infos if info.status == "failed")
    workers = len(_living(_record_folder(experiment)))
    took = [seconds for info in infos if info.status == "done" and (seconds := _duration(info)) is not None]
    left = counts.get("queued", 0) + len(running) / 2
    remaining = left * sum(took) / len(took) / workers if took and workers else None
    return QueueStatus(experiment.experiment_id, n_runs, counts, running, failed, workers, remaining)


def _duration(info: RunInfo) -> float | None:
    return None if info.started_at is None or info.ended_at is None else info.ended_at - info.started_at


def _label(info: RunInfo) -> str:
    return f"{info.arm}, replicate {info.replicate}" if info.arm else f"replicate {info.replicate}"


def _record_folder(experiment: Experiment) -> Path:
    return experiment.workspace.experiments / experiment.experiment_id


def _living(folder: Path) -> list[_Worker]:
    """Return the workers of an experiment that still live, as they were written down."""
    path = folder / WORKERS_NAME
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [_Worker(**worker) for worker in known if _created(worker["pid"]) == worker["created"]]


def _created(pid: int) -> float | None:
    """Return when a process began; None for one that has ended."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def _write_workers(folder: Path, workers: Sequence[_Worker]) -> None:
    def write(path: Path) -> None:
        path.write_text(json.dumps([asdict(worker) for worker in workers]), encoding="utf-8")

    with storage_errors(folder):
        write_durably(folder / WORKERS_NAME, write)
