"""Named states of a study: kept, taken back, forgotten."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import streamlit as st

from app import session
from app.actions import attempt
from app.annotations import drop_snapshot, read_snapshots, restore_snapshot, save_snapshot
from app.drafts import Draft
from app.forms import safe


def show_snapshots(draft: Draft) -> None:
    """Draw the button behind which snapshots are kept and taken back."""
    with st.popover("", icon=":material/photo_camera:", help="Snapshots of this study", key="snapshots"):
        st.markdown("**Snapshots**")
        st.caption("A snapshot keeps the study as it is now, under a name.")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            key = session.field_key("snapshot_name")
            st.text_input("Name", key=key, placeholder="before the survey", max_chars=80)
            st.button("Keep", key="save_snapshot", on_click=_save, args=(draft, key))
        for place, snapshot in enumerate(read_snapshots(draft)):
            moment = datetime.fromtimestamp(snapshot.saved_at).astimezone().strftime("%d %b %H:%M")
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.text(f"{snapshot.name}  ·  {moment}", width="stretch")
                st.button(
                    "Take back",
                    key=f"restore_{place}",
                    type="tertiary",
                    on_click=attempt,
                    args=(_restore, snapshot.name),
                )
                st.button(
                    "",
                    key=f"forget_{place}",
                    icon=":material/delete:",
                    type="tertiary",
                    help=f"Forget {safe(snapshot.name)}",
                    on_click=drop_snapshot,
                    args=(draft, snapshot.name),
                )


def _save(draft: Draft, key: str) -> None:
    save_snapshot(draft, str(session.value_of(key) or ""))
    session.set_value(key, "")


def _restore(name: str) -> None:
    session.change_draft(partial(restore_snapshot, name=name))
