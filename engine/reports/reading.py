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
from engine.runs import RunInfo, read_experiment_record, read_info, read_study
from engine.runs.records import STUDY_NAME
from engine.runs.workspace import workspace_of
from engine.spec import Study
from engine.store import query
from engine.store.catalog import CATALOG_NAME, Catalog

FINISHED = "done"
MAX_MESSAGES = 24
MAX_EVENTS = 40
MAX_READ_EVENTS = 20_000


@dataclass(frozen=True)
class RunRow:
    """One run as the table of all runs tells it.

    Attributes:
        info: Status, steps, seed, digest and the like.
        record: The status values of the run's catalog: seeds, versions, model and the like.
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
        label: Short name in legends: the arm, or the title, numbered where titles repeat.
        study, info, toml, hash: The study, its scenario, its file and its hash.
        runs: All runs of the study that were found, the asked ones first.
        folders: Folders of the counted runs.
        results: One per measure and segment.
        events: Events of the first counted run, equal ones merged.
        n_events: Events by kind in that run.
        messages: A spread sample of the messages of that run; `n_messages` counts all.
        experiment_id, arm: The experiment and arm that its runs stand for; empty for none.
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
    experiment_id: str = ""
    arm: str = ""

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

    Arms of one experiment stand in the order in which its study lists them.

    Raises:
        ReportError: no folder was given, or no run recorded anything.
        RunNotFound: a folder holds no run.
    """
    asked = list(dict.fromkeys(Path(folder).resolve() for folder in folders))
    if not asked:
        raise ReportError("a report needs at least one run")
    hashes = _Hashes()
    groups: dict[tuple[str, str, str], list[Path]] = {}
    for folder in asked:
        info = read_info(folder)
        groups.setdefault((hashes.of(folder), info.experiment_id or "", info.arm or ""), []).append(folder)
    keys = _in_order_of_arms(groups)
    labels = _name_parts([(key, read_study(groups[key][0])) for key in keys])
    siblings = _siblings({folder.parent for folder in asked}, hashes)
    others = {key: [folder for folder in siblings.get(key[0], []) if folder not in set(asked)] for key in keys}
    parts = [_read_part(labels[key], key, groups[key], others[key]) for key in keys]
    if not any(part.results for part in parts):
        raise ReportError("none of these runs has recorded a measure yet; wait until a run has done its first step")
    return parts


_Key = tuple[str, str, str]
"""Hash of the study, experiment and arm: what the runs of one part have in common."""


class _Hashes:
    """Hashes of studies; each distinct text is read once, whatever the number of its replicates."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def of(self, folder: Path) -> str:
        """Return the hash of a run's study."""
        path = folder / STUDY_NAME
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not text or text not in self.known:
            self.known[text] = study_hash(read_study(folder))
        return self.known[text]


def _in_order_of_arms(groups: Mapping[_Key, list[Path]]) -> list[_Key]:
    """Return the groups as they were asked for, with the arms of each experiment in the order of its study."""
    experiments: dict[str, list[_Key]] = {}
    for key in groups:
        experiments.setdefault(key[1] or "/".join(key), []).append(key)
    ordered: list[_Key] = []
    for own in experiments.values():
        names = list_arms(groups[own[0]][0], own[0][1])
        places = {name: place for place, name in enumerate(names)}
        ordered += sorted(own, key=lambda key: places.get(key[2], len(places)))
    return ordered


def list_arms(folder: Path, experiment_id: str) -> list[str]:
    """Return the names of an experiment's arms in order; empty where its record is not in the run's workspace."""
    if not experiment_id:
        return []
    try:
        record = read_experiment_record(workspace_of(folder), experiment_id)
    except MicrocosmError:
        return []  # the run was copied out of its workspace: the arms then stand as they were asked for
    return [arm.name for arm in record.study.arms]


def _name_parts(studies: Sequence[tuple[_Key, Study]]) -> dict[_Key, str]:
    several = len({key[1] for key, _ in studies if key[2]}) > 1
    named = {}
    for key, study in studies:
        title = study.title or study.scenario
        named[key] = (f"{title}: {key[2]}" if several else key[2]) if key[2] else title
    names = list(named.values())
    numbered = {key: f"{name} ({number + 1})" for number, (key, name) in enumerate(named.items())}
    return {key: numbered[key] if names.count(name) > 1 else name for key, name in named.items()}


