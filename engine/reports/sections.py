"""The words of a report: the whole of it, and the sections about the study and the methods."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from engine.reports.contents import (
    Block,
    Document,
    Facts,
    Heading,
    Items,
    Mono,
    Section,
    headed,
    say,
    tabulate,
)
from engine.reports.language import read_language
from engine.reports.methods import list_phases, write_methods
from engine.reports.reading import StudyPart, gather_studies
from engine.reports.record_sections import rerun_section, runs_section, validity_section
from engine.reports.result_sections import events_section, language_section, results_section
from engine.reports.study_section import (
    tabulate_decisions,
    tabulate_differences,
    tabulate_interventions,
    tabulate_knobs,
    tabulate_layers,
    tabulate_people,
    tabulate_survey,
)


def build_document(folders: Sequence[Path]) -> Document:
    """Return the report on some runs, without its looks.

    Runs of the same study are replicates of each other; arms and several studies are shown side by side. The same
    runs give the same document: no time but those stored in the runs stands in it, and nothing is drawn at random.

    Raises:
        ReportError: no folder was given, or none of the runs has recorded anything.
        RunNotFound: a folder holds no run.
    """
    parts = gather_studies(folders)
    language = [found for part in parts if (found := read_language(part)) is not None]
    n_runs = sum(part.counted_runs for part in parts)
    program = _program_version()
    return Document(
        title=_title(parts),
        kicker=f"Microcosm · report on {n_runs} run{'' if n_runs == 1 else 's'}",
        leads=tuple(dict.fromkeys(part.study.question for part in parts if part.study.question)),
        sections=(
            study_section(parts),
            methods_section(parts),
            results_section(parts),
            events_section(parts),
            *([language_section(language, several=len(parts) > 1)] if language else []),
            validity_section(parts, language),
            runs_section(parts),
            rerun_section(parts),
        ),
        footer=f"Written by Microcosm {program}. Quantities without a band come from one run.",
        program=program,
    )


def _title(parts: Sequence[StudyPart]) -> str:
    titles = list(dict.fromkeys(part.study.title or part.study.scenario for part in parts))
    if len(parts) > 1 and len(titles) == 1 and all(part.arm for part in parts):
        return titles[0]
    if len(parts) == 1:
        return titles[0] + (f": {parts[0].arm}" if parts[0].arm else "")
    return f"{parts[0].label} and {len(parts) - 1} more"


def study_section(parts: Sequence[StudyPart]) -> Section:
    """Return what was studied: knobs, people, ties, who decides, interventions, and what further studies change."""
    blocks: list[Block] = []
    for part in parts:
        first = next(other for other in parts if other.info.name == part.info.name)
        blocks += [*headed(parts, part), _facts(part)]
        if part is first:
            blocks += [say(paragraph) for paragraph in split_paragraphs(part.info.document)]
            blocks += [*_knobs(part), *_people(part), *_ties(part), *_deciders(part), *_interventions(part)]
        else:
            blocks += _what_differs(part, first)
    return Section("study", "Study", "Study", tuple(blocks))


def _facts(part: StudyPart) -> Facts:
    unit = f" (one is one {part.info.unit})" if part.info.unit != "step" else ""
    return Facts(
        (
            ("Scenario", part.info.title),
            ("Agents", f"{part.n_agents:,}"),
            (f"Steps{unit}", f"{part.study.steps:,}"),
            ("Runs in the figures", f"{len(part.counted)} of {len(part.runs)}"),
            ("Seeds", part.seeds or "none"),
        )
    )


def _what_differs(part: StudyPart, first: StudyPart) -> list[Block]:
    """Return what a further study of the same scenario has that the first one has not."""
    blocks: list[Block] = []
    mine, theirs = part.study, first.study
    rows = tabulate_differences(mine, theirs)
    if rows:
        told = f"Differs from “{first.label}” in"
        blocks.append(tabulate((("key", told, "name"), ("value", part.label), ("first", first.label)), rows))
    if mine.population != theirs.population:
        blocks += _people(part)
    if mine.layers != theirs.layers:
        blocks += _ties(part)
    if mine.decisions != theirs.decisions:
        blocks += _deciders(part)
    if mine.interventions != theirs.interventions:
        blocks += _interventions(part)
    return blocks or [say(f"The same as “{first.label}” in everything but words and recording.")]


def _knobs(part: StudyPart) -> list[Block]:
    columns = (
        ("name", "knob", "name"),
        ("value", "value"),
        ("default", "default"),
        ("unit", "unit", "unit"),
        ("range", "range", "unit"),
        ("help", "meaning"),
    )
    rows = tabulate_knobs(part.study, part.info)
    return [Heading("Knobs"), tabulate(columns, rows, empty="The scenario has no knobs.")]


def _people(part: StudyPart) -> list[Block]:
    rows = tabulate_people(part.folders[0]) if part.folders else []
    none = "The agents have no persona columns: they differ only in their state and their ties."
    blocks: list[Block] = [
        Heading("People"),
        tabulate((("name", "column", "name"), ("values", "values at the start")), rows, empty=none),
    ]
    spec = part.study.population
    if spec.file:
        weighed = f", drawn by the weight “{spec.weight}”" if spec.weight else ", drawn with equal probability"
        blocks.append(say("Respondents of the survey file ", Mono(spec.file), f"{weighed}. Their variables became:"))
        columns = (
            ("name", "column", "name"),
            ("variable", "variable of the file", "name"),
            ("change", "what it became"),
            ("missing", "without an answer"),
        )
        blocks.append(tabulate(columns, tabulate_survey(spec), empty="The study takes no variable of the file."))
    return blocks


def _ties(part: StudyPart) -> list[Block]:
    rows = tabulate_layers(part.study, part.folders[0], part.n_agents) if part.folders else []
    columns = (
        ("name", "layer", "name"),
        ("kind", "kind"),
        ("params", "parameters"),
        ("ties", "ties at the start", "number"),
        ("degree", "mean degree", "number"),
    )
    return [Heading("Ties"), tabulate(columns, rows, empty="No run has built its ties yet.")]


def _deciders(part: StudyPart) -> list[Block]:
    columns = (("name", "decision", "name"), ("question", "question"), ("options", "options"), ("who", "decided by"))
    rows = tabulate_decisions(part.study, part.info)
    none = "Mechanism only: nothing in this scenario is a person's decision."
    return [Heading("Who decides"), tabulate(columns, rows, empty=none)]


def _interventions(part: StudyPart) -> list[Block]:
    columns = (("name", "name"), ("when", "when"), ("whom", "whom"), ("what", "what"))
    return [Heading("Interventions"), tabulate(columns, tabulate_interventions(part.study), empty="None.")]


def methods_section(parts: Sequence[StudyPart]) -> Section:
    """Return the methods text; a paragraph that holds for several studies is said once."""
    blocks: list[Block] = []
    said: set[str] = set()
    for part in parts:
        paragraphs = [text for text in write_methods(part) if text not in said]
        said.update(paragraphs)
        blocks += [*headed(parts, part), *(say(text) for text in paragraphs)]
    blocks += [Heading("Phases of a step"), Items(tuple(list_phases()), numbered=True)]
    return Section("methods", "Methods", "Methods", tuple(blocks))


def split_paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a docstring; a line that opens with a heading such as `Source:` starts one."""
    blocks = re.split(r"\n\s*\n|\n(?=[A-Z][a-z]+: )|\n(?=\d+\. )", text)
    return [" ".join(block.replace("`", "").split()) for block in blocks if block.strip()]


def _program_version() -> str:
    from importlib.metadata import version

    return version("microcosm-studio")
