"""Asks before texts of personas go to a model server beyond this computer; a study alone can never allow it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from app import session
from app.actions import asks_model, attempt
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


def attempt_with_consent(study: Study, work: Callable[..., object], *arguments: Any, base: Path | None = None) -> None:
    """Do what a button says, or ask first where the study would send texts elsewhere; meant as a callback.

    The page that holds the button draws `show_consent`.

    Args:
        study: What is run, forked or resumed.
        work: What the button does.
        arguments: Given to it.
        base: Folder that relative paths of the study start from.
    """
    attempt(_ask_or_do, study, base, work, arguments)


def _ask_or_do(study: Study, base: Path | None, work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    servers = servers_to_ask(study, base)
    if servers:
        session.remember("consent_wanted", (servers, work, arguments))
    else:
        work(*arguments)


def consent_is_wanted() -> bool:
    """Tell whether a button waits for an answer; a fragment then lets the whole page be drawn, which asks."""
    return session.recall("consent_wanted") is not None


def show_consent() -> None:
    """Open the question that a button waits for, once."""
    wanted = session.recall("consent_wanted")
    if wanted is not None:
        session.remember("consent_wanted", None)
        ask_consent(*wanted)


@st.dialog("Texts would leave this computer", icon=":material/cloud_upload:")
def ask_consent(servers: list[str], work: Callable[..., object], arguments: tuple[Any, ...] = ()) -> None:
    """Say which servers would get which texts, and start only once that is allowed.

    Args:
        servers: Addresses, as `servers_to_ask` gives them.
        work: What is done then.
        arguments: Given to it.
    """
    st.markdown("The language model of this study is on another computer. It would be sent:")
    st.markdown(
        "- the traits of personas, in words\n- the situations and questions they answer\n- what was said before"
    )
    for url in servers:
        st.code(url, language=None, wrap_lines=True)
    st.caption(safe("Allow it only if the licence of your data lets you. This workspace remembers the answer."))
    with st.container(horizontal=True, gap="small"):
        if st.button(
            "Allow and run", key="allow_servers", type="primary", on_click=_allow, args=(servers, work, arguments)
        ):
            st.rerun()
        if st.button("Do not run", key="refuse_servers"):
            st.rerun()


def _allow(servers: list[str], work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    for url in servers:
        allow_server(session.workspace().path, url)
    attempt(work, *arguments)
