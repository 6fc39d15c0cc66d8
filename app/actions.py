"""What buttons do to the workspace: start runs, and the reads that several pages share, cached by committed step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from app import session
from engine import store
from engine.runs import create_run, read_info, start_worker
from engine.spec import Study


def start_runs(study: Study) -> str:
    """Create one run per replicate, start one worker for all of them, and return the first run's id.

    Raises:
        RunError: the workspace refuses a run.
    """
    workspace = session.workspace()
    folders = [create_run(workspace, study, replicate=replicate) for replicate in range(study.replicates)]
    start_worker(folders)
    return str(read_info(folders[0]).run_id)


READERS = {
    "measures": store.read_measures,
    "states": store.read_states,
    "agents": store.read_agents,
    "decisions": store.read_decisions,
    "situations": store.read_situations,
    "messages": store.read_messages,
    "events": store.read_events,
    "edges": store.read_edges,
}


@st.cache_data(max_entries=64, show_spinner=False)
def read_table(table: str, folder: str, committed: int, status: str, **wanted: Any) -> pl.DataFrame:
    """Read a table of a run; the committed step and the status are part of the key, so a result never goes stale."""
    del committed, status
    return READERS[table](Path(folder), **wanted)


@st.cache_data(max_entries=64, show_spinner=False)
def query(sql: str, folder: str, committed: int, status: str) -> pl.DataFrame:
    """Run one of the studio's own queries on a run; cached like `read_table`."""
    del committed, status
    connection = store.open_run(Path(folder))
    try:
        return connection.sql(sql).pl()
    finally:
        connection.close()
