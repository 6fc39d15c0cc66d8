"""What one browser tab remembers: ids and drafts, never engine objects. The only file that touches session state.

What must survive a refresh stands in the address (`study`, `run`, `agent`, `part`) and in the workspace.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from app.drafts import Draft, draft_path
from engine.errors import RunError
from engine.runs import Workspace, find_run, open_workspace
from engine.store.catalog import CATALOG_NAME

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,120}")


def workspace() -> Workspace:
    """Return the workspace that the server was started with."""
    return open_workspace(os.environ.get("MICROCOSM_WORKSPACE"))


# -- the address ------------------------------------------------------------------------------------------------------
def address(name: str, default: str = "") -> str:
    """Return a value of the page's address."""
    return str(st.query_params.get(name, default))


def set_address(**values: str | int | None) -> None:
    """Set values of the page's address; None removes one."""
    for name, value in values.items():
        if value is None:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = str(value)


def current_run() -> Path | None:
    """Return the folder of the run in the address, or None where there is none."""
    return run_folder(address("run") or str(st.session_state.get("last_run", "")))


def run_folder(key: str) -> Path | None:
    """Return the folder of a run of this workspace by id, or None."""
    if not RUN_ID.fullmatch(key):
        return None
    exact = workspace().runs / key
    if (exact / CATALOG_NAME).is_file():
        return exact
    try:
        return find_run(workspace(), key)
    except RunError:
        return None


def choose_run(run_id: str) -> None:
    """Make a run the current one, in the address and for pages that open next."""
    st.session_state["last_run"] = run_id
    if address("run") != run_id:
        set_address(run=run_id, agent=None)


# -- the draft --------------------------------------------------------------------------------------------------------
def draft() -> Draft | None:
    """Return the draft in the address (or the last one of this tab), read again where another tab changed its file."""
    name = address("study") or str(st.session_state.get("last_study", ""))
    path = draft_path(workspace().studies, name)
    if path is None:
        return None
    held: Draft | None = st.session_state.get("draft")
    if held is None or held.path != path:
        held = Draft.open(path)
        st.session_state["draft"] = held
    else:
        held.catch_up()
    st.session_state["last_study"] = held.name
    if address("study") != held.name:
        set_address(study=held.name)
    return held


def open_draft(new: Draft) -> None:
    """Make a draft the current one of this tab."""
    st.session_state["draft"] = new
    st.session_state["last_study"] = new.name


def field_key(key: str) -> str:
    """Return the widget key of a field of the current draft; it changes when the draft changes from outside."""
    held: Draft | None = st.session_state.get("draft")
    return f"field:{held.name}:{held.revision}:{key}" if held else f"field:{key}"


def store_field(key: str, convert: Callable[[Any], Any] | None = None) -> None:
    """Take a field's new value into the draft, as another tab may have left it; meant as a widget's callback."""
    held: Draft | None = st.session_state.get("draft")
    if held is not None:
        value = st.session_state.get(field_key(key))
        held.catch_up()
        held.put(key, convert(value) if convert else value)


def change_draft(change: Callable[[Draft], object], *, afresh: bool = True) -> None:
    """Apply a change that is not one field's; meant as a button's callback.

    Args:
        change: What to do with the draft.
        afresh: Draw all fields anew, as a change of places or of held values needs. An answer that is typed meanwhile
            is lost then, so a change that only adds fields leaves the others as they are.
    """
    held: Draft | None = st.session_state.get("draft")
    if held is not None:
        held.catch_up()
        change(held)
        held.revision += afresh


# -- small things of one tab ------------------------------------------------------------------------------------------
def value_of(widget_key: str, default: Any = None) -> Any:
    """Return the current value of a widget."""
    return st.session_state.get(widget_key, default)


def set_value(widget_key: str, value: Any) -> None:
    """Set a widget's value before it is drawn."""
    st.session_state[widget_key] = value


def remember(name: str, value: Any) -> None:
    """Keep a small value for this tab."""
    st.session_state[f"kept:{name}"] = value


def recall(name: str, default: Any = None) -> Any:
    """Return a value kept by `remember`."""
    return st.session_state.get(f"kept:{name}", default)


def is_dark() -> bool:
    """Tell whether the page is shown in dark colours."""
    return st.context.theme.type == "dark"
