"""Everything wrong with a study at once: plain values, shapes and bounds as sentences.

`Findings` collects; `plain` reduces whatever was given to values that TOML can hold; `check_shape` compares a
table with a pydantic model, removes what is wrong, and returns the rest, so that later checks can go on.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, TypeVar, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from engine.errors import Problem
from engine.registry import nearest

Path = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_DEPTH = 24
MAX_VALUES = 1_000_000
MAX_PROBLEMS = 100
MAX_SHOWN = 60

_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
_LIMITS = {
    "multiple_of": "is not a multiple of {multiple_of}",
    "string_too_long": "has more than {max_length} characters",
    "string_too_short": "has fewer than {min_length} characters",
    "too_long": "has more than {max_length} items",
    "too_short": "has fewer than {min_length} items",
}
_WHOLE = ("int_type", "int_from_float")
_BOUNDS = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}


class TooLarge(Exception):
    """More values than a study can hold; caught where the study is read."""


class Findings:
    """The problems found so far.

    Attributes:
        file: Name of the study's file.
        overridden: Keys that `--set` gave; a problem there names `--set` instead of the file.
        flat: Whether `[network]` is one layer, so that keys leave out `layers.0`.
    """

    def __init__(self, file: str = "") -> None:
        self.file = file
        self.overridden: set[Path] = set()
        self.flat = False
        self.problems: list[Problem] = []

    def add(self, message: str, *path: str | int, file: str | None = None) -> None:
        """Add one problem; the same one twice, and any beyond the hundredth, is left out."""
        given = any(path[: len(known)] == known for known in self.overridden)
        source = file if file is not None else "--set" if given else self.file
        if self.flat and path[:3] == ("network", "layers", 0):
            path = ("network", *path[3:])
        problem = Problem(message, ".".join(_short(str(part)) for part in path), source)
        if len(self.problems) < MAX_PROBLEMS and problem not in self.problems:
            self.problems.append(problem)


def _short(text: str, limit: int = MAX_SHOWN) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = MAX_SHOWN
_REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple, _REPR.maxdict = 3, 6, 6, 4


def shown(value: object) -> str:
    """Return a value for an error text: short, and written as in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else "a number of more than 40 digits"
    return "a table" if isinstance(value, Mapping) else _REPR.repr(value)


def unknown(name: str, what: str, valid: Collection[str]) -> str:
    """Return the sentence for a name that is not among the valid ones."""
    short = _short(name)
    return f"'{short}' is not {what}{nearest(short, valid)}"


def plain(value: Any, findings: Findings) -> Any:
    """Return a value with nothing but what TOML can hold; tables lose keys whose value is None.

    Raises:
        TooLarge: more than a million values.
    """
    return _Plain(findings).reduce(value, ())


_DROPPED = object()


