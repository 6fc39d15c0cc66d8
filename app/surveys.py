"""Survey files that the user brings: kept beside the studies under a harmless name, with a first mapping."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import streamlit as st

from engine.errors import PopulationError
from engine.population import Column, Survey, Variable, suggest_mapping
from engine.population.respondents import read_once

SUFFIXES = ("sav", "zsav", "dta", "sas7bdat", "csv", "tsv", "parquet", "xlsx")
SHOWN_LABELS = 6


def survey_file_name(given: str) -> str:
    """Return a plain file name for an uploaded file: letters, digits, `-` and `_`, with the suffix it came with."""
    base = given.replace("\\", "/").rsplit("/", 1)[-1]
    stem, _, suffix = base.rpartition(".")
    plain = unicodedata.normalize("NFKD", stem or suffix).encode("ascii", "ignore").decode("ascii")
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_-")[:60] or "survey"
    ending = re.sub(r"[^a-z0-9]", "", suffix.lower())[:8] if stem else ""
    return f"{plain}.{ending}" if ending else plain


def keep_survey(folder: Path, given: str, content: bytes) -> str:
    """Write an uploaded survey into a folder and return its name there.

    The same file is kept once; another one of the same name gets a number.

    Raises:
        PopulationError: it cannot be read as a survey; then nothing is kept.
    """
    name = survey_file_name(given)
    stem, _, suffix = name.rpartition(".")
    number = 1
    while (path := folder / (name if number == 1 else f"{stem}_{number}.{suffix}")).exists():
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return path.name
        number += 1
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)
    try:
        open_survey(path, None)
    except PopulationError as error:
        if "encoding" in str(error):
            return path.name  # the person can name the right one
        path.unlink()
        raise
    return path.name


def list_surveys(folder: Path) -> list[str]:
    """Return the names of the survey files in a folder, sorted."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in found if path.suffix.lower().lstrip(".") in SUFFIXES and path.is_file())


def file_state(path: Path) -> tuple[int, int]:
    """Return what tells versions of a file apart; zeros where it is not there."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return state.st_mtime_ns, state.st_size


def open_survey(path: Path, encoding: str | None) -> Survey:
    """Return a survey file, read once for all tabs.

    Raises:
        PopulationError: as `read_survey`.
    """
    return _read(str(path), file_state(path), encoding)


@st.cache_resource(max_entries=4, show_spinner="Reading the survey")
def _read(path: str, state: tuple[int, int], encoding: str | None) -> Survey:
    return read_once(Path(path), state, encoding, None)


def suggested_population(survey: Survey) -> dict[str, Any]:
    """Return the mapping and the weight that names and labels of a survey speak for."""
    weights = survey.weight_candidates
    return {"map": suggest_mapping(survey)} | ({"weight": weights[0]} if weights else {})


def default_mapping(survey: Survey, variable: str, column: Column | None) -> dict[str, Any]:
    """Return a variable as a column: its valid answers moved into the column's range where that is another one."""
    table: dict[str, Any] = {"variable": variable}
    if column is None or column.kind not in ("float", "integer") or column.low is None or column.high is None:
        return table
    ends = valid_range(survey, survey.variable(variable))
    if ends is None or ends[0] >= ends[1] or ends == (column.low, column.high):
        return table
    return table | {"range": list(ends), "to": [float(column.low), float(column.high)]}


def valid_range(survey: Survey, variable: Variable) -> tuple[float, float] | None:
    """Return the smallest and largest valid code, given or labelled; None for what is no number."""
    if variable.type != "number":
        return None
    answers = survey.frame[variable.name].drop_nulls()
    codes = [
        float(code) for code in variable.value_labels if isinstance(code, float) and not is_missing(variable, code)
    ]
    codes += [float(answers.min()), float(answers.max())] if len(answers) else []  # type: ignore[arg-type]
    return (min(codes), max(codes)) if codes else None


def is_missing(variable: Variable, code: float | str) -> bool:
    """Tell whether the file declares a code as no answer."""
    return any(
        low <= code <= high if isinstance(code, float) and isinstance(low, float) and isinstance(high, float) else False
        for low, high in variable.missing
    )


def variable_rows(survey: Survey) -> list[dict[str, Any]]:
    """Return one row per variable: name, label, type, labelled answers, and how many gave none."""
    rows = []
    for variable in survey.variables:
        labels = [
            f"{code:g} {text}" if isinstance(code, float) else text for code, text in variable.value_labels.items()
        ]
        more = f" and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else ""
        missing = survey.count_missing(variable.name)
        rows.append(
            {
                "variable": variable.name,
                "label": variable.label,
                "type": variable.type,
                "answers": "; ".join(labels[:SHOWN_LABELS]) + more,
                "no answer": sum(missing.values()),
            }
        )
    return rows


def variable_words(variable: Variable) -> str:
    """Return a variable's name with its label, for a list to choose from."""
    return f"{variable.name}: {variable.label[:60]}" if variable.label else variable.name
