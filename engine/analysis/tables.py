"""Tables over runs: one row per run, and measures stacked with one row per run and one column per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.runs import read_info
from engine.store import read_measures


@dataclass(frozen=True)
class MeasureStack:
    """One measure over several runs.

    Attributes:
        measure: Name of the measure.
        segment: Segment of the agents, or an empty string for everyone.
        steps: Ascending steps at which any of the runs recorded it, shape (n_steps,).
        values: Shape (n_runs, n_steps); a run that ended early keeps its last value, NaN before its first.
        ended_early: How many runs ended before the last of `steps`.
    """

    measure: str
    segment: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    ended_early: int

    @property
    def label(self) -> str:
        """Name with the segment, where there is one."""
        return f"{self.measure} ({self.segment})" if self.segment else self.measure

    @property
    def final(self) -> NDArray[np.float64]:
        """Last value of each run, shape (n_runs,)."""
        return np.asarray(self.values[:, -1], np.float64)


def stack_measures(folders: Sequence[Path]) -> list[MeasureStack]:
    """Return every measure of some runs of one study, in order of first appearance."""
    frames = [read_measures(folder) for folder in folders]
    keys: dict[tuple[str, str], None] = {}
    for frame in frames:
        keys.update(dict.fromkeys(frame.select("measure", "segment").unique(maintain_order=True).iter_rows()))
    return [_stack(frames, measure, segment) for measure, segment in keys]


def stack_measure(folders: Sequence[Path], measure: str, segment: str = "") -> MeasureStack:
    """Return one measure of some runs of one study."""
    return _stack([read_measures(folder) for folder in folders], measure, segment)


def _stack(frames: Sequence[pl.DataFrame], measure: str, segment: str) -> MeasureStack:
    parts = []
    for frame in frames:
        own = frame.filter((pl.col("measure") == measure) & (pl.col("segment") == segment)).sort("step")
        parts.append((own["step"].to_numpy().astype(np.int64), own["value"].to_numpy().astype(np.float64)))
    steps = np.unique(np.concatenate([at for at, _ in parts]))
    values = np.full((len(parts), steps.size), np.nan)
    ended_early = 0
    for row, (at, numbers) in enumerate(parts):
        if at.size:
            held = np.searchsorted(at, steps, side="right") - 1
            values[row] = np.where(held >= 0, numbers[np.maximum(held, 0)], np.nan)
            ended_early += int(at[-1] < steps[-1])
    return MeasureStack(measure, segment, steps, values, ended_early)


def read_run_table(folders: Sequence[Path]) -> pl.DataFrame:
    """Return one row per run: identity, status, and the last value of each measure for everyone."""
    rows: list[dict[str, Any]] = []
    for folder in folders:
        info = read_info(folder)
        last = read_measures(folder).filter(pl.col("segment") == "").sort("step").group_by("measure").last()
        rows.append(
            {
                "run_id": info.run_id,
                "title": info.title,
                "scenario": info.scenario,
                "seed": info.seed,
                "replicate": info.replicate,
                "status": info.status,
                "step": info.step,
                "steps": info.steps,
                "digest": info.digest,
                **dict(sorted(last.select("measure", "value").iter_rows())),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)