class _Plain:
    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.count = 0

    def reduce(self, value: Any, path: Path) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise TooLarge
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, bool):
            return bool(value)
        if isinstance(value, int | float | str):
            return self._scalar(value, path)
        if isinstance(value, Mapping | list | tuple):
            if len(path) >= MAX_DEPTH:
                return self._drop(f"nested deeper than {MAX_DEPTH} levels", path[:6])
            return self._table(value, path) if isinstance(value, Mapping) else self._list(value, path)
        return self._drop(f"a value of type {type(value).__name__} cannot stand in a study", path)

    def _scalar(self, value: float | str, path: Path) -> Any:
        if isinstance(value, str):
            text = str(value)
            if any("\ud800" <= character <= "\udfff" for character in text):
                return self._drop("this text is not valid Unicode", path)
            return text
        if isinstance(value, float):
            number = float(value)
            return number if math.isfinite(number) else self._drop(f"{number} is not a finite number", path)
        if not -(2**63) <= value < 2**63:
            return self._drop(f"{shown(value)} is not in [-2^63, 2^63 - 1]", path)
        return int(value)

    def _table(self, table: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        found = {}
        for key, value in table.items():
            if not isinstance(key, str) or any("\ud800" <= character <= "\udfff" for character in key):
                self._drop(f"{shown(key)} is not a name; keys are text", path)
            elif value is not None and (reduced := self.reduce(value, (*path, key))) is not _DROPPED:
                found[str(key)] = reduced
        return found

    def _list(self, items: Sequence[Any], path: Path) -> list[Any]:
        reduced = [self.reduce(item, (*path, position)) for position, item in enumerate(items)]
        return [item for item in reduced if item is not _DROPPED]

    def _drop(self, message: str, path: Path) -> Any:
        self.findings.add(message, *path)
        return _DROPPED


def check_shape(
    model: type[ModelT], given: Mapping[str, Any], path: Path, findings: Findings, what: str = ""
) -> ModelT | None:
    """Return the model of a table, without the parts that are wrong; each of those is one problem.

    Types are strict (no text for a number, no true for 1), but 3.0 is a whole number.

    Args:
        model: The pydantic model.
        given: The table, plain values.
        path: Its keys, for the problems.
        findings: Where problems go.
        what: What an unknown key is not, for example "a knob of sir".

    Returns:
        None where what is left is not enough, for example without a key that must be there.
    """
    table = json.loads(json.dumps(given))
    for _ in range(MAX_PROBLEMS):
        try:
            return model.model_validate_json(json.dumps(table), strict=True)
        except ValidationError as error:
            if not _prune(model, table, error, path, findings, what):
                return None
    return None


def _prune(
    model: type[BaseModel], table: dict[str, Any], error: ValidationError, path: Path, findings: Findings, what: str
) -> bool:
    """Report and remove what pydantic found wrong; returns whether anything changed."""
    by_place: dict[Path, list[Any]] = {}
    for detail in error.errors(include_url=False)[:MAX_PROBLEMS]:
        by_place.setdefault(_place(table, detail), []).append(detail)
    values = {place: _value_at(table, place) for place in by_place}
    whole = [p for p, found in by_place.items() if found[0]["type"] in _WHOLE and _is_whole(values[p])]
    for place in whole:
        _parent(table, place)[place[-1]] = int(values[place])
    changed = bool(whole)
    wrong = [place for place in by_place if place not in whole]
    for place in wrong:
        if not _is_misspelt(place, by_place):
            owner, info = _field_at(model, place)
            findings.add(_sentence(by_place[place], place, values[place], owner, info, what), *path, *place)
    for place in wrong:
        is_missing = by_place[place][0]["type"] == "missing"
        if is_missing and len(place) == 1:
            return False
        changed = _remove(table, place[:-1] if is_missing else place) or changed
    return changed


def _is_misspelt(place: Path, by_place: Mapping[Path, list[Any]]) -> bool:
    """Tell whether a missing key is there under a similar name, which is reported by itself."""
    if by_place[place][0]["type"] != "missing":
        return False
    extra = [p for p, found in by_place.items() if found[0]["type"] == "extra_forbidden" and p[:-1] == place[:-1]]
    return any("did you mean" in nearest(str(other[-1]), [place[-1]]) for other in extra)


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _place(table: Any, detail: Any) -> Path:
    """Return an error's place in the table; pydantic adds the names of union members, which are left out."""
    place: list[str | int] = []
    at = table
    for part in detail["loc"]:
        inside = (isinstance(at, dict) and part in at) or (
            isinstance(at, list) and isinstance(part, int) and part < len(at)
        )
        if inside:
            at = at[part]
            place.append(part)
        elif detail["type"] == "missing" and part == detail["loc"][-1]:
            place.append(part)
    return tuple(place)


def _parent(table: Any, place: Path) -> Any:
    for part in place[:-1]:
        table = table[part]
    return table


def _value_at(table: Any, place: Path) -> Any:
    """Return the value at a place, or None where nothing is there (any more)."""
    for part in place:
        if isinstance(table, dict):
            table = table.get(part)
        elif isinstance(table, list) and isinstance(part, int) and part < len(table):
            table = table[part]
        else:
            return None
    return table


def _remove(table: Any, place: Path) -> bool:
    """Remove a value; one inside a list takes the whole list with it, whose positions would shift."""
    for end, part in enumerate(place):
        if isinstance(part, int):
            place = place[:end]
            break
    if not place:
        return False
    holder = _value_at(table, place[:-1])  # None where a wider part was removed for another problem
    return isinstance(holder, dict) and holder.pop(place[-1], _DROPPED) is not _DROPPED


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models inside an annotation such as `tuple[Model, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]


def _field_at(model: type[BaseModel], place: Path) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """Return the innermost model around a place, and its field there; None for an item of a list or table."""
    at: type[BaseModel] | None = model
    owner: type[BaseModel] | None = model
    info: FieldInfo | None = None
    inner: type[BaseModel] | None = None
    for part in place:
        if at is None:
            info, at = None, inner
            continue
        owner = at
        info = next((field for key, field in owner.model_fields.items() if (field.alias or key) == part), None)
        models = _models_in(info.annotation) if info is not None else []
        inner = models[0] if models else None
        at = None if info is None or get_origin(info.annotation) in (dict, tuple, list) else inner
    return owner, info


def _options(annotation: Any) -> list[str]:
    """Return the texts of every `Literal` and enumeration inside an annotation."""
    if get_origin(annotation) is Literal:
        return [str(option) for option in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    return [option for argument in get_args(annotation) for option in _options(argument)]


def _sentence(
    details: list[Any], place: Path, value: Any, owner: type[BaseModel] | None, info: FieldInfo | None, what: str
) -> str:
    """Return what was given and what is allowed."""
    detail = details[0]
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return f"{context.get('error', detail['msg'])}"
    if not place:
        return f"{shown(value)} cannot be read: {detail['msg']}"
    name = f"{place[-2]}[{place[-1]}]" if isinstance(place[-1], int) and len(place) > 1 else _short(str(place[-1]))
    if kind == "missing":
        return f"'{name}' is missing"
    if kind == "extra_forbidden":
        valid = [field.alias or key for key, field in owner.model_fields.items()] if owner is not None else []
        return unknown(name, f"a key of {place[-2]}" if len(place) > 1 else what or "a key here", valid)
    given = f"{name} = {shown(value)}"
    if kind in _BOUNDS:
        return f"{given} is not {_interval(info, kind, context)}"
    if kind in _LIMITS:
        return f"{given} {_LIMITS[kind].format(**context)}"
    if kind in ("literal_error", "enum"):
        return f"{given} is not {_choice(value, _options(info.annotation) if info is not None else [], context)}"
    kinds = dict.fromkeys(_KINDS[item["type"]] for item in details if item["type"] in _KINDS)
    return f"{given} is not {' or '.join(kinds)}" if kinds else f"{given}: {detail['msg']}"


def _choice(value: object, valid: list[str], context: Mapping[str, Any]) -> str:
    if len(valid) == 1:
        return valid[0]
    allowed = ", ".join(map(repr, valid)) or str(context.get("expected", "an allowed value"))
    close = nearest(_short(str(value)), valid)
    return f"one of {allowed}" + (close if "did you mean" in close else "")


def _interval(info: FieldInfo | None, kind: str, context: Mapping[str, Any]) -> str:
    """Return the allowed range as an interval, or the one bound that is known."""
    bounds = {_BOUNDS[kind]: context[_BOUNDS[kind]]}
    for constraint in info.metadata if info is not None else ():
        bounds |= {key: getattr(constraint, key) for key in ("ge", "gt", "le", "lt") if hasattr(constraint, key)}
    low = next((f"{mark}{_number(bounds[key])}" for key, mark in (("ge", "["), ("gt", "(")) if key in bounds), None)
    high = next((f"{_number(bounds[key])}{mark}" for key, mark in (("le", "]"), ("lt", ")")) if key in bounds), None)
    if low and high:
        return f"in {low}, {high}"
    if low:
        return ("at least " if low[0] == "[" else "greater than ") + low[1:]
    return ("at most " if (high or "").endswith("]") else "less than ") + (high or "")[:-1]


def _number(value: Any) -> str:
    if value == 2**63:
        return "2^63"
    return str(value) if isinstance(value, int) else f"{value:.15g}"
