"""The words of a report about what it rests on: validity, all runs, how to rerun."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import MicrocosmError
from engine.loading import dump_study
from engine.reports.comparisons import (
    group_parts,
)
from engine.reports.contents import (
    Block,
    Code,
    Findings,
    Heading,
    Items,
    Mono,
    Section,
    headed,
    say,
    tabulate,
)
from engine.reports.language import LanguagePart
from engine.reports.reading import RunRow, StudyPart, read_other_arms
from engine.reports.validity import assess_validity, list_limits
from engine.runs import read_experiment_record
from engine.runs.workspace import workspace_of


def validity_section(parts: list[StudyPart], language: list[LanguagePart]) -> Section:
    """Return verification, calibration and validation apart, and what the report cannot show."""
    told = (
        "Three questions are kept apart. A study can be verified without being calibrated, and both without being "
        "valid."
    )
    blocks: list[Block] = [say(told)]
    for block in assess_validity(parts, language):
        blocks += [Heading(block.title), say(block.meaning), Findings(tuple(block.findings))]
    blocks += [Heading("What this report cannot show"), Items(tuple(list_limits(parts, language)))]
    return Section("validity", "Validity", "Validity", tuple(blocks))


def runs_section(parts: Sequence[StudyPart]) -> Section:
    """Return every run of the studies, and of the other arms of their experiments."""
    told = (
        "Every run of the study that was found in the workspace, also those that failed, were discarded or were not "
        "asked for."
    )
    blocks: list[Block] = [say(told)]
    for part in parts:
        blocks += [*headed(parts, part), _run_table(part.runs)]
    others = read_other_arms(parts)
    if others:
        blocks += [Heading("Other runs of the same experiment"), _run_table(others, arms=True)]
    return Section("runs", "All runs", "All runs", tuple(blocks))


def _run_table(runs: Sequence[RunRow], *, arms: bool = False) -> Block:
    rows = []
    for row in runs:
        info = row.info
        message = f": {info.message}" if info.message and info.status not in ("running", "queued") else ""
        rows.append(
            {
                "arm": info.arm or "",
                "run": info.run_id,
                "status": info.status + message,
                "step": f"{info.step} of {info.steps}",
                "replicate": info.replicate,
                "parent": f"{info.parent_run_id} at {info.forked_at}" if info.parent_run_id else "",
                "counted": "yes" if row.counted else f"no: {row.why}",
                "digest": info.digest or "–",
                "warning": info.status in ("failed", "interrupted"),
            }
        )
    columns = [
        *([("arm", "arm")] if arms else []),
        ("run", "run", "name"),
        ("status", "status"),
        ("step", "step", "number"),
        ("replicate", "replicate", "number"),
        *([("parent", "forked from", "mono")] if any(row["parent"] for row in rows) else []),
        ("counted", "in the figures"),
        ("digest", "digest", "mono"),
    ]
    return tabulate(columns, rows)


def rerun_section(parts: Sequence[StudyPart]) -> Section:
    """Return the study files, the commands that repeat them, and the versions."""
    blocks: list[Block] = []
    for group in group_parts(parts):
        experiment = _experiment_toml(group[0]) if group[0].experiment_id else ""
        for part in group[:1] if experiment else group:
            if not experiment:
                blocks += headed(parts, part)
            replay = "".join(f"microcosm replay {row.info.run_id}\n" for row in part.counted[:1])
            blocks += [
                say("Save the study below as ", Mono("study.toml"), ", then:"),
                Code(f"microcosm check study.toml\nmicrocosm run study.toml\n{replay}".rstrip()),
                say(
                    "The first two lines repeat the study anywhere; the third compares with the recorded run on the "
                    "computer that holds it. The same versions on the same class of processor give the same digests "
                    "as in the table above. Hash of the study",
                    f" (arm “{part.label}”): " if experiment else ": ",
                    Mono(part.hash),
                ),
                Code((experiment or part.toml).rstrip()),
            ]
    versions = _collect_versions(parts)
    if versions:
        rows = [{"name": name, "value": value} for name, value in versions]
        blocks += [Heading("Versions"), tabulate((("name", "", "name"), ("value", "", "mono")), rows)]
    return Section("rerun", "How to rerun", "How to rerun", tuple(blocks))


def _experiment_toml(part: StudyPart) -> str:
    """Return the study file with all arms; empty where the experiment's record is not in the run's workspace."""
    folder = part.runs[0].info.folder
    try:
        return dump_study(read_experiment_record(workspace_of(folder), part.experiment_id).study)
    except MicrocosmError:
        return ""  # the run was copied out of its workspace: each arm's own study stands in the report


def _collect_versions(parts: Sequence[StudyPart]) -> list[tuple[str, str]]:
    found: dict[str, dict[str, None]] = {}
    for part in parts:
        for row in part.counted:
            for name, version in (row.record.get("versions") or {}).items():
                found.setdefault(str(name), {})[str(version)] = None
    return [(name, ", ".join(versions)) for name, versions in sorted(found.items())]
