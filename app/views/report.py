"""Report: one self-contained file of one or more runs, HTML or PDF, previewed in a sandbox, to keep and to pass on."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import session
from app.forms import safe
from app.reading import all_runs
from engine.errors import MicrocosmError
from engine.reports import write_report
from engine.runs import RunInfo

MAX_RUNS = 100
MAX_CHIPS = 8  # runs up to this number are listed one by one from the start; more are one switch
MAX_LISTED = 400


def show() -> None:
    """Draw the page."""
    runs = {info.run_id: info for info in all_runs(session.workspace()) if info.step >= 0}
    if not runs:
        st.subheader("Report")
        st.caption("A report needs a run. Start one from a template.")
        st.page_link("views/home.py", label="Choose a template", icon=":material/home:")
        return
    folder = session.current_run()
    current = folder.name if folder is not None and folder.name in runs else next(iter(runs))
    chosen, button = st.columns([5, 1], vertical_alignment="bottom")
    with chosen:
        wanted = _choose(runs, current)
    with button:
        build = st.button(
            "Build",
            key="build_report",
            type="primary",
            icon=":material/description:",
            disabled=not wanted,
            width="stretch",
        )
    st.caption(
        "Question, study, methods, figures with their n, events, what the results cannot show, and how to "
        "run it again. All runs of a study belong in its report, the discarded ones too."
    )
    if build:
        _build([runs[run_id] for run_id in wanted])
    name = session.address("report") or session.recall("report", "")
    path = session.workspace().exports / Path(str(name)).name
    if name and path.suffix == ".html" and path.is_file():
        _preview(path)
    else:
        st.caption("Press Build: the preview appears here, and the file can be downloaded.")


def _choose(runs: dict[str, RunInfo], current: str) -> list[str]:
    def words(run_id: str) -> str:
        info = runs[run_id]
        arm = f" · {info.arm}" if info.arm else ""
        return f"{info.title or info.scenario}{arm} · {run_id[:8]} · {info.status} · seed {info.seed + info.replicate}"

    compared = [key for key in session.recall("compared", []) if key in runs] if session.address("runs") else []
    experiment = session.address("experiment") or (None if compared else runs[current].experiment_id)
    own = [key for key, info in runs.items() if experiment and info.experiment_id == experiment]
    if own and st.toggle(f"All {len(own)} runs of {safe(runs[own[0]].title or experiment)}", True, key="whole_study"):
        return own[::-1]
    siblings = [key for key, info in runs.items() if _same_study(info, runs[current])]
    default = compared or list(dict.fromkeys([current, *siblings]))
    words_of_all = f"All {len(default)} runs that were {'compared' if compared else 'started together'}"
    if len(default) > MAX_CHIPS and st.toggle(words_of_all, True, key="all_together"):
        return default
    default = default[:MAX_RUNS]
    return st.multiselect(
        "Runs in the report",
        list(dict.fromkeys([*default, *list(runs)[:MAX_LISTED]])),
        default=default,
        format_func=words,
        key=f"report_runs_{current}_{len(compared)}",
        select_all=False,
    )


def _same_study(one: RunInfo, other: RunInfo) -> bool:
    return (one.title, one.scenario, one.seed, one.created_at // 60) == (
        other.title,
        other.scenario,
        other.seed,
        other.created_at // 60,
    )


def _build(runs: list[RunInfo]) -> None:
    out = session.workspace().exports / f"report-{runs[0].run_id}.html"
    try:
        with st.spinner("Writing the report"):
            write_report([info.folder for info in runs], out)
    except MicrocosmError as error:
        st.error(safe(error))
        return
    session.remember("report", out.name)
    session.remember("report_runs", [str(info.folder) for info in runs])
    session.set_address(report=out.name)


def _offer_pdf(path: Path) -> None:
    """Make the same report as PDF when it is asked for, and offer it once it is there and not older."""
    pdf = path.with_suffix(".pdf")
    folders = [Path(folder) for folder in session.recall("report_runs", [])]
    fresh = pdf.is_file() and pdf.stat().st_mtime >= path.stat().st_mtime
    if not fresh and folders and st.button("Make PDF", key="build_pdf", icon=":material/picture_as_pdf:"):
        try:
            with st.spinner("Writing the PDF"):
                write_report(folders, pdf)
            fresh = True
        except MicrocosmError as error:
            st.error(safe(error))
    if fresh:
        st.download_button(
            "Download PDF",
            pdf.read_bytes(),
            pdf.name,
            "application/pdf",
            key="download_pdf",
            icon=":material/download:",
            on_click="ignore",
        )


def _preview(path: Path) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download HTML",
            path.read_bytes(),
            path.name,
            "text/html",
            key="download_report",
            icon=":material/download:",
            on_click="ignore",
        )
        _offer_pdf(path)
        st.text(f"{path.stat().st_size / 1e6:.1f} MB, in the workspace under exports")
    # The route answers with a sandbox policy: the report has neither the studio's origin nor any network.
    st.iframe(f"/microcosm/report/{path.name}?v={int(path.stat().st_mtime)}", height=560, alt="Preview of the report")


if __name__ == "__main__":
    show()
