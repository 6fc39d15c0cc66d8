"""A calibration for the studio: `microcosm fit` in a process of its own, which goes on when the page is closed.

Each one has a folder in the workspace's cache: the study, the series, a note of what was asked, the progress, and the
result at the end.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from engine.analysis import read_series
from engine.errors import ReportError
from engine.loading import dump_study
from engine.runs import RunInfo, Workspace
from engine.spec import Study

NOTE, PROGRESS, RESULT = "note.json", "progress.log", "result.json"
TRIAL = re.compile(r"^misfit (\S+) at ", re.MULTILINE)
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Request:
    """What is to be fitted.

    Attributes:
        measure: Measure that the series shows.
        knobs: Knob -> (lowest, highest) value to try.
        time, value: Columns of the series.
        period: Steps of the run per unit of the series' time.
        held_out: Last values that the fit does not see.
        runs: Runs per point of the search.
        trials: Most points.
    """

    measure: str
    knobs: Mapping[str, tuple[float, float]]
    time: str
    value: str
    period: int = 1
    held_out: int = 0
    runs: int = 3
    trials: int = 60


@dataclass(frozen=True)
class Calibration:
    """A calibration, as its folder tells it.

    Attributes:
        folder: Where it lies.
        run_id: The run whose study is fitted.
        trials: Most points of the search.
        n_tried: Points tried so far.
        best: Smallest misfit so far, None before the first point.
        started_at: Seconds since 1970.
        result: What `microcosm fit --json` printed, None before the end.
        problem: Why it failed, or an empty text.
        is_running: Whether its process is alive.
    """

    folder: Path
    run_id: str
    trials: int
    n_tried: int
    best: float | None
    started_at: float
    result: Mapping[str, Any] | None
    problem: str
    is_running: bool


def start_calibration(workspace: Workspace, info: RunInfo, study: Study, content: bytes, asked: Request) -> Path:
    """Start to fit knobs of a run's study to an uploaded series, and return the calibration's folder.

    Args:
        workspace: Where the folder goes.
        info: The run.
        study: Its study.
        content: The series as a CSV file.
        asked: What is to be fitted.

    Raises:
        ReportError: the series cannot be read; says why.
    """
    folder = workspace.cache / "calibrations" / f"{info.run_id}-{time.time_ns()}"
    folder.mkdir(parents=True)
    try:
        _write_series(folder / "series.csv", content, asked)
    except ReportError:
        shutil.rmtree(folder)
        raise
    (folder / "study.toml").write_text(dump_study(_with_own_files(study, workspace.studies)), encoding="utf-8")
    knobs = [f"--knob={name}={low:.12g}:{high:.12g}" for name, (low, high) in asked.knobs.items()]
    words = [f"--measure={asked.measure}", f"--period={asked.period}", f"--held-out={asked.held_out}"]
    words += [f"--runs={asked.runs}", f"--trials={asked.trials}"]
    command = [
        sys.executable,
        "-P",
        "-m",
        "app.cli",
        "fit",
        "--workspace",
        str(workspace.path),
        "--json",
        *knobs,
        *words,
    ]
    with (folder / PROGRESS).open("wb") as log, (folder / RESULT).open("wb") as out:
        process = subprocess.Popen(
            [*command, str(folder / "study.toml"), str(folder / "series.csv")],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            start_new_session=True,
        )
    _started[:] = [child for child in (*_started, process) if child.poll() is None]
    note = {"run_id": info.run_id, "pid": process.pid, "trials": asked.trials, "started_at": time.time()}
    (folder / NOTE).write_text(json.dumps(note), encoding="utf-8")
    return folder


def _write_series(path: Path, content: bytes, asked: Request) -> None:
    """Keep the two columns that matter under plain names, and check that they are a series.

    Raises:
        ReportError: they are none.
    """
    frame = read_columns(content)
    for name in (asked.time, asked.value):
        if name not in frame.columns:
            raise ReportError(f"'{name}' is not a column of the series; it has {', '.join(frame.columns)}")
    frame.select(pl.col(asked.time).alias("time"), pl.col(asked.value).alias("observed")).write_csv(path)
    series = read_series(path, period=asked.period)
    if asked.held_out > series.values.size - 3:
        raise ReportError(f"{asked.held_out} values held out of {series.values.size} leave fewer than 3 to fit")


def read_columns(content: bytes) -> pl.DataFrame:
    """Return an uploaded CSV file as a table.

    Raises:
        ReportError: it is none.
    """
    try:
        frame = pl.read_csv(content, n_rows=100_001)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise ReportError(f"the series cannot be read as CSV: {str(error).splitlines()[0]}") from error
    if frame.width < 2:
        raise ReportError("the series needs two columns with a header: one of time, one of values")
    return frame


def _with_own_files(study: Study, base: Path) -> Study:
    """Return the study with the paths of its survey made absolute, since it is read from another folder."""
    file = study.population.file
    if file is None or not (base / file).is_file():
        return study
    return study.model_copy(
        update={"population": study.population.model_copy(update={"file": str((base / file).absolute())})}
    )


def find_calibration(workspace: Workspace, run_id: str) -> Calibration | None:
    """Return the newest calibration of a run's study, or None."""
    folders = sorted((workspace.cache / "calibrations").glob(f"{run_id}-*"), reverse=True)
    return next((read_calibration(folder) for folder in folders if (folder / NOTE).is_file()), None)


def read_calibration(folder: Path) -> Calibration:
    """Return how far a calibration is."""
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    running = _is_ours(int(note["pid"]), folder)
    log = (folder / PROGRESS).read_text(encoding="utf-8", errors="replace")
    misfits = [float(found) for found in TRIAL.findall(log)]
    printed = (folder / RESULT).read_text(encoding="utf-8").strip()
    result = json.loads(printed) if printed and not running else None
    lines = [line for line in log.splitlines() if line.strip() and not TRIAL.match(line)]
    problem = ""
    if result is None and not running:
        problem = re.sub(r"^microcosm[^:]*: ", "", lines[-1])[:500] if lines else "it was stopped"
    best = min(misfits) if misfits else None
    started = float(note["started_at"])
    return Calibration(
        folder, str(note["run_id"]), int(note["trials"]), len(misfits), best, started, result, problem, running
    )


def stop_calibration(found: Calibration) -> None:
    """End a calibration."""
    pid = int(json.loads((found.folder / NOTE).read_text(encoding="utf-8"))["pid"])
    if _is_ours(pid, found.folder):
        psutil.Process(pid).terminate()


def _is_ours(pid: int, folder: Path) -> bool:
    """Tell whether a process is alive and is this calibration; a reaped number may belong to anyone."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and str(folder / "study.toml") in process.cmdline()
    except (psutil.Error, ValueError):
        return False
