"""People: who the agents of the open study are, all of them; to look at, edit, match to shares, and draft."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from app import session
from app.actions import show_attempt
from app.composer.everyone import everyone_of
from app.composer.people_drafting import show_drafting
from app.composer.people_editing import show_editing
from app.composer.people_fit import show_fit_report
from app.composer.people_instruments import show_instruments
from app.composer.people_look import show_look
from app.composer.people_shares import show_shares
from app.drafts import Draft
from app.forms import safe
from engine.errors import MicrocosmError
from engine.population import Population
from engine.registry import discover, scenarios

TABS = {
    "look": "Look",
    "edit": "Edit",
    "shares": "Shares and households",
    "fit": "Fit",
    "instruments": "Instruments",
    "draft": "Draft with a model",
}


def show() -> None:
    """Draw the page."""
    discover()
    try:
        draft = session.draft()
    except MicrocosmError as error:
        st.error(safe(error))
        return
    if draft is None or draft.get("scenario") not in scenarios:
        st.subheader("People")
        st.caption("No study is open. Choose a template first; its people appear here.")
        st.page_link("views/home.py", label="Choose a template", icon=":material/home:")
        return
    people, problem = find_everyone(draft)
    _head(draft, people)
    wanted = session.address("tab")
    tab = st.segmented_control(
        "Part",
        list(TABS),
        default=None if session.value_of("people_tab") else (wanted if wanted in TABS else "look"),
        format_func=TABS.__getitem__,
        key="people_tab",
        label_visibility="collapsed",
        required=True,
    )
    show_attempt()
    if tab != wanted:
        session.set_address(tab=tab)
    if tab == "draft":
        show_drafting(draft)
        return
    if tab == "shares":
        show_shares(draft, people, problem)
        return
    if people is None:
        st.markdown(f":red[:material/error: {safe(problem)}]")
        st.caption(
            "The people appear when the settings hold together: change them under Shares and households, or under "
            "Compose, part 3."
        )
        return
    if not people.columns:
        st.caption("These agents have no traits. Choose a recipe, a pack or a survey under Compose, part 3.")
        return
    if tab == "edit":
        show_editing(draft, people)
    elif tab == "fit":
        show_fit_report(draft, people)
    elif tab == "instruments":
        show_instruments(draft)
    else:
        show_look(draft, people)


def find_everyone(draft: Draft) -> tuple[Population | None, str]:
    """Return all people of a draft, or None and why there are none."""
    try:
        return everyone_of(draft), ""
    except (MicrocosmError, ValidationError, TypeError) as error:
        return None, str(error)


def _head(draft: Draft, people: Population | None) -> None:
    title, link = st.columns([4, 1], vertical_alignment="center")
    with title:
        st.subheader(f"People of “{safe(draft.get('title') or draft.get('scenario'))}”")
        if people is not None:
            st.caption(safe(f"{people.n:,} people, {len(people.columns)} columns{origin_words(people)}."))
    with link, st.container(horizontal=True, horizontal_alignment="right"):
        st.page_link("views/compose.py", label="Back to the study", icon=":material/tune:")


def origin_words(people: Population) -> str:
    """Return where the columns' values come from, as the end of a sentence."""
    words = {"survey": "a survey", "sampled": "draws", "manual": "a person's hand", "model": "a language model"}
    counts: dict[str, int] = {}
    for column in people.columns.values():
        if column.provenance:
            counts[column.provenance] = counts.get(column.provenance, 0) + 1
    told = [f"{n} from {words[name]}" for name, n in counts.items()]
    return f": {', '.join(told)}" if told else ""


if __name__ == "__main__":
    show()
