"""Bookmarks: steps of a run that one wants to find again, kept per run in the workspace."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.runs import RunInfo, Workspace

MAX_BOOKMARKS = 100
MAX_WORDS = 80


@dataclass(frozen=True)
class Bookmark:
    """A step and what one called it."""

    step: int
    text: str


def bookmark_path(workspace: Workspace, run_id: str) -> Path:
    """Return the file with a run's bookmarks."""
    return workspace.path / "bookmarks" / f"{Path(run_id).name}.json"


def read_bookmarks(workspace: Workspace, run_id: str) -> list[Bookmark]:
    """Return a run's bookmarks by step; what cannot be read counts as none."""
    try:
        held = json.loads(bookmark_path(workspace, run_id).read_text(encoding="utf-8"))
        found = [Bookmark(int(item["step"]), str(item["text"])) for item in held]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return sorted(found, key=lambda bookmark: bookmark.step)


def put_bookmark(workspace: Workspace, info: RunInfo, step: int, text: str = "") -> None:
    """Keep a step, or give one that is kept another name."""
    words = " ".join(text.split())[:MAX_WORDS] or "bookmark"
    kept = [bookmark for bookmark in read_bookmarks(workspace, info.run_id) if bookmark.step != step]
    _write(workspace, info.run_id, [*kept, Bookmark(step, words)][-MAX_BOOKMARKS:])


def drop_bookmark(workspace: Workspace, run_id: str, step: int) -> None:
    """Forget a step."""
    _write(workspace, run_id, [mark for mark in read_bookmarks(workspace, run_id) if mark.step != step])


def _write(workspace: Workspace, run_id: str, bookmarks: list[Bookmark]) -> None:
    path = bookmark_path(workspace, run_id)
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps([asdict(bookmark) for bookmark in bookmarks], ensure_ascii=False), encoding="utf-8")
    partial.replace(path)
