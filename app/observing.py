"""Observed people beside the comparison: another wave of the survey, measured as the runs are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from app import session
from app.actions import attempt, study_of
from app.comparing import State
from app.contrasts import chosen_pair, number
from app.forms import safe, title_of
from app.surveys import SUFFIXES, file_state, keep_survey, list_surveys, open_survey, variable_words
from engine.analysis import Observed, mapped_states, observe, outcome_table, write_observed
from engine.errors import MicrocosmError
from engine.runs import RunInfo

NOTHING = "none yet"
WORDS = (
    "Validation: people who were not used to build the study. The simulation is not fitted to them; where they agree, "
    "one more way in which the study could have been wrong is ruled out, and no more than that."
)


def show_observed(state: State, infos: Mapping[Path, RunInfo], measure: str, experiment: str) -> None:
    """Draw the choice of another wave, and its outcome beside that of the groups."""
    first = next(iter(infos.values()))
    study, base = study_of(str(first.folder)), session.workspace().studies
    states = mapped_states(study)
    if not states:
        return
    with st.expander("Validation: beside an observed second wave", icon=":material/fact_check:"):
        st.caption(WORDS)
        file, variables = _choose(base, states, str(study.population.file))
        if not file:
            st.caption("Upload the wave, or choose one of the survey files that are there.")
            return
        try:
            waves = [
                _observe(str(first.folder), measure, name, file_state(base / name), tuple(own.items()))
                for name, own in ((str(study.population.file), {}), (file, variables))
            ]
        except MicrocosmError as error:
            st.info(safe(error))
            return
        rows = beside(state, measure, *waves)
        _draw(rows, measure, waves)
        if experiment:
            write_observed(session.workspace().experiments / experiment, waves[1], rows)


def _choose(base: Path, states: Mapping[str, str], own: str) -> tuple[str, dict[str, str]]:
    """Return the file of the other wave, and its variable for each mapped state."""
    left, right = st.columns(2, gap="medium")
    with left:
        upload = st.file_uploader("Second wave", type=list(SUFFIXES), key="second_wave_upload")
        if upload is not None and session.recall("second_wave_taken") != upload.file_id:
            session.remember("second_wave_taken", upload.file_id)
            attempt(_keep, base, upload)
    there = [NOTHING, *(name for name in list_surveys(base) if name != own), own]
    with right:
        held = session.recall("second_wave")
        place = there.index(held) if held in there else 0
        file = st.selectbox("Survey file of the second wave", there, index=place, key=f"second_wave_file_{held}")
        session.remember("second_wave", file)
        if file == NOTHING:
            return "", {}
        return str(file), _variables(base / str(file), states)


def _keep(base: Path, upload: Any) -> None:
    session.remember("second_wave", keep_survey(base, upload.name, upload.getvalue()))


def _variables(path: Path, states: Mapping[str, str]) -> dict[str, str]:
    """Ask which variable stands for each mapped state; the one of the same name is offered first."""
    try:
        survey = open_survey(path, None)
    except MicrocosmError as error:
        st.info(safe(error))
        return {}
    words = {variable.name: variable_words(variable) for variable in survey.variables}
    chosen = {}
    for state, variable in states.items():
        names = list(words)
        chosen[state] = st.selectbox(
            f"Its variable for {safe(title_of(state))}",
            names,
            index=names.index(variable) if variable in names else None,
            format_func=lambda name: words.get(name, name),
            key=f"second_wave_{path.name}_{state}",
            help="Read with the same transformation as in the first wave.",
        )
    return {state: variable for state, variable in chosen.items() if variable}


@st.cache_data(max_entries=32, show_spinner="Reading the survey")
def _observe(
    folder: str, measure: str, file: str, version: tuple[int, int], variables: tuple[tuple[str, str], ...]
) -> Observed:
    """Return a measure on a wave.

    Args:
        folder: A run whose study maps the survey.
        measure: The measure.
        file: The wave, in the folder of studies.
        version: Tells versions of the file apart; part of the cache's key.
        variables: Its variable for each state.
    """
    del version
    workspace = session.workspace()
    return observe(
        study_of(folder),
        measure,
        file=file,
        variables=dict(variables),
        base=workspace.studies,
        folder=workspace.personas,
    )


def beside(state: State, measure: str, one: Observed, other: Observed) -> pl.DataFrame:
    """Return observed and simulated values in one table: start, end and change, each with its band.

    The band of an observed value is over respondents, that of a group over its runs. The last row is the paired
    difference of the two groups that are contrasted.
    """
    rows = [_row("observed: first wave, second wave", "respondents", [one.value], [other.value])]
    rows[0] |= {"low": other.low, "high": other.high}
    ends: dict[str, dict[int, float]] = {}
    for name, own in state:
        folders = [Path(folder) for folder, _, status in own if status == "done"]
        if not folders:
            continue
        first, last = (outcome_table(folders, measure, at).drop_nulls("value") for at in (0, "last"))
        rows.append(_row(f"simulated: {name}", "runs", first["value"].to_list(), last["value"].to_list()))
        ends[name] = dict(zip(last["replicate"].to_list(), last["value"].to_list(), strict=True))
    pair = chosen_pair(list(ends))
    if pair:
        a, b = (ends[name] for name in pair)
        both = sorted(set(a) & set(b))
        difference = [b[r] - a[r] for r in both]
        rows.append(_row(f"simulated difference: {pair[1]} minus {pair[0]}", "pairs of runs", [], difference))
    return pl.DataFrame(rows, infer_schema_length=None)


def _row(what: str, over: str, start: list[float], end: list[float]) -> dict[str, Any]:
    first, last = (float(np.mean(values)) if values else None for values in (start, end))
    spread = float(np.std(end, ddof=1) / np.sqrt(len(end))) if len(end) > 1 else None
    return {
        "what": what,
        "start": first,
        "end": last,
        "change": None if first is None or last is None else last - first,
        "low": None if last is None or spread is None else last - 1.96 * spread,
        "high": None if last is None or spread is None else last + 1.96 * spread,
        "band over": over,
    }


def _draw(rows: pl.DataFrame, measure: str, waves: list[Observed]) -> None:
    one, other = waves
    cells = st.columns(3, gap="small")
    cells[0].metric("Observed first wave", number(one.value), help=f"{one.file}, {one.n_respondents:,} respondents")
    cells[1].metric("Observed second wave", number(other.value), help=f"band {other.low:.4g} to {other.high:.4g}")
    cells[2].metric("Observed change", number(other.value - one.value))
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="–",
        column_config={
            name: st.column_config.NumberColumn(format="%.4g") for name in ("start", "end", "change", "low", "high")
        },
        alt=f"Observed and simulated {title_of(measure)}",
    )
    st.caption(
        safe(
            f"{title_of(measure)}. Bands are 95 %, around the end: over respondents of {other.file} "
            f"({other.n_respondents:,}), or over runs. A band over runs says how much chance does, not how far the "
            "study is from the world."
        )
    )
    st.download_button(
        "CSV",
        rows.write_csv(),
        f"{measure}_beside_observed.csv",
        "text/csv",
        key="csv_observed",
        icon=":material/download:",
        on_click="ignore",
    )
