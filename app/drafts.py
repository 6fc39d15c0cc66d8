"""A study while it is being written: a plain mapping with undo and redo, saved at every change, valid or not."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import tomli_w

from engine.errors import MicrocosmError, Problem, StudyError
from engine.loading import default_study, dump_study, load_study
from engine.spec import Study

MAX_HISTORY = 200
FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,80}")


class Draft:
    """One study file in the workspace, as the composer edits it.

    Attributes:
        path: The TOML file; every change is written there at once.
        content: The study as plain values, in the shape of the file.
        revision: Grows whenever the content changes from outside the fields (undo, redo, paste), so that fields are
            drawn afresh.
    """

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self.path = path
        self.content: dict[str, Any] = deepcopy(dict(content))
        self.revision = 0
        self._past: list[str] = []
        self._future: list[str] = []

    @classmethod
    def open(cls, path: Path) -> Draft:
        """Read a study file, valid or not as a study.

        Raises:
            StudyError: the file is not TOML at all.
        """
        draft = cls(path, _parse(path.read_text(encoding="utf-8"), path.name))
        draft._past = _read_steps(path)
        return draft

    @classmethod
    def new(cls, folder: Path, scenario: str) -> Draft:
        """Start from a scenario's default study (or a preset) in a new file of `folder`."""
        study = default_study(scenario) if isinstance(scenario, str) else scenario
        draft = cls(_fresh_path(folder, study.scenario), tomllib.loads(dump_study(study)))
        draft.save()
        return draft

    @property
    def name(self) -> str:
        """Name of the file without its ending; the key of the draft in the page's address."""
        return self.path.stem

    @property
    def personas(self) -> Path:
        """The user's own packs and recipes, beside the studies in the workspace."""
        return self.path.parent.parent / "personas"

    def text(self) -> str:
        """Return the study as TOML."""
        return tomli_w.dumps(_without_none(self.content))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at a dotted key; numbers in the key are places in a list."""
        found: Any = self.content
        for part in key.split("."):
            if isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, dict) and part in found:
                found = found[part]
            else:
                return default
        return found

    def rows(self, key: str) -> list[Any]:
        """Return the list at a dotted key; an empty one where something else, or nothing, stands there."""
        found = self.get(key)
        return found if isinstance(found, list) else []

    def table(self, key: str) -> dict[str, Any]:
        """Return the table at a dotted key; an empty one where something else, or nothing, stands there."""
        found = self.get(key)
        return found if isinstance(found, dict) else {}

    def put(self, key: str, value: Any) -> bool:
        """Set the value at a dotted key, or drop the key with None; returns whether anything changed."""
        if self.get(key) == value and type(self.get(key)) is type(value):
            return False
        self._remember()
        parts = key.split(".")
        place: Any = self.content
        for part in parts[:-1]:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        last: Any = int(parts[-1]) if isinstance(place, list) else parts[-1]
        if value is not None:
            place[last] = value
        elif isinstance(place, list):
            del place[last]
        else:
            place.pop(last, None)
        self.save()
        return True

    def replace(self, text: str) -> None:
        """Take over a pasted TOML text.

        Raises:
            StudyError: the text is not TOML.
        """
        content = _parse(text, self.path.name)
        self._remember()
        self.content = content
        self.revision += 1
        self.save()

    def catch_up(self) -> None:
        """Take over what another tab or program has written into the file since, if anything.

        Raises:
            StudyError: the file is not TOML any more.
        """
        if self.path.is_file() and (text := self.path.read_text(encoding="utf-8")) != self.text():
            self.replace(text)

    @property
    def past(self) -> list[str]:
        """The states before this one, oldest first, as TOML."""
        return list(self._past)

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier state."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone state."""
        return bool(self._future)

    def undo(self) -> None:
        """Return to the state before the last change."""
        self._travel(self._past, self._future)

    def redo(self) -> None:
        """Return to the state before the last undo."""
        self._travel(self._future, self._past)

    def check(self) -> tuple[Study | None, tuple[Problem, ...]]:
        """Return the study, or every problem it has."""
        try:
            return self._load(self.content), ()
        except StudyError as error:
            return None, error.problems
        except MicrocosmError as error:
            return None, (Problem(str(error)),)

    def check_without_arms(self) -> Study | None:
        """Return the study that all arms vary, or None while it has problems of its own."""
        try:
            return self._load({key: value for key, value in self.content.items() if key != "arms"})
        except MicrocosmError:
            return None

    def _load(self, content: Mapping[str, Any]) -> Study:
        tables = _without_none(content)
        return load_study(tables, file=self.path.name, personas=self.personas, base=self.path.parent)

    def save(self) -> None:
        """Write the file; a reader never sees half of it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".part")
        temporary.write_text(self.text(), encoding="utf-8")
        temporary.replace(self.path)

    def _remember(self) -> None:
        self._past = [*self._past, self.text()][-MAX_HISTORY:]
        self._future.clear()
        self._keep_steps()

    def _keep_steps(self) -> None:
        """Write the states before this one beside the study, so that undo and the log outlive a refresh."""
        path = steps_path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(self._past, ensure_ascii=False), encoding="utf-8")
        temporary.replace(path)

    def _travel(self, source: list[str], target: list[str]) -> None:
        if not source:
            return
        before = source.pop()
        try:
            content = tomllib.loads(before)
        except tomllib.TOMLDecodeError:  # somebody changed the kept states
            return
        target.append(self.text())
        self.content = content
        self.revision += 1
        self._keep_steps()
        self.save()


def steps_path(path: Path) -> Path:
    """Return the file beside a study that keeps its earlier states."""
    return path.with_suffix(".steps.json")


def _read_steps(path: Path) -> list[str]:
    """Return the kept states; what cannot be read counts as none."""
    try:
        found = json.loads(steps_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [text for text in found[-MAX_HISTORY:] if isinstance(text, str)] if isinstance(found, list) else []


def problem_at(problems: tuple[Problem, ...], key: str) -> list[str]:
    """Return the messages that belong to a key or to anything below it."""
    wanted = normal_key(key)
    return [
        problem.message
        for problem in problems
        if normal_key(problem.key) == wanted or normal_key(problem.key).startswith(wanted + ".")
    ]


def normal_key(key: str) -> str:
    """Return a key with list places as parts: `interventions[0].at` becomes `interventions.0.at`."""
    return re.sub(r"\[(\d+)\]", r".\1", key)


def draft_path(folder: Path, name: str) -> Path | None:
    """Return the file of a draft by name, or None where the name is not one of ours or the file is not there."""
    path = folder / f"{name}.toml"
    return path if FILE_NAME.fullmatch(name) and path.is_file() else None


def _fresh_path(folder: Path, scenario: str) -> Path:
    stem = re.sub(r"[^a-z0-9_-]+", "-", scenario.lower()).strip("-") or "study"
    number = 1
    while (path := folder / (f"{stem}.toml" if number == 1 else f"{stem}-{number}.toml")).exists():
        number += 1
    return path


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError([Problem(f"this is not TOML: {error}", file=file)]) from None


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_without_none(inner) for inner in value]
    return value
