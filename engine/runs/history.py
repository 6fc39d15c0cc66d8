"""Recompute the past of a run from its journal, without the language model.

A run that was never forked has one stage, its own study. A fork has its parent's stages first, each up to the step of
the fork.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from engine.errors import RunError
from engine.llm import LanguageModel
from engine.loading import parse_study
from engine.runs.checkpoints import Checkpoint
from engine.runs.inputs import base_of, inputs_of
from engine.runs.journal import Injections, ReadOnlyJournal
from engine.runs.model import NoModel
from engine.runs.records import read_study
from engine.simulation import StepRecord, simulate
from engine.spec import Study
from engine.store.catalog import Catalog


@dataclass(frozen=True)
class Stage:
    """A study, and the last step that it governed; None for the end of the run."""

    study: Study
    until: int | None


def read_stages(catalog: Catalog) -> list[Stage]:
    """Return the stages of a run, the first one first."""
    folder = catalog.folder
    personas = inputs_of(folder)
    past = catalog.read_status().get("stages") or []
    base = base_of(folder, None)
    stages = [
        Stage(parse_study(text, file=f"{folder.name} (past)", personas=personas, base=base), at) for text, at in past
    ]
    return [*stages, Stage(read_study(folder), None)]


def recompute(
    catalog: Catalog, stages: list[Stage], start: Checkpoint | None = None, base: Path | None = None
) -> Iterator[StepRecord]:
    """Yield the steps of a run again, from its start or from a checkpoint.

    Args:
        catalog: The run's catalog; only read.
        stages: From `read_stages`.
        start: A checkpoint; the first step is then the one after it.
        base: Folder that relative paths of the study start from.

    Raises:
        ModelError: the journal lacks an answer.
        RunError: likewise.
    """
    status = catalog.read_status()
    step, state, digest = (start.step, start.state, start.digest) if start else (-1, None, None)
    for stage in stages:
        if stage.until is not None and step >= stage.until:
            continue
        records = simulate(
            stage.study,
            replicate=int(status["replicate"]),
            model=cast(LanguageModel, NoModel()),
            journal=ReadOnlyJournal(catalog),
            state=state,
            digest=digest,
            control=Injections(catalog),
            base=base,
            personas=inputs_of(catalog.folder),
        )
        for record in records:
            yield record
            step = record.step
            if step == stage.until:
                state, digest = record.world.get_state(), record.digest
                break


def recompute_fork(catalog: Catalog, start: Checkpoint | None) -> Checkpoint:
    """Return the checkpoint at which a fork leaves its parent, recomputed from an earlier one.

    Raises:
        RunError: the recomputed history is not the recorded one.
    """
    status = catalog.read_status()
    at = int(status["forked_at"])
    base = Path(status["base"]) if status.get("base") else None
    for record in recompute(catalog, read_stages(catalog)[:-1], start, base):
        if record.digest != catalog.digest_at(record.step):
            raise RunError(
                f"step {record.step} of the parent run {status['parent_run_id']} does not come out the same again, so "
                "it cannot be forked; `microcosm replay` says more, other versions are the usual reason"
            )
        if record.step == at:
            left = int((record.world.left >= 0).sum())
            return Checkpoint(at, record.world.get_state(), record.digest, {"n_left": left})
    raise RunError(f"the parent run {status['parent_run_id']} ends before step {at}; fork it at an earlier step")
