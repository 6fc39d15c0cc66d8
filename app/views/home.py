"""Home: templates with a picture and one sentence, the user's studies, and recent runs."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import streamlit as st

from app import session
from app.actions import start_runs
from app.drafts import Draft
from app.forms import safe
from app.reading import all_runs
from engine import registry
from engine.errors import MicrocosmError
from engine.loading import default_study, load_study, preset_names, scenario_info
from engine.runs import RunInfo

ACTIVE = ("queued", "running", "paused", "waiting")
CARDS_PER_ROW = 4
SHOWN_RUNS = 30
FIRST = ("sir", "bounded_confidence", "persuasion", "fishery")


def show() -> None:
    """Draw the page."""
    names = scenario_names()
    words, onward = st.columns([3, 2], vertical_alignment="center")
    with words:
        st.subheader("Start from a template")
        st.caption("Play runs it as it is. Open lets you change everything first.")
    with onward, st.container(horizontal=True, horizontal_alignment="right"):
        show_last_run()
    show_cards(names[:CARDS_PER_ROW])
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Recent runs")
        show_runs()
    with right:
        st.subheader("Your studies")
        show_studies()
    if names[CARDS_PER_ROW:]:
        st.subheader("More templates")
        show_cards(names[CARDS_PER_ROW:])


@st.cache_resource
def scenario_names() -> list[str]:
    """Return the names of all scenarios: the easiest to follow first, then by family."""
    registry.discover()
    families = {name: info.family for name, info in registry.scenarios.items()}
    return sorted(families, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), families[name], name))


def show_last_run() -> None:
    """Draw the way back to the newest run."""
    runs = all_runs(session.workspace())
    if runs:
        label = f"Back to: {safe(runs[0].title or runs[0].scenario)[:60]}"
        st.page_link("views/live.py", label=label, icon=":material/history:", query_params={"run": runs[0].run_id})


def show_cards(names: Sequence[str]) -> None:
    """Draw one card per scenario."""
    for start in range(0, len(names), CARDS_PER_ROW):
        columns = st.columns(CARDS_PER_ROW, gap="medium")
        for column, name in zip(columns, names[start : start + CARDS_PER_ROW], strict=False):
            with column:
                show_card(name)


def show_card(name: str) -> None:
    """Draw the card of one scenario."""
    info = scenario_info(name)
    with st.container(border=True, height="stretch", key=f"card_{name}"):
        st.image(picture(name), width="stretch", alt=f"{info.title}: {info.promise}")
        st.markdown(f"**{safe(info.title)}**")
        st.caption(safe(info.promise))
        st.space("stretch")
        with st.container(horizontal=True, gap="xsmall"):
            if st.button("Play", key=f"play_{name}", icon=":material/play_arrow:"):
                play(name)
            if st.button("Open", key=f"open_{name}", icon=":material/tune:"):
                open_study(name)
            presets = preset_names(name)
            if presets:
                chosen = st.menu_button(
                    "",
                    presets,
                    key=f"preset_{name}",
                    type="tertiary",
                    icon=":material/bookmarks:",
                    help="Ready-made studies",
                )
                if chosen:
                    open_study(str(chosen))


def picture(name: str) -> str:
    """Return the path of a scenario's picture, or of the general one."""
    folder = importlib.resources.files("assets") / "pictures"
    found = folder / f"{name}.svg"
    return str(found if found.is_file() else folder / "scenario.svg")


def play(name: str) -> None:
    """Run a scenario's default study and go to its picture."""
    try:
        run_id = start_runs(default_study(name))
    except MicrocosmError as error:
        st.error(safe(error))
        return
    session.choose_run(run_id)
    st.switch_page("views/live.py", query_params={"run": run_id})


def open_study(source: str) -> None:
    """Begin a study from a scenario or preset and go to the composer."""
    try:
        draft = Draft.new(session.workspace().studies, load_study(source))
    except MicrocosmError as error:
        st.error(safe(error))
        return
    session.open_draft(draft)
    st.switch_page("views/compose.py", query_params={"study": draft.name})


def show_runs() -> None:
    """Draw the table of recent runs; it ticks while one of them goes on."""
    active = any(info.status in ACTIVE for info in all_runs(session.workspace())[:SHOWN_RUNS])
    st.fragment(_runs_table, run_every=1.5 if active else None)()


def _runs_table() -> None:
    runs = all_runs(session.workspace())[:SHOWN_RUNS]
    if not runs:
        st.caption("No runs yet. Press Play on a template above, and something moves within seconds.")
        return
    session.remember("home_runs", [info.run_id for info in runs])
    st.dataframe(
        [_row(info) for info in runs],
        hide_index=True,
        height=min(38 + 35 * len(runs), 320),
        column_config={
            "open": st.column_config.ButtonColumn("", on_click=_open_run, key="home_open", width="small"),
            "study": st.column_config.TextColumn("Study", width="medium"),
            "status": st.column_config.TextColumn("Status", width="small"),
            "progress": st.column_config.ProgressColumn(
                "Progress", min_value=0, max_value=100, format="%d %%", width="small"
            ),
            "agents": st.column_config.NumberColumn("Agents", format="localized", width="small"),
            "started": st.column_config.TextColumn("Started", width="small"),
        },
        alt="Recent runs with status and progress",
    )


def _row(info: RunInfo) -> dict[str, Any]:
    part = f" · replicate {info.replicate}" if info.replicate else ""
    return {
        "open": "Open",
        "study": (info.title or info.scenario) + part,
        "status": info.status,
        "progress": 100 if info.status == "done" else int(100 * info.step / max(info.steps, 1)),
        "agents": info.n_agents,
        "started": when(info.started_at),
    }


def when(moment: float | None) -> str:
    """Return seconds since 1970 as the time of today, or as the day; a dash where it has not happened."""
    if moment is None:
        return "–"
    then, now = datetime.fromtimestamp(moment).astimezone(), datetime.now().astimezone()
    return then.strftime("%H:%M" if then.date() == now.date() else "%d %b %Y")


def _open_run() -> None:
    click = session.value_of("home_open")
    ids = session.recall("home_runs", [])
    if click and click.row < len(ids):
        session.choose_run(ids[click.row])
        st.switch_page("views/live.py", query_params={"run": ids[click.row]})


def show_studies() -> None:
    """Draw the list of the user's study files."""
    folder = session.workspace().studies
    files = sorted(folder.glob("*.toml"), key=lambda path: path.stat().st_mtime, reverse=True)[:8]
    if not files:
        st.caption("Nothing saved yet. Open a template: every change is saved by itself, here.")
    with st.container(gap=None):
        for path in files:
            if st.button(safe(path.stem), key=f"study_{path.stem}", icon=":material/edit_note:", type="tertiary"):
                _continue_study(path)


def _continue_study(path: Path) -> None:
    try:
        session.open_draft(Draft.open(path))
    except MicrocosmError as error:
        st.error(safe(error))
        return
    st.switch_page("views/compose.py", query_params={"study": path.stem})


if __name__ == "__main__":
    show()
