"""What the composer remembers of a study beside its file: the outcome, the parts that were looked at, and snapshots."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.drafts import Draft
from engine.analysis import REDUCTIONS
from engine.contract import Measure

MAX_SNAPSHOTS = 50
OUTCOME_NAME = "outcome.json"
READINGS = {
    "last": "at the end of a run",
    "max": "at its largest",
    "min": "at its smallest",
    "mean": "averaged over all steps",
    "step_of_max": "the step at which it is largest",
}


@dataclass(frozen=True)
class Outcome:
    """One number per run that answers the question.

    Attributes:
        measure: Name of a measure of the scenario.
        at: How it is read: last, max, min, mean, or step_of_max.
    """

    measure: str
    at: str = "last"


@dataclass(frozen=True)
class Snapshot:
    """A state of the study that was kept under a name; `saved_at` in seconds since 1970."""

    name: str
    saved_at: float
    text: str


def annotation_path(draft: Draft) -> Path:
    """Return the file beside the study."""
    return draft.path.with_suffix(".notes.json")


def read_annotations(draft: Draft) -> dict[str, Any]:
    """Return what is remembered; what cannot be read counts as nothing."""
    try:
        found = json.loads(annotation_path(draft).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_annotations(draft: Draft, **values: Any) -> None:
    """Change some of what is remembered."""
    whole = read_annotations(draft) | values
    path = annotation_path(draft)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    temporary.replace(path)


def read_outcome(draft: Draft, measures: tuple[Measure, ...]) -> Outcome:
    """Return the chosen outcome; the scenario's first measure at the end of a run where nothing is chosen."""
    held = read_annotations(draft).get("outcome")
    if isinstance(held, dict) and isinstance(held.get("measure"), str) and held.get("at") in REDUCTIONS:
        return Outcome(held["measure"], held["at"])
    return Outcome(measures[0].name if measures else "", "last")


def outcome_problem(outcome: Outcome, measures: tuple[Measure, ...], scenario: str) -> str:
    """Return what is wrong with an outcome, or an empty text."""
    names = [measure.name for measure in measures]
    if outcome.measure in names:
        return ""
    return f"'{outcome.measure}' is not measured by {scenario}; choose one of {', '.join(names)}"


def store_outcome(folder: Path, outcome: Outcome) -> None:
    """Write the outcome beside an experiment's record, for the pages that compare its arms."""
    values = {"measure": outcome.measure, "at": outcome.at}
    (folder / OUTCOME_NAME).write_text(json.dumps(values), encoding="utf-8")


def read_seen(draft: Draft) -> set[str]:
    """Return the parts of the composer that were looked at."""
    held = read_annotations(draft).get("seen")
    return {str(part) for part in held} if isinstance(held, list) else set()


def mark_seen(draft: Draft, part: str) -> set[str]:
    """Remember that a part was looked at; returns all of them."""
    seen = read_seen(draft)
    if part not in seen:
        seen.add(part)
        write_annotations(draft, seen=sorted(seen))
    return seen


def read_snapshots(draft: Draft) -> list[Snapshot]:
    """Return the snapshots, newest first."""
    held = read_annotations(draft).get("snapshots")
    found = []
    for item in held if isinstance(held, list) else []:
        if isinstance(item, dict) and isinstance(item.get("text"), str):
            found.append(Snapshot(str(item.get("name", "")), float(item.get("saved_at", 0.0)), item["text"]))
    return found


def save_snapshot(draft: Draft, name: str) -> str:
    """Keep the present state under a name and return the name; an equal name is replaced.

    Args:
        draft: The study.
        name: At most 80 characters are kept; an empty one becomes `snapshot N`.
    """
    known = read_snapshots(draft)
    name = " ".join(name.split())[:80] or _free_name([snapshot.name for snapshot in known])
    kept = [snapshot for snapshot in known if snapshot.name != name]
    _write_snapshots(draft, [Snapshot(name, time.time(), draft.text()), *kept][:MAX_SNAPSHOTS])
    return name


def _free_name(names: list[str]) -> str:
    return next(f"snapshot {number}" for number in range(1, len(names) + 2) if f"snapshot {number}" not in names)


def drop_snapshot(draft: Draft, name: str) -> None:
    """Forget a snapshot."""
    _write_snapshots(draft, [snapshot for snapshot in read_snapshots(draft) if snapshot.name != name])


def restore_snapshot(draft: Draft, name: str) -> None:
    """Take a snapshot over as the present state; undo brings the other one back."""
    for snapshot in read_snapshots(draft):
        if snapshot.name == name:
            draft.replace(snapshot.text)


def _write_snapshots(draft: Draft, snapshots: list[Snapshot]) -> None:
    rows = [{"name": held.name, "saved_at": held.saved_at, "text": held.text} for held in snapshots]
    write_annotations(draft, snapshots=rows)
