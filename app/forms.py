"""Forms drawn from what the engine declares: knobs, generators, decisions and interventions, one field per value.

Fields have no hard bounds of their own: a value outside is kept, and the engine's message stands beside it.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app import session
from app.drafts import Draft, problem_at
from engine.errors import Problem

Problems = tuple[Problem, ...]
_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def safe(text: object) -> str:
    """Return text that Streamlit's Markdown shows literally: every ASCII punctuation mark is escaped."""
    return _MARKDOWN.sub(r"\\\1", str(text)).replace("\n", " ")


def title_of(name: str) -> str:
    """Return a name as words: `p_rewire` becomes `p rewire`."""
    return name.replace("_", " ")


def show_problems(problems: Problems, key: str) -> bool:
    """Show the messages that belong to a key, below its field; returns whether there were any."""
    messages = problem_at(problems, key)
    for message in messages:
        st.markdown(f":red[:material/error: {safe(message)}]")
    return bool(messages)


def default_of(info: FieldInfo) -> Any:
    """Return the default of a field, or None where it has none."""
    found = info.get_default(call_default_factory=True)  # type: ignore[call-arg]
    return None if found is PydanticUndefined else found


def bounds_of(info: FieldInfo) -> str:
    """Return the range of a field in words, for example `0 to 1`, or an empty string."""
    limits = {
        key: getattr(item, key) for item in info.metadata for key in ("ge", "gt", "le", "lt") if hasattr(item, key)
    }
    low = f"{limits['ge']:g}" if "ge" in limits else (f"above {limits['gt']:g}" if "gt" in limits else "")
    high = f"{limits['le']:g}" if "le" in limits else (f"below {limits['lt']:g}" if "lt" in limits else "")
    if low and high:
        return f"{low} to {high}"
    if low:
        return low if low.startswith("above") else f"at least {low}"
    return high if not high or high.startswith("below") else f"at most {high}"


def help_of(key: str, info: FieldInfo) -> str:
    """Return the tooltip of a field: its sentence, range, default, and key in the study file."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    parts = [safe(info.description or "")]
    if bounds_of(info):
        parts.append(f"Allowed: {safe(bounds_of(info))}.")
    if default_of(info) is not None:
        parts.append(f"Default: {safe(default_of(info))}.")
    if extra.get("at_setup"):
        parts.append("Takes effect at the next set-up.")
    return " ".join(part for part in [*parts, f"`{key}`"] if part)


def label_of(name: str, info: FieldInfo) -> str:
    """Return the label of a field: its name in words and its unit."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    unit = str(extra.get("unit", "") or "")
    return safe(title_of(name)) + (f" ({safe(unit)})" if unit else "")


