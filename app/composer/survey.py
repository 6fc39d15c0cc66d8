"""People from a survey: upload, weight, which variable becomes which column, and how well the draw fits."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from pydantic import ValidationError

from app import session
from app.actions import attempt
from app.drafts import Draft, problem_at
from app.forms import Problems, choice_field, safe, show_problems, switch_field
from app.surveys import (
    SUFFIXES,
    file_state,
    keep_survey,
    list_surveys,
    open_survey,
    suggested_population,
    variable_rows,
    variable_words,
)
from engine.errors import MicrocosmError, PopulationError
from engine.population import ENCODINGS, DrawReport, Population, Survey, describe_draw
from engine.spec import PopulationSpec


def survey_of(draft: Draft) -> Survey | None:
    """Return the draft's survey, or None where it cannot be read."""
    file = draft.get("population.file")
    if not isinstance(file, str) or not file:
        return None
    try:
        return open_survey(draft.path.parent / file, draft.get("population.encoding"))
    except MicrocosmError:
        return None


# -- the file ---------------------------------------------------------------------------------------------------------
def show_file(draft: Draft, problems: Problems) -> None:
    """Draw the upload, the choice among files that are there, the weight, and the encoding."""
    folder = draft.path.parent
    key = session.field_key("population.upload")
    st.file_uploader(
        "Upload a survey (SPSS, Stata, SAS, CSV, Parquet, Excel)",
        type=list(SUFFIXES),
        key=key,
        on_change=lambda: attempt(_take_upload, draft, session.value_of(key)),
        help="It stays on this computer, in the workspace beside your studies.",
    )
    known = list_surveys(folder)
    held = draft.get("population.file")
    others = [name for name in known if name != held]
    if others or held:
        widget = session.field_key("population.file")
        options = [*([held] if held else []), *others]
        st.selectbox(
            "Survey file",
            options,
            index=options.index(held) if held in options else None,
            key=widget,
            placeholder="choose one that is there",
            on_change=lambda: attempt(_take_file, draft, session.value_of(widget)),
            help="`population.file`",
        )
    show_problems(tuple(p for p in problems if p.key == "population.file"), "population.file")
    survey = survey_of(draft)
    if survey is not None:
        st.caption(
            safe(f"{survey.format}, {survey.n_rows:,} respondents, {len(survey.variables)} variables. {survey.label}")
        )
        _weight(draft, survey)
        _drawing(draft, survey)
    show_problems(problems, "population.weight")
    show_problems(problems, "population.id")
    if held:
        _reading(draft, problems)


def _take_upload(draft: Draft, upload: Any) -> None:
    """Keep an uploaded file and begin with the mapping that it suggests.

    Raises:
        PopulationError: it is no survey file.
    """
    if upload is not None:
        _take_file(draft, keep_survey(draft.path.parent, upload.name, upload.getvalue()))


def _take_file(draft: Draft, name: str | None) -> None:
    if not name or name == draft.get("population.file"):
        return
    size = draft.get("population.size")
    table: dict[str, Any] = {"file": name} | ({"size": size} if size else {})
    with suppress(PopulationError):  # what is wrong stands at the field, once the file is chosen
        table |= suggested_population(open_survey(draft.path.parent / name, None))
    session.change_draft(partial(Draft.put, key="population", value=table))


def _weight(draft: Draft, survey: Survey) -> None:
    likely = list(survey.weight_candidates)
    numbers = [
        variable.name for variable in survey.variables if variable.type == "number" and not variable.value_labels
    ]
    words = {variable.name: variable_words(variable) for variable in survey.variables}
    held = draft.get("population.weight")
    key = session.field_key("population.weight")
    options = list(dict.fromkeys(["", *likely, *numbers, *([held] if held else [])]))
    st.selectbox(
        "Weight",
        options,
        index=options.index(held or ""),
        format_func=lambda name: words.get(name, name) if name else "none: every respondent counts the same",
        key=key,
        on_change=session.store_field,
        args=("population.weight", lambda name: name or None),
        help="Respondents are drawn with a probability proportional to it. `population.weight`",
    )


