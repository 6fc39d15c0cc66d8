"""Instruments: the items of a questionnaire, and how answers to them become scores.

A score is the mean of a scale's answered items, reversed ones turned round (low + high - answer). Where the instrument
centres on the person, the mean of all of the person's answers is taken off. Whoever fails an attention item, or leaves
too much open, gets no score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from engine.errors import PopulationError
from engine.population.files import check_head, list_files, read_toml
from engine.population.schema import load_schema
from engine.population.text import clean_text, quoted
from engine.registry import nearest

FloatArray = NDArray[np.float64]
_HEAD = {
    *("format", "title", "help", "source", "licence", "low", "high", "answers", "lead", "centre", "scales", "items"),
    *("least", "least_of_all"),
}
_ITEM = {"id", "scale", "reversed", "attention", "variable", "text"}
_TEXT_LIMIT = 500
_NUMBERED = re.compile(r"\s*(\w+)\s*[.):;,\t]\s*(\S.*)")


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        id: Its number or name in the instrument.
        scale: The scale it belongs to; empty for an attention item.
        is_reversed: Whether a high answer means a low score.
        attention: Lowest and highest answer of someone who reads; None for an ordinary item.
        variable: What surveys usually call it; empty where there is no custom.
        text: Its words; empty where they are not free.
    """

    id: str
    scale: str = ""
    is_reversed: bool = False
    attention: tuple[float, float] | None = None
    variable: str = ""
    text: str = ""


@dataclass(frozen=True)
class Instrument:
    """A questionnaire.

    Attributes:
        name: Name in studies.
        title, help, source, licence: What it is and where it comes from.
        low, high: Lowest and highest answer.
        answers: Words of the answers from the lowest on; empty where they differ by item.
        lead: Question above the items.
        is_centred: Whether the mean of all of a person's answers is taken off each score.
        scales: Column of the codebook by scale.
        items: In their order.
        least: Share of a scale's items that need an answer.
        least_of_all: Share of all items that need an answer.
    """

    name: str
    title: str
    help: str
    source: str
    licence: str
    low: float
    high: float
    answers: tuple[str, ...]
    lead: str
    is_centred: bool
    scales: Mapping[str, str]
    items: tuple[Item, ...]
    least: float
    least_of_all: float

    @property
    def has_texts(self) -> bool:
        """Whether every item has its words."""
        return all(item.text for item in self.items)


@dataclass(frozen=True)
class Scores:
    """Scores of several people.

    Attributes:
        values: One float64 array per column, shape (n,); NaN where there is no score.
        inattentive: People who failed an attention item, bool, shape (n,).
    """

    values: Mapping[str, FloatArray]
    inattentive: NDArray[np.bool_]


def list_instruments(folder: Path | None = None) -> list[str]:
    """Return the names of the shipped instruments and of those in the user's own personas folder."""
    return [name for name in list_files("instruments", folder) if not name.endswith("_texts")]


def load_instrument(name: str, folder: Path | None = None) -> Instrument:
    """Return an instrument, with the item texts that the user imported where it ships without.

    Args:
        name: Name of the instrument.
        folder: The user's own personas folder.

    Raises:
        PopulationError: unknown name, or one line per problem of its file.
    """
    content = read_toml("instruments", name, folder)
    file, problems = f"{name}.toml", list[str]()
    check_head(content, _HEAD, problems, file)
    texts: Mapping[str, Any] = {}
    if folder is not None and (folder / "instruments" / f"{name}_texts.toml").is_file():
        texts = read_toml("instruments", f"{name}_texts", folder).get("texts", {})
    items = _read_items(content.get("items"), content.get("scales", {}), texts, problems, file)
    low, high = content.get("low"), content.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
        problems.append(f"low and high must be numbers, low below high ({file})")
        low, high = 0, 1
    scales = content.get("scales", {})
    for scale, column in scales.items() if isinstance(scales, Mapping) else ():
        known = load_schema().get(str(column))
        if known is None or known.column.kind != "float":
            told = nearest(str(column), load_schema())
            problems.append(f"scale {quoted(scale)}: {quoted(column)} is no numeric column{told} ({file})")
    if problems:
        raise PopulationError("\n".join(problems))
    return Instrument(
        name=name,
        **{key: str(content.get(key, "")) for key in ("title", "help", "source", "licence", "lead")},
        low=float(low),
        high=float(high),
        answers=tuple(map(str, content.get("answers", ()))),
        is_centred=content.get("centre") == "person",
        scales={str(scale): str(column) for scale, column in scales.items()},
        items=items,
        least=float(content.get("least", 1.0)),
        least_of_all=float(content.get("least_of_all", 0.0)),
    )


