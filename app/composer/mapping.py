"""Which answers of a survey become which column: one row per column, with its transformation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app import session
from app.composer.survey import survey_of
from app.drafts import Draft
from app.forms import Problems, choice_field, safe, show_problems
from app.surveys import default_mapping, suggested_population, variable_words
from engine.loading import scenario_info
from engine.population import Column, Survey, load_schema

MISSING = {"drop": "leave them out", "draw": "draw from the others", "keep": "keep as categories"}
MAX_KEPT = 30


def show_mapping(draft: Draft, problems: Problems) -> None:
    """Draw one row per column: variable, transformation and missing answers."""
    survey = survey_of(draft)
    if survey is None:
        return
    st.markdown("**Which answers become which column**")
    table: dict[str, Any] = draft.table("population.map")
    known = known_columns(draft)
    for place, (name, mapping) in enumerate(table.items()):
        with st.container(border=True, key=f"mapping_{place}"):
            _mapping_row(draft, survey, known, place, name, mapping if isinstance(mapping, dict) else {})
            show_problems(problems, f"population.map.{name}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Add a column",
            key="add_mapping",
            icon=":material/add:",
            on_click=session.change_draft,
            args=(partial(_add_mapping, survey=survey, known=known),),
        )
        st.button(
            "Suggest again",
            key="suggest_mapping",
            type="tertiary",
            icon=":material/auto_fix_high:",
            help="Guesses by names and labels; undo brings your own mapping back.",
            on_click=session.change_draft,
            args=(partial(_suggest, survey=survey),),
        )
    others = [v.name for v in survey.variables if v.name not in table]
    kept = [name for name in draft.rows("population.keep") if name in others]
    key = session.field_key("population.keep")
    st.multiselect(
        "Further variables, kept as they are",
        others,
        default=kept,
        key=key,
        max_selections=MAX_KEPT,
        on_change=session.store_field,
        args=("population.keep", lambda names: list(names) or None),
        help="`population.keep`",
    )
    show_problems(problems, "population.keep")


def known_columns(draft: Draft) -> dict[str, Column]:
    """Return the columns that answers can become: the scenario's own first, then the codebook's."""
    own = dict(scenario_info(str(draft.get("scenario"))).columns)
    return own | {name: entry.column for name, entry in load_schema().items() if name not in own}


def _add_mapping(draft: Draft, survey: Survey, known: Mapping[str, Column]) -> None:
    table = dict(draft.table("population.map"))
    name = next(name for name in known if name not in table)
    used = {mapping.get("variable") for mapping in table.values() if isinstance(mapping, dict)}
    free = [v.name for v in survey.variables if v.name not in used] or [v.name for v in survey.variables]
    table[name] = default_mapping(survey, free[0], known[name])
    draft.put("population.map", table)


def _suggest(draft: Draft, survey: Survey) -> None:
    draft.put("population.map", suggested_population(survey)["map"])


def _mapping_row(
    draft: Draft, survey: Survey, known: Mapping[str, Column], place: int, name: str, mapping: dict[str, Any]
) -> None:
    prefix = f"population.map.{name}"
    column, variable, answers, become, missing, remove = st.columns([3, 5, 3, 3, 3, 1], vertical_alignment="bottom")
    with column:
        _column_choice(draft, survey, known, place, name, mapping)
    with variable:
        _variable_choice(draft, survey, known, place, name, mapping)
    recoded = bool(mapping.get("labels"))
    with answers:
        _ends(draft, f"{prefix}.range", "Answers from, to", mapping.get("range"), place, off=recoded)
    with become:
        _ends(draft, f"{prefix}.to", "become from, to", mapping.get("to"), place, off=recoded or "range" not in mapping)
    with missing:
        choice_field(
            draft,
            f"{prefix}.missing",
            "No answer",
            list(MISSING),
            mapping.get("missing", "drop"),
            words=lambda kind: MISSING[kind],
            help=f"What becomes of respondents who gave none. `{prefix}.missing`",
        )
    with remove:
        st.button(
            "",
            key=f"drop_mapping_{place}",
            icon=":material/delete:",
            help=f"Leave out {safe(name)}",
            on_click=session.change_draft,
            args=(partial(_drop_mapping, name=name),),
        )
    _recode(draft, prefix, mapping, place)


def _column_choice(
    draft: Draft, survey: Survey, known: Mapping[str, Column], place: int, name: str, mapping: dict[str, Any]
) -> None:
    taken = set(draft.get("population.map")) - {name}
    options = list(dict.fromkeys([*(column for column in known if column not in taken), name]))
    key = session.field_key(f"mapping.{place}.column")

    def change() -> None:
        chosen = session.value_of(key)
        fresh = default_mapping(survey, str(mapping.get("variable")), known.get(chosen))
        session.change_draft(partial(_replace_mapping, old=name, new=chosen, mapping=fresh))

    st.selectbox(
        "Column",
        options,
        index=options.index(name),
        key=key,
        accept_new_options=True,
        on_change=change,
        help="A column of the scenario or of the codebook, or a new name.",
    )


def _variable_choice(
    draft: Draft, survey: Survey, known: Mapping[str, Column], place: int, name: str, mapping: dict[str, Any]
) -> None:
    words = {variable.name: variable_words(variable) for variable in survey.variables}
    held = mapping.get("variable")
    options = list(dict.fromkeys([*words, *([held] if held else [])]))
    key = session.field_key(f"mapping.{place}.variable")

    def change() -> None:
        fresh = default_mapping(survey, session.value_of(key), known.get(name))
        session.change_draft(partial(_replace_mapping, old=name, new=name, mapping=fresh))

    st.selectbox(
        "Variable of the survey",
        options,
        index=options.index(held) if held in options else None,
        format_func=lambda one: words.get(one, one),
        key=key,
        on_change=change,
    )
    del draft


def _replace_mapping(draft: Draft, old: str, new: str, mapping: dict[str, Any]) -> None:
    table = draft.table("population.map")
    draft.put(
        "population.map", {(new if key == old else key): (mapping if key == old else v) for key, v in table.items()}
    )


def _drop_mapping(draft: Draft, name: str) -> None:
    table = {key: value for key, value in (draft.table("population.map")).items() if key != name}
    draft.put("population.map", table or None)


def _ends(draft: Draft, key: str, label: str, held: Any, place: int, *, off: bool) -> None:
    """Draw two numbers as one text field, `0 to 10`; an empty one drops the key."""
    text = f"{held[0]:g} to {held[1]:g}" if isinstance(held, list) and len(held) == 2 else ""
    widget = session.field_key(key)
    st.text_input(
        label,
        value=text,
        key=widget,
        disabled=off,
        placeholder="as they are",
        on_change=lambda: _store_ends(key, str(session.value_of(widget) or ""), place),
        help=f"For example 0 to 10; 10 to 0 turns the scale round. `{key}`" if key.endswith(".to") else f"`{key}`",
    )
    problem = session.recall(f"ends_error_{key}")
    if problem:
        st.markdown(f":red[{safe(problem)}]")
    del draft


def _store_ends(key: str, text: str, place: int) -> None:
    del place
    session.remember(f"ends_error_{key}", None)
    ends = read_ends(text)
    if ends is None and text.strip():
        session.remember(f"ends_error_{key}", f"'{text}' is not two numbers such as 0 to 10")
        return

    def change(draft: Draft) -> None:
        draft.put(key, ends)
        if ends is None and key.endswith(".range"):
            draft.put(f"{key.removesuffix('range')}to", None)

    session.change_draft(change)


def read_ends(text: str) -> list[float] | None:
    """Return the two numbers of a text such as `0 to 10`, `0, 10` or `-1; 1`; None for anything else."""
    parts = text.replace(" to ", ";").replace(",", ";").split(";")
    try:
        ends = [float(part) for part in parts]
    except ValueError:
        return None
    return ends if len(ends) == 2 and all(abs(end) < 1e300 for end in ends) else None


def _recode(draft: Draft, prefix: str, mapping: dict[str, Any], place: int) -> None:
    labels, codes = mapping.get("labels") or {}, mapping.get("missing_codes") or []
    words = f"Recode ({len(labels)}) and missing codes ({len(codes)})" if labels or codes else "Recode, missing codes"
    with st.popover(words, type="tertiary", key=f"recode_{place}"):
        key = session.field_key(f"{prefix}.labels")
        st.text_area(
            "New values, one a line: answer = value",
            value="\n".join(f"{code} = {value}" for code, value in labels.items()),
            key=key,
            height=150,
            placeholder="1 = man\n2 = woman",
            on_change=lambda: session.change_draft(
                partial(_store_labels, prefix=prefix, text=str(session.value_of(key) or ""))
            ),
            help=f"By code or by label; takes the place of the range. `{prefix}.labels`",
        )
        codes_key = session.field_key(f"{prefix}.missing_codes")
        st.text_input(
            "Answers that are none, beside those the file declares",
            value=", ".join(f"{code:g}" if isinstance(code, int | float) else str(code) for code in codes),
            key=codes_key,
            placeholder="77, 88",
            on_change=session.store_field,
            args=(f"{prefix}.missing_codes", read_codes),
            help=f"`{prefix}.missing_codes`",
        )
    del draft


def _store_labels(draft: Draft, prefix: str, text: str) -> None:
    labels = read_labels(text)
    if labels:
        draft.put(f"{prefix}.range", None)
        draft.put(f"{prefix}.to", None)
    draft.put(f"{prefix}.labels", labels or None)


def read_labels(text: str) -> dict[str, str | bool | float]:
    """Return new value by answer of lines `answer = value`; all numbers, all true and false, or all texts."""
    pairs = [line.rpartition("=") for line in text.splitlines() if "=" in line]
    given = {answer.strip(): value.strip() for answer, _, value in pairs if answer.strip() and value.strip()}
    if given and all(value.lower() in ("true", "false") for value in given.values()):
        return {answer: value.lower() == "true" for answer, value in given.items()}
    try:
        return {answer: float(value) for answer, value in given.items()}
    except ValueError:
        return dict(given)


def read_codes(text: str) -> list[float | str] | None:
    """Return the codes of a text such as `77, 88, a`; None where there is none."""
    codes: list[float | str] = []
    for part in (part.strip() for part in text.split(",")):
        try:
            codes.append(float(part))
        except ValueError:
            codes += [part] if part else []
    return codes or None
