"""What a survey holds: variables with their labels, and the answers with user-missing codes kept apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from engine.errors import PopulationError
from engine.population.text import quoted
from engine.registry import nearest

VariableType = Literal["number", "text", "date"]
Measure = Literal["nominal", "ordinal", "scale", "unknown"]
Code = float | str

ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1252": "CP1252",
    "latin-1": "ISO-8859-1",
    "latin-9": "ISO-8859-15",
    "cp1250": "CP1250",
    "iso-8859-2": "ISO-8859-2",
    "cp1251": "CP1251",
    "cp1253": "CP1253",
    "cp1254": "CP1254",
    "cp1255": "CP1255",
    "cp1256": "CP1256",
    "gb18030": "GB18030",
    "big5": "BIG5",
    "shift_jis": "SHIFT_JIS",
    "euc_kr": "EUC-KR",
}
"""Encodings that a study may name, and their names in the libraries that read SPSS and Stata files."""
_FEW = 12
_WEIGHT_NAME = re.compile(r"w|w_?\d+|wt\d*|.*(weight|wght|wgt|gewicht|poids|peso).*|[a-z]{1,3}_?wt\d*", re.IGNORECASE)
_WEIGHT_LABEL = re.compile(r"\bweights?\b|\bweighting\b|gewichtung", re.IGNORECASE)
_NO_WEIGHT_LABEL = re.compile(r"\b(kg|kilo\w*|lbs?|pounds?|body)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Variable:
    """One variable of a survey.

    Attributes:
        name: Name in the file.
        label: Its question or description; empty where the file has none.
        type: number, text, or date (dates and times of day).
        value_labels: Label by code; the codes of user-missing answers included.
        missing: Codes that the file declares as user-missing: (lowest, highest) of each range, both included; a
            letter of Stata stands for itself.
        measure: Level of measurement that the file states.
        unit: Unit of a number; these formats hold none, so it is empty unless someone adds it.
    """

    name: str
    label: str = ""
    type: VariableType = "number"
    value_labels: Mapping[Code, str] = field(default_factory=dict)
    missing: tuple[tuple[Code, Code], ...] = ()
    measure: Measure = "unknown"
    unit: str = ""


@dataclass(frozen=True)
class Survey:
    """A survey file as read.

    Attributes:
        file: Name of the file.
        format: SPSS, Stata, SAS, CSV, Parquet or Excel.
        encoding: Encoding of the texts, as declared or as chosen.
        label: Title that the file gives itself.
        variables: In the order of the file.
        frame: One row per respondent and one column per variable: Float64, String, or a date type; null where there
            is no valid answer.
        codes: For each variable with user-missing answers, the code of each row as text, null elsewhere.
    """

    file: str
    format: str
    encoding: str
    label: str
    variables: tuple[Variable, ...]
    frame: pl.DataFrame
    codes: Mapping[str, pl.Series] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Number of respondents."""
        return self.frame.height

    @property
    def weight_candidates(self) -> tuple[str, ...]:
        """Names of the variables that look like weights: by name or label, numbers that vary and are not negative."""
        found = []
        for variable in self.variables:
            named = _WEIGHT_NAME.fullmatch(variable.name) or _WEIGHT_LABEL.search(variable.label)
            if variable.type != "number" or not named or _NO_WEIGHT_LABEL.search(variable.label):
                continue
            values = self.frame[variable.name].drop_nulls()
            if values.len() and not variable.value_labels and (values >= 0).all() and values.n_unique() > 1:
                found.append(variable.name)
        return tuple(found)

    def variable(self, name: str) -> Variable:
        """Return a variable by name.

        Raises:
            PopulationError: there is none; the text names the nearest one.
        """
        for variable in self.variables:
            if variable.name == name:
                return variable
        names = [variable.name for variable in self.variables]
        raise PopulationError(f"{quoted(name)} is not a variable of {self.file}{nearest_variable(name, names)}")

    def count_missing(self, name: str) -> dict[str, int]:
        """Return how many respondents gave no valid answer, by user-missing code; "" counts empty cells."""
        self.variable(name)
        empty = self.frame[name].null_count()
        codes = self.codes.get(name)
        if codes is None:
            return {"": empty} if empty else {}
        counts = {str(code): int(n) for code, n in codes.drop_nulls().value_counts(sort=True).iter_rows()}
        empty -= sum(counts.values())
        return counts | ({"": empty} if empty else {})


def nearest_variable(name: str, names: Sequence[str]) -> str:
    """Return '; did you mean ...?', the list of names where there are few, or how many there are."""
    spelt = next((other for other in names if other.casefold() == name.casefold()), None)
    if spelt is not None:
        return f"; did you mean '{spelt}'?"
    told = nearest(name, names)
    return told if told.endswith("?") or len(names) <= _FEW else f"; it has {len(names)} variables"
