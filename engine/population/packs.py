"""Persona packs: people written out one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from engine.errors import PopulationError
from engine.population.columns import Column, Provenance
from engine.population.files import FILE_NAME, check_head, list_files, read_toml
from engine.population.population import Population
from engine.population.relations import Relations, read_relations
from engine.population.schema import clashing_names, load_schema, name_problem
from engine.population.text import quoted
from engine.population.typed import TypedColumn, type_values

_HEAD = {"format", "title", "source", "help", "licence", "lang", "provenance", "columns", "people", "relations"}
MOST_PEOPLE = 5000
_NOT_WRITTEN = ("persona", "source_row")
_PROVENANCES: tuple[Provenance, ...] = ("manual", "model", "survey", "sampled")


@dataclass(frozen=True)
class PersonaPack:
    """People with typed columns.

    Attributes:
        name: Name in studies.
        title, help, source, licence: What it is and where it comes from.
        n: Number of people.
        parts: Column and values by name, one row per person.
        relations: Who knows whom; None where the pack says nothing.
    """

    name: str
    title: str
    help: str
    source: str
    licence: str
    n: int
    parts: Mapping[str, TypedColumn]
    relations: Relations | None = None

    @property
    def columns(self) -> dict[str, Column]:
        """Type of each column by name."""
        return {name: part.column for name, part in self.parts.items()}


def list_packs(folder: Path | None = None) -> list[str]:
    """Return the names of the shipped persona packs and of those in the user's own personas folder."""
    return list_files("packs", folder)


def load_pack(name: str, folder: Path | None = None) -> PersonaPack:
    """Return a persona pack with every value checked.

    Args:
        name: Name of the pack.
        folder: The user's own personas folder.

    Raises:
        PopulationError: unknown name, or one line per problem: person, column, value and what is allowed.
    """
    return parse_pack(name, read_toml("packs", name, folder))


def parse_pack(name: str, content: Mapping[str, Any]) -> PersonaPack:
    """Return a persona pack from the content of its file.

    Raises:
        PopulationError: one line per problem.
    """
    file = f"{name}.toml"
    problems: list[str] = []
    check_head(dict(content), _HEAD, problems, file)
    people = content.get("people", [])
    if not isinstance(people, list) or not people or not all(isinstance(person, Mapping) for person in people):
        raise PopulationError("\n".join([*problems, f"the pack has no [[people]]; write at least one ({file})"]))
    keys = list(dict.fromkeys(key for person in people for key in person))
    problems += [f"{wrong} ({file})" for key in keys if (wrong := name_problem(key))]
    problems += [f"{wrong} ({file})" for wrong in clashing_names(keys)]
    parts: dict[str, TypedColumn] = {}
    labels = [_person(person, index) for index, person in enumerate(people)]
    for key in keys:
        missing = [labels[index] for index, person in enumerate(people) if key not in person]
        if missing:
            problems.append(f"{', '.join(missing[:12])}: no value for {quoted(key)}, which others have ({file})")
            continue
        found: list[str] = []
        part = type_values(key, [person[key] for person in people], found, labels.__getitem__)
        problems += [f"{line} ({file})" for line in found]
        if part is not None:
            parts[key] = part
    _describe(content.get("columns", {}), parts, content.get("provenance", "manual"), problems, file)
    _check_names(people, problems, file)
    names = [str(person.get("display_name", "")) for person in people]
    relations = read_relations(content.get("relations"), names, problems, file)
    if problems:
        raise PopulationError("\n".join(problems))
    head = {key: str(content.get(key, "")) for key in ("title", "help", "source", "licence")}
    return PersonaPack(name, n=len(people), parts=parts, relations=relations, **head)


def _person(person: Mapping[str, Any], index: int) -> str:
    name = person.get("display_name")
    return f"{quoted(name)} (person {index + 1})" if isinstance(name, str) else f"person {index + 1}"


def _describe(described: Any, parts: dict[str, TypedColumn], source: Any, problems: list[str], file: str) -> None:
    """Give columns their provenance, and those outside the codebook the unit and help that the file states."""
    if source not in _PROVENANCES:
        problems.append(f"provenance = {quoted(source)} is not one of {', '.join(_PROVENANCES)} ({file})")
        return
    for name, (column, values) in parts.items():
        parts[name] = TypedColumn(dataclasses.replace(column, provenance=source), values)
    if not isinstance(described, Mapping):
        problems.append(f"[columns] is {quoted(described)}, not a table per column ({file})")
        return
    for name, words in described.items():
        allowed = {"provenance"} if name in load_schema() else {"unit", "help", "provenance"}
        if not isinstance(words, Mapping) or not set(words) <= allowed:
            told = "may give unit and help of a column outside the codebook, and provenance"
            problems.append(f"[columns.{name}] {told} ({file})")
        elif words.get("provenance", source) not in _PROVENANCES:
            problems.append(f"[columns.{name}]: provenance is one of {', '.join(_PROVENANCES)} ({file})")
        elif name in parts:
            column, values = parts[name]
            texts: dict[str, Any] = {key: str(text) for key, text in words.items()}
            parts[name] = TypedColumn(dataclasses.replace(column, **texts), values)


def _check_names(people: Sequence[Mapping[str, Any]], problems: list[str], file: str) -> None:
    names = [str(person["display_name"]) for person in people if "display_name" in person]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        problems.append(f"display_name {', '.join(map(quoted, twice))} stands more than once ({file})")


def pack_tables(
    population: Population, *, title: str, source: str, rows: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """Return people as the content of a pack: every column, categories as texts.

    Args:
        population: The people.
        title: Title of the pack.
        source: Where they come from, in words.
        rows: Agents to take, in order; None for all.

    Raises:
        PopulationError: more people than a pack holds.
    """
    chosen = np.arange(population.n) if rows is None else np.asarray(rows, np.int64)
    if chosen.size > MOST_PEOPLE:
        raise PopulationError(
            f"{chosen.size:,} people are too many to be written out one by one; choose at most {MOST_PEOPLE:,}"
        )
    names = [name for name in population.columns if name not in _NOT_WRITTEN]
    people = population.frame(chosen).select(names).to_dicts()
    columns = {name: _described(name, population.columns[name]) for name in names}
    return {
        "format": 1,
        "title": title,
        "source": source,
        "columns": {name: table for name, table in columns.items() if table},
        "people": people,
    }


def _described(name: str, column: Column) -> dict[str, str]:
    """Return what a pack's file says of a column."""
    known = {} if name in load_schema() else {"unit": column.unit, "help": column.help}
    return known | ({"provenance": column.provenance} if column.provenance else {})


def write_pack(name: str, content: Mapping[str, Any], folder: Path) -> Path:
    """Write a pack into the user's own personas folder, checked; nothing is written where it has a problem.

    Args:
        name: Name of the pack: letters, digits, `-` and `_`; not that of a shipped one.
        content: Its tables.
        folder: The user's own personas folder.

    Raises:
        PopulationError: one line per problem.
    """
    if not FILE_NAME.fullmatch(name):
        raise PopulationError(f"{quoted(name)} cannot name a pack: use letters, digits, - and _, at most 64")
    if name in list_packs():
        raise PopulationError(f"{quoted(name)} is a pack that comes with Microcosm; choose another name")
    parse_pack(name, content)
    path = folder / "packs" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(tomli_w.dumps(dict(content)), encoding="utf-8")
    temporary.replace(path)
    return path
