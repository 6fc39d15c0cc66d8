"""The report as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from engine.errors import ReportError
from engine.reports.contents import StudyPart, gather_studies
from engine.reports.figures import draw_bars
from engine.reports.language import read_language
from engine.reports.methods import list_phases, write_methods
from engine.reports.result_tables import tabulate_contrasts, tabulate_final, tabulate_measures
from engine.reports.results import draw_results
from engine.reports.study_section import (
    show,
    tabulate_decisions,
    tabulate_interventions,
    tabulate_knobs,
    tabulate_layers,
    tabulate_people,
)
from engine.reports.validity import assess_validity, list_limits


def render_report(folders: Sequence[Path]) -> str:
    """Return a report on some runs as self-contained HTML.

    Runs of the same study are replicates of each other; several studies are shown side by side. The same runs give
    the same text: no time but those stored in the runs stands in it, and nothing is drawn at random.

    Raises:
        ReportError: no folder was given, or none of the runs has recorded anything.
        RunNotFound: a folder holds no run.
    """
    parts = gather_studies(folders)
    language = [found for part in parts if (found := read_language(part)) is not None]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["show"] = show
    template = environment.from_string(_read_text("report.html.jinja"))
    return template.render(
        title=parts[0].label if len(parts) == 1 else f"{parts[0].label} and {len(parts) - 1} more",
        style=Markup(_read_text("report.css")),
        parts=parts,
        tables={part.hash: _tabulate(part) for part in parts},
        methods={part.hash: write_methods(part) for part in parts},
        phases=list_phases(),
        figures=[{"block": figure, "svg": Markup(figure.svg)} for figure in draw_results(parts)],
        final=tabulate_final(parts),
        measures=tabulate_measures(parts),
        contrasts=tabulate_contrasts(parts),
        language=[{"part": part, "bars": _draw_answers(number, part)} for number, part in enumerate(language)],
        validity=assess_validity(parts, language),
        limits=list_limits(parts, language),
        versions=_collect_versions(parts),
        program=_program_version(),
    )


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write a report on some runs and return its path; an older file of that name is replaced.

    Raises:
        ReportError: the path is a folder, does not end in .html, or cannot be written.
    """
    path = Path(out)
    if path.is_dir():
        raise ReportError(f"'{path}' is a folder; name a file that ends in .html")
    if path.suffix.lower() not in {".html", ".htm"}:
        raise ReportError(
            f"'{path}' does not end in .html; reports are written as HTML, print them to PDF in a browser"
        )
    text = render_report(folders)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise ReportError(f"cannot write '{path}': {error.strerror or error}") from error
    return path


def _tabulate(part: StudyPart) -> dict[str, Any]:
    folder = part.folders[0] if part.folders else None
    return {
        "knobs": tabulate_knobs(part.study, part.info),
        "people": tabulate_people(folder) if folder else [],
        "layers": tabulate_layers(part.study, folder, part.n_agents) if folder else [],
        "decisions": tabulate_decisions(part.study, part.info),
        "interventions": tabulate_interventions(part.study),
        "document": _paragraphs(part.info.document),
    }


def _paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a docstring; a line that opens with a heading such as `Source:` starts one."""
    blocks = re.split(r"\n\s*\n|\n(?=[A-Z][a-z]+: )|\n(?=\d+\. )", text)
    return [" ".join(block.replace("`", "").split()) for block in blocks if block.strip()]


def _draw_answers(number: int, part: Any) -> list[Markup]:
    drawn = []
    for place, shown in enumerate(part.shown):
        p = np.array(shown.p)
        kept = np.sort(np.argsort(-p, kind="stable")[:12])
        svg = draw_bars(f"p{number}-{place}", [shown.options[i] for i in kept], p[kept])
        drawn.append(Markup(svg))
    return drawn


def _collect_versions(parts: Sequence[StudyPart]) -> list[tuple[str, str]]:
    found: dict[str, dict[str, None]] = {}
    for part in parts:
        for row in part.counted:
            for name, version in (row.record.get("versions") or {}).items():
                found.setdefault(str(name), {})[str(version)] = None
    return [(name, ", ".join(versions)) for name, versions in sorted(found.items())]


def _program_version() -> str:
    from importlib.metadata import version

    return version("microcosm-studio")


def _read_text(name: str) -> str:
    return (importlib.resources.files("engine.reports") / name).read_text(encoding="utf-8")
