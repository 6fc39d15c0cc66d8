"""One agent of a run: persona, state, neighbours, and why it did what it did."""

from __future__ import annotations

from pathlib import Path
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
from engine.decision import Answer, Items, MultiSelect, Ranking
from engine.draws import draw_uniform
from engine.errors import MicrocosmError
from engine.population import Column, field_phrase, persona_columns
from engine.runs import RunInfo, recompute_decisions

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
    called = f"**{safe(name)}** · agent {agent}" if name else f"**Agent {agent}**"
    head.markdown(f"{called} · {safe(scenario.unit)} {step}")
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
        if value == -1 and "-1 for none" in column.help:
            rows[safe(title_of(name))] = "never so far"
            continue
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
        frame = _computed(info, agent, step)
    if frame.is_empty():
        st.caption("No decision of this agent is recorded up to this step.")
        return
    rows = frame.to_dicts()

    def words(place: int) -> str:
        return f"step {rows[place]['step']}: {title_of(rows[place]['decision'])} → {action_text(scenario, rows[place])}"

    place = st.selectbox("Decision", range(len(rows)), format_func=words, key=f"decision_{agent}_{step}")
    _decision(info, scenario, rows[place])


def _computed(info: RunInfo, agent: int, step: int) -> pl.DataFrame:
    """Return an agent's decisions at a step where only counts were recorded, computed again if the user wants it."""
    if not ask(info, "select count(*) as n from decision_counts where step = ?", step)["n"][0]:
        return pl.DataFrame()
    st.caption("Of this run the decisions of everyone were counted, and those of 200 people recorded one by one.")
    if not st.toggle(f"Work out what this agent decided at step {step}", key=f"compute_{agent}_{step}"):
        return pl.DataFrame()
    try:
        return _recomputed(str(info.folder), agent, step)
    except MicrocosmError as error:
        st.caption(safe(error))
        return pl.DataFrame()


@st.cache_data(show_spinner="Computing the step again ...", max_entries=50)
def _recomputed(folder: str, agent: int, step: int) -> pl.DataFrame:
    return recompute_decisions(Path(folder), agent, step)


def action_text(scenario: ScenarioInfo, row: dict[str, Any], info: RunInfo | None = None) -> str:
    """Return the words of a recorded action; an offered item's are looked up in the run's texts."""
    answer = scenario.decision(row["decision"]).answer
    if isinstance(answer, Items) and info is not None:
        found = ask(info, "select text from texts where text_id = ? limit 1", row["action"])
        if not found.is_empty():
            return str(found["text"][0])
    return answer.describe(int(row["action"]))


def _chosen_options(answer: Answer, action: int, words: str, options: list[str]) -> list[int]:
    """Return the places of what was chosen among a situation's options: several of a set, the first of a ranking."""
    if isinstance(answer, MultiSelect):
        taken = {text for text, took in zip(answer.texts, answer.chosen(np.array([action]))[0], strict=True) if took}
    elif isinstance(answer, Ranking):
        taken = {answer.texts[int(answer.orders(np.array([action]))[0, 0])]}
    else:
        taken = {words}
    return [place for place, option in enumerate(options) if option in taken]


def _decision(info: RunInfo, scenario: ScenarioInfo, row: dict[str, Any]) -> None:
    study = study_of(str(info.folder))
    seed = study.seed_of("dynamics", info.replicate)
    drawn = float(
        draw_uniform(seed, f"decide:{row['decision']}", row["step"], row["turn"], np.array([row["agent_id"]]))[0]
    )
    policy, words = str(row["policy"]), action_text(scenario, row, info)
    answer = scenario.decision(row["decision"]).answer
    who = {"rule": "the scenario's rule", "language": "the language model", "scripted": "scripted random answers"}
    who["surrogate"] = "a regression fitted to the language model's answers"
    found = ask(info, "select * from situations where situation_id = ? limit 1", row["situation_id"])
    situation = found.row(0, named=True) if not found.is_empty() else None
    source = f", answer from {safe(situation['source'])} {safe(situation['model'])}" if situation else ""
    unusable = " The model's answer could not be used." if situation and policy == "rule" else ""
    st.caption(f"Decided by {who.get(policy, safe(policy))}{source}.{unusable}")
    several = isinstance(answer, MultiSelect | Ranking)
    number = f"First of several drawn numbers: {drawn:.4f}" if several else f"Drawn number: {drawn:.4f}"
    if situation is None:
        st.text(f"Chosen: {words}, with probability {row['p']:.3f}. {number}.")
        return
    p = np.exp(np.asarray(situation["logp"], np.float64))
    options = list(situation["options"])
    chosen = _chosen_options(answer, int(row["action"]), words, options)
    shown = _most_probable(p, chosen[0] if chosen else -1)
    one = int(np.flatnonzero(shown == chosen[0])[0]) if len(chosen) == 1 and chosen[0] in shown else None
    marks = ["✓ " if len(chosen) > 1 and i in chosen else "" for i in shown]
    st.plotly_chart(
        bars(
            [mark + options[i] for mark, i in zip(marks, shown, strict=True)],
            [float(p[i]) for i in shown],
            dark=session.is_dark(),
            marked=one,
        ),
        key=f"options_{row['step']}_{row['turn']}_{row['agent_id']}_{row['decision']}",
        config={**PLOT_OPTIONS, "displayModeBar": False},
        alt="Probability of each option; the drawn one in orange",
    )
    if isinstance(answer, MultiSelect):
        st.caption("The probability that each answer is taken, apart from the others.")
    elif isinstance(answer, Ranking):
        st.caption("The probability of coming first; later places follow in proportion among those that are left.")
    if len(shown) < len(p):
        st.caption(f"The most probable of {len(p)} options, and the drawn one.")
    st.text(f"{number} of [0, 1) → {words}.  Captured mass {situation['mass']:.3f}.")
    _corrections(situation, options, [int(i) for i in shown])
    show_language_notice(study.model.file)
    with st.expander("The exact prompt", icon=":material/notes:"):
        st.code(situation["prompt"], language=None, wrap_lines=True)


def _corrections(situation: dict[str, Any], options: list[str], shown: list[int]) -> None:
    """Draw what the model said, what order and length were corrected to, and what agents drew from."""
    raw = np.exp(np.asarray(situation["raw_logp"], np.float64))
    debiased = situation.get("debiased_logp")
    if debiased is None:  # recorded by an older version
        return
    corrected, drawn = np.exp(np.asarray(debiased, np.float64)), np.exp(np.asarray(situation["logp"], np.float64))
    table = pl.DataFrame(
        {
            "option": [options[i] for i in shown],
            "as the model said": [float(raw[i]) for i in shown],
            "order and length corrected": [float(corrected[i]) for i in shown],
            "drawn from": [float(drawn[i]) for i in shown],
        }
    )
    with st.expander("Before and after correction", icon=":material/tune:"):
        st.dataframe(table, hide_index=True, width="stretch")


def _most_probable(p: NDArray[np.float64], chosen: int) -> NDArray[np.int64]:
    """Return the options to show: all of a few, else the most probable and the drawn one."""
    if len(p) <= SHOWN_OPTIONS:
        return np.arange(len(p))
    best = np.argsort(-p, kind="stable")[:SHOWN_OPTIONS]
    return best if chosen in best else np.append(best[:-1], chosen)
