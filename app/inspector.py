"""One agent of a run: persona, state, neighbours, and why it did what it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import streamlit as st
from numpy.typing import NDArray

from app import session
from app.actions import ask, study_of
from app.figures import PLOT_OPTIONS, bars
from app.forms import safe, title_of
from app.notices import show_language_notice
from engine.contract import ScenarioInfo
from engine.draws import draw_uniform
from engine.errors import MicrocosmError
from engine.population import Column, field_phrase, persona_columns
from engine.runs import RunInfo

SHOWN_DECISIONS = 200
NAME = "display_name"
SHOWN_NEIGHBOURS = 60
SHOWN_OPTIONS = 8


def agent_names(info: RunInfo) -> dict[int, str]:
    """Return the agents' own names where their personas have any."""
    columns = ask(info, "select * from agents limit 0").columns
    if NAME not in columns:
        return {}
    frame = ask(info, f"select agent_id, {NAME} from agents limit 100000")
    return dict(zip(frame["agent_id"].to_list(), map(str, frame[NAME].to_list()), strict=True))


def show_agent(info: RunInfo, scenario: ScenarioInfo, agent: int, step: int) -> None:
    """Draw everything that is recorded about one agent, as of a step."""
    try:
        row = ask(info, "select * from agents where agent_id = ?", agent)
    except MicrocosmError as error:
        st.caption(safe(error))
        return
    if row.is_empty():
        st.caption(f"Agent {agent} is not recorded yet.")
        return
    held = row.row(0, named=True)
    head, close = st.columns([6, 1], vertical_alignment="center")
    name = held.get(NAME)
    head.markdown(f"**{safe(name) if name else f'Agent {agent}'}** · agent {agent} · {safe(scenario.unit)} {step}")
    if close.button("", key="close_agent", icon=":material/close:", help="Show no agent", type="tertiary"):
        session.set_address(agent=None, step=None)
        st.rerun(scope="app")
    _state(info, scenario, agent, step)
    _decisions(info, scenario, agent, step)
    _persona(info, held, open_at_once=scenario.mechanism_only)
    _neighbours(info, agent, step)


def _persona(info: RunInfo, held: dict[str, Any], *, open_at_once: bool) -> None:
    try:
        columns = persona_columns(study_of(str(info.folder)).population, session.workspace().personas)
    except MicrocosmError:  # the pack or recipe of an old run may be gone; the recorded values remain
        columns = {}
    known = [name for name in columns if held.get(name) is not None and name != "persona"]
    sentences = [field_phrase(name, columns[name], shown_value(columns[name], held[name])) for name in known]
    if not known:
        st.caption("This population has no traits.")
        return
    with st.expander("Persona", icon=":material/person:", expanded=open_at_once):
        st.text(" ".join(sentence for sentence in sentences if sentence))


def shown_value(column: Column, value: Any) -> str:
    """Return a recorded value as a prompt would show it."""
    if isinstance(value, str):
        return value
    presentation = column.shown()
    if presentation is None or column.kind == "category":
        return _shown(value)
    return presentation.text(int(presentation.codes(np.array([value]))[0]))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _state(info: RunInfo, scenario: ScenarioInfo, agent: int, step: int) -> None:
    try:
        frame = ask(info, f"select * from states_at({int(step)}) where agent_id = ?", agent)
    except MicrocosmError:
        frame = pl.DataFrame()
    if frame.is_empty():
        st.caption(f"No state is recorded for this agent at {scenario.unit} {step}.")
        return
    values = frame.row(0, named=True)
    texts = {name for ask_ in (*scenario.decisions, *scenario.writings) for name in ask_.texts}
    rows = {}
    for name, column in scenario.columns.items():
        value = values.get(name)
        if value is None or (name in texts and column.kind == "integer"):
            continue
        if column.labels and isinstance(value, int) and not isinstance(value, bool):
            value = column.labels[value]
        rows[safe(title_of(name))] = safe(_shown(value) + (f" {column.unit}" if column.unit else ""))
    if rows:
        st.table(rows, border="horizontal", width="stretch")


