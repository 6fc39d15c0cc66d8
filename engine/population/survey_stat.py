"""SPSS and Stata files, read through the ReadStat library."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import PopulationError
from engine.population.codebook import ENCODINGS, Code, Measure, Survey, Variable, VariableType, nearest_variable
from engine.population.text import clean_text, quoted

_LABEL_LIMIT = 1000
_READERS = {"SPSS": "read_sav", "Stata": "read_dta"}
_MEASURES: Mapping[str, Measure] = {"nominal": "nominal", "ordinal": "ordinal", "scale": "scale"}


def read_stat_names(path: Path, file_format: str, encoding: str | None) -> tuple[str, ...]:
    """Return the names of all variables of an SPSS or Stata file.

    Raises:
        PopulationError: unreadable, without variables, or a name given twice.
    """
    _, metadata = _read(path, file_format, encoding, metadataonly=True)
    names = tuple(str(name) for name in metadata.column_names)
    if not names:
        raise PopulationError(f"{path.name} has no variables; export it again")
    # SPSS takes names that differ in capital letters only for one name, and ReadStat tells such twins apart by them.
    keys = [name.lower() if file_format == "SPSS" else name for name in names]
    twice = sorted({name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1})
    if twice:
        listed = ", ".join(quoted(name) for name in twice[:5])
        raise PopulationError(f"{path.name} gives a variable name twice: {listed}; rename one of them")
    return names


def read_stat(path: Path, file_format: str, encoding: str | None, variables: Sequence[str] | None) -> Survey:
    """Read an SPSS or Stata file, or some of its variables; arguments and errors as for `read_survey`."""
    names = read_stat_names(path, file_format, encoding)
    for name in variables or ():
        if name not in names:
            raise PopulationError(f"{quoted(name)} is not a variable of {path.name}{nearest_variable(name, names)}")
    chosen = list(names) if variables is None else [name for name in names if name in set(variables)]
    options = {} if variables is None else {"usecols": chosen}
    raw, metadata = _read(path, file_format, encoding, user_missing=True, output_format="polars", **options)
    frame: dict[str, pl.Series] = {}
    codes: dict[str, pl.Series] = {}
    described = []
    for name in chosen:
        variable = _describe(name, raw[name], metadata)
        valid, missing = _split(raw[name], variable)
        described.append(variable)
        frame[name] = valid
        if missing is not None:
            codes[name] = missing
    declared = clean_text(str(metadata.file_encoding or "UTF-8"), 40)
    label = clean_text(str(metadata.file_label or ""), _LABEL_LIMIT)
    return Survey(path.name, file_format, encoding or declared, label, tuple(described), pl.DataFrame(frame), codes)


def _read(path: Path, file_format: str, encoding: str | None, **options: Any) -> tuple[Any, Any]:
    try:
        library = importlib.import_module("pyreadstat")
    except ImportError:
        raise PopulationError(f"{path.name}: to read {file_format} files, run `pip install pyreadstat`") from None
    reader = getattr(library, _READERS[file_format])
    try:
        frame, metadata = reader(str(path), encoding=ENCODINGS[encoding.lower()] if encoding else None, **options)
    except Exception as error:
        # The library raises several unrelated types; whatever it cannot read is a fault of the file.
        raise PopulationError(_reason(path, file_format, encoding, str(error))) from None
    return frame, metadata


def _reason(path: Path, file_format: str, encoding: str | None, error: str) -> str:
    told = 'give its encoding, for example encoding = "cp1252" for files of older Western European Windows programs'
    if "invalid byte sequence" in error or "codec can't decode" in error:
        what = f"is not in the encoding {encoding}" if encoding else "has texts in another encoding than it declares"
        return f"{path.name} {what}; {told}"
    if "unsupported character set" in error:
        return f"{path.name} declares an encoding that is not known; {told}"
    return f"{path.name} is a damaged {file_format} file ({clean_text(error, 120)}); export it again"


def _describe(name: str, raw: pl.Series, metadata: Any) -> Variable:
    labels: dict[Code, str] = {}
    for code, label in (metadata.variable_value_labels.get(name) or {}).items():
        labels[code.rstrip() if isinstance(code, str) else float(code)] = clean_text(str(label), _LABEL_LIMIT)
    ranges = [(bound["lo"], bound["hi"]) for bound in metadata.missing_ranges.get(name) or ()]
    ranges += [(letter, letter) for letter in metadata.missing_user_values.get(name) or ()]
    return Variable(
        name=name,
        label=clean_text(str(metadata.column_names_to_labels.get(name) or ""), _LABEL_LIMIT),
        type=_type_of(raw, metadata.readstat_variable_types.get(name, "")),
        value_labels=labels,
        missing=tuple((_code(low), _code(high)) for low, high in ranges),
        measure=_MEASURES.get(metadata.variable_measure.get(name, ""), "unknown"),
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
        valid = texts.set(texts == "", None)
        wrong = valid.is_in([low for low, _ in variable.missing if isinstance(low, str)])
        missing = valid.set(~wrong, None)
        return valid.set(wrong, None), missing if missing.null_count() < missing.len() else None
    if raw.dtype == pl.Object:  # numbers among the letters that Stata has for missing answers
        held = raw.to_list()
        numbers = pl.Series(raw.name, [None if isinstance(v, str) else v for v in held], pl.Float64, strict=False)
        letters = pl.Series(raw.name, [f".{v}" if isinstance(v, str) else None for v in held], pl.String)
        return _finite(numbers), letters
    numbers = _finite(raw.cast(pl.Float64))
    wrong = pl.Series(raw.name, [False], pl.Boolean).new_from_index(0, numbers.len())
    for low, high in variable.missing:
        if isinstance(low, float) and isinstance(high, float):
            wrong |= ((numbers >= low) & (numbers <= high)).fill_null(False)
    if not wrong.any():
        return numbers, None
    known = numbers.filter(wrong).unique()
    texts = numbers.replace_strict(known, [f"{code:.15g}" for code in known], default=None, return_dtype=pl.String)
    return numbers.set(wrong, None), texts


def _finite(numbers: pl.Series) -> pl.Series:
    return numbers.set((numbers.abs() == math.inf) | numbers.is_nan(), None)
