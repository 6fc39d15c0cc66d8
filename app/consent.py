"""Asks before texts of personas go to a model server beyond this computer; a study alone can never allow it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import session
from app.actions import asks_model
from app.forms import safe
from engine.llm import allow_server, needs_consent
from engine.loading import expand_arms
from engine.spec import Study


def servers_to_ask(study: Study, base: Path | None = None) -> list[str]:
    """Return the addresses beyond this computer that a study would send texts to and that nobody has allowed yet.

    Args:
        study: A checked study.
        base: Folder that relative paths of the study start from.
    """
    workspace = session.workspace()
    found = {
        arm.model.url
        for _, arm in expand_arms(study, workspace.personas, base)
        if asks_model(arm) and arm.model.url is not None and needs_consent(arm.model.url, workspace.path)
    }
    return sorted(url for url in found if url is not None)


@st.dialog("Texts would leave this computer", icon=":material/cloud_upload:")
def ask_consent(servers: list[str]) -> None:
    """Say which servers would get which texts, and start the run only once that is allowed.

    Args:
        servers: Addresses, as `servers_to_ask` gives them.
    """
    st.markdown("The language model of this study is on another computer. It would be sent:")
    st.markdown(
        "- the traits of personas, in words\n- the situations and questions they answer\n- what was said before"
    )
    for url in servers:
        st.code(url, language=None, wrap_lines=True)
    st.caption(safe("Allow it only if the licence of your data lets you. This workspace remembers the answer."))
    with st.container(horizontal=True, gap="small"):
        if st.button("Allow and run", key="allow_servers", type="primary", on_click=_allow, args=(servers,)):
            st.rerun()
        if st.button("Do not run", key="refuse_servers"):
            st.rerun()


def _allow(servers: list[str]) -> None:
    for url in servers:
        allow_server(session.workspace().path, url)
    session.remember("run_wanted", True)
