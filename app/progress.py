"""The progress of runs on a terminal: one line per run with rate and remaining time, and nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from app.terminal import as_duration, plain


class ProgressLines:
    """Shows runs as they go on; silent where standard error is no terminal.

    Use as a context manager and call `show` with a `RunInfo` whenever one is read.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> ProgressLines:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:.0f}/{task.total:.0f} steps", markup=False),
                TextColumn("{task.fields[rate]}", markup=False),
                console=Console(stderr=True),
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, info: Any) -> None:
        """Show the state of one run."""
        if self._bar is None:
            return
        if info.run_id not in self._tasks:
            self._tasks[info.run_id] = self._bar.add_task(info.run_id, total=info.steps, rate="")
        self._bar.update(
            self._tasks[info.run_id], completed=info.step, description=describe_run(info), rate=describe_rate(info)
        )


def describe_run(info: Any) -> str:
    """Return the run's id and what it is doing."""
    doing = info.phase if info.status == "running" and info.phase else info.status
    return plain(f"{info.run_id} {doing}")


def describe_rate(info: Any) -> str:
    """Return the rate and the remaining time of a run, or an empty string where they are not known yet."""
    if info.status != "running" or not info.steps_per_s:
        return ""
    left = f", {as_duration(info.remaining_s)} left" if info.remaining_s is not None else ""
    return f"{info.steps_per_s:.3g} steps/s{left}"
