"""Outcomes: one number per run, taken from a measure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine import registry
from engine.errors import Problem, ReportError, StudyError
from engine.problems import unknown
from engine.store.catalog import Catalog

FloatArray = NDArray[np.float64]
At = Literal["last", "max", "min", "mean", "step_of_max"] | int
REDUCTIONS = ("last", "max", "min", "mean", "step_of_max")
_SEGMENTED = re.compile(r"(.+)\[(.+)\]")


@dataclass(frozen=True)
class Pairs:
    """An outcome in two arms, replicate by replicate under the same seeds.

    Attributes:
        replicates: Numbers of the replicates, ascending, shape (n_pairs,).
        a, b: The outcome in either arm, shape (n_pairs,).
        left_out: Replicates that lack a value in one of the arms: not done, not run, or undefined.
    """

    replicates: NDArray[np.int64]
    a: FloatArray
    b: FloatArray
    left_out: int


def outcome_table(
    folders: Sequence[Path] | Mapping[str, Sequence[Path]], measure: str, at: At = "last"
) -> pl.DataFrame:
    """Return one number per run.

    A run that ended by itself before its last step keeps its last value for the rest of the time. A run that is not
    done yet, or whose measure is undefined, has no value.

    Args:
        folders: Folders of runs; or of groups of runs by name, which then stand for the arms.
        measure: Name of a measure; of one segment as `measure[segment]`.
        at: last, max, min or mean over all steps, step_of_max (the first step at which the largest value is reached),
            or the number of a step.

    Returns:
        run_id, arm, replicate, seed (of the dynamics), value.

    Raises:
        StudyError: the scenario does not measure it; names the nearest.
        ReportError: no run is given, or the step or reduction does not exist.
    """
    groups = dict(folders) if isinstance(folders, Mapping) else {"": folders}
    if not any(groups.values()):
        raise ReportError("no run is given, so there is no outcome to read")
    if not (at in REDUCTIONS or (isinstance(at, int) and not isinstance(at, bool))):
        raise ReportError(f"'{at}' is no way to take an outcome; valid: {', '.join(REDUCTIONS)}, or a step")
    rows = []
    for group, own in groups.items():
        for folder in own:
            row = _read_outcome(Path(folder), measure, at)
            rows.append(row | ({"arm": group} if isinstance(folders, Mapping) else {}))
    schema = {"run_id": pl.String, "arm": pl.String, "replicate": pl.Int64, "seed": pl.Int64, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _read_outcome(folder: Path, measure: str, at: At) -> dict[str, Any]:
    name, segment = split_segment(measure)
    with Catalog(folder) as catalog:
        status = catalog.read_status()
        sql = "select step, value from measures where measure = ? and segment = ? order by step"
        found = catalog.select(sql, (name, segment))
        if not found:
            _check_measured(catalog, status, measure)
    last = int(status["steps"])
    if isinstance(at, int) and not 0 <= at <= last:
        raise ReportError(f"step {at} is not in [0, {last}], the steps of run {status['run_id']}")
    value = None
    if status["status"] == "done" and found:
        steps = np.array([step for step, _ in found], np.int64)
        values = np.array([np.nan if value is None else value for _, value in found], np.float64)
        value = _reduce(steps, values, last, at)
    seed = (status.get("seeds") or {}).get("dynamics")
    arm, replicate = status.get("arm") or "", int(status["replicate"])
    return {"run_id": status["run_id"], "arm": arm, "replicate": replicate, "seed": seed, "value": value}


def split_segment(measure: str) -> tuple[str, str]:
    """Return (measure, segment) of a name such as `share` or `share[north]`; the segment is empty for everyone."""
    found = _SEGMENTED.fullmatch(measure)
    return (found[1], found[2]) if found else (measure, "")


def _check_measured(catalog: Catalog, status: Mapping[str, Any], measure: str) -> None:
    """Refuse a measure that this run does not have; one that has not begun may still get it.

    Raises:
        StudyError: names the nearest measure.
    """
    recorded = catalog.select("select distinct measure, segment from measures")
    names = [f"{m}[{s}]" if s else str(m) for m, s in recorded]
    if not names:
        registry.discover()
        names = [m.name for m in registry.scenarios.get(str(status["scenario"])).measures]
        if split_segment(measure)[0] in names:
            return
    raise StudyError([Problem(unknown(measure, f"measured by {status['scenario']}", sorted(names)), "outcome")])


def _reduce(steps: NDArray[np.int64], values: FloatArray, last: int, at: At) -> float | None:
    """Return the outcome of one run from its recorded steps; None where it is undefined."""
    if isinstance(at, int):
        found = values[max(int(np.searchsorted(steps, at, side="right")) - 1, 0)]
    elif at == "last":
        found = values[-1]
    elif np.isnan(values).all():
        return None
    elif at == "mean":
        every = int(steps[1] - steps[0]) if steps.size > 1 else 1
        n_kept = max(0, -(-(last - int(steps[-1])) // every))  # recorded steps that an early end left out
        kept = np.full(n_kept, values[-1])
        found = np.nanmean(np.concatenate([values, kept]))
    elif at == "step_of_max":
        found = steps[int(np.nanargmax(values))]
    else:
        found = np.nanmax(values) if at == "max" else np.nanmin(values)
    return None if np.isnan(found) else float(found)


def pair_outcomes(table: pl.DataFrame, a: str, b: str) -> Pairs:
    """Return the outcome in two arms, paired by replicate.

    Args:
        table: From `outcome_table`.
        a: Name of the arm that is compared with.
        b: Name of the other arm.

    Raises:
        ReportError: an arm has no run, an arm has a replicate twice, or the seeds of a pair differ.
    """
    arms = list(dict.fromkeys(table["arm"].to_list()))
    for name in (a, b):
        if name not in arms:
            raise ReportError(f"no run belongs to the arm '{name}'; there are {', '.join(map(repr, arms))}")
    if a == b:
        raise ReportError(f"'{a}' cannot be compared with itself; name two arms")
    first, second = (table.filter(pl.col("arm") == name).sort("replicate") for name in (a, b))
    for name, rows in ((a, first), (b, second)):
        twice = rows.filter(pl.col("replicate").is_duplicated())["replicate"].to_list()
        if twice:
            raise ReportError(f"the arm '{name}' has replicate {twice[0]} more than once; give each run once")
    joined = first.join(second, on="replicate", how="inner", suffix="_b", maintain_order="left")
    apart = joined.filter(pl.col("seed") != pl.col("seed_b"))["replicate"].to_list()
    if apart:
        raise ReportError(f"replicate {apart[0]} of '{a}' and of '{b}' have different seeds, so they are no pair")
    whole = joined.drop_nulls(["value", "value_b"])
    n_replicates = len(set(first["replicate"].to_list()) | set(second["replicate"].to_list()))
    values, values_b = (whole[name].to_numpy().astype(np.float64) for name in ("value", "value_b"))
    return Pairs(whole["replicate"].to_numpy().astype(np.int64), values, values_b, n_replicates - whole.height)