def read_other_arms(parts: Sequence[StudyPart]) -> list[RunRow]:
    """Return the runs of the parts' experiments that stand for none of the parts, by arm and replicate."""
    wanted = {part.experiment_id for part in parts if part.experiment_id}
    shown = {row.info.folder for part in parts for row in part.runs}
    homes = {row.info.folder.parent for part in parts for row in part.runs}
    found = []
    for folder in sorted(path for home in homes for path in home.iterdir()) if wanted else ():
        if folder not in shown and (folder / CATALOG_NAME).is_file():
            try:
                info = read_info(folder)
            except (MicrocosmError, KeyError):
                continue  # a run that another version wrote, or that is being made, is no run of this experiment
            if info.experiment_id in wanted:
                found.append(_row(folder, info, False, False))
    return sorted(found, key=lambda row: (row.info.experiment_id or "", row.info.arm or "", row.info.replicate))


def describe_seeds(seeds: Sequence[int]) -> str:
    """Return seeds in words: '7', '7 to 26', '7, 9, 12'."""
    ordered = sorted(seeds)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(str(seed) for seed in ordered[:12]) + (" …" if len(ordered) > 12 else "")


def _read_part(label: str, key: _Key, asked: list[Path], others: list[Path]) -> StudyPart:
    study = read_study(asked[0])
    info = scenario_info(study.scenario)
    infos = {folder: read_info(folder) for folder in [*asked, *others]}
    finished = [folder for folder in asked if infos[folder].status == FINISHED]
    counted, repeated = _leave_out_repeats(finished or [f for f in asked if infos[f].step > 0], infos)
    runs = [_row(folder, i, folder in counted, folder in asked, repeated.get(folder)) for folder, i in infos.items()]
    stacks = stack_measures(counted) if counted else []
    known = {measure.name: measure for measure in info.measures}
    results = [
        Result(stack, bootstrap_band(stack.values), bootstrap_band(stack.final), known.get(stack.measure))
        for stack in stacks
    ]
    part = StudyPart(label, study, info, dump_study(study), key[0], runs, counted, results)
    part = replace(part, experiment_id=key[1], arm=key[2])
    if not counted:
        return part
    events, n_events = _read_events(counted[0])
    messages, n_messages = _read_messages(counted[0])
    return replace(part, events=events, n_events=n_events, messages=messages, n_messages=n_messages)


def _leave_out_repeats(folders: list[Path], infos: Mapping[Path, RunInfo]) -> tuple[list[Path], dict[Path, str]]:
    """Return the runs that count, by replicate, and those left out with the run whose seeds they share.

    Two runs of one study with the same seeds are no two independent cases: counting both would make bands too narrow.
    """
    first: dict[int, Path] = {}
    repeated = {}
    for folder in folders:
        kept = first.setdefault(infos[folder].replicate, folder)
        if kept != folder:
            repeated[folder] = kept.name
    return sorted(first.values(), key=lambda folder: infos[folder].replicate), repeated


def _siblings(homes: set[Path], hashes: _Hashes) -> dict[str, list[Path]]:
    """Return every run in some folders of runs by the hash of its study."""
    found: dict[str, list[Path]] = {}
    for other in sorted(path for home in homes for path in home.iterdir() if path.is_dir()):
        try:
            found.setdefault(hashes.of(other), []).append(other)
        except (MicrocosmError, OSError):
            continue  # not a run, or one that another version wrote: it is no run of these studies
    return found


def _row(folder: Path, info: RunInfo, counted: bool, asked: bool, same_as: str | None = None) -> RunRow:
    why = "" if counted else info.status if info.status != FINISHED else "not asked for in this report"
    if not counted and not asked and info.status != FINISHED:
        why = f"{info.status}, not asked for"
    if same_as is not None:
        why = f"the same study and seeds as {same_as}"
    with Catalog(folder) as catalog:
        return RunRow(info, catalog.read_status(), counted, why)


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
