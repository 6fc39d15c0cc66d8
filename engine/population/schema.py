"""The codebook of personas: what each known column means, its range, and its words in a prompt.

The columns stand in `personas/schema.toml`; any other column is kept as well, with a type inferred from its values.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.decision import Presentation, Rounded, Words
from engine.population.columns import Column
from engine.population.text import DEFAULT_LIMIT, quoted

MAX_CATEGORIES = 50
RESERVED_NAMES = frozenset({"agent_id", "step", "keyframe", "entered", "left", "degree", "persona", "and", "or", "not"})
DTYPES = {"float": "float64", "integer": "int64", "category": "int16", "boolean": "bool", "text": "object"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class SchemaColumn:
    """One column of the codebook.

    Attributes:
        column: Type, unit, range, labels, help and presentation.
        scale: Instrument or coding that the values follow.
        limit: Longest text in characters.
        phrase: Sentence of a prompt; `{}` is the shown text, `{a}` the text with its article.
        phrases: Sentences for single shown texts, instead of `phrase`.
    """

    column: Column
    scale: str = ""
    limit: int = DEFAULT_LIMIT
    phrase: str = ""
    phrases: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether the column is a category that takes whatever labels it is given."""
        return self.column.kind == "category" and not self.column.labels


@functools.cache
def load_schema() -> Mapping[str, SchemaColumn]:
    """Return the codebook's columns by name, in its order."""
    source = importlib.resources.files("personas") / "schema.toml"
    tables = tomllib.loads(source.read_text("utf-8"))["columns"]
    return {name: _schema_column(table) for name, table in tables.items()}


def _schema_column(table: Mapping[str, Any]) -> SchemaColumn:
    labels = tuple(table.get("labels", ()))
    presentation = _presentation(table)
    column = Column(
        kind=table["kind"],
        dtype=DTYPES[table["kind"]],
        unit=table.get("unit", ""),
        low=table.get("low"),
        high=table.get("high"),
        labels=labels,
        help=table["help"],
        presentation=presentation,
        scale=table.get("scale", ""),
    )
    shown = labels or (presentation.words if isinstance(presentation, Words) else ())
    sentences = tuple(table.get("phrases", ()))
    phrases = dict(zip(shown, sentences, strict=True)) if sentences else {}
    return SchemaColumn(
        column, table.get("scale", ""), table.get("limit", DEFAULT_LIMIT), table.get("phrase", ""), phrases
    )


def _presentation(table: Mapping[str, Any]) -> Presentation | None:
    show = table.get("show")
    if show is None:
        return None
    if "step" in show:
        return Rounded(float(table["low"]), float(table["high"]), float(show["step"]), table.get("unit", ""))
    words = tuple(show["words"])
    edges = show.get("edges") or np.linspace(table["low"], table["high"], len(words) + 1)[1:-1].round(10).tolist()
    return Words(tuple(float(edge) for edge in edges), words)


def name_problem(name: str) -> str:
    """Return what is wrong with a column's name, or an empty string.

    Names go into expressions, tables and SQL: letters, digits and underscores, at most 64, not starting with a digit.
    """
    if not _NAME.fullmatch(name):
        return (
            f"{quoted(name)} cannot name a column: use letters, digits and underscores, at most 64, not a digit first"
        )
    if name.lower() in RESERVED_NAMES:
        return f"{quoted(name)} is a name that the engine keeps for itself; choose another"
    return ""


def clashing_names(names: Sequence[str]) -> list[str]:
    """Return one sentence per pair of names that differ only in capital letters (tables hold them for equal)."""
    first: dict[str, str] = {}
    clashes = []
    for name in names:
        held = first.setdefault(name.lower(), name)
        if held != name:
            clashes.append(f"columns '{held}' and '{name}' differ only in capital letters; rename one")
    return clashes