def _read_items(given: Any, scales: Any, texts: Mapping[str, Any], problems: list[str], file: str) -> tuple[Item, ...]:
    if not isinstance(given, list) or not given or not isinstance(scales, Mapping) or not scales:
        problems.append(f"an instrument needs [scales] and [[items]] ({file})")
        return ()
    items = []
    for place, table in enumerate(given, start=1):
        if not isinstance(table, Mapping) or not isinstance(table.get("id"), str) or not set(table) <= _ITEM:
            problems.append(f"item {place} needs an id and may have {', '.join(sorted(_ITEM - {'id'}))} ({file})")
            continue
        attention = table.get("attention")
        if attention is None and table.get("scale") not in scales:
            problems.append(f"item {table['id']}: {quoted(table.get('scale'))} is not a scale ({file})")
        items.append(
            Item(
                table["id"],
                str(table.get("scale", "")),
                bool(table.get("reversed", False)),
                None if attention is None else (float(attention[0]), float(attention[1])),
                str(table.get("variable", "")),
                clean_text(str(texts.get(table["id"], table.get("text", ""))), _TEXT_LIMIT),
            )
        )
    twice = sorted({item.id for item in items if [other.id for other in items].count(item.id) > 1})
    if twice:
        problems.append(f"item {', '.join(twice)} stands more than once ({file})")
    empty = [str(scale) for scale in scales if not any(item.scale == scale for item in items)]
    if empty:
        problems.append(f"scale {', '.join(empty)} has no item ({file})")
    return tuple(items)


def import_texts(name: str, text: str, folder: Path) -> int:
    """Keep the words of an instrument's items in the user's own personas folder, and return how many there were.

    Args:
        name: Name of the instrument.
        text: One item a line: its number, then `.`, `)`, `:`, a comma or a tab, then its words; or one line per item
            in their order.
        folder: The user's own personas folder.

    Raises:
        PopulationError: no such instrument, an item that it does not have, or another number of lines.
    """
    instrument = load_instrument(name, folder)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ids = [item.id for item in instrument.items]
    found = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(found):
        texts = {match[1]: match[2] for match in found if match}
        unknown = [key for key in texts if key not in ids]
        if unknown:
            listed = ", ".join(quoted(key) for key in unknown[:5])
            raise PopulationError(f"{listed} is not an item of {name}; its items are {ids[0]} to {ids[-1]}")
        if len(texts) < len(lines):
            raise PopulationError(f"{len(lines)} lines name {len(texts)} items of {name}; give each item one line")
    elif len(lines) == len(ids):
        texts = dict(zip(ids, lines, strict=True))
    else:
        raise PopulationError(
            f"{len(lines)} lines were given, {name} has {len(ids)} items; give one line per item, or number the lines"
        )
    target = folder / "instruments" / f"{name}_texts.toml"
    target.parent.mkdir(parents=True, exist_ok=True)
    cleaned = {key: clean_text(words, _TEXT_LIMIT) for key, words in texts.items()}
    target.write_text(tomli_w.dumps({"format": 1, "texts": cleaned}), encoding="utf-8")
    return len(cleaned)


def score_answers(instrument: Instrument, answers: FloatArray) -> Scores:
    """Return the scores of several people.

    Args:
        instrument: The instrument.
        answers: One row per person and one column per item, as given (not reversed); NaN where there is no answer.

    Raises:
        PopulationError: another number of columns, or an answer outside the instrument's range.
    """
    items = instrument.items
    if answers.ndim != 2 or answers.shape[1] != len(items):
        raise PopulationError(f"{instrument.name} has {len(items)} items; answers of shape {answers.shape} were given")
    outside = ~np.isnan(answers) & ~((answers >= instrument.low) & (answers <= instrument.high))
    if outside.any():
        row, place = np.argwhere(outside)[0]
        raise PopulationError(
            f"item {items[place].id} of {instrument.name} = {answers[row, place]:g} in row {row + 1} is not in "
            f"[{instrument.low:g}, {instrument.high:g}]"
        )
    turned = np.array([item.is_reversed for item in items])
    values = np.where(turned, instrument.low + instrument.high - answers, answers)
    inattentive = np.zeros(len(answers), dtype=np.bool_)
    for place, item in enumerate(items):
        if item.attention is not None:
            low, high = item.attention
            inattentive |= (answers[:, place] < low) | (answers[:, place] > high)
    content = [place for place, item in enumerate(items) if item.attention is None]
    mean, share = _mean(values[:, content])
    usable = ~inattentive & (share >= instrument.least_of_all)
    scores = {}
    for scale, column in instrument.scales.items():
        score, answered = _mean(values[:, [place for place in content if items[place].scale == scale]])
        if instrument.is_centred:
            score = score - mean
        scores[column] = np.where(usable & (answered > 0) & (answered >= instrument.least), score, np.nan)
    return Scores(scores, inattentive)


def _mean(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (mean of the answers, share answered) of each row; NaN without an answer."""
    given = ~np.isnan(values)
    n = given.sum(axis=1)
    total = np.where(given, values, 0.0).sum(axis=1)
    return np.divide(total, n, out=np.full(len(values), np.nan), where=n > 0), n / values.shape[1]


def item_variables(instrument: Instrument, prefix: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variable of each item: the one given, the prefix with the item's id, or the customary name.

    Raises:
        PopulationError: an item that the instrument does not have, or items without a variable.
    """
    ids = [item.id for item in instrument.items]
    unknown: Sequence[str] = [key for key in given if key not in ids]
    if unknown:
        raise PopulationError(f"{quoted(unknown[0])} is not an item of {instrument.name}{nearest(unknown[0], ids)}")
    found = {
        item.id: given.get(item.id) or (f"{prefix}{item.id}" if prefix else item.variable) for item in instrument.items
    }
    without = [key for key, variable in found.items() if not variable]
    if without:
        listed = ", ".join(without[:8]) + (" ..." if len(without) > 8 else "")
        raise PopulationError(f"item {listed} of {instrument.name} has no variable; give a prefix, or name it in items")
    return found
