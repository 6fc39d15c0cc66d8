"""Persona packs and recipes as TOML files: those that ship with Microcosm and those in the user's own folder."""

from __future__ import annotations

import copy
import importlib.resources
import re
import tomllib
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from engine.errors import PopulationError
from engine.population.text import quoted
from engine.registry import nearest

Shelf = Literal["packs", "recipes", "instruments", "languages"]
_WORDS = {"packs": "persona pack", "recipes": "recipe", "instruments": "instrument", "languages": "language"}
FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _folders(shelf: Shelf, folder: Path | None) -> list[Traversable]:
    shipped = importlib.resources.files("personas") / shelf
    return [shipped] if folder is None else [shipped, folder / shelf]


def list_files(shelf: Shelf, folder: Path | None = None) -> list[str]:
    """Return the names on a shelf, sorted.

    Args:
        shelf: `packs`, `recipes`, `instruments` or `languages`.
        folder: The user's own personas folder, with subfolders of the same names; its files come on top.
    """
    found = {
        entry.name[: -len(".toml")]
        for place in _folders(shelf, folder)
        if place.is_dir()
        for entry in place.iterdir()
        if entry.name.endswith(".toml") and FILE_NAME.fullmatch(entry.name[: -len(".toml")])
    }
    return sorted(found)


def read_toml(shelf: Shelf, name: str, folder: Path | None = None) -> dict[str, Any]:
    """Return the content of a file by name; a shipped one wins over the user's own.

    Raises:
        PopulationError: no such name (the text names the nearest one), or a file that is not TOML.
    """
    word = _WORDS[shelf]
    names = list_files(shelf, folder)
    if name not in names:
        raise PopulationError(f"{quoted(name)} is not a {word}{nearest(name, names)}")
    for place in _folders(shelf, folder):
        file = place / f"{name}.toml"
        if not file.is_file():
            continue
        try:
            return copy.deepcopy(_parse(file.read_text("utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise PopulationError(f"{word} {quoted(name)} cannot be read: {error} ({file.name})") from error
    raise PopulationError(f"{word} {quoted(name)} was removed while it was read")


@lru_cache(32)
def _parse(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; a worker reads the same recipe for every run."""
    return tomllib.loads(text)


def find_own_file(shelf: Shelf, name: str, folder: Path) -> Path | None:
    """Return the user's own file of that name, or None where it is a shipped one or there is none."""
    if (importlib.resources.files("personas") / shelf / f"{name}.toml").is_file():
        return None
    file = folder / shelf / f"{name}.toml"
    return file if FILE_NAME.fullmatch(name) and file.is_file() else None


def check_head(content: dict[str, Any], allowed: set[str], problems: list[str], file: str) -> None:
    """Add a problem for each unknown top-level key and for a format other than 1."""
    for key in content:
        if key not in allowed:
            problems.append(f"{quoted(key)} is not a key of this file{nearest(key, sorted(allowed))} ({file})")
    if content.get("format", 1) != 1:
        problems.append(f"format = {quoted(content['format'])} is unknown; this version reads format 1 ({file})")
    for key in ("title", "source", "help", "licence"):
        if not isinstance(content.get(key, ""), str):
            problems.append(f"{key} = {quoted(content[key])} is not a text ({file})")
