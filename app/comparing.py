"""What is compared: groups of runs that differ in something but the seed, their outcomes, and where two runs part."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import streamlit as st
from numpy.typing import NDArray

from app.figures import Curve, plain_name
from engine.analysis import (
    bootstrap_band,
    difference_band,
    event_times,
    first_divergence,
    outcome_table,
    stack_measure,
)
from engine.runs import RunInfo, read_info

LEFT_OUT = ("seed", "seeds", "replicates", "title", "question", "arms", "record", "format", "redraw", "scenario")
ARM = "arm"
Groups = dict[str, tuple[Path, ...]]
State = tuple[tuple[str, tuple[tuple[str, int, str], ...]], ...]
"""(group, ((folder, step, status), ...)) of each group: what a cached result depends on."""


@lru_cache(maxsize=4096)
def factors_of(folder: Path) -> Mapping[str, str]:
    """Return what a run's study says, by dotted key, without seeds and words; a run's study never changes."""
    try:
        tables = tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return dict(_flat({key: value for key, value in tables.items() if key not in LEFT_OUT}, ""))


def _flat(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flat(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and path == "interventions":
        return [(path, "; ".join(str(item.get("name", "")) for item in value) or "none")]
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return [pair for place, item in enumerate(value) for pair in _flat(item, f"{path}.{place}")]
    return [(path, str(value))]


def differing(infos: Sequence[RunInfo]) -> dict[str, list[str]]:
    """Return the factors in which runs differ, each with its value in every run; the seed is none of them."""
    rows = [{ARM: info.arm or "", "scenario": info.scenario, **factors_of(info.folder)} for info in infos]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = {name: [row.get(name, "none" if name == "interventions" else "") for row in rows] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def group_runs(infos: Sequence[RunInfo], factors: Sequence[str]) -> Groups:
    """Return the runs grouped by the values of some factors, forks last, else in order of appearance."""
    table = differing(infos)
    groups: dict[str, list[Path]] = {}
    for place in sorted(range(len(infos)), key=lambda place: infos[place].parent_run_id is not None):
        info = infos[place]
        values = {name: table[name][place] for name in factors if name in table}
        label = ", ".join(v if name in (ARM, "interventions") else f"{name} = {v}" for name, v in values.items())
        groups.setdefault(label or "all runs", []).append(info.folder)
    return {label: tuple(folders) for label, folders in groups.items()}


def state_of(groups: Groups, infos: Mapping[Path, RunInfo]) -> State:
    """Return what results over groups depend on: which runs, and how far each is."""
    return tuple(
        (
            label,
            tuple((str(f), infos[f].step if f in infos else -1, infos[f].status if f in infos else "") for f in own),
        )
        for label, own in groups.items()
    )


def _folders(state: State) -> dict[str, list[Path]]:
    return {label: [Path(folder) for folder, _, _ in own] for label, own in state}


@st.cache_data(max_entries=64, show_spinner="Reading the runs")
def outcomes(state: State, measure: str, at: str | int) -> pl.DataFrame:
    """Return one outcome per run: run_id, arm (the group), replicate, seed, value."""
    return outcome_table(_folders(state), measure, at)  # type: ignore[arg-type]


def group_table(table: pl.DataFrame) -> pl.DataFrame:
    """Return one row per group: runs, runs with an outcome, mean, bootstrap band over runs, standard deviation."""
    rows = []
    for (label,), own in table.group_by(["arm"], maintain_order=True):
        values = own["value"].drop_nulls().to_numpy().astype(np.float64)
        band = bootstrap_band(values) if values.size > 1 else None
        rows.append(
            {
                "group": label,
                "runs": own.height,
                "n": int(values.size),
                "mean": float(values.mean()) if values.size else None,
                "low": float(band.low[0]) if band else None,
                "high": float(band.high[0]) if band else None,
                "sd": float(values.std(ddof=1)) if values.size > 1 else None,
            }
        )
    types = dict.fromkeys(("mean", "low", "high", "sd"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None)


@st.cache_data(max_entries=64, show_spinner="Reading the runs")
def curves(state: State, measure: str) -> list[Curve]:
    """Return the mean over the runs of each group by step, with its bootstrap band."""
    found = []
    for label, folders in _folders(state).items():
        stack = stack_measure(folders, measure)
        if stack.steps.size:
            band = bootstrap_band(stack.values, n_draws=1000)
            found.append(Curve(label, stack.steps, band.mean, band.low, band.high))
    return found


@st.cache_data(max_entries=64, show_spinner="Comparing step by step")
def difference_curve(state: State, measure: str) -> Curve:
    """Return the difference of the second group from the first by step, with its band over pairs of runs."""
    (first, a), (second, b) = _folders(state).items()
    band = difference_band(a, b, measure, n_draws=1000)
    return Curve(f"{second} minus {first}", band.steps, band.mean, band.low, band.high)


@st.cache_data(max_entries=256, show_spinner=False)
def parting(a: str, b: str, state: State) -> int | None:
    """Return the first step at which two runs differ, None while all that both have done is equal."""
    del state
    return first_divergence(Path(a), Path(b))


def curve_frame(found: Sequence[Curve]) -> pl.DataFrame:
    """Return curves as a table: group, step, mean, low, high."""
    parts = [
        pl.DataFrame({"step": c.steps, "mean": c.mean, "low": c.low, "high": c.high}).select(
            pl.lit(c.name).alias("group"), pl.all()
        )
        for c in found
    ]
    return pl.concat(parts) if parts else pl.DataFrame({"group": [], "step": [], "mean": [], "low": [], "high": []})


def pairs_of(a: Sequence[RunInfo], b: Sequence[RunInfo]) -> dict[int, tuple[RunInfo, RunInfo]]:
    """Return the pairs of runs by replicate."""
    others = {info.replicate: info for info in b}
    return {info.replicate: (info, others[info.replicate]) for info in a if info.replicate in others}


def nearest_run(state: State, measure: str, group: str, step: int, value: float) -> tuple[str, int] | None:
    """Return the run of a group whose measure is nearest to a value at a step, and that step."""
    folders = _drawn_as(_folders(state), group)
    if not folders:
        return None
    stack = stack_measure(folders, measure)
    return _nearest(stack.steps, stack.values, folders, step, value)


def nearest_pair(state: State, measure: str, step: int, value: float) -> tuple[str, int] | None:
    """Return the run of the second group whose difference from its pair is nearest to a value at a step, and that step.

    Args:
        state: The two groups, the one that is compared with first.
        measure: The measure.
        step: The step.
        value: Second minus first.
    """
    first, second = _folders(state).values()
    one, other = ({read_info(folder).replicate: folder for folder in own} for own in (first, second))
    both = sorted(one.keys() & other.keys())
    if not both:
        return None
    stack = stack_measure([*(one[r] for r in both), *(other[r] for r in both)], measure)
    differences = stack.values[len(both) :] - stack.values[: len(both)]
    return _nearest(stack.steps, differences, [other[r] for r in both], step, value)


def nearest_event(state: State, event: str, group: str, step: int) -> tuple[str, int] | None:
    """Return the run of a group that an event reached nearest to a step, and the event's step."""
    folders = _drawn_as(_folders(state), group)
    steps, happened = event_times(folders, event)
    if not happened.any():
        return None
    place = int(np.argmin(np.where(happened, np.abs(steps - step), np.inf)))
    return folders[place].name, int(steps[place])


def _drawn_as(groups: Mapping[str, list[Path]], curve: str) -> list[Path]:
    """Return the runs of the group that a chart draws under a name, which is without markup there."""
    return next((folders for name, folders in groups.items() if curve in (name, plain_name(name))), [])


def _nearest(
    steps: NDArray[np.int64], values: NDArray[np.float64], folders: Sequence[Path], step: int, value: float
) -> tuple[str, int] | None:
    place = int(np.argmin(np.abs(steps - step)))
    distance = np.abs(values[:, place] - value)
    if np.isnan(distance).all():
        return None
    return folders[int(np.nanargmin(distance))].name, int(steps[place])
