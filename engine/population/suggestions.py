"""Which variables of a survey could become which columns: guesses by name and label, for a person to check."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from engine.population.codebook import Code, Survey, Variable
from engine.population.columns import Column
from engine.population.schema import load_schema

_BORN = re.compile(r"year of birth|yrbrn|birth ?year|geburtsjahr|annee de naissance", re.IGNORECASE)


@dataclass(frozen=True)
class _Clue:
    """Names that surveys use for a column, and words of its label."""

    names: str
    label: str


CLUES: Mapping[str, _Clue] = {
    "age": _Clue(r"age|agea|alter|v?_?age_?r?|ppage|respage", r"\bage\b.*respondent|respondent.{0,6}\bage\b|^age\b"),
    "gender": _Clue(r"gender|gndr|geschlecht", r"\bgender\b"),
    "sex": _Clue(r"sex|rsex|sexe", r"\bsex\b"),
    "country": _Clue(r"country|cntry|land|nation", r"^country\b"),
    "region": _Clue(r"region|regiao|regio|bundesland|nuts\d?", r"^region\b"),
    "urbanicity": _Clue(r"domicil|urban.*|urbrural", r"domicile|urban|rural"),
    "education": _Clue(r"e?isced.*|educ(ation)?|edulvl\w*|degree", r"highest.*education|level of education"),
    "occupation": _Clue(r"occupation|isco\w*|beruf", r"\boccupation\b"),
    "employment": _Clue(r"employment|empl(stat)?|mnactic|wrkstat", r"employment status|main activity"),
    "marital": _Clue(r"marital\w*|marsts\w*|famstand", r"marital status"),
    "religion": _Clue(r"religion|relig|rlgdnm|denom\w*", r"religion or denomination|religious belonging"),
    "religiosity": _Clue(r"religiosity|rlgdgr", r"how religious"),
    "income_decile": _Clue(r"income_decile|hinctnt\w*|decile", r"income.*decile|decile.*income"),
    "hh_income": _Clue(r"hh_?income|hhinc\w*|income", r"household.*income"),
    "hh_size": _Clue(r"hh_?size|hhmmb|hhsize", r"household size|number of people.*household"),
    "party_id": _Clue(r"party_?id|prtcl\w*|partyid|pid", r"party.*(closest|close to|identif)"),
    "left_right": _Clue(r"left_?right|lrscale|lr_?self|leftright", r"left.{0,3}right"),
    "ethnicity": _Clue(r"ethnic\w*|race", r"\bethnic"),
    "trust_general": _Clue(r"trust_?(general)?|ppltrst", r"most people can be trusted"),
}
"""What to look for, in order of preference; ours, with the names of the European Social Survey, ALLBUS and GSS."""

WORDS: Mapping[str, Mapping[str, str]] = {
    "gender": {"male": "man", "men": "man", "female": "woman", "women": "woman", "diverse": "non-binary"},
    "sex": {"man": "male", "men": "male", "woman": "female", "women": "female"},
    "urbanicity": {
        "a big city": "big city",
        "suburbs or outskirts of big city": "suburb",
        "town or small city": "small town",
        "country village": "village",
        "farm or home in countryside": "countryside",
    },
    "marital": {
        "never married": "single",
        "legally married": "married",
        "legally separated": "separated",
        "legally divorced": "divorced",
    },
}


def suggest_mapping(survey: Survey) -> dict[str, dict[str, Any]]:
    """Return tables as in `[population.map]`: column -> variable and, where needed, its transformation.

    A variable is suggested where its name or label speaks for one column. A number whose answers have another range
    than the column is rescaled from its lowest to its highest valid code; a closed category gets `labels` for those
    answers whose words are known, and the person must name the others. Whether a scale runs the same way round as the
    column cannot be told from a file.
    """
    suggested: dict[str, dict[str, Any]] = {}
    taken: set[str] = set()
    for find in (_by_name, _by_label):
        for name, clue in CLUES.items():
            if name in suggested:
                continue
            variable = find(clue, survey, taken)
            table = None if variable is None else _table(name, load_schema()[name].column, variable, survey)
            if variable is not None and table is not None:
                suggested[name] = table
                taken.add(variable.name)
    born = next((v for v in survey.variables if v.type == "number" and _BORN.search(f"{v.name} {v.label}")), None)
    if "age" not in suggested and born is not None:
        table = _age_from_birth(born, survey)
        suggested |= {"age": table} if table else {}
    return {name: suggested[name] for name in load_schema() if name in suggested}


def _by_name(clue: _Clue, survey: Survey, taken: set[str]) -> Variable | None:
    return _first(lambda variable: re.fullmatch(clue.names, variable.name, re.IGNORECASE), survey, taken)


def _by_label(clue: _Clue, survey: Survey, taken: set[str]) -> Variable | None:
    return _first(lambda variable: re.search(clue.label, variable.label, re.IGNORECASE), survey, taken)


def _first(fits: Callable[[Variable], object], survey: Survey, taken: set[str]) -> Variable | None:
    return next((v for v in survey.variables if v.name not in taken and v.type != "date" and fits(v)), None)


def _table(name: str, column: Column, variable: Variable, survey: Survey) -> dict[str, Any] | None:
    answers = survey.frame[variable.name].drop_nulls()
    if not answers.len():
        return None
    table: dict[str, Any] = {"variable": variable.name}
    if column.kind in ("integer", "float"):
        return _numeric(table, column, variable, answers)
    if column.kind == "category" and column.labels:
        return _closed(table, name, column, variable, answers)
    return table


def _numeric(table: dict[str, Any], column: Column, variable: Variable, answers: pl.Series) -> dict[str, Any] | None:
    if variable.type != "number":
        return None
    low, high = _ends(variable, answers)
    inside = (column.low is None or low >= column.low) and (column.high is None or high <= column.high)
    if inside and not (variable.value_labels and (low, high) != (column.low, column.high)):
        return table
    if column.low is None or column.high is None or column.kind == "integer" or not low < high:
        return table if inside else None
    return table | {"range": [low, high], "to": [column.low, column.high]}


def _ends(variable: Variable, answers: pl.Series) -> tuple[float, float]:
    """Return the lowest and highest valid code: those that are labelled count, whether or not anyone chose them."""
    labelled = [code for code in variable.value_labels if isinstance(code, float) and not _is_missing(variable, code)]
    codes = [*labelled, *answers.unique().to_list()]
    return min(codes), max(codes)


def _is_missing(variable: Variable, code: Code) -> bool:
    return any(
        isinstance(code, float) and isinstance(low, float) and isinstance(high, float) and low <= code <= high
        for low, high in variable.missing
    )


def _closed(
    table: dict[str, Any], name: str, column: Column, variable: Variable, answers: pl.Series
) -> dict[str, Any] | None:
    """Return the table with a translation of the labels that are known; None where none is."""
    spelt = {label.casefold(): label for label in column.labels} | dict(WORDS.get(name, {}))
    labels: dict[str, str] = {}
    matched = 0
    for code in answers.unique().sort().to_list():
        label = variable.value_labels.get(code) or str(code)
        found = spelt.get(label.casefold())
        matched += found is not None
        if found is not None and found.casefold() != label.casefold():
            labels[f"{code:.15g}" if isinstance(code, float) else code] = found
    if not matched:
        return None
    return table | ({"labels": labels} if labels else {})


def _age_from_birth(variable: Variable, survey: Survey) -> dict[str, Any] | None:
    """Return age as the latest year in question minus the year of birth, taken from a variable of the survey's year."""
    years = [v for v in survey.variables if v.type == "number" and re.fullmatch(r"(inwy+r?|year|wave_?year)", v.name)]
    if not years:
        return None
    held = survey.frame[years[0].name].drop_nulls()
    born = survey.frame[variable.name].drop_nulls()
    if not held.len() or held.n_unique() != 1 or not born.len():
        return None
    year, first = float(held[0]), float(str(born.min()))
    return {"variable": variable.name, "range": [first, year], "to": [year - first, 0.0]}
