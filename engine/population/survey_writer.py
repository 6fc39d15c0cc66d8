"""Surveys out again: SPSS, Stata, CSV and Parquet files, and a codebook as DDI.

What the reader takes apart is put together: user-missing codes stand among the answers again, labels, measure levels
and missing codes are declared. A spreadsheet takes no text of a CSV file for a formula.

Source: DDI-Codebook 2.5 (ddialliance.org), elements stdyDscr and dataDscr.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl

from engine.errors import PopulationError
from engine.population.codebook import Code, Survey, Variable
from engine.population.text import clean_text

SUFFIXES = (".sav", ".dta", ".csv", ".parquet")
_SPSS_WORDS = frozenset({"all", "and", "by", "eq", "ge", "gt", "le", "lt", "ne", "not", "or", "to", "with"})
_NAME_BYTES = {"SPSS": 64, "Stata": 32}
_LABEL_BYTES = {"SPSS": 255, "Stata": 80}
_VALUE_BYTES = {"SPSS": 119, "Stata": 2000}
_TEXT_BYTES = {"SPSS": 32_000, "Stata": 2045}
_MOST_CODES = 3
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DDI = "ddi:codebook:2_5"
FORMULA = re.compile(r"^[=+@\t\r-]")


def write_survey(survey: Survey, path: Path) -> Path:
    """Write a survey; the suffix tells the format.

    Numbers and labels of SPSS files are kept exactly. Stata has no numeric missing codes: they become its letters, in
    ascending order, under the same labels. In SPSS, Stata's letters become numbers below all others.

    Args:
        survey: What to write.
        path: A file that does not exist yet, ending in one of `SUFFIXES`.

    Raises:
        PopulationError: another suffix, or the file cannot be written.
    """
    writers: Mapping[str, Callable[[Survey, Path], None]] = {
        ".sav": _write_spss,
        ".dta": _write_stata,
        ".csv": _write_csv,
        ".parquet": _write_parquet,
    }
    if path.suffix.lower() not in writers:
        raise PopulationError(f"'{path.name}' must end in {', '.join(SUFFIXES)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        writers[path.suffix.lower()](survey, temporary)
        temporary.replace(path)
    except (OSError, ValueError, TypeError) as error:
        raise PopulationError(f"{path} cannot be written: {clean_text(str(error), 200)}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def coded(survey: Survey, variable: Variable) -> pl.Series:
    """Return a variable's answers with the codes of missing ones among them; Stata's letters are left null."""
    answers = survey.frame[variable.name]
    codes = survey.codes.get(variable.name)
    if codes is None or variable.type == "date":
        return answers
    if variable.type == "number":
        codes = codes.cast(pl.Float64, strict=False)
    return answers.fill_null(codes)


def _shorten(text: str, n_bytes: int) -> str:
    if len(text.encode()) <= n_bytes:
        return text
    return text.encode()[: n_bytes - 3].decode(errors="ignore").rstrip() + "…"


def file_names(survey: Survey, file_format: str) -> dict[str, str]:
    """Return the name of each variable in a file of SPSS or Stata, which allow fewer names."""
    taken: set[str] = set()
    names = {}
    for variable in survey.variables:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", variable.name) if not variable.name.isidentifier() else variable.name
        if plain[:1] in "_0123456789" or plain.lower() in _SPSS_WORDS:
            plain = f"v{plain}" if plain[:1] == "_" else f"v_{plain}"
        plain = _shorten(plain, _NAME_BYTES[file_format]).rstrip("…")
        name, number = plain, 2
        while name.lower() in taken:
            tail = f"_{number}"
            name, number = plain[: _NAME_BYTES[file_format] - len(tail)] + tail, number + 1
        taken.add(name.lower())
        names[variable.name] = name
    return names


# -- SPSS -------------------------------------------------------------------------------------------------------------
def _write_spss(survey: Survey, path: Path) -> None:
    import pyreadstat

    names = file_names(survey, "SPSS")
    frame: dict[str, pl.Series] = {}
    labels: dict[str, dict[Any, str]] = {}
    ranges: dict[str, list[Any]] = {}
    for variable in survey.variables:
        name = names[variable.name]
        answers, values, missing = _spss_variable(survey, variable)
        frame[name] = answers.alias(name)
        if values:
            labels[name] = {code: _shorten(text, _VALUE_BYTES["SPSS"]) for code, text in values.items()}
        if missing:
            ranges[name] = missing
    pyreadstat.write_sav(
        pl.DataFrame(frame),
        str(path),
        file_label=_shorten(survey.label, 60),
        column_labels=_labels(survey, names, "SPSS"),
        variable_value_labels=labels,
        missing_ranges=ranges,
        variable_measure={names[v.name]: v.measure for v in survey.variables if v.measure != "unknown"},
    )


def _labels(survey: Survey, names: Mapping[str, str], file_format: str) -> dict[str, str | None]:
    limit = _LABEL_BYTES[file_format]
    return {names[v.name]: _shorten(v.label, limit) for v in survey.variables if v.label}


def _spss_variable(survey: Survey, variable: Variable) -> tuple[pl.Series, dict[Any, str], list[Any]]:
    """Return a variable's answers, value labels and missing codes as SPSS holds them."""
    answers = coded(survey, variable)
    if variable.type == "date":
        return answers, {}, []
    if variable.type == "text":
        short = [text if text is None else _shorten(text, _TEXT_BYTES["SPSS"]) for text in answers.to_list()]
        answers = pl.Series(variable.name, short, pl.String).fill_null("")
        texts = [low for low, _ in variable.missing if isinstance(low, str)]
        texts_of: dict[Any, str] = {code: text for code, text in variable.value_labels.items() if isinstance(code, str)}
        return answers, texts_of, texts[:_MOST_CODES]
    labels: dict[Any, str] = {code: text for code, text in variable.value_labels.items() if isinstance(code, float)}
    missing = [(low, high) for low, high in variable.missing if isinstance(low, float) and isinstance(high, float)]
    letters = sorted({low for low, _ in variable.missing if isinstance(low, str)})
    if letters:
        bottom = min([*labels, *answers.drop_nulls().to_list(), 0.0])
        base = -100.0 if bottom > -100 else math.floor(bottom / 100) * 100.0
        numbers = {letter: base - 1 - place for place, letter in enumerate(letters)}
        codes = survey.codes.get(variable.name)
        if codes is not None:
            spelt = {f".{letter}": number for letter, number in numbers.items()} | numbers
            written = codes.replace_strict([*spelt], [*spelt.values()], default=None, return_dtype=pl.Float64)
            answers = answers.fill_null(written)
        labels |= {numbers[letter]: str(variable.value_labels.get(letter, f".{letter}")) for letter in letters}
        missing += [(numbers[letter], numbers[letter]) for letter in letters]
    return answers, labels, _spss_ranges(missing)


