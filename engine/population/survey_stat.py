"""SPSS, Stata and SAS files, read through the ReadStat library in a process of its own (`stat_reader`)."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import PopulationError
from engine.population.codebook import ENCODINGS, Code, Measure, Survey, Variable, VariableType, nearest_variable
from engine.population.origins import split_missing
from engine.population.text import clean_text, quoted

LONGEST_S = 300.0
PROGRAM = Path(__file__).with_name("stat_reader.py")
_LABEL_LIMIT = 1000
_READERS = {"SPSS": "read_sav", "Stata": "read_dta", "SAS": "read_sas7bdat"}
_MEASURES: Mapping[str, Measure] = {"nominal": "nominal", "ordinal": "ordinal", "scale": "scale"}


def read_stat_names(path: Path, file_format: str, encoding: str | None) -> tuple[str, ...]:
    """Return the names of all variables of an SPSS or Stata file.

    Raises:
        PopulationError: unreadable, without variables, or a name given twice.
    """
    codebook, _, _ = _read(path, file_format, encoding, ())
    return _checked_names(path, file_format, codebook["names"])


def _checked_names(path: Path, file_format: str, names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        raise PopulationError(f"{path.name} has no variables; export it again")
    # SPSS takes names that differ in capital letters only for one name, and ReadStat tells such twins apart by them.
    keys = [name.lower() if file_format == "SPSS" else name for name in names]
    twice = sorted({name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1})
    if twice:
        listed = ", ".join(quoted(name) for name in twice[:5])
        raise PopulationError(f"{path.name} gives a variable name twice: {listed}; rename one of them")
    return tuple(names)


def read_stat(path: Path, file_format: str, encoding: str | None, variables: Sequence[str] | None) -> Survey:
    """Read an SPSS or Stata file, or some of its variables; arguments and errors as for `read_survey`."""
    codebook, answers, letters = _read(path, file_format, encoding, variables)
    names = _checked_names(path, file_format, codebook["names"])
    for name in variables or ():
        if name not in names:
            raise PopulationError(f"{quoted(name)} is not a variable of {path.name}{nearest_variable(name, names)}")
    frame: dict[str, pl.Series] = {}
    codes: dict[str, pl.Series] = {}
    described = []
    for name in answers.columns:
        variable = _describe(name, answers[name], codebook)
        valid, missing = _split(answers[name], variable)
        described.append(variable)
        frame[name] = valid
        if name in letters.columns:
            codes[name] = pl.select(pl.lit(".") + letters[name]).to_series().alias(name)
        elif missing is not None:
            codes[name] = missing
    declared = clean_text(str(codebook["encoding"] or "UTF-8"), 40)
    label = clean_text(str(codebook["label"] or ""), _LABEL_LIMIT)
    return Survey(path.name, file_format, encoding or declared, label, tuple(described), pl.DataFrame(frame), codes)


def _read(
    path: Path, file_format: str, encoding: str | None, variables: Sequence[str] | None
) -> tuple[dict[str, Any], pl.DataFrame, pl.DataFrame]:
    """Return the codebook, the answers and the letters that `stat_reader` found; both empty without variables."""
    if importlib.util.find_spec("pyreadstat") is None:
        raise PopulationError(f"{path.name}: to read {file_format} files, run `pip install pyreadstat`")
    request = {
        "path": str(path.absolute()),
        "reader": _READERS[file_format],
        "encoding": ENCODINGS[encoding.lower()] if encoding else None,
        "variables": None if variables is None else list(variables),
    }
    with tempfile.TemporaryDirectory(prefix="microcosm-") as folder:
        home = Path(folder)
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(PROGRAM), json.dumps(request | {"folder": folder})],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PopulationError(f"{path.name} was not read within {LONGEST_S:g} s; export it again") from None
        if done.returncode:
            told = home / "error.txt"
            error = told.read_text(encoding="utf-8") if told.is_file() else "its reader stopped"
            raise PopulationError(_reason(path, file_format, encoding, error))
        codebook = json.loads((home / "codebook.json").read_text(encoding="utf-8"))
        if not (home / "answers.arrow").is_file():
            return codebook, pl.DataFrame(), pl.DataFrame()
        frames = [pl.read_ipc((home / f"{name}.arrow").read_bytes()) for name in ("answers", "letters")]
        return codebook, frames[0], frames[1]


def _reason(path: Path, file_format: str, encoding: str | None, error: str) -> str:
    told = 'give its encoding, for example encoding = "cp1252" for files of older Western European Windows programs'
    if any(words in error for words in ("invalid byte sequence", "codec can't decode", "unsupported character set")):
        what = f"is not in the encoding {encoding}" if encoding else "has texts in another encoding than it declares"
        return f"{path.name} {what}; {told}"
    return f"{path.name} is a damaged {file_format} file ({clean_text(error, 120)}); export it again"


def _describe(name: str, raw: pl.Series, codebook: Mapping[str, Any]) -> Variable:
    labels = {
        _code(code): clean_text(str(label), _LABEL_LIMIT) for code, label in codebook["value_labels"].get(name) or ()
    }
    missing = [(_code(low), _code(high)) for low, high in codebook["missing"].get(name) or ()]
    missing += [(letter, letter) for letter in codebook["letters"].get(name) or ()]
    return Variable(
        name=name,
        label=clean_text(str(codebook["labels"].get(name) or ""), _LABEL_LIMIT),
        type=_type_of(raw, codebook["types"].get(name, "")),
        value_labels=labels,
        missing=tuple(missing),
        measure=_MEASURES.get(codebook["measures"].get(name, ""), "unknown"),
    )


def _code(given: Any) -> Code:
    return given.rstrip() if isinstance(given, str) else float(given)


def _type_of(raw: pl.Series, stored: str) -> VariableType:
    if raw.dtype.is_temporal():
        return "date"
    return "text" if stored == "string" else "number"


def _split(raw: pl.Series, variable: Variable) -> tuple[pl.Series, pl.Series | None]:
    """Return the valid answers, and the user-missing codes as text, or None where there are none."""
    if variable.type == "date":
        return raw, None
    if variable.type == "text":
        texts = raw.cast(pl.String).str.strip_chars_end()
        return split_missing(texts.set(texts == "", None), variable)
    return split_missing(_finite(raw.cast(pl.Float64)), variable)


def _finite(numbers: pl.Series) -> pl.Series:
    return numbers.set((numbers.abs() == math.inf) | numbers.is_nan(), None)
