"""Replay a run: compute it again from its study and journal, and compare."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RunError
from engine.runs.creation import versions
from engine.runs.history import read_stages, recompute
from engine.runs.records import read_info
from engine.simulation import StepRecord
from engine.store.catalog import Catalog

TOLERANCE = 1e-9


@dataclass(frozen=True)
class ReplayResult:
    """What a replay found.

    Attributes:
        identical: Whether every step has the digest that was recorded.
        within_tolerance: Whether every recorded measure agrees within 1e-9 (relative where it is above 1).
        first_difference: First step whose digest differs; None if there is none.
        digest: Recorded digest of the last step compared.
        replayed: Its digest now.
        steps: Last step compared.
    """

    identical: bool
    within_tolerance: bool
    first_difference: int | None
    digest: str
    replayed: str
    steps: int


def replay_run(folder: Path, *, on_step: Callable[[int, int], None] | None = None) -> ReplayResult:
    """Compute a run again up to its last committed step; the language model is not loaded.

    The verdict is noted in the run's catalog, where the folder can be written.

    Args:
        folder: The run's folder; it may still go on.
        on_step: Called with (step, last step).

    Raises:
        RunError: nothing is committed, or the journal lacks an answer.
        ModelError: likewise.
    """
    info = read_info(folder)
    with Catalog(folder) as catalog:
        recorded, last = catalog.digests(), catalog.last_step()
        if last < 0:
            raise RunError(f"run {info.run_id} has not committed a step yet, so there is nothing to replay")
        measures = {(step, name, segment): value for step, name, segment, value in catalog.measures()}
        base = catalog.read_status().get("base")
        first: int | None = None
        close, step, digest = True, -1, ""
        for record in recompute(catalog, read_stages(catalog), base=Path(base) if base else None):
            step, digest = record.step, record.digest
            if first is None and digest != recorded.get(step):
                first = step
            close = close and _is_close(record, measures)
            if on_step is not None:
                on_step(step, last)
            if step >= last:
                break
    if step < last and first is None:
        first = step + 1
    result = ReplayResult(first is None, close and step == last, first, recorded[last], digest, step)
    if os.access(folder, os.W_OK):
        _note(folder, result)
    return result


def _note(folder: Path, result: ReplayResult) -> None:
    """Keep the last replay's verdict with the versions that computed it, for reports."""
    verdict = "identical" if result.identical else "within tolerance" if result.within_tolerance else "differs"
    note = {"verdict": verdict, "first_difference": result.first_difference, "steps": result.steps}
    with Catalog(folder) as catalog:
        catalog.write_status(replayed={**note, "digest": result.digest, "versions": dict(versions())})


def _is_close(record: StepRecord, measures: dict[tuple[int, str, str], float | None]) -> bool:
    for (name, segment), value in record.measures.items():
        if (record.step, name, segment) not in measures:
            continue
        held = measures[record.step, name, segment]
        if held is None or math.isnan(value):
            if held is not None or not math.isnan(value):
                return False
        elif abs(value - held) > TOLERANCE * max(1.0, abs(held)):
            return False
    return True
