"""The page table of the studio; Streamlit runs this file for every page."""

from __future__ import annotations

import importlib.resources

import streamlit as st

PAGES = (
    ("views/home.py", "Home", ":material/home:", "Templates to start from, and your recent runs."),
    ("views/compose.py", "Compose", ":material/tune:", "Question, people, network, who decides, interventions, plan."),
    ("views/people.py", "People", ":material/groups:", "Who the agents are: look, edit, match shares, draft."),
    ("views/network.py", "Network", ":material/share:", "Who is tied to whom: generate, edit, measure, files."),
    ("views/live.py", "Live", ":material/hub:", "Watch a run: network, measures, messages, and one agent's reasons."),
    ("views/explore.py", "Explore", ":material/monitoring:", "Charts and tables of what was recorded, and downloads."),
    (
        "views/compare.py",
        "Compare",
        ":material/difference:",
        "Groups of runs, and what one arm changes against another.",
    ),
    ("views/report.py", "Report", ":material/description:", "A report that others can check and rerun."),
    ("views/models.py", "Models", ":material/psychology:", "Language models: at hand, to fetch, to try out."),
)


def main() -> None:
    """Draw the frame and the current page."""
    st.set_page_config(page_title="Microcosm", page_icon="🔬", layout="wide")
    assets = importlib.resources.files("assets")
    st.logo(str(assets / "logo.svg"), size="medium")
    pages = [
        st.Page(path, title=title, icon=icon, help=words, default=index == 0)
        for index, (path, title, icon, words) in enumerate(PAGES)
    ]
    st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main()