def _drawing(draft: Draft, survey: Survey) -> None:
    """Draw how respondents become people, and which variable tells them apart."""
    left, right = st.columns(2)
    ways = {"weight": "drawn by weight", "rows": "each respondent once"}
    with left:
        choice_field(
            draft,
            "population.draw",
            "Respondents are",
            list(ways),
            draft.get("population.draw") or "weight",
            words=lambda way: ways[way],
            help="Once: people are the respondents in the order of the file, and the weight is a column. "
            "`population.draw`",
        )
    with right:
        choice_field(
            draft,
            "population.id",
            "Id of a respondent",
            ["", *(variable.name for variable in survey.variables)],
            draft.get("population.id") or "",
            words=lambda name: name or "none: the row in the file",
            help="Must differ for each respondent; kept as `source_ref`. `population.id`",
            on_change=lambda: session.store_field("population.id", lambda name: name or None),
        )


def _reading(draft: Draft, problems: Problems) -> None:
    with st.expander(
        "Encoding and licence",
        icon=":material/translate:",
        expanded=bool(problem_at(problems, "population.encoding")),
    ):
        choice_field(
            draft,
            "population.encoding",
            "Encoding of its texts",
            ["", *ENCODINGS],
            draft.get("population.encoding") or "",
            words=lambda name: name or "as the file says",
            help="For files whose letters come out wrong. `population.encoding`",
            on_change=lambda: session.store_field("population.encoding", lambda name: name or None),
        )
        show_problems(problems, "population.encoding")
        switch_field(
            draft,
            "population.redistribute",
            "The licence lets me pass the file on",
            help="Otherwise a run keeps only what was drawn from it. `population.redistribute`",
        )


# -- what came out ----------------------------------------------------------------------------------------------------
def show_variables(draft: Draft) -> None:
    """Draw the table of the survey's variables."""
    survey = survey_of(draft)
    if survey is None:
        st.caption("The variables appear when the file can be read.")
        return
    rows = variable_rows(survey)
    height = min(38 + 35 * len(rows), 330)
    st.dataframe(rows, hide_index=True, height=height, alt="Variables of the survey with their labels")


def show_fit(draft: Draft, people: Population, problems: Problems) -> None:
    """Draw how well the people resemble the survey: target, achieved and difference."""
    if problem_at(problems, "population"):
        st.caption("The comparison appears when the mapping holds together.")
        return
    table = json.dumps(draft.table("population"), default=str)
    state = file_state(draft.path.parent / str(draft.get("population.file")))
    try:
        found = fit_report(table, state, str(draft.path.parent), str(draft.personas), people)
    except (MicrocosmError, ValidationError) as error:
        st.markdown(f":red[{safe(error)}]")
        return
    cells = st.columns(4)
    cells[0].metric("Drawn", f"{found.n_agents:,}", help="People of this preview")
    cells[1].metric("Different respondents", f"{found.n_respondents:,}")
    cells[2].metric("Usable", f"{found.n_usable:,} of {found.n_rows:,}", help="With a weight and all needed answers")
    cells[3].metric(
        "Effective n",
        f"{found.effective_n:,.0f}",
        help="What the weights leave of the usable respondents: (sum of w) squared by the sum of w squared",
    )
    rows = found.frame.rename({"standard_error": "standard error"})
    st.dataframe(
        rows,
        hide_index=True,
        height=min(38 + 35 * len(rows), 260),
        placeholder="–",
        column_config={
            name: st.column_config.NumberColumn(format="%.4g")
            for name in ("target", "achieved", "difference", "standard error")
        },
        alt="Target and achieved figures of the people drawn",
    )
    for note in found.notes:
        st.caption(safe(note))


@st.cache_data(max_entries=16, show_spinner=False)
def fit_report(table: str, state: tuple[int, int], base: str, personas: str, _people: Population) -> DrawReport:
    """Compare people with their survey.

    Args:
        table: The `[population]` table as JSON; the cache goes by it.
        state: Tells versions of the file apart.
        base: Folder of the survey.
        personas: The user's own personas folder.
        _people: What was built from the table; not part of the cache's key.
    """
    del state
    return describe_draw(PopulationSpec(**json.loads(table)), _people, base=Path(base), folder=Path(personas))
