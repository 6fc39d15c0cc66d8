"""Start workers, and run studies from Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.errors import RunError
from engine.loading import load_study
from engine.runs.creation import create_runs
from engine.runs.records import RunInfo, RunResult, read_info, read_result
from engine.runs.workspace import Workspace, open_workspace
from engine.spec import Study

LOG_NAME = "worker.log"
_LOOK_S = 0.05
_started: list[subprocess.Popen[bytes]] = []


def start_worker(folders: Sequence[Path], *, live: bool = True) -> int:
    """Start a detached worker for some runs, one after another, and return its process id.

    It goes on when this program ends. What it prints goes to `worker.log` in the first folder.

    Args:
        folders: Folders of queued or interrupted runs.
        live: Whether to draw a layout and show live frames.

    Raises:
        RunError: no folder is given, or the worker cannot be started.
    """
    process = _spawn(folders, live)
    _keep(process)
    return process.pid


def share_runs(folders: Sequence[Path], number: int, workers: int) -> list[Path]:
    """Return the order in which one of several workers takes runs up: its own share, then the others' from the end.

    A run that another worker holds or has ended is passed over, so that none idles while work is left.

    Args:
        folders: All runs.
        number: Number of the worker, 0 to workers - 1.
        workers: How many share the runs.
    """
    own = list(folders[number::workers])
    others = [folder for place, folder in enumerate(folders) if place % workers != number]
    return own + others[::-1]


def _keep(process: subprocess.Popen[bytes]) -> None:
    """Hold a child until it has ended, and collect those that have: a long-lived studio keeps no zombies."""
    _started[:] = [child for child in (*_started, process) if child.poll() is None]


def _spawn(folders: Sequence[Path], live: bool) -> subprocess.Popen[bytes]:
    if not folders:
        raise RunError("no run is named, so there is nothing to start")
    options = [] if live else ["--no-live"]
    command = [sys.executable, "-P", "-m", "engine.runs.worker", *options, *(str(Path(f).absolute()) for f in folders)]
    try:
        with (Path(folders[0]) / LOG_NAME).open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
    except OSError as error:
        raise RunError(f"the worker cannot be started: {error}") from error


def run_study(
    study: Study | str | Path,
    *,
    workspace: Workspace | str | Path | None = None,
    overrides: Sequence[str] = (),
    replicates: int | None = None,
    base: Path | None = None,
    on_progress: Callable[[RunInfo], None] | None = None,
) -> list[RunResult]:
    """Run a study to its end and return one result per replicate.

    Ctrl-C pauses the run that goes on, with a checkpoint; `microcosm resume` takes it up again.

    Args:
        study: A study, a path of a study file, or the name of a scenario or preset.
        workspace: Workspace or its folder; None for the default.
        overrides: "KEY=VALUE" as with `--set`.
        replicates: How many; None for the study's own number.
        base: Folder that relative paths of the study start from; that of its file by default.
        on_progress: Called about ten times a second with the state of the run that goes on.

    Raises:
        StudyError: the study has problems; all are named.
        RunError: a run failed; says which and why.
    """
    chosen = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    if base is None and not isinstance(study, Study) and Path(study).is_file():
        base = Path(study).parent
    loaded = load_study(study, overrides, personas=chosen.personas, base=base)
    folders = create_runs(chosen, loaded, replicates, base)
    wait_for(folders, on_progress=on_progress)
    results = [read_result(folder) for folder in folders]
    failed = [result for result in results if result.status not in ("done", "cancelled", "paused")]
    if failed:
        raise RunError("\n".join(f"run {result.run_id} {result.status}: {result.message}" for result in failed))
    return results


def wait_for(folders: Sequence[Path], *, on_progress: Callable[[RunInfo], None] | None = None) -> None:
    """Execute queued runs in a worker and wait for its end; a KeyboardInterrupt pauses it first.

    Raises:
        RunError: the worker ended without having taken up a run; its log says why.
    """
    process = _spawn(folders, live=False)
    with _pausing(process):
        remaining = list(folders)
        while remaining and process.poll() is None:
            info = read_info(remaining[0])
            if on_progress is not None:
                on_progress(info)
            if info.is_finished or info.status == "paused":
                remaining.pop(0)
            else:
                time.sleep(_LOOK_S)
    _keep(process)
    for folder in folders:
        info = read_info(folder)
        if on_progress is not None and folder in remaining:
            on_progress(info)
        if info.status == "queued":
            log = Path(folders[0]) / LOG_NAME
            tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.is_file() else []
            raise RunError(f"run {folder.name} was not taken up (exit status {process.returncode}): {''.join(tail)}")


@contextmanager
def _pausing(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
            process.wait()
        raise
