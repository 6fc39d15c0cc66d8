"""From a column of people back to the codes of the survey that it came from, and to a codebook of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from engine.population.codebook import Code, Survey, Variable
from engine.population.columns import Column

_MEASURES: Mapping[str, Any] = {"category": "nominal", "boolean": "nominal", "text": "nominal"}


@dataclass(frozen=True)
class Origin:
    """The variable that a column came from.

    Attributes:
        variable: The variable, with its labels and missing codes.
        codes: The file's code of each value of a category that stands for exactly one answer.
        is_same: Whether numbers or texts stand as they do in the file.
    """

    variable: Variable
    codes: Mapping[str, Code] = field(default_factory=dict)
    is_same: bool = False

    def to_plain(self) -> dict[str, Any]:
        """Return the origin as plain values, for a file."""
        variable = {name: getattr(self.variable, name) for name in ("name", "label", "type", "measure", "unit")}
        return {
            "variable": variable,
            "value_labels": [[code, label] for code, label in self.variable.value_labels.items()],
            "missing": [[low, high] for low, high in self.variable.missing],
            "codes": dict(self.codes),
            "is_same": self.is_same,
        }

    @classmethod
    def from_plain(cls, held: Mapping[str, Any]) -> Origin:
        """Return the origin of plain values."""
        labels = dict(held["value_labels"])
        missing = tuple((low, high) for low, high in held["missing"])
        variable = Variable(**held["variable"], value_labels=labels, missing=missing)
        return cls(variable, dict(held["codes"]), bool(held["is_same"]))


def describe_people(
    frame: pl.DataFrame,
    columns: Mapping[str, Column],
    origins: Mapping[str, Origin] | None = None,
    *,
    file: str = "people",
    label: str = "",
) -> Survey:
    """Return people as a survey that statistics programs can read: labels, measure levels and missing codes included.

    A category that came from a survey gets its codes back; any other one is numbered from 1. An answer that its file
    declares as missing is missing again, under its own code.

    Args:
        frame: One row per person: categories as texts, everything else as it is; other columns keep their names.
        columns: Type of each column by name.
        origins: Variables that columns came from, by column.
        file: Name for messages.
        label: Title of the file.
    """
    described, values, codes = [], {}, {}
    for name in frame.columns:
        series = frame[name]
        origin = (origins or {}).get(name)
        column = columns.get(name)
        variable, written = _coded(name, series, column, origin)
        valid, missing = split_missing(written, variable)
        described.append(variable)
        values[name] = valid
        if missing is not None:
            codes[name] = missing
    return Survey(file, "SPSS", "utf-8", label, tuple(described), pl.DataFrame(values), codes)


def _coded(name: str, series: pl.Series, column: Column | None, origin: Origin | None) -> tuple[Variable, pl.Series]:
    """Return the codebook's entry of a column and its values in that coding."""
    help_ = column.help if column else ""
    unit = column.unit if column else ""
    label = origin.variable.label if origin and origin.variable.label else help_
    kind = column.kind if column else ""
    if series.dtype == pl.Boolean:
        labels: dict[Code, str] = {0.0: "no", 1.0: "yes"}
        return Variable(name, label, "number", labels, measure="nominal"), series.cast(pl.Float64)
    if kind == "category" and column is not None:
        return _category(name, label, series, column, origin)
    if series.dtype.is_temporal():
        return Variable(name, label, "date"), series
    if series.dtype.is_numeric():
        if origin is not None and origin.is_same and origin.variable.type == "number":
            old = origin.variable
            return Variable(name, label, "number", old.value_labels, old.missing, old.measure, unit), _floats(series)
        return Variable(name, _with_unit(label, unit), "number", measure="scale", unit=unit), _floats(series)
    if origin is not None and origin.is_same and origin.variable.type == "text":
        old = origin.variable
        return Variable(name, label, "text", old.value_labels, old.missing, old.measure), series.cast(pl.String)
    return Variable(name, label, "text", measure="nominal"), series.cast(pl.String)


def _with_unit(label: str, unit: str) -> str:
    return f"{label} ({unit})" if unit and label and unit not in label else label or unit


def _floats(series: pl.Series) -> pl.Series:
    return series.cast(pl.Float64)


def _category(
    name: str, label: str, series: pl.Series, column: Column, origin: Origin | None
) -> tuple[Variable, pl.Series]:
    texts = series.cast(pl.String)
    if origin is not None and origin.codes:
        old = origin.variable
        known = dict(origin.codes)
        kind = "text" if old.type == "text" else "number"
        taken = {code for code in old.value_labels if isinstance(code, float)}
        taken |= {code for code in known.values() if isinstance(code, float)}
        strange = [text for text in texts.drop_nulls().unique().to_list() if text not in known]
        labels = dict(old.value_labels)
        for place, text in enumerate(sorted(strange)):
            code: Code = text if kind == "text" else max(taken, default=0.0) + 1 + place
            known[text] = code
            labels[code] = text
        dtype = pl.String if kind == "text" else pl.Float64
        values = [(text, known[text]) for text in known if isinstance(known[text], str) == (kind == "text")]
        written = texts.replace_strict(
            [text for text, _ in values], [code for _, code in values], default=None, return_dtype=dtype
        )
        return Variable(name, label, kind, labels, old.missing, old.measure), written  # type: ignore[arg-type]
    codes = {text: float(place) for place, text in enumerate(column.labels, start=1)}
    written = texts.replace_strict(list(codes), list(codes.values()), default=None, return_dtype=pl.Float64)
    measure = origin.variable.measure if origin else "nominal"
    labels = {code: text for text, code in codes.items()}
    return Variable(name, label, "number", labels, measure=measure), written


def split_missing(answers: pl.Series, variable: Variable) -> tuple[pl.Series, pl.Series | None]:
    """Return the valid answers, and the user-missing codes as text, or None where there are none."""
    if variable.type == "date":
        return answers, None
    if variable.type == "text":
        wrong = answers.is_in([low for low, _ in variable.missing if isinstance(low, str)]).fill_null(False)
        missing = answers.set(~wrong, None)
        return answers.set(wrong, None), missing if missing.null_count() < missing.len() else None
    wrong = pl.Series(answers.name, [False], pl.Boolean).new_from_index(0, answers.len())
    for low, high in variable.missing:
        if isinstance(low, float) and isinstance(high, float):
            wrong |= ((answers >= low) & (answers <= high)).fill_null(False)
    if not wrong.any():
        return answers, None
    known = answers.filter(wrong).unique()
    texts = answers.replace_strict(known, [f"{code:.15g}" for code in known], default=None, return_dtype=pl.String)
    return answers.set(wrong, None), texts