def _spss_ranges(missing: list[tuple[float, float]]) -> list[Any]:
    """Return at most three codes, or one range and one code, which is what SPSS can declare."""
    if len(missing) <= _MOST_CODES and all(low == high for low, high in missing):
        return [low for low, _ in missing]
    spans = sorted((pair for pair in missing if pair[0] != pair[1]), key=lambda pair: pair[0])
    single = sorted(low for low, high in missing if low == high)
    if len(spans) == 1 and len(single) <= 1:
        return [*({"lo": low, "hi": high} for low, high in spans), *single]
    # More than SPSS can declare: one range over all of them.
    return [{"lo": min(low for low, _ in missing), "hi": max(high for _, high in missing)}]


# -- Stata ------------------------------------------------------------------------------------------------------------
def _write_stata(survey: Survey, path: Path) -> None:
    import pandas as pd  # type: ignore[import-untyped]
    import pyreadstat

    names = file_names(survey, "Stata")
    columns: dict[str, Any] = {}
    labels: dict[str, dict[Any, str]] = {}
    letters_of: dict[str, list[str]] = {}
    for variable in survey.variables:
        name = names[variable.name]
        values, texts, letters = _stata_variable(survey, variable)
        columns[name] = values
        if texts:
            labels[name] = {code: _shorten(text, _VALUE_BYTES["Stata"]) for code, text in texts.items()}
        if letters:
            letters_of[name] = letters
    pyreadstat.write_dta(
        pd.DataFrame(columns),
        str(path),
        file_label=_shorten(survey.label, 76),
        column_labels=_labels(survey, names, "Stata"),
        variable_value_labels=labels,
        missing_user_values=letters_of,
        version=15,
    )


def _stata_variable(survey: Survey, variable: Variable) -> tuple[list[Any], dict[Any, str], list[str]]:
    """Return a variable's values, value labels and the letters of its missing answers as Stata holds them."""
    if variable.type == "date":
        return survey.frame[variable.name].to_list(), {}, []
    if variable.type == "text":
        texts = coded(survey, variable).to_list()
        return ["" if text is None else _shorten(text, _TEXT_BYTES["Stata"]) for text in texts], {}, []
    letters = {low: low for low, _ in variable.missing if isinstance(low, str)}
    free = [letter for letter in _LETTERS if letter not in letters]
    for code in _missing_codes(survey, variable):
        if free:
            letters[code] = free.pop(0)
    codes = survey.codes.get(variable.name)
    values: list[Any] = [float("nan") if value is None else value for value in survey.frame[variable.name].to_list()]
    for row, code in enumerate(codes.to_list() if codes is not None else ()):
        if code is not None:
            values[row] = letters.get(code.lstrip("."), letters.get(code, float("nan")))
    written = {_whole(code): text for code, text in variable.value_labels.items() if _code_name(code) not in letters}
    written = {code: text for code, text in written.items() if not isinstance(code, float)}  # Stata labels integers
    written |= {
        letter: variable.value_labels.get(_as_code(code), variable.value_labels.get(code, code))
        for code, letter in letters.items()
    }
    return values, written, sorted(letters.values())


def _whole(code: Code) -> Any:
    return int(code) if isinstance(code, float) and code.is_integer() else code


