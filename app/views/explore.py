"""Explore: charts and tables of what runs recorded, and downloads."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from app import session
from app.actions import ask, asks_model, ordered_measures, study_of, wide_measures
from app.calibrating import show_calibration
from app.charts import show_chart
from app.figures import plot_band, plot_measures, plot_shares, plot_spread
from app.forms import safe, title_of
from app.inspector import action_text
from app.notices import RUNS_NOTICE, show_language_notice, show_model_counts
from app.reading import all_runs
from app.sql_view import show_sql_box
from app.timeline import event_rows
from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError
from engine.loading import scenario_info
from engine.population.columns import Column
from engine.runs import RunInfo, export_run, read_info
from engine.store.schema import literal, quoted

MAX_RUNS = 12
MAX_ROWS = 5000
VIEWS = ("Measures", "States", "Decisions", "Messages", "Events", "People", "SQL", "Downloads", "Calibrate")


def show() -> None:
    """Draw the page."""
    runs = {info.run_id: info for info in all_runs(session.workspace())[:200]}
    folder = session.current_run()
    if not runs:
        st.subheader("Explore")
        st.caption("Nothing is recorded yet. Run a template first.")
        st.page_link("views/home.py", label="Choose a template", icon=":material/home:")
        return
    current = folder.name if folder is not None and folder.name in runs else next(iter(runs))
    chosen = _choose(runs, current)
    if not chosen:
        st.caption("Choose at least one run.")
        return
    info = read_info(runs[chosen[0]].folder)
    session.choose_run(info.run_id)
    scenario = scenario_info(info.scenario)
    with st.container(horizontal=True, vertical_alignment="center"):
        view = st.segmented_control(
            "Show", VIEWS, default="Measures", key="explore_view", label_visibility="collapsed", required=True
        )
        st.page_link("views/live.py", label="Watch it", icon=":material/hub:", query_params={"run": info.run_id})
        st.page_link("views/compare.py", label="Compare", icon=":material/difference:")
        st.page_link("views/report.py", label="Next: Report", icon=":material/description:")
    if asks_model(study_of(str(info.folder))):
        show_language_notice(study_of(str(info.folder)).model.file)
        show_model_counts(info)
    try:
        _draw(str(view), [runs[run_id] for run_id in chosen], info, scenario)
    except MicrocosmError as error:
        st.info(safe(error))


def _choose(runs: dict[str, RunInfo], current: str) -> list[str]:
    def words(run_id: str) -> str:
        info = runs[run_id]
        arm = f" · {info.arm}" if info.arm else ""
        return f"{info.title or info.scenario}{arm} · {run_id[:8]} · {info.status} · seed {info.seed + info.replicate}"

    return st.multiselect(
        "Runs; the first one is shown in the tables",
        list(runs),
        default=[current],
        format_func=words,
        max_selections=MAX_RUNS,
        key=f"explore_runs_{current}",
        select_all=False,
    )


def _draw(view: str, runs: list[RunInfo], info: RunInfo, scenario: ScenarioInfo) -> None:
    if view == "Measures":
        _measures(runs, scenario)
    elif view == "States":
        _states(info, scenario)
    elif view == "Decisions":
        _decisions(info, scenario)
    elif view == "Downloads":
        _downloads(info)
    elif view == "SQL":
        show_sql_box(info)
    elif view == "Calibrate":
        show_calibration(info, scenario)
    else:
        _table(view, info, scenario.unit)


def _measures(runs: list[RunInfo], scenario: ScenarioInfo) -> None:
    frames = {info.run_id[:8]: wide_measures(info, None if info.step < MAX_ROWS else MAX_ROWS) for info in runs}
    names = ordered_measures(scenario, list(dict.fromkeys(name for frame in frames.values() for name in frame.columns)))
    if not names:
        st.caption("No measures are recorded yet.")
        return
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        shown = st.pills(
            "Measures", names, selection_mode="multi", default=names[:4], format_func=safe, key="measure_names"
        )
    with right:
        band = len(frames) > 1 and len(shown) == 1 and st.toggle("Mean and range of the runs", key="band")
    if not shown:
        st.caption("Choose at least one measure.")
        return
    dark = session.is_dark()
    if band:
        steps = sorted(set.intersection(*[set(frame["step"].to_list()) for frame in frames.values()]))
        values = [frame.filter(pl.col("step").is_in(steps))[shown[0]].to_numpy() for frame in frames.values()]
        figure = plot_band(steps, np.array(values, np.float64), name=shown[0], unit=scenario.unit, dark=dark)
    else:
        series = {
            (name, run): (frame["step"].to_list(), frame[name].to_list())
            for run, frame in frames.items()
            for name in shown
            if name in frame.columns
        }
        figure = plot_measures(series, unit=scenario.unit, dark=dark, event_steps=_interventions(runs[0]))
    table = pl.concat(
        [frame.with_columns(pl.lit(run).alias("run")) for run, frame in frames.items()], how="diagonal_relaxed"
    ).select("run", "step", *names)
    wanted = ", ".join(literal(name) for name in shown)
    show_chart(
        figure,
        key="measures_chart",
        name="measures",
        alt=f"{', '.join(shown)} by {scenario.unit}",
        frame=table,
        sql=f"select step, measure, value from measures\nwhere segment = '' and measure in ({wanted})\norder by step",
        behind=None if band else partial(run_behind, runs),
    )
    single = "One run is one draw: add replicates in the plan to see how much they differ."
    st.caption(safe(RUNS_NOTICE if len(runs) > 1 else single))
    with st.expander("What they mean", icon=":material/menu_book:"):
        for measure in scenario.measures:
            if measure.name in shown:
                st.text(f"{measure.name}: {measure.help} Source: {measure.source}.")


def run_behind(runs: list[RunInfo], curve: str, step: int, value: float) -> tuple[str, int]:
    """Return the run that a curve stands for, and the step of the point."""
    del value
    found = next((info for info in runs if curve.endswith(info.run_id[:8])), runs[0])
    return found.run_id, min(step, found.step)


def _interventions(info: RunInfo) -> list[tuple[int, str]]:
    try:
        frame = ask(info, "select distinct step, detail from events where kind = 'intervention' order by step limit 12")
    except MicrocosmError:  # a run that has not begun has no events
        return []
    return [(int(step), _name_in(detail)) for step, detail in frame.iter_rows()]


def _name_in(detail: Any) -> str:
    try:
        return str(json.loads(detail).get("name", "intervention"))
    except (TypeError, ValueError, AttributeError):
        return "intervention"


def _states(info: RunInfo, scenario: ScenarioInfo) -> None:
    # Ids of texts are numbers that say nothing by themselves; the tab Messages has the words.
    ids = {name for asked in (*scenario.decisions, *scenario.writings) for name in asked.texts}
    names = [n for n, c in scenario.columns.items() if c.kind != "text" and not (n in ids and c.kind == "integer")]
    if not names:
        st.caption("This scenario has no state columns.")
        return
    default = scenario.display if scenario.display in names else names[0]
    name = st.segmented_control("Column", names, default=default, key="state_column", format_func=safe, required=True)
    column = scenario.columns[str(name)]
    st.caption(safe(column.help))
    frame = state_frame(info, str(name), column)
    dark = session.is_dark()
    if column.labels or column.kind == "boolean":
        labels = list(column.labels) or ["no", "yes"]
        figure = plot_shares(frame, labels=labels, unit=scenario.unit, dark=dark)
    else:
        figure = plot_spread(frame, name=title_of(str(name)), unit=scenario.unit, dark=dark)
    show_chart(
        figure,
        key="states_chart",
        name=str(name),
        alt=f"{name} of all agents by {scenario.unit}",
        frame=frame,
        sql=distribution_sql(str(name), column),
        behind=lambda _, step, value: (info.run_id, min(step, info.step)),
    )
    st.caption("Over the agents that are present at each recorded step.")


def distribution_sql(name: str, column: Column) -> str:
    """Return a query for the distribution of a column at one step, in words that one can change."""
    where = "from states_at(10)  -- the step; all steps one after another make the chart\n"
    if column.labels or column.kind == "boolean":
        return f"select {quoted(name)} as code, count(*) as n\n{where}group by all order by all"
    return f"select quantile_cont({quoted(name)}, [0.05, 0.25, 0.5, 0.75, 0.95])\n{where}"


def state_frame(info: RunInfo, name: str, column: Column) -> pl.DataFrame:
    """Return the distribution of a column at up to 120 recorded steps: shares of categories, or percentiles."""
    steps = ask(info, "select distinct step from states order by step")["step"].to_list()
    places = np.linspace(0, len(steps) - 1, min(len(steps), 120)) if steps else []
    # The newest step as well: agents that did not change have no row there, but a state.
    kept = sorted({steps[round(place)] for place in places} | ({info.step} if steps else set()))
    if not kept:
        return pl.DataFrame(
            {"step": [], "value": [], "share": [], "p05": [], "p25": [], "p50": [], "p75": [], "p95": []}
        )
    value = quoted(name)
    # The last row of each agent up to a step is its state there; a step's whole frame makes earlier rows unneeded.
    current = (
        f"select k.step as step, s.agent_id, arg_max(s.{value}, s.step) as value from (select unnest(?) as step) k "
        "join states s on s.step <= k.step and s.step >= coalesce((select max(f.step) from states f "
        "where f.keyframe and f.step <= k.step), 0) "
        "group by all"
    )
    if column.labels or column.kind == "boolean":
        frame = ask(info, f"select step, value, count(*) as n from ({current}) group by all order by step, value", kept)
        labels = list(column.labels) or ["no", "yes"]
        words = [labels[int(code)] for code in frame["value"].to_list()]
        total = pl.col("n").sum().over("step")
        return frame.with_columns(pl.Series("value", words, dtype=pl.String), (pl.col("n") / total).alias("share"))
    parts = ", ".join(f"quantile_cont(value, {share / 100}) as p{share:02d}" for share in (5, 25, 50, 75, 95))
    return ask(info, f"select step, {parts} from ({current}) group by step order by step", kept)


def _decisions(info: RunInfo, scenario: ScenarioInfo) -> None:
    if scenario.mechanism_only:
        st.caption("Nobody decides in this scenario: what happens follows from the rule and the draws.")
        return
    shares = ask(
        info,
        "select decision, action, count(*) as n from decisions group by all order by decision, n desc",
    )
    if shares.is_empty():
        st.caption("No single decisions are recorded.")
        return
    rows = [
        {"decision": r["decision"], "answer": action_text(scenario, r), "n": r["n"]}
        for r in shares.iter_rows(named=True)
    ]
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown("**How often each answer was drawn**")
        st.dataframe(
            rows, hide_index=True, height=min(38 + 35 * len(rows), 300), alt="Answers and how often they were drawn"
        )
    with right:
        st.markdown("**Situations that were asked**")
        found = ask(
            info, "select situation_id, decision, options, logp, mass, model, source, prompt from situations limit 500"
        )
        if found.is_empty():
            st.caption("The rule decided; no model was asked.")
        else:
            table = [_situation(row) for row in found.iter_rows(named=True)]
            st.dataframe(table, hide_index=True, height=300, alt="Situations, the most probable answer, and the prompt")
    st.markdown("**Every decision**")
    frame = ask(info, f"select * from decisions order by step, turn, agent_id limit {MAX_ROWS}")
    st.dataframe(frame, hide_index=True, height=260, alt="Decisions by step, turn and agent")


def _situation(row: dict[str, Any]) -> dict[str, Any]:
    logp = np.asarray(row["logp"], np.float64)
    best = int(np.argmax(logp)) if logp.size else 0
    return {
        "decision": row["decision"],
        "most probable": row["options"][best] if logp.size else "",
        "p": float(np.exp(logp[best])) if logp.size else None,
        "mass": row["mass"],
        "model": row["model"],
        "prompt": row["prompt"],
    }


def _table(view: str, info: RunInfo, unit: str) -> None:
    sql = {
        "Messages": f"select step, turn, agent_id, channel, text from messages order by message_id limit {MAX_ROWS}",
        "Events": f"select step, kind, agent_id, detail from events order by step limit {MAX_ROWS}",
        "People": f"select * from agents order by agent_id limit {MAX_ROWS}",
    }[view]
    frame = ask(info, sql)
    if frame.is_empty():
        words = {"Messages": "Nobody spoke in this run.", "Events": "Nothing was reported in this run."}
        st.caption(words.get(view, "No people are recorded yet."))
        return
    shown = pl.DataFrame(event_rows(frame, unit), infer_schema_length=None) if view == "Events" else frame
    if view == "People":  # a column in which nothing is recorded yet says nothing
        shown = shown.select(name for name in shown.columns if name != "left" or shown[name].null_count() < len(shown))
    st.dataframe(
        shown,
        hide_index=True,
        height=min(42 + 35 * len(frame), 460),
        placeholder="–",
        column_config={"details": st.column_config.TextColumn(width="large")} if view == "Events" else None,
        alt=f"{view} of the run",
    )
    st.download_button(
        "CSV", frame.write_csv(), f"{view.lower()}.csv", "text/csv", key=f"csv_{view}", on_click="ignore"
    )


def _downloads(info: RunInfo) -> None:
    st.caption("Every file carries the study, so that others can run it again.")
    words = {
        "duckdb": ("DuckDB", "One file with all tables, for SQL."),
        "parquet": ("Parquet", "A folder of tables, zipped, for R and Python."),
        "csv": ("CSV", "A folder of tables, zipped, for spreadsheets."),
    }
    for cell, (kind, (label, meaning)) in zip(st.columns(3, gap="medium"), words.items(), strict=True):
        with cell, st.container(border=True, height="stretch"):
            st.markdown(f"**{label}**")
            st.caption(meaning)
            st.space("stretch")
            st.download_button(
                f"Download {label}",
                lambda kind=kind: exported(info, kind),
                file_name=f"{info.run_id}.{'duckdb' if kind == 'duckdb' else kind + '.zip'}",
                mime="application/octet-stream",
                key=f"export_{kind}",
                icon=":material/download:",
                on_click="ignore",
            )
    st.text(f"In the workspace: {info.folder}")


def exported(info: RunInfo, kind: str) -> bytes:
    """Export a run and return the file's bytes; a folder is zipped."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / info.run_id
        written = export_run(info.folder, kind, out.with_suffix(".duckdb") if kind == "duckdb" else out)
        if written.is_dir():
            written = Path(shutil.make_archive(str(out) + "_files", "zip", written))
        return written.read_bytes()


if __name__ == "__main__":
    show()
