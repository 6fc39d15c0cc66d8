"""Surveys as tables without a codebook of their own: Parquet files, and the first sheet of an Excel workbook."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import PopulationError
from engine.population.codebook import Survey, Variable, nearest_variable
from engine.population.survey_lists import type_cells
from engine.population.text import clean_text, quoted

MAX_UNPACKED = 1024**3
"""Bytes that a workbook may have once it is unpacked; a small file can hold any number of them."""
MAX_CELLS = 250_000_000
_CHUNK = 1 << 20
_NAMES_SHOWN = 5


def read_table_names(path: Path, file_format: str) -> tuple[str, ...]:
    """Return the names of a table's columns without reading its rows.

    Raises:
        PopulationError: unreadable, too large, without columns, or a name given twice.
    """
    if file_format == "Parquet":
        return _checked_names(path, list(_parquet_schema(path)))
    return _checked_names(path, _sheet_names(_first_sheet(path, n_rows=0), path))


def read_table(path: Path, file_format: str, variables: Sequence[str] | None) -> Survey:
    """Read a Parquet file or a workbook's first sheet; arguments and errors as for `read_survey`.

    Texts of a workbook are read as they stand, a formula as its last result; a column is of numbers where all of its
    cells are. Truth values become 0 and 1 with labels.
    """
    table = _read_parquet(path, variables) if file_format == "Parquet" else _read_workbook(path, variables)
    described, frame = [], {}
    for series in table:
        labels = {0.0: "no", 1.0: "yes"} if series.dtype == pl.Boolean else {}
        frame[series.name] = _plain(series)
        kind = "number" if frame[series.name].dtype == pl.Float64 else "text"
        kind = "date" if series.dtype.is_temporal() else kind
        described.append(Variable(series.name, type=kind, value_labels=labels))  # type: ignore[arg-type]
    return Survey(path.name, file_format, "utf-8", "", tuple(described), pl.DataFrame(frame))


def _checked_names(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    empty = [position for position, name in enumerate(names, start=1) if not name.strip()]
    if not names or empty:
        what = f"column {empty[0]} has no name in the first row; give it one" if empty else "there are no columns"
        raise PopulationError(f"{path.name}: {what}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        listed = ", ".join(quoted(name) for name in twice[:_NAMES_SHOWN])
        raise PopulationError(f"{path.name} gives a variable name twice: {listed}; rename one of them")
    return tuple(names)


def _check_known(path: Path, names: Sequence[str], variables: Sequence[str] | None) -> list[str]:
    for name in variables or ():
        if name not in names:
            raise PopulationError(f"{quoted(name)} is not a variable of {path.name}{nearest_variable(name, names)}")
    return [name for name in names if variables is None or name in set(variables)]


# -- Parquet ----------------------------------------------------------------------------------------------------------
def _parquet_schema(path: Path) -> dict[str, pl.DataType]:
    try:
        return dict(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise PopulationError(f"{path.name} is a damaged Parquet file ({_short(error)}); write it again") from None


def _short(error: Exception) -> str:
    return clean_text(str(error).partition("\n")[0], 120)


def _read_parquet(path: Path, variables: Sequence[str] | None) -> pl.DataFrame:
    schema = _parquet_schema(path)
    chosen = _check_known(path, _checked_names(path, list(schema)), variables)
    nested = [name for name in chosen if schema[name].is_nested() or schema[name] in (pl.Binary, pl.Object)]
    if nested:
        listed = ", ".join(quoted(name) for name in nested[:_NAMES_SHOWN])
        raise PopulationError(f"{path.name}: {listed} holds lists or bytes, not answers; save the file without it")
    try:
        n_rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        if n_rows * len(chosen) > MAX_CELLS:
            raise PopulationError(
                f"{path.name} has {n_rows:,} rows of {len(chosen)} variables, more than {MAX_CELLS:,} answers; save it "
                "with fewer"
            )
        return pl.read_parquet(path, columns=chosen)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise PopulationError(f"{path.name} is a damaged Parquet file ({_short(error)}); write it again") from None


def _plain(series: pl.Series) -> pl.Series:
    """Return Float64, String or a date type; no answer is null."""
    if series.dtype.is_temporal():
        return series
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        numbers = series.cast(pl.Float64)
        return numbers.set(~numbers.is_finite().fill_null(True), None)
    texts = series.cast(pl.String)
    return texts.set((texts.str.strip_chars() == "").fill_null(False), None)


# -- workbooks --------------------------------------------------------------------------------------------------------
def check_unpacked(path: Path, limit: int = MAX_UNPACKED) -> None:
    """Check that a workbook stays within a limit when it is unpacked, before anything else reads it.

    Raises:
        PopulationError: it does not, or it is no intact archive.
    """
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > limit:
                total = limit + 1
            for part in parts if total <= limit else ():
                # What an archive says of itself may be wrong, so its parts are unpacked and counted, never kept.
                with archive.open(part) as opened:
                    while total <= limit and (chunk := opened.read(_CHUNK)):
                        total += len(chunk)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise PopulationError(f"{path.name} is a damaged Excel file ({_short(error)}); save it again") from None
    if total > limit:
        raise PopulationError(
            f"{path.name} grows to more than {limit / 1024**3:g} GB when it is unpacked and was not opened; save it as "
            "CSV or Parquet, with fewer rows"
        )


def _first_sheet(path: Path, n_rows: int | None = None) -> pl.DataFrame:
    """Return the first sheet as texts, the row of names included."""
    try:
        import fastexcel
    except ImportError:
        raise PopulationError(f"{path.name}: to read Excel files, run `pip install fastexcel`") from None
    check_unpacked(path)
    limit = None if n_rows is None else n_rows + 1
    try:
        sheet: Any = fastexcel.read_excel(path).load_sheet(0, header_row=None, n_rows=limit, dtypes="string")
        return pl.DataFrame(sheet.to_polars())
    except (fastexcel.FastExcelError, ValueError, OSError) as error:
        raise PopulationError(f"{path.name} is not a readable Excel file ({_short(error)}); save it again") from None


def _sheet_names(sheet: pl.DataFrame, path: Path) -> list[str]:
    if not sheet.height:
        raise PopulationError(f"{path.name}: the first sheet is empty; put the names in its first row")
    names = ["" if cell is None else str(cell).strip() for cell in sheet.row(0)]
    while names and not names[-1]:
        names.pop()
    return names


def _read_workbook(path: Path, variables: Sequence[str] | None) -> pl.DataFrame:
    sheet = _first_sheet(path)
    names = _checked_names(path, _sheet_names(sheet, path))
    chosen = set(_check_known(path, names, variables))
    rows = sheet[:, : len(names)].slice(1)
    filled = rows.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    rows = rows.head(0 if not filled.len() else int(filled[-1]) + 1)
    return pl.DataFrame(
        [
            type_cells(series.cast(pl.String).alias(name), ",")
            for name, series in zip(names, rows, strict=True)
            if name in chosen
        ]
    )
