"""Persona cards: prose in the second person, made from typed columns and their presentations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.errors import PopulationError
from engine.population.columns import Column
from engine.population.languages import ENGLISH, load_language, say
from engine.population.population import Population
from engine.population.schema import load_schema
from engine.population.text import DEFAULT_LIMIT, clean_text

_ENDS = (".", "!", "?", "…", ".”", '."')


def field_phrase(name: str, column: Column, text: str, lang: str = ENGLISH, folder: Path | None = None) -> str:
    """Return one sentence in the second person for one shown value.

    Args:
        name: Column name; a name of the codebook has a sentence of its own.
        column: The column.
        text: The shown value: a text of the column's presentation, or a text column's own words.
        lang: Language of the sentence, from `list_languages`.
        folder: The user's own personas folder, for languages of their own.
    """
    known = load_schema().get(name)
    shown = clean_text(text, known.limit if known else DEFAULT_LIMIT)
    if not shown:
        return ""
    if lang != ENGLISH:
        return _ended(say(load_language(lang, folder), name, column.kind, shown))
    if known and column.kind in (known.column.kind, "text"):
        if shown in known.phrases:
            return known.phrases[shown]
        if known.phrase:
            # Replaced, never formatted: the text may hold braces of its own.
            before, _, after = known.phrase.partition("{a}" if "{a}" in known.phrase else "{}")
            article = _article(shown) if "{a}" in known.phrase else ""
            return _ended(f"{before}{article}{shown}{after}") if before or after else shown
    label = name.replace("_", " ").strip()
    if column.kind == "boolean":
        return _ended(f"{label[:1].upper()}{label[1:]}: {shown}")
    return _ended(f"Your {label} is {shown}")


def _article(words: str) -> str:
    return "an " if words[:1].lower() in "aeio" or words[:2].lower() in ("un", "um", "up", "us") else "a "


def _ended(sentence: str) -> str:
    if sentence.endswith(".."):
        return sentence[:-1]
    return sentence if sentence.endswith(_ENDS) else f"{sentence}."


def shown_text(population: Population, agent: int, name: str) -> str:
    """Return what a prompt shows of one agent's column: its presentation's words, or the text itself.

    Raises:
        PopulationError: no such column.
    """
    column = population.column(name)
    values = population.values[name]
    if column.kind == "text":
        return str(values[agent])
    bounds = (float(values.min()), float(values.max())) if column.kind in ("integer", "float") else (None, None)
    presentation = column.shown(*bounds)
    if presentation is None:
        return str(values[agent])
    return presentation.text(int(presentation.codes(values[agent : agent + 1])[0]))


def render_card(population: Population, agent: int, fields: Sequence[str], lang: str | None = None) -> str:
    """Return one agent's persona as prose: one sentence per field, in the order given.

    Args:
        population: All agents' columns.
        agent: Agent id.
        fields: Column names; numbers appear as their presentation shows them, texts as they stand.
        lang: Language of the sentences; None for the population's own.

    Raises:
        PopulationError: an agent id or a field that the population does not have.
    """
    if not 0 <= agent < population.n:
        raise PopulationError(f"agent {agent} is not in this population; ids go from 0 to {population.n - 1}")
    spoken = population.lang if lang is None else lang
    sentences = (
        field_phrase(name, population.column(name), shown_text(population, agent, name), spoken) for name in fields
    )
    return " ".join(sentence for sentence in sentences if sentence)