def _neighbours(info: RunInfo, agent: int, step: int) -> None:
    sql = (
        "select distinct case when source = ? then target else source end as neighbour, layer from edges "
        "where (source = ? or target = ?) and from_step <= ? and (to_step is null or to_step > ?) order by neighbour"
    )
    frame = ask(info, sql, agent, agent, agent, step, step)
    if frame.is_empty():
        complete = any(layer.kind == "complete" for layer in study_of(str(info.folder)).layers)
        st.caption("Tied to everyone." if complete else "No ties.")
        return
    names = agent_names(info)
    ids = frame["neighbour"].to_list()
    words = ", ".join(names.get(other, str(other)) for other in ids[:SHOWN_NEIGHBOURS])
    more = f" and {len(ids) - SHOWN_NEIGHBOURS} more" if len(ids) > SHOWN_NEIGHBOURS else ""
    with st.expander(f"{len(ids)} neighbours", icon=":material/hub:"):
        st.text(words + more)


def _decisions(info: RunInfo, scenario: ScenarioInfo, agent: int, step: int) -> None:
    if scenario.mechanism_only:
        st.caption("Nobody decides in this scenario: what happens follows from the rule and the draws.")
        return
    order = f"order by step desc, turn desc limit {SHOWN_DECISIONS}"
    sql = f"select * from decisions where agent_id = ? and step <= ? {order}"
    frame = ask(info, sql, agent, step)
    if frame.is_empty():
        st.caption("No decision of this agent is recorded up to this step.")
        return
    rows = frame.to_dicts()

    def words(place: int) -> str:
        return f"step {rows[place]['step']}: {title_of(rows[place]['decision'])} → {action_text(scenario, rows[place])}"

    place = st.selectbox("Decision", range(len(rows)), format_func=words, key=f"decision_{agent}_{step}")
    _decision(info, scenario, rows[place])


def action_text(scenario: ScenarioInfo, row: dict[str, Any]) -> str:
    """Return the words of a recorded action."""
    answer = scenario.decision(row["decision"]).answer
    low = getattr(answer, "low", None)
    if low is not None:
        return str(row["action"])
    texts = answer.texts
    return texts[row["action"]] if 0 <= row["action"] < len(texts) else str(row["action"])


def _decision(info: RunInfo, scenario: ScenarioInfo, row: dict[str, Any]) -> None:
    study = study_of(str(info.folder))
    seed = study.seed_of("dynamics", info.replicate)
    drawn = float(
        draw_uniform(seed, f"decide:{row['decision']}", row["step"], row["turn"], np.array([row["agent_id"]]))[0]
    )
    policy = str(row["policy"])
    who = {"rule": "the scenario's rule", "language": "the language model", "scripted": "scripted random answers"}
    found = ask(info, "select * from situations where situation_id = ? limit 1", row["situation_id"])
    situation = found.row(0, named=True) if not found.is_empty() else None
    source = f", answer from {safe(situation['source'])} {safe(situation['model'])}" if situation else ""
    st.caption(f"Decided by {who.get(policy, policy)}{source}.")
    if situation is None:
        st.text(f"Chosen: {action_text(scenario, row)}, with probability {row['p']:.3f}. Drawn number: {drawn:.4f}.")
        return
    p = np.exp(np.asarray(situation["logp"], np.float64))
    options = list(situation["options"])
    low = getattr(scenario.decision(row["decision"]).answer, "low", 0)
    chosen = int(row["action"]) - int(low)
    shown = _most_probable(p, chosen)
    st.plotly_chart(
        bars(
            [options[i] for i in shown],
            [float(p[i]) for i in shown],
            dark=session.is_dark(),
            marked=int(np.flatnonzero(shown == chosen)[0]) if chosen in shown else None,
        ),
        key=f"options_{row['step']}_{row['turn']}_{row['agent_id']}_{row['decision']}",
        config={**PLOT_OPTIONS, "displayModeBar": False},
        alt="Probability of each option; the drawn one in orange",
    )
    if len(shown) < len(p):
        st.caption(f"The most probable of {len(p)} options, and the drawn one.")
    st.text(
        f"Drawn number {drawn:.4f} of [0, 1) → {action_text(scenario, row)}.  Captured mass {situation['mass']:.3f}."
    )
    show_language_notice(study.model.file)
    with st.expander("The exact prompt", icon=":material/notes:"):
        st.code(situation["prompt"], language=None, wrap_lines=True)


def _most_probable(p: NDArray[np.float64], chosen: int) -> NDArray[np.int64]:
    """Return the options to show: all of a few, else the most probable and the drawn one."""
    if len(p) <= SHOWN_OPTIONS:
        return np.arange(len(p))
    best = np.argsort(-p, kind="stable")[:SHOWN_OPTIONS]
    return best if chosen in best else np.append(best[:-1], chosen)
