"""What a report tells, read from the runs: studies with their runs, results, events, messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.analysis import Band, MeasureStack, bootstrap_band, stack_measures
from engine.contract import Measure, ScenarioInfo
from engine.errors import MicrocosmError, ReportError
from engine.loading import dump_study, scenario_info, study_hash
from engine.runs import RunInfo, read_info, read_study
from engine.spec import Study
from engine.store import query

FINISHED = "done"
MAX_MESSAGES = 24
MAX_EVENTS = 40
MAX_READ_EVENTS = 20_000


@dataclass(frozen=True)
class RunRow:
    """One run as the table of all runs tells it.

    Attributes:
        info: Status, steps, seed, digest and the like.
        record: The row of the table `run`, JSON columns decoded; empty where the run cannot be read.
        counted: Whether the figures and tables of results use it.
        why: Why it is not counted, or an empty string.
    """

    info: RunInfo
    record: dict[str, Any]
    counted: bool
    why: str = ""


@dataclass(frozen=True)
class Result:
    """One measure over the counted runs of a study."""

    stack: MeasureStack
    band: Band
    final: Band
    measure: Measure | None

    @property
    def has_band(self) -> bool:
        """Whether at least two runs give the last value."""
        return bool(self.final.n_runs[0] >= 2)


@dataclass(frozen=True)
class StudyPart:
    """One study of the report with everything read about it.

    Attributes:
        label: Short name in legends: the title, numbered where titles repeat.
        study, info, toml, hash: The study, its scenario, its file and its hash.
        runs: All runs of the study that were found, the asked ones first.
        folders: Folders of the counted runs.
        results: One per measure and segment.
        events: Events of the first counted run, equal ones merged.
        n_events: Events by kind in that run.
        messages: A spread sample of the messages of that run; `n_messages` counts all.
    """

    label: str
    study: Study
    info: ScenarioInfo
    toml: str
    hash: str
    runs: list[RunRow]
    folders: list[Path]
    results: list[Result]
    events: list[dict[str, Any]] = field(default_factory=list)
    n_events: list[tuple[str, int]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    n_messages: int = 0

    @property
    def counted(self) -> list[RunRow]:
        """The runs that the results use."""
        return [row for row in self.runs if row.counted]

    @property
    def counted_runs(self) -> int:
        """Number of runs that the results use."""
        return len(self.counted)

    @property
    def seeds(self) -> str:
        """Seeds of the dynamics of the counted runs, in words."""
        return describe_seeds([self.study.seed_of("dynamics", row.info.replicate) for row in self.counted])

    def same_people(self, other: StudyPart) -> bool:
        """Tell whether both studies draw the same people with the same seed."""
        mine, theirs = self.study, other.study
        return mine.population == theirs.population and mine.seed_of("population") == theirs.seed_of("population")

    @property
    def n_agents(self) -> int:
        """Number of agents of the first counted run."""
        return int(self.counted[0].info.n_agents or 0) if self.counted else 0


def gather_studies(folders: Sequence[Path]) -> list[StudyPart]:
    """Read the runs in some folders, group them by study, and add the other runs of each study in their workspace.

    Raises:
        ReportError: no folder was given, or no run recorded anything.
        RunNotFound: a folder holds no run.
    """
    asked = list(dict.fromkeys(Path(folder).resolve() for folder in folders))
    if not asked:
        raise ReportError("a report needs at least one run")
    groups: dict[str, list[Path]] = {}
    for folder in asked:
        groups.setdefault(study_hash(read_study(folder)), []).append(folder)
    titles = [read_study(group[0]).title or read_study(group[0]).scenario for group in groups.values()]
    parts = []
    for number, (key, group) in enumerate(groups.items()):
        repeated = titles.count(titles[number]) > 1
        label = f"{titles[number]} ({number + 1})" if repeated else titles[number]
        parts.append(_read_part(label, key, group))
    if not any(part.results for part in parts):
        raise ReportError("none of these runs has recorded a measure yet; wait until a run has done its first step")
    return parts


def describe_seeds(seeds: Sequence[int]) -> str:
    """Return seeds in words: '7', '7 to 26', '7, 9, 12'."""
    ordered = sorted(seeds)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(str(seed) for seed in ordered[:12]) + (" …" if len(ordered) > 12 else "")


def _read_part(label: str, key: str, asked: list[Path]) -> StudyPart:
    study = read_study(asked[0])
    info = scenario_info(study.scenario)
    everyone = [*asked, *(folder for folder in _siblings(asked[0], key) if folder not in asked)]
    infos = {folder: read_info(folder) for folder in everyone}
    finished = [folder for folder in asked if infos[folder].status == FINISHED]
    counted = finished or [folder for folder in asked if infos[folder].step > 0]
    runs = [_row(folder, infos[folder], folder in counted, folder in asked) for folder in everyone]
    stacks = stack_measures(counted) if counted else []
    known = {measure.name: measure for measure in info.measures}
    results = [
        Result(stack, bootstrap_band(stack.values), bootstrap_band(stack.final), known.get(stack.measure))
        for stack in stacks
    ]
    part = StudyPart(label, study, info, dump_study(study), key, runs, counted, results)
    if not counted:
        return part
    events, n_events = _read_events(counted[0])
    messages, n_messages = _read_messages(counted[0])
    return replace(part, events=events, n_events=n_events, messages=messages, n_messages=n_messages)


def _siblings(folder: Path, key: str) -> list[Path]:
    found = []
    for other in sorted(path for path in folder.parent.iterdir() if path.is_dir()):
        try:
            if study_hash(read_study(other)) == key:
                found.append(other)
        except (MicrocosmError, OSError):
            continue  # not a run, or one that another version wrote: it is no run of this study
    return found


def _row(folder: Path, info: RunInfo, counted: bool, asked: bool) -> RunRow:
    record = _read_record(folder)
    why = "" if counted else f"{info.status}" if info.status != FINISHED else "not asked for in this report"
    if not counted and not asked and info.status != FINISHED:
        why = f"{info.status}, not asked for"
    return RunRow(info, record, counted, why)


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        rows = query(folder, "SELECT * FROM run").to_dicts()
    except MicrocosmError:
        return {}  # a run that failed before its first commit has no tables; its status is told from the catalog
    record = dict(rows[0]) if rows else {}
    for name in ("seeds", "versions", "model"):
        held = record.get(name)
        record[name] = (json.loads(held) if isinstance(held, str) else held) or {}
    return record


def _read_events(folder: Path) -> tuple[list[dict[str, Any]], list[tuple[str, int]]]:
    counts = query(folder, "SELECT kind, count(*) AS n FROM events GROUP BY kind ORDER BY n DESC, kind")
    rows = query(
        folder, f"SELECT step, kind, agent_id, detail FROM events ORDER BY step, kind, agent_id LIMIT {MAX_READ_EVENTS}"
    )
    return merge_events(rows.to_dicts())[:MAX_EVENTS], [(str(kind), int(n)) for kind, n in counts.iter_rows()]


def merge_events(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return events with those of equal kind and detail merged: kind, detail, first and last step, times, agents."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        detail = describe_detail(row["detail"])
        found = merged.setdefault(
            (str(row["kind"]), detail),
            {"kind": row["kind"], "detail": detail, "first": row["step"], "last": 0, "times": 0, "agents": {}},
        )
        found["last"] = row["step"]
        found["times"] += 1
        if row["agent_id"] is not None and row["agent_id"] >= 0:
            found["agents"][int(row["agent_id"])] = None
    return [{**row, "agents": _name_agents(list(row["agents"]))} for row in merged.values()]


def _name_agents(agents: list[int]) -> str:
    return ", ".join(str(agent) for agent in agents[:5]) + (f" and {len(agents) - 5} more" if len(agents) > 5 else "")


def describe_detail(detail: str | None) -> str:
    """Return an event's JSON detail as 'name: value; name: value', without the step, which has its own column."""
    held = json.loads(detail) if detail else {}
    if not isinstance(held, dict):
        return str(held)
    told = {name: json.dumps(v, ensure_ascii=False) if isinstance(v, dict | list) else v for name, v in held.items()}
    return "; ".join(f"{name}: {value}" for name, value in told.items() if name != "at")


def _read_messages(folder: Path) -> tuple[list[dict[str, Any]], int]:
    total = int(query(folder, "SELECT count(*) AS n FROM messages")["n"][0])
    if not total:
        return [], 0
    rows = query(
        folder,
        "WITH told AS (SELECT *, row_number() OVER (ORDER BY step, turn, message_id) - 1 AS place FROM messages) "
        f"SELECT step, turn, agent_id, channel, text, place FROM told WHERE place IN "
        f"({', '.join(str(i) for i in spread(total, MAX_MESSAGES))}) ORDER BY place",
    )
    return rows.to_dicts(), total


def spread(total: int, n: int) -> list[int]:
    """Return at most n places of 0..total-1, evenly spread, the first and the last among them."""
    return [int(i) for i in np.unique(np.linspace(0, total - 1, min(n, total)).round())]
