"""Surveys as lists of values: text files with a header, separated by comma, semicolon or tab."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.errors import PopulationError
from engine.population.codebook import Survey, Variable, nearest_variable
from engine.population.text import quoted

_SEPARATORS = (",", ";", "\t")
_NO_NUMBER = ("", "NA", ".")
"""Cells that are no answer where the others are numbers; in a column of texts only an empty cell is none."""


def read_header(path: Path, encoding: str | None) -> tuple[str, ...]:
    """Return the names in a list's first row.

    Raises:
        PopulationError: another encoding, a name given twice, or a column without one.
    """
    with path.open("rb") as opened:
        line = opened.readline()
    return _header(path, _decode(path, line, encoding).rstrip("\r\n"))[0]


def read_list(path: Path, encoding: str | None, variables: Sequence[str] | None) -> Survey:
    """Read a list of values with a header; arguments and errors as for `read_survey`.

    A column is of numbers where all its cells are, apart from empty ones, `NA` and `.`; a decimal comma is understood
    where the separator is another.
    """
    text = _decode(path, _bytes(path), encoding)
    names, separator = _header(path, text.partition("\n")[0].rstrip("\r"))
    for name in variables or ():
        if name not in names:
            raise PopulationError(f"{quoted(name)} is not a variable of {path.name}{nearest_variable(name, names)}")
    chosen = [name for name in names if variables is None or name in set(variables)]
    try:
        table = pl.read_csv(
            text.encode(),
            has_header=False,
            skip_rows=1,
            new_columns=list(names),
            separator=separator,
            infer_schema=False,
        )
    except pl.exceptions.NoDataError:
        table = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    except (pl.exceptions.PolarsError, pl.exceptions.ShapeError) as error:
        raise PopulationError(f"{path.name}: {_misshapen(text, separator, len(names), error)}") from None
    if table.width < len(names):
        table = table.with_columns(pl.lit(None, pl.String).alias(name) for name in names[table.width :])
    blank = table.select(pl.all_horizontal(pl.all().is_null())).to_series()
    filled = blank.arg_true().to_list()
    last = table.height
    while filled and filled[-1] == last - 1:
        last = filled.pop()
    table = table.head(last)
    columns = {name: type_cells(table[name], separator) for name in chosen}
    described = tuple(
        Variable(name, type="number" if series.dtype == pl.Float64 else "text") for name, series in columns.items()
    )
    return Survey(path.name, "CSV", encoding or "utf-8", "", described, pl.DataFrame(columns))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PopulationError(f"{path.name} cannot be read: {error.strerror or error}") from None


def _decode(path: Path, content: bytes, encoding: str | None) -> str:
    name = (encoding or "utf-8").lower()
    try:
        text = content.decode({"utf-8": "utf-8-sig", "latin-9": "iso-8859-15"}.get(name, name))
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        told = 'give its encoding, for example encoding = "cp1252", or save it as UTF-8'
        raise PopulationError(f"{path.name}: row {row} is not in the encoding {name}; {told}") from None
    if "\0" in text:
        raise PopulationError(f"{path.name} holds characters that no text has; is it a list of values?")
    return text


def _header(path: Path, line: str) -> tuple[tuple[str, ...], str]:
    separator = max(_SEPARATORS, key=line.count)
    try:
        names = [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error as error:
        raise PopulationError(f"{path.name}: the first row is no list of names ({error})") from None
    empty = [position for position, name in enumerate(names, start=1) if not name]
    if empty:
        raise PopulationError(f"{path.name}: column {empty[0]} has no name in the first row; give it one")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        listed = ", ".join(quoted(name) for name in twice[:5])
        raise PopulationError(f"{path.name} gives a variable name twice: {listed}; rename one of them")
    return tuple(names), separator


def _misshapen(text: str, separator: str, n_columns: int, error: Exception) -> str:
    try:
        rows = csv.reader(io.StringIO(text), delimiter=separator)
        long = [number for number, cells in enumerate(rows, start=1) if len(cells) > n_columns]
    except csv.Error as found:
        return f"is not a readable list of values ({found})"
    if not long:
        return f"is not a readable list of values ({str(error).partition(chr(10))[0][:120]})"
    return f"row {long[0]} has more than {n_columns} cells ({len(long)} such rows); quote texts that hold {separator!r}"


def type_cells(cells: pl.Series, separator: str) -> pl.Series:
    """Return numbers where all cells are, texts otherwise; null for no answer.

    Args:
        cells: Texts as they stand in the file.
        separator: Separator of the cells; where it is no comma, a comma within a number is its decimal point.
    """
    texts = cells.fill_null("").str.strip_chars()
    answered = texts.set(texts.is_in(_NO_NUMBER), None)
    written = answered
    if separator != ",":
        written = answered.str.replace(",", ".", literal=True)
    numbers = written.cast(pl.Float64, strict=False)
    is_number = numbers.null_count() == answered.null_count() and answered.null_count() < answered.len()
    if is_number and bool(numbers.is_finite().all()):
        return numbers
    return texts.set(texts == "", None)
