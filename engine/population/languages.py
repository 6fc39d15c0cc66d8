"""Languages of persona sentences: templates as files, over the codebook's columns. English stands in the codebook."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.decision import Words
from engine.errors import PopulationError
from engine.population.files import check_head, list_files, read_toml
from engine.population.schema import SchemaColumn, load_schema
from engine.population.text import quoted
from engine.registry import nearest

ENGLISH = "en"
_HEAD = {"format", "title", "help", "source", "licence", "no", "yes", "number", "truth", "columns"}
_COLUMN = {"words", "phrase", "phrases"}


@dataclass(frozen=True)
class Template:
    """How one column is said.

    Attributes:
        words: What stands for each shown English text.
        phrase: Sentence; `{}` is the shown text.
        phrases: Sentences for single shown English texts, instead of `phrase`.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    phrase: str = ""
    phrases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Language:
    """Sentences of one language.

    Attributes:
        name: BCP-47 code.
        title: The language's own name.
        number: Sentence for a column outside the codebook; `{name}` is its name, `{}` the shown text.
        truth: The same for a column of truth values.
        no, yes: Words for truth values.
        columns: Template by column of the codebook.
    """

    name: str
    title: str
    number: str
    truth: str
    no: str
    yes: str
    columns: Mapping[str, Template]


def list_languages(folder: Path | None = None) -> list[str]:
    """Return the codes of the languages that a person can be described in."""
    return sorted({ENGLISH, *list_files("languages", folder)})


def check_language(name: str, problems: list[str], folder: Path | None = None) -> None:
    """Add a problem where a study names a language that is not there."""
    known = list_languages(folder)
    if name not in known:
        problems.append(
            f"{quoted(name)} is not a language of persona sentences{nearest(name, known)} @ population.lang"
        )
    elif name != ENGLISH:
        try:
            load_language(name, folder)
        except PopulationError as error:
            problems += [f"{line} @ population.lang" for line in str(error).splitlines()]


@functools.lru_cache(maxsize=16)
def load_language(name: str, folder: Path | None = None) -> Language:
    """Return a language's templates.

    Args:
        name: BCP-47 code; not English, whose sentences stand in the codebook.
        folder: The user's own personas folder.

    Raises:
        PopulationError: unknown language, or one line per problem of its file.
    """
    content = read_toml("languages", name, folder)
    file, problems = f"{name}.toml", list[str]()
    check_head(content, _HEAD, problems, file)
    schema, columns = load_schema(), {}
    for column, table in content.get("columns", {}).items():
        known = schema.get(column)
        if known is None or not isinstance(table, Mapping) or not set(table) <= _COLUMN:
            problems.append(f"[columns.{column}] is no column of the codebook with words, phrase or phrases ({file})")
            continue
        columns[column] = _read_template(column, known, table, problems, file)
    for key in ("number", "truth"):
        if content.get(key, "").count("{}") != 1:
            problems.append(f"{key} must hold {{}} once ({file})")
    if problems:
        raise PopulationError("\n".join(problems))
    texts = {key: str(content.get(key, "")) for key in ("title", "number", "truth", "no", "yes")}
    return Language(name, columns=columns, **texts)


def _read_template(
    name: str, known: SchemaColumn, table: Mapping[str, Any], problems: list[str], file: str
) -> Template:
    shown = shown_words(known)
    parts: dict[str, dict[str, str]] = {}
    for key in ("words", "phrases"):
        given = table.get(key, [])
        if given and len(given) != len(shown):
            problems.append(f"[columns.{name}] has {len(given)} {key}, the codebook shows {len(shown)} ({file})")
        parts[key] = dict(zip(shown, map(str, given), strict=False))
    phrase = str(table.get("phrase", ""))
    if phrase and phrase.count("{}") != 1:
        problems.append(f"[columns.{name}]: the phrase must hold {{}} once ({file})")
    if not phrase and not parts["phrases"]:
        problems.append(f"[columns.{name}] has neither phrase nor phrases ({file})")
    return Template(parts["words"], phrase, parts["phrases"])


def shown_words(known: SchemaColumn) -> tuple[str, ...]:
    """Return the English texts that a column of the codebook can show, as far as they are a list."""
    presentation = known.column.presentation
    return known.column.labels or (presentation.words if isinstance(presentation, Words) else ())


def say(language: Language, name: str, kind: str, shown: str) -> str:
    """Return one sentence about a shown English text, without its full stop where the template has none.

    Args:
        language: The language.
        name: Column name.
        kind: Kind of the column.
        shown: The shown text, cleaned; a word that the template does not know stays as it is.
    """
    label = name.replace("_", " ").strip()
    if kind == "boolean":
        word = {"no": language.no, "yes": language.yes}.get(shown, shown)
        return _filled(language.truth.replace("{name}", label), word)
    template = language.columns.get(name)
    if template is None:
        return _filled(language.number.replace("{name}", label), shown)
    if shown in template.phrases:
        return template.phrases[shown]
    return _filled(template.phrase or language.number.replace("{name}", label), template.words.get(shown, shown))


def _filled(phrase: str, text: str) -> str:
    # Replaced, never formatted: the text may hold braces of its own.
    before, _, after = phrase.partition("{}")
    return f"{before}{text}{after}"
