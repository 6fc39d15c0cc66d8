"""The arms of an experiment: variants of one study, each checked like a study of its own.

An arm says what differs, by dotted keys of the study file. Arms share the scenario and the seeds: replicate r of every
arm draws the same random numbers (common random numbers), so that arms are compared run by run.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from engine.errors import Problem
from engine.problems import Findings, Path, check_shape, shown
from engine.spec import ArmSpec, DecisionSpec, Study
from engine.study_tables import override
from engine.validation import check_tables

MAX_ARMS = 100
SHARED = ("format", "scenario", "seed", "seeds", "redraw", "replicates", "arms")
"""Keys of a study that an arm cannot change."""
_SECTIONS = frozenset({"params", "population", "network", "decisions", "model", "record"})
_Places = tuple[FilePath | None, FilePath | None]
_WORDS = {"title": "", "question": "", "replicates": 1}


def apply_arm(tables: Mapping[str, Any], arm: ArmSpec, findings: Findings) -> dict[str, Any]:
    """Return the tables of the study that an arm stands for.

    Args:
        tables: The study's complete tables, without arms; not changed.
        arm: What differs.
        findings: Where problems go; those of a key that the arm sets name `--set` as their file.
    """
    changed = copy.deepcopy({key: value for key, value in tables.items() if key != "arms"})
    for key, value in arm.set.items():
        override(changed, tuple(key.split(".")), copy.deepcopy(value), {}, findings)
    if arm.interventions:
        dumped = [spec.model_dump(mode="json", exclude_none=True) for spec in arm.interventions]
        changed["interventions"] = [*changed.get("interventions", []), *dumped]
    return changed


def check_arms(
    given: Any,
    tables: Mapping[str, Any],
    info: Any,
    findings: Findings,
    personas: FilePath | None = None,
    base: FilePath | None = None,
) -> tuple[ArmSpec, ...]:
    """Return the arms of a list of tables; problems go to `findings`.

    Args:
        given: Tables as in `[[arms]]`; None for none.
        tables: The study's complete tables, without arms, whose own problems are in `findings` already.
        info: The scenario, or None where it is not known.
        findings: Where problems go.
        personas: The user's own personas folder.
        base: Folder that relative paths of the study start from.
    """
    if given is None or given == []:
        return ()
    if not isinstance(given, list):
        findings.add(f"arms = {shown(given)} is not a list of tables; write [[arms]]", "arms")
        return ()
    if len(given) == 1:
        findings.add("one arm compares nothing; give two or more, one of which may change nothing", "arms")
    if len(given) > MAX_ARMS:
        findings.add(f"{len(given)} arms are more than {MAX_ARMS}", "arms")
        return ()
    reader = _Arms(tables, info, findings, (personas, base))
    for position, table in enumerate(given):
        reader.read(table, ("arms", position))
    reader.check_differences()
    return tuple(reader.arms)


class _Arms:
    """Reads arms one by one and remembers the studies that they stand for."""

    def __init__(self, tables: Mapping[str, Any], info: Any, findings: Findings, places: _Places) -> None:
        self.tables, self.info, self.findings, self.places = tables, info, findings, places
        self.known = {(problem.message, problem.key) for problem in findings.problems}
        self.arms: list[ArmSpec] = []
        self.studies: dict[str, Study] = {}

    def read(self, table: Any, path: Path) -> None:
        """Check one arm; keep it with its study where nothing is wrong."""
        if not isinstance(table, Mapping):
            self.findings.add(f"arms[{path[-1]}] = {shown(table)} is not a table", *path)
            return
        before = len(self.findings.problems)
        values = self._values(table.get("set", {}), path)
        added = self._added(table, path)
        arm = check_shape(
            ArmSpec, {**table, "set": values, "interventions": []}, path, self.findings, "a key of an arm"
        )
        if arm is None:
            return
        if arm.name in [other.name for other in self.arms]:
            self.findings.add(f"two arms are called '{arm.name}'; each needs a name of its own", *path, "name")
        found = Findings(self.findings.file)
        found.flat = self.findings.flat
        tables = apply_arm(self.tables, arm, found)
        own = tables.get("interventions", [])
        first = len(own) if isinstance(own, list) else 0
        if added and isinstance(own, list):
            tables["interventions"] = [*own, *added]
        study = check_tables(tables, self.info, found, *self.places)
        for problem in found.problems:
            self._pass_on(problem, arm.name, path, first)
        arm = arm.model_copy(update={"interventions": study.interventions[first:]})
        self.arms.append(arm)
        if len(self.findings.problems) == before:
            self.studies[arm.name] = study

    def check_differences(self) -> None:
        """Report arms that stand for one and the same study."""
        alike: dict[str, list[str]] = {}
        for name, study in self.studies.items():
            spoken = {key: spec for key, spec in study.decisions.items() if spec != DecisionSpec()}
            same = study.model_copy(update={**_WORDS, "decisions": spoken}).model_dump_json(exclude={"record"})
            alike.setdefault(same, []).append(name)
        for names in alike.values():
            if len(names) > 1:
                listed = f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r}"
                self.findings.add(f"the arms {listed} differ in nothing; let each change something of its own", "arms")

    def _values(self, given: Any, path: Path) -> dict[str, Any]:
        """Return an arm's values by dotted key, without those that are no keys or that arms share."""
        if not isinstance(given, Mapping):
            self.findings.add(f'set = {shown(given)} is not a table such as {{ "params.epsilon" = 0.1 }}', *path, "set")
            return {}
        values = {}
        for parts, value in _dotted(given):
            key = ".".join(parts)
            if not all(parts):
                self.findings.add(f"{shown(key)} is not a key of a study, for example params.epsilon", *path, "set")
            elif parts[0] in SHARED:
                message = f"'{key}' cannot differ between arms: they share scenario, seeds and replicates"
                self.findings.add(message, *path, "set", key)
            else:
                values[key] = value
        return values

    def _added(self, table: Mapping[str, Any], path: Path) -> list[Any]:
        """Return an arm's own interventions as tables, each with a name."""
        given = table.get("interventions", [])
        if not isinstance(given, list):
            message = f"interventions = {shown(given)} is not a list of tables; write [[arms.interventions]]"
            self.findings.add(message, *path, "interventions")
            return []
        named = {position: {"name": f"{table.get('name')} {position + 1}"} for position in range(len(given))}
        return [{**named[i], **item} if isinstance(item, Mapping) else item for i, item in enumerate(given)]

    def _pass_on(self, problem: Problem, name: str, path: Path, first: int) -> None:
        """Report a problem of an arm's study at its place in the arm, unless the study has it without the arm."""
        parts = problem.key.split(".")
        if problem.file == "--set":
            self.findings.add(problem.message, *path, "set", problem.key)
        elif len(parts) > 1 and parts[0] == "interventions" and parts[1].isdecimal() and int(parts[1]) >= first:
            place: Sequence[str | int] = ("interventions", int(parts[1]) - first, *parts[2:])
            self.findings.add(problem.message, *path, *place)
        elif (problem.message, problem.key) not in self.known:
            self.findings.add(f"in arm '{name}': {problem.message}", *parts, file=problem.file)


def _dotted(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (key parts, value); tables that are sections of a study file are entered, others are values."""
    for key, value in table.items():
        parts = (*path, *(part.strip() for part in key.split(".")))
        entered = parts[0] in _SECTIONS and (
            len(parts) == 1 or parts == ("population", "columns") or (len(parts) == 2 and parts[0] == "decisions")
        )
        if entered and isinstance(value, Mapping):
            yield from _dotted(value, parts)
        else:
            yield parts, value
