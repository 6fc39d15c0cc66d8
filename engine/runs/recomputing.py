"""Compute one agent's decisions again, where a run kept only counts and a panel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from engine.errors import RunError
from engine.runs.checkpoints import find_checkpoint
from engine.runs.history import read_stages, recompute
from engine.simulation import StepRecord
from engine.store import read_decisions
from engine.store.catalog import Catalog
from engine.store.recording import decision_columns, decision_frame


def recompute_decisions(folder: Path, agent: int, step: int) -> pl.DataFrame:
    """Return what one agent decided at one step, as rows of `decisions`, whether or not they were recorded.

    The run is computed again from the checkpoint before the step, with its journal and the same draws; the language
    model is not loaded. Costs the steps since that checkpoint.

    Args:
        folder: The run's folder; it may still go on.
        agent: Agent id.
        step: A committed step.

    Raises:
        RunError: the run has not committed that step, or it does not come out the same again.
        ModelError: the journal lacks an answer.
    """
    recorded = read_decisions(folder, step, agent)
    if recorded.height:
        return recorded
    with Catalog(folder) as catalog:
        last = catalog.last_step()
        if not 0 <= step <= last:
            raise RunError(f"step {step} cannot be computed again: the run has committed steps 0 to {last}")
        base = catalog.read_status().get("base")
        start = find_checkpoint(catalog, step - 1)
        for record in recompute(catalog, read_stages(catalog), start, Path(base) if base else None):
            if record.step == step:
                if record.digest != catalog.digest_at(step):
                    break
                return _rows_of(record, agent)
    raise RunError(
        f"step {step} does not come out the same again, so its decisions cannot be told; other versions are the usual "
        "reason, `microcosm replay` says more"
    )


def _rows_of(record: StepRecord, agent: int) -> pl.DataFrame:
    batches = []
    for batch in record.decisions:
        rows = np.flatnonzero(batch.agents == agent)
        batches.append((record.step, rows.size, batch.decision, decision_columns(batch, rows)))
    return decision_frame(batches).sort("decision", "turn") if batches else pl.DataFrame()
