"""Ask something of a run: pause, cancel, resume, inject."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from engine.errors import RunError
from engine.runs.launch import start_worker, wait_for
from engine.runs.locking import is_locked
from engine.runs.records import read_info
from engine.spec import InterventionSpec
from engine.store.catalog import Catalog


def pause_run(folder: Path, *, wait_s: float = 0.0) -> None:
    """Ask a run to rest at the next step, with a checkpoint; a queued one rests at once.

    Args:
        folder: The run's folder.
        wait_s: Wait so long for it to rest.

    Raises:
        RunError: it does not run, or does not rest in time.
    """
    _ask_to_end(folder, "pause", "paused", wait_s)


def cancel_run(folder: Path, *, wait_s: float = 0.0) -> None:
    """Ask a run to end at the next step; what it recorded is kept. One that no worker holds ends at once.

    Raises:
        RunError: it has ended already, or does not end in time.
    """
    _ask_to_end(folder, "cancel", "cancelled", wait_s)


def _ask_to_end(folder: Path, verb: str, goal: str, wait_s: float) -> None:
    info = read_info(folder)
    if info.is_finished or info.status == goal:
        raise RunError(f"run {info.run_id} is {info.status}, so it cannot be {goal}")
    with Catalog(folder) as catalog:
        if is_locked(folder):
            catalog.ask(verb)
        elif info.status == "interrupted" and verb == "pause":
            raise RunError(f"run {info.run_id} is interrupted: no worker holds it; resume it first")
        else:
            catalog.write_status(status=goal, phase="", message="" if verb == "pause" else "cancelled")
    deadline = time.monotonic() + wait_s
    while wait_s and read_info(folder).status not in (goal, "done", "failed"):
        if time.monotonic() > deadline:
            raise RunError(f"run {info.run_id} has not {goal} within {wait_s:g} s; its step may take longer")
        time.sleep(0.02)


def resume_run(folder: Path, wait: bool = False, *, live: bool = True) -> None:
    """Take up a run again where its last checkpoint left it.

    Args:
        folder: The run's folder.
        wait: Whether to wait for its end.
        live: Whether to show live frames; never while waiting.

    Raises:
        RunError: it is done, or a worker holds it.
    """
    queue_run(folder)
    if wait:
        wait_for([folder])
    else:
        start_worker([folder], live=live)


def queue_run(folder: Path) -> None:
    """Put a run that rests, failed or was cancelled back among those that wait for a worker; starts none.

    Raises:
        RunError: it is done, or a worker holds it.
    """
    info = read_info(folder)
    if is_locked(folder):
        raise RunError(f"run {info.run_id} is being executed by a worker already")
    if info.status == "done":
        raise RunError(f"run {info.run_id} is done after {info.step} steps; fork it with more steps to go on")
    with Catalog(folder) as catalog:
        # A pause or cancel that came too late must not stop the run again.
        catalog.take([request for request in catalog.requests() if request.verb != "inject"])
        catalog.write_status(status="queued", message="", ended_at=None)


def inject(folder: Path, interventions: Sequence[InterventionSpec]) -> None:
    """Let interventions act on a run at its next step; those with a time of their own, then.

    They are journalled with the step at which they came, so that a replay repeats them.

    Raises:
        RunError: the run has ended, or a time lies in its past.
    """
    info = read_info(folder)
    if info.is_finished:
        raise RunError(f"run {info.run_id} is {info.status}; fork it to let something else happen")
    for intervention in interventions:
        if intervention.at is not None and intervention.at < info.step:
            raise RunError(
                f"'{intervention.name}' is to act at step {intervention.at}, but the run is at step {info.step}; "
                "leave `at` out to let it act now, or fork the run"
            )
    with Catalog(folder) as catalog:
        for intervention in interventions:
            catalog.ask("inject", intervention.model_dump_json())
