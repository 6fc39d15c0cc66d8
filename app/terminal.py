"""What the command line writes: sentences, tables and JSON lines on standard output, failures on standard error."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def say(text: str) -> None:
    """Write one line of text to standard output, without control characters that a terminal would obey."""
    sys.stdout.write(plain(text) + "\n")


def say_json(value: Any) -> None:
    """Write one JSON object on a line of its own; numbers that are not finite become null."""
    sys.stdout.write(json.dumps(_jsonable(value), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Write a failure to standard error."""
    sys.stderr.write(plain(text) + "\n")


def say_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as aligned columns under a line of names."""
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    widths = [max([len(name), *(len(line[i]) for line in cells)]) for i, name in enumerate(columns)]
    for line in [list(columns), *cells]:
        padded = [text.ljust(width) for text, width in zip(line[:-1], widths, strict=False)]
        say("  ".join([*padded, line[-1]]).rstrip())


def say_fields(fields: Mapping[str, Any]) -> None:
    """Write named values, one a line."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        say(f"{name.ljust(width)}  {_cell(value)}")


def plain(text: str) -> str:
    """Return text with every control character but the line break and the tab replaced by a question mark."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf"} else "?" for c in str(text))


def as_duration(seconds: float | None) -> str:
    """Return a duration in words: '0.42 s', '3 min 20 s', '2 h 05 min'; a dash where it is unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def as_size(n_bytes: float | None) -> str:
    """Return a size in words with decimal prefixes: '1.7 MB'; a dash where it is unknown."""
    if n_bytes is None:
        return "-"
    amount = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return plain(value).replace("\n", " ").replace("\t", " ")


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _jsonable({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _jsonable(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
