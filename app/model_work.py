"""Work on model files for the studio, in processes of their own: the studio itself never opens a GGUF file.

Every call runs `microcosm models ...` and reads its JSON lines; a fetch goes on when the page or the studio is closed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from engine.errors import ModelError
from engine.runs import Workspace

PATIENCE_S = 300.0
SHOWN_CHARACTERS = 500

_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Fetch:
    """One fetch of a model file, as its log tells it.

    Attributes:
        what: What is fetched.
        log: Its log file, one JSON object a line.
        pid: Its process.
        done_bytes: Bytes that have arrived.
        total_bytes: Bytes in all, None where unknown.
        bytes_per_s: Rate of this session.
        remaining_s: Seconds left, None where unknown.
        path: The finished file's path, or None.
        problem: Why it failed, or an empty string.
        is_running: Whether the process is alive.
    """

    what: str
    log: Path
    pid: int
    done_bytes: int = 0
    total_bytes: int | None = None
    bytes_per_s: float = 0.0
    remaining_s: float | None = None
    path: str | None = None
    problem: str = ""
    is_running: bool = False


def run_models(workspace: Workspace, *words: str, patience_s: float = PATIENCE_S) -> list[dict[str, Any]]:
    """Run `microcosm models WORDS --json` and return the objects it writes.

    Raises:
        ModelError: with the sentence that it failed with, or because it took too long.
    """
    try:
        done = subprocess.run(
            _command(workspace, words), capture_output=True, text=True, timeout=patience_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"the model did not answer within {patience_s:.0f} s; try a smaller one") from error
    if done.returncode:
        raise ModelError(_sentence(done.stderr))
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def start_fetch(workspace: Workspace, what: str, sha256: str = "") -> Fetch:
    """Start fetching a model file in the background; its log lies in the workspace's cache."""
    words = ["pull", *([f"--sha256={sha256}"] if sha256 else []), "--", what]
    log = _folder(workspace) / f"{time.time_ns()}.jsonl"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            _command(workspace, words),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Children that have ended are collected at the next start: a long-lived studio keeps no zombies.
    _started[:] = [child for child in (*_started, process) if child.poll() is None]
    log.with_suffix(".json").write_text(json.dumps({"what": what, "pid": process.pid}), encoding="utf-8")
    return read_fetch(log)


def list_fetches(workspace: Workspace) -> list[Fetch]:
    """Return the fetches of this workspace that nobody has put away yet, newest first."""
    return [read_fetch(log) for log in sorted(_folder(workspace).glob("*.jsonl"), reverse=True)]


def read_fetch(log: Path) -> Fetch:
    """Return how far a fetch is."""
    try:
        note = json.loads(log.with_suffix(".json").read_text(encoding="utf-8"))
        what, pid = str(note["what"]), int(note["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        what, pid = "a model", 0
    told: dict[str, Any] = {}
    words = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            words.append(line)
    running = _is_ours(pid)
    path = told.get("path")
    problem = "" if path or running else _sentence("\n".join(words))
    return Fetch(
        what,
        log,
        pid,
        int(told.get("done_bytes", 0)),
        told.get("total_bytes"),
        float(told.get("bytes_per_s") or 0.0),
        told.get("remaining_s"),
        path,
        problem,
        running,
    )


def stop_fetch(fetch: Fetch) -> None:
    """End a fetch; what has arrived stays, so that the same fetch goes on from there."""
    if _is_ours(fetch.pid):
        psutil.Process(fetch.pid).terminate()


def forget_fetch(fetch: Fetch) -> None:
    """Put the log of an ended fetch away."""
    fetch.log.unlink(missing_ok=True)
    fetch.log.with_suffix(".json").unlink(missing_ok=True)


def _folder(workspace: Workspace) -> Path:
    folder = workspace.cache / "fetches"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _command(workspace: Workspace, words: Sequence[str]) -> list[str]:
    verb, *rest = words
    return [sys.executable, "-P", "-m", "app.cli", "models", "--workspace", str(workspace.path), "--json", verb, *rest]


def _is_ours(pid: int) -> bool:
    """Tell whether a process is alive and is a fetch; a reaped number may belong to anyone."""
    try:
        process = psutil.Process(pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE and "models" in process.cmdline() and "pull" in process.cmdline()
        )
    except (psutil.Error, ValueError):
        return False


def _sentence(text: str) -> str:
    """Return the sentence with which the command line ended, without its own name."""
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else f"it ended without a word (process killed, {os.cpu_count()} cores)"
    return re.sub(r"^microcosm[^:]*: ", "", last)[:SHOWN_CHARACTERS]
