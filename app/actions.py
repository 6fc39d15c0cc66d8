"""What buttons do to the workspace: start runs, and the reads that several pages share, cached by committed step."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from app import session
from app.forms import safe
from app.reading import read_query
from engine import store
from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError
from engine.experiment import Experiment, create_experiment, expand_arms, start_experiment
from engine.runs import RunInfo, create_run, read_info, read_study, share_runs, start_worker
from engine.spec import Study

MAX_WORKERS = 4
"""A language model sits in its worker, so experiments that ask one get a single worker."""


def asks_model(study: Study) -> bool:
    """Tell whether any decision of a study goes to a language model."""
    return any(spec.policy in ("language", "mixture", "surrogate") for spec in study.decisions.values())


def n_workers(studies: Sequence[Study], n_runs: int) -> int:
    """Return how many processes share some runs: one where a language model sits in it, else up to four."""
    heavy = any(asks_model(study) and study.model.file != "scripted" for study in studies)
    return 1 if heavy else max(1, min(MAX_WORKERS, os.cpu_count() or 1, n_runs))


def start_together(folders: Sequence[Path], study: Study) -> None:
    """Start workers that share queued runs of one study.

    Args:
        folders: The runs.
        study: What tells whether a language model decides.
    """
    workers = n_workers([study], len(folders))
    for number in range(workers):
        start_worker(share_runs(folders, number, workers))


def start_runs(study: Study, base: Path | None = None) -> str:
    """Create one run per replicate, start workers that share them, and return the first run's id.

    Args:
        study: A checked study without arms.
        base: Folder that relative paths of the study start from.

    Raises:
        RunError: the workspace refuses a run.
    """
    workspace = session.workspace()
    folders = [create_run(workspace, study, replicate=replicate, base=base) for replicate in range(study.replicates)]
    start_together(folders, study)
    return str(read_info(folders[0]).run_id)


def start_arms(study: Study, base: Path | None = None) -> Experiment:
    """Put every arm and replicate of a study into a queue that goes on by itself, and return the experiment.

    Args:
        study: A checked study with arms.
        base: Folder that relative paths of the study start from.

    Raises:
        RunError: the workspace refuses a run.
    """
    workspace = session.workspace()
    experiment = create_experiment(workspace, study, base=base)
    arms = [arm for _, arm in expand_arms(study, workspace.personas, base)]
    start_experiment(experiment, n_workers(arms, len(experiment.folders)))
    return experiment


def attempt(work: Callable[..., object], *arguments: Any) -> None:
    """Do what a button says; what goes wrong is shown as one sentence at the next drawing, and nothing is lost."""
    try:
        work(*arguments)
    except MicrocosmError as error:
        session.remember("attempt_error", str(error))


def show_attempt() -> None:
    """Show what the last button could not do, once."""
    problem = session.recall("attempt_error")
    if problem:
        session.remember("attempt_error", None)
        st.error(safe(problem))


@st.cache_data(max_entries=128, show_spinner=False)
def query(sql: str, folder: str, committed: int, status: str, parameters: tuple[Any, ...] = ()) -> pl.DataFrame:
    """Run one of the studio's own queries on a run.

    The committed step and the status are part of the cache's key, so a result never goes stale and two tabs that
    look at the same step ask once.
    """
    del committed, status
    return read_query(Path(folder), sql, parameters)


def ask(info: RunInfo, sql: str, *parameters: Any) -> pl.DataFrame:
    """Run a query on a run as far as it has committed."""
    return query(sql, str(info.folder), info.step, info.status, parameters)


class MeasureLog:
    """The measures of one run as they come in: each look reads only the steps that are new."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._frame = pl.DataFrame({"step": pl.Series([], dtype=pl.Int32)})

    def read(self) -> pl.DataFrame:
        """Return column step and one column per measure, of all steps committed so far."""
        with self._lock:
            last = int(self._frame["step"][-1]) if len(self._frame) else -1
            fresh = store.read_measures(self.folder, last).filter(pl.col("segment") == "")
            if len(fresh):
                wide = fresh.pivot(on="measure", index="step", values="value", sort_columns=False).sort("step")
                self._frame = pl.concat([self._frame, wide], how="diagonal") if len(self._frame) else wide
            return self._frame


@st.cache_resource(max_entries=64, show_spinner=False)
def measure_log(folder: str) -> MeasureLog:
    """Return the log of one run's measures, the same one for every tab."""
    return MeasureLog(Path(folder))


def wide_measures(info: RunInfo, most: int | None = None) -> pl.DataFrame:
    """Return the measures of everyone: column step and one column per measure.

    Args:
        info: The run.
        most: Most rows; more are thinned evenly, the last row always stays.
    """
    frame = measure_log(str(info.folder)).read()
    if most is None or len(frame) <= most:
        return frame
    every = -(-len(frame) // most)
    return pl.concat([frame[:-1].gather_every(every), frame[-1:]])


def ordered_measures(scenario: ScenarioInfo, present: list[str]) -> list[str]:
    """Return the recorded measures, the scenario's own first and in its order."""
    own = [measure.name for measure in scenario.measures if measure.name in present]
    return [*own, *(name for name in present if name != "step" and name not in own)]


@st.cache_data(max_entries=128, show_spinner=False)
def study_of(folder: str) -> Study:
    """Return the study of a run; it never changes."""
    return read_study(Path(folder))