def _code_name(code: Code) -> str:
    return f"{code:.15g}" if isinstance(code, float) else code


def _as_code(text: str) -> Code:
    try:
        return float(text)
    except ValueError:
        return text


def _missing_codes(survey: Survey, variable: Variable) -> list[str]:
    """Return the numeric missing codes that are declared, labelled or given, ascending, as texts."""
    spans = [(low, high) for low, high in variable.missing if isinstance(low, float) and isinstance(high, float)]
    found = {low for low, high in spans if low == high}
    found |= {
        code
        for code in variable.value_labels
        if isinstance(code, float) and any(low <= code <= high for low, high in spans)
    }
    codes = survey.codes.get(variable.name)
    given = codes.drop_nulls().unique().to_list() if codes is not None else []
    found |= {number for number in map(_as_code, given) if isinstance(number, float)}
    return [_code_name(code) for code in sorted(found)]


# -- tables -----------------------------------------------------------------------------------------------------------
def neutralised(series: pl.Series) -> pl.Series:
    """Return texts that no spreadsheet takes for formulas: a leading `=`, `+`, `-`, `@` or tab gets an apostrophe."""
    if series.dtype != pl.String:
        return series
    return series.str.replace(FORMULA.pattern, "'$0")


def _write_csv(survey: Survey, path: Path) -> None:
    frame = pl.DataFrame([neutralised(coded(survey, variable)) for variable in survey.variables])
    frame.rename({name: f"'{name}" for name in frame.columns if FORMULA.match(name)}).write_csv(path)


def _write_parquet(survey: Survey, path: Path) -> None:
    pl.DataFrame([coded(survey, variable) for variable in survey.variables]).write_parquet(path)


# -- codebook ---------------------------------------------------------------------------------------------------------
def render_codebook(survey: Survey, provenance: Mapping[str, str] | None = None) -> str:
    """Return the codebook of a survey as DDI-Codebook 2.5.

    Args:
        survey: Variables and answers; how often each labelled answer stands is counted.
        provenance: Where a variable's values come from, by name.
    """
    root = ElementTree.Element("codeBook", {"xmlns": _DDI, "version": "2.5"})
    citation = ElementTree.SubElement(ElementTree.SubElement(root, "stdyDscr"), "citation")
    title = ElementTree.SubElement(ElementTree.SubElement(citation, "titlStmt"), "titl")
    title.text = survey.label or survey.file
    file = ElementTree.SubElement(ElementTree.SubElement(root, "fileDscr"), "fileTxt")
    ElementTree.SubElement(file, "fileName").text = survey.file
    size = ElementTree.SubElement(file, "dimensns")
    ElementTree.SubElement(size, "caseQnty").text = str(survey.n_rows)
    ElementTree.SubElement(size, "varQnty").text = str(len(survey.variables))
    data = ElementTree.SubElement(root, "dataDscr")
    for place, variable in enumerate(survey.variables, start=1):
        _describe_variable(data, f"V{place}", survey, variable, (provenance or {}).get(variable.name, ""))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _describe_variable(
    data: ElementTree.Element, key: str, survey: Survey, variable: Variable, provenance: str
) -> None:
    kinds = {"number": "contin", "text": "discrete", "date": "discrete"}
    level = {"nominal": "nominal", "ordinal": "ordinal", "scale": "interval"}.get(variable.measure)
    intervl = "discrete" if variable.value_labels else kinds[variable.type]
    attributes = {"ID": key, "name": variable.name, "intrvl": intervl} | ({"nature": level} if level else {})
    node = ElementTree.SubElement(data, "var", attributes)
    ElementTree.SubElement(node, "labl").text = variable.label or variable.name
    if variable.missing:
        invalid = ElementTree.SubElement(node, "invalrng")
        for low, high in variable.missing:
            bounds = {"VALUE": _code_name(low)} if low == high else {"min": _code_name(low), "max": _code_name(high)}
            ElementTree.SubElement(invalid, "item" if low == high else "range", bounds)
    counts = dict(coded(survey, variable).drop_nulls().value_counts().iter_rows()) if variable.value_labels else {}
    for code, text in variable.value_labels.items():
        missing = any(low == code or _within(code, low, high) for low, high in variable.missing)
        category = ElementTree.SubElement(node, "catgry", {"missing": "Y"} if missing else {})
        ElementTree.SubElement(category, "catValu").text = _code_name(code)
        ElementTree.SubElement(category, "labl").text = text
        ElementTree.SubElement(category, "catStat", {"type": "freq"}).text = str(int(counts.get(code, 0)))
    ElementTree.SubElement(node, "varFormat", {"type": "character" if variable.type == "text" else "numeric"})
    notes = [text for text in (f"unit: {variable.unit}" * bool(variable.unit), provenance) if text]
    if notes:
        ElementTree.SubElement(node, "notes").text = "; ".join(notes)


def _within(code: Code, low: Code, high: Code) -> bool:
    return all(isinstance(part, float) for part in (code, low, high)) and low <= code <= high  # type: ignore[operator]