def model_fields(
    model: type[BaseModel],
    prefix: str,
    draft: Draft,
    problems: Problems,
    *,
    per_row: int = 3,
    skip: Iterable[str] = (),
    choices: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Draw one field per parameter of a model, in rows; `choices` names the values that a parameter can have."""
    names = [name for name in model.model_fields if name not in set(skip)]
    for start in range(0, len(names), per_row):
        columns = st.columns(per_row, gap="medium")
        for column, name in zip(columns, names[start : start + per_row], strict=False):
            with column:
                model_field(name, model.model_fields[name], prefix, draft, problems, (choices or {}).get(name, ()))


def model_field(
    name: str, info: FieldInfo, prefix: str, draft: Draft, problems: Problems, choices: Sequence[Any] = ()
) -> None:
    """Draw one parameter: a choice, a switch, a number, or a text, with its messages below."""
    key = f"{prefix}.{name}" if prefix else name
    kind = plain_type(info.annotation)
    value = draft.get(key, default_of(info))
    label, words = label_of(name, info), help_of(key, info)
    options = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        choice_field(draft, key, label, list(dict.fromkeys([*choices, value])), value, help=words, words=_said)
    elif options and value in options:
        choice_field(draft, key, label, options, value, help=words)
    elif kind is bool and isinstance(value, bool | None):
        _keyed(st.toggle, key, label, value=bool(value), help=words)
    elif kind in (int, float) and isinstance(value, int | float | None) and not isinstance(value, bool):
        number_field(draft, key, label, value, whole=kind is int, help=words, optional=default_of(info) is None)
    else:
        text = _join(value)
        _keyed(st.text_input, key, label, value=text, help=words, convert=lambda given: _split(given, kind, value))
    show_problems(problems, key)


def _said(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def number_field(
    draft: Draft, key: str, label: str, value: float | None, *, whole: bool, help: str = "", optional: bool = False
) -> None:
    """Draw a number; an optional one may be left empty, which drops the key."""
    if value is not None:
        value = int(value) if whole and float(value).is_integer() else float(value)
    whole = whole and (value is None or isinstance(value, int))
    step: float = 1 if whole else _step(float(value or 0.0))
    _keyed(
        st.number_input,
        key,
        label,
        value=value,
        step=step,
        format="%d" if whole else "%g",
        help=help or None,
        placeholder="not set" if optional else None,
    )


def choice_field(
    draft: Draft,
    key: str,
    label: str,
    options: Sequence[Any],
    value: Any,
    *,
    help: str = "",
    words: Callable[[Any], str] = str,
    on_change: Callable[[], None] | None = None,
) -> None:
    """Draw a choice among options; `on_change` replaces the plain storing of the chosen option."""
    held = list(options)
    _keyed(
        st.selectbox,
        key,
        label,
        options=held,
        index=held.index(value) if value in held else None,
        format_func=words,
        help=help or None,
        on_change=on_change,
    )


def switch_field(draft: Draft, key: str, label: str, *, help: str = "") -> None:
    """Draw a switch that is off where the draft says nothing; switching it off drops the key."""
    _keyed(
        st.toggle,
        key,
        label,
        value=bool(draft.get(key)),
        help=help or None,
        convert=lambda given: True if given else None,
    )


def text_field(
    draft: Draft, key: str, label: str, *, help: str = "", tall: bool = False, placeholder: str = ""
) -> None:
    """Draw a text; an empty one drops the key."""
    value = draft.get(key)
    draw = st.text_area if tall else st.text_input
    extra = {"height": 90} if tall else {}
    _keyed(
        draw,
        key,
        label,
        value="" if value is None else str(value),
        help=help or None,
        placeholder=placeholder,
        convert=lambda given: given if given else None,
        **extra,
    )


def several_field(
    draft: Draft, key: str, label: str, options: Sequence[str], value: Sequence[str], help: str = ""
) -> None:
    """Draw a choice of several options."""
    _keyed(
        st.multiselect, key, label, options=list(options), default=[v for v in value if v in options], help=help or None
    )


def _keyed(
    draw: Callable[..., Any],
    key: str,
    label: str,
    *,
    convert: Callable[[Any], Any] | None = None,
    on_change: Callable[[], None] | None = None,
    **options: Any,
) -> Any:
    """Draw a widget whose value goes into the draft at `key`."""
    store = on_change or session.store_field
    arguments = {} if on_change else {"args": (key, convert)}
    return draw(label, key=session.field_key(key), on_change=store, **arguments, **options)


def plain_type(annotation: Any) -> Any:
    """Return a field's type without the None of an optional one."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _step(value: float) -> float:
    if value == 0:
        return 0.01
    return float(10.0 ** (math.floor(math.log10(abs(value))) - 1)) if abs(value) < 1 else max(0.1, round(value / 20, 1))


def _join(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        rows = [_join(item) if isinstance(item, list | tuple) else f"{item}" for item in value]
        return ("; " if any(isinstance(item, list | tuple) for item in value) else ", ").join(rows)
    return str(value)


def _split(given: str, kind: Any, before: Any) -> Any:
    """Return a typed text as the value that it means: numbers, lists of them (`;` between rows), else the text."""
    if not given.strip():
        return None
    if get_origin(kind) in (Union, types.UnionType):
        return {"true": True, "false": False}.get(given.strip().lower(), _number(given))
    listed = get_origin(kind) in (list, tuple) or isinstance(before, list | tuple)
    if ";" in given:
        return [_numbers(row) for row in given.split(";") if row.strip()]
    if listed:
        return _numbers(given)
    return _number(given) if kind in (int, float) or isinstance(before, int | float) else given


def _numbers(text: str) -> list[Any]:
    return [_number(part) for part in text.split(",") if part.strip()]


def _number(text: str) -> Any:
    text = text.strip()
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text
