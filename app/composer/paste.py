"""The present study in the three forms in which others can repeat it: TOML, command line, Python."""

from __future__ import annotations

import itertools
import json
import shlex
import tomllib
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import session
from app.annotations import Outcome
from app.drafts import Draft
from app.forms import safe
from engine.errors import MicrocosmError
from engine.loading import default_study, load_study, study_tables
from engine.spec import Study


def show_paste(draft: Draft, study: Study | None, outcome: Outcome) -> None:
    """Draw the study as TOML, command line and Python, and the box that takes a pasted study over."""
    with st.expander("Paste: this study as TOML, command line, Python", icon=":material/content_paste:", key="paste"):
        forms = ["TOML", "Command line", "Python", "Steps so far", "Take over a study"]
        form = st.segmented_control(
            "Form", forms, default="TOML", key="paste_form", label_visibility="collapsed", required=True
        )
        if form == "Take over a study":
            _take_over()
        elif form == "TOML" or form is None:
            st.code(draft.text(), language="toml", height=330)
            st.download_button(
                "Download",
                draft.text(),
                f"{draft.name}.toml",
                "application/toml",
                icon=":material/download:",
                on_click="ignore",
            )
        elif form == "Steps so far":
            st.caption("Every change since this study was opened, in order.")
            st.code(steps_of(draft), language="toml", wrap_lines=True, height=330)
        elif study is None:
            st.caption("This form appears when the study has no open problem.")
        elif form == "Command line":
            st.code(as_command(draft, study), language="bash", wrap_lines=True)
            st.caption("The same without the file: the template with what you changed.")
            st.code(changes_as_command(draft, study), language="bash", wrap_lines=True)
        else:
            st.code(as_python(draft, study, outcome), language="python", wrap_lines=True)


def as_command(draft: Draft, study: Study) -> str:
    """Return the shell commands that check the study, run it and write its report.

    Args:
        draft: The study's file in the workspace.
        study: The same study, checked.
    """
    workspace = shlex.quote(str(session.workspace().path))
    file = shlex.quote(str(draft.path))
    n_runs = study.replicates * max(len(study.arms), 1)
    return (
        f"microcosm check {file} --workspace {workspace}\n"
        f"# {n_runs} run{'s' if n_runs != 1 else ''}\n"
        f"microcosm run {file} --workspace {workspace}\n"
    )


def as_python(draft: Draft, study: Study, outcome: Outcome) -> str:
    """Return a script that runs the study and prints its outcome; with arms, the paired contrast to the first one."""
    head = f"file, folder = {str(draft.path)!r}, {str(session.workspace().path)!r}\n"
    if not study.arms:
        return (
            "from engine import run_study\n\n"
            f"{head}for run in run_study(file, workspace=folder):\n"
            f"    print(run.run_id, run.measures[{outcome.measure!r}])\n"
        )
    return (
        "from pathlib import Path\n\n"
        "from engine import load_study\n"
        "from engine.analysis import outcome_table, pair_outcomes, paired_contrast\n"
        "from engine.experiment import run_experiment\n"
        "from engine.runs import open_workspace\n\n"
        f"{head}"
        "workspace = open_workspace(folder)\n"
        "study = load_study(file, personas=workspace.personas)\n"
        "experiment = run_experiment(workspace, study, base=Path(file).parent)\n"
        "runs = {arm: experiment.folders_of(arm) for arm in experiment.arms}\n"
        f"outcomes = outcome_table(runs, {outcome.measure!r}, at={outcome.at!r})\n"
        "first = experiment.arms[0]\n"
        "for arm in experiment.arms[1:]:\n"
        "    pairs = pair_outcomes(outcomes, first, arm)\n"
        "    print(arm, 'compared with', first)\n"
        "    print(paired_contrast(pairs.a, pairs.b, level=0.95 if len(pairs.a) > 1 else None).sentence)\n"
    )


def changes_as_command(draft: Draft, study: Study) -> str:
    """Return the study as its scenario's template with changes, or why it cannot be said so.

    What is returned was tried: the template with these changes is this study.
    """
    scenario = str(draft.get("scenario"))
    changes = changes_between(study_tables(default_study(scenario)), study_tables(study))
    settings = [f"{key}={inline_toml(value)}" for key, value in changes.items() if value is not None]
    try:
        found = load_study(scenario, settings, personas=draft.personas, base=draft.path.parent)
    except MicrocosmError:
        found = None
    if found != study:
        return "# This study takes things away from its template; use the study file."
    workspace = shlex.quote(str(session.workspace().path))
    lines = [f"cd {shlex.quote(str(draft.path.parent))}"] if study.population.file else []
    start = f"microcosm run {shlex.quote(scenario)} --workspace {workspace}"
    return "\n".join([*lines, " \\\n".join([start, *(f"  --set {shlex.quote(text)}" for text in settings)])])


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted key -> new value of what differs between two tables; None for what is gone."""
    changes: dict[str, Any] = {}
    for key in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes |= changes_between(old, new, f"{prefix}{key}.")
        elif old != new:
            changes[f"{prefix}{key}"] = new
    return changes


def inline_toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {inline_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(inline_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def steps_of(draft: Draft) -> str:
    """Return every change of this session in order, as lines of TOML; what was taken away as comments."""
    texts = [tomllib.loads(text) for text in [*draft.past, draft.text()]]
    lines = []
    for number, (before, after) in enumerate(itertools.pairwise(texts), start=1):
        lines.append(f"# step {number}")
        for key, value in changes_between(before, after).items():
            lines.append(f"# without {key}" if value is None else f"{key} = {inline_toml(value)}")
    return "\n".join(lines) or "# nothing was changed yet"


def _take_over() -> None:
    key = session.field_key("pasted")
    st.text_area("Paste another study here", key=key, height=260, placeholder='format = 1\nscenario = "sir"\n...')
    st.button("Take it over", key="take_study", on_click=lambda: _take(session.value_of(key, "")))
    if session.recall("paste_error"):
        st.markdown(f":red[{safe(session.recall('paste_error'))}]")


def _take(text: str) -> None:
    session.remember("paste_error", "")

    def replace(draft: Draft) -> None:
        try:
            draft.replace(text)
        except MicrocosmError as error:
            session.remember("paste_error", str(error))

    if text.strip():
        session.change_draft(replace)
