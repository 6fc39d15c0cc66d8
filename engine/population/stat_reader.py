"""Reads an SPSS or Stata file in a process of its own, which a damaged file may crash without harm.

Run as a program by `survey_stat`; nothing of the engine is imported. The one argument is a JSON object: path, reader
(read_sav or read_dta), encoding, variables (names, or null for all; an empty list for none), folder. In that folder it
leaves `codebook.json` and, where all the variables exist and no name stands twice, `answers.arrow` and `letters.arrow`
(the letters that Stata has for missing answers). What the file makes impossible is told in `error.txt`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyreadstat


def read(request: dict[str, Any]) -> None:
    """Read the file of a request and leave what it holds in the request's folder."""
    folder = Path(request["folder"])
    reader = getattr(pyreadstat, request["reader"])
    options: dict[str, Any] = {"encoding": request["encoding"]}
    kept = {} if request["reader"] == "read_sas7bdat" else {"user_missing": True}
    # The library's other forms of output load pandas, or go through a slower conversion.
    _, metadata = reader(request["path"], metadataonly=True, output_format="dict", **options)
    names = [str(name) for name in metadata.column_names]
    variables = request["variables"]
    wanted = names if variables is None else [name for name in names if name in set(variables)]
    codebook: dict[str, Any] = {"names": names, "types": {}}
    known = variables is None or set(variables) <= set(names)
    if wanted and known and len({name.lower() for name in names}) == len(names):
        options |= {} if variables is None else {"usecols": wanted}
        try:
            held, metadata = reader(request["path"], output_format="dict", **kept, **options)
            frame = pl.DataFrame([_column(name, held[name]) for name in wanted])
        except (ValueError, OverflowError):  # a date that Python has no word for
            frame, metadata = reader(request["path"], output_format="polars", **kept, **options)
        _write(frame, wanted, folder)
    codebook |= {
        "encoding": metadata.file_encoding,
        "label": metadata.file_label,
        "labels": metadata.column_names_to_labels,
        "types": metadata.readstat_variable_types,
        "measures": metadata.variable_measure,
        "missing": {
            name: [[bound["lo"], bound["hi"]] for bound in ranges] for name, ranges in metadata.missing_ranges.items()
        },
        "letters": metadata.missing_user_values,
        "value_labels": {name: list(pairs.items()) for name, pairs in metadata.variable_value_labels.items()},
    }
    (folder / "codebook.json").write_text(json.dumps(codebook, default=str), encoding="utf-8")


def _column(name: str, values: list[Any]) -> pl.Series:
    """Return the answers to one variable: numbers, texts or dates; numbers among letters stay Python's objects."""
    try:
        return pl.Series(name, values)
    except TypeError:
        return pl.Series(name, values, pl.Object)


def _write(frame: pl.DataFrame, names: list[str], folder: Path) -> None:
    answers: list[pl.Series] = []
    letters: list[pl.Series] = []
    for name in names:
        series = frame[name]
        if series.dtype == pl.Object:  # numbers among letters
            held = series.to_list()
            letters.append(pl.Series(name, [v if isinstance(v, str) else None for v in held], pl.String))
            series = pl.Series(name, [None if isinstance(v, str) else v for v in held], pl.Float64, strict=False)
        answers.append(series)
    pl.DataFrame(answers).write_ipc(folder / "answers.arrow")
    pl.DataFrame(letters).write_ipc(folder / "letters.arrow")


def main() -> int:
    """Carry out the request in the first argument; 1 where the file does not allow it."""
    request = json.loads(sys.argv[1])
    try:
        read(request)
    except Exception as error:
        # The library raises several unrelated types; all of them are faults of the file.
        (Path(request["folder"]) / "error.txt").write_text(str(error), encoding="utf-8", errors="replace")
        return 1
    return 0


if __name__ == "__main__":
    # All is written: to take millions of values down one by one would cost a third of the time.
    os._exit(main())
