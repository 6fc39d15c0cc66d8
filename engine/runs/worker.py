"""The worker: one operating-system process that executes runs one after another.

Started as `python -P -m engine.runs.worker [--no-live] FOLDER...`; SIGTERM and SIGINT end it at the next step, with a
checkpoint.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from engine.errors import MicrocosmError, RunLocked
from engine.runs.execution import Worker, execute_run

EXIT_FAILED, EXIT_LOCKED = 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the runs of some folders and return the exit status: 0, 1 (a run failed) or 3 (held by another)."""
    parser = argparse.ArgumentParser(prog="engine.runs.worker", description="Execute queued runs.")
    parser.add_argument("--no-live", action="store_true", help="draw no layout and show no live frames")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    with Worker(live=not options.no_live) as worker:

        def stop(number: int, frame: FrameType | None) -> None:
            worker.stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        worst = 0
        for folder in options.folders:
            if worker.stopping:
                break
            worst = max(worst, _execute(folder, worker))
    return worst


def _execute(folder: Path, worker: Worker) -> int:
    """Execute one run and return its exit status."""
    try:
        return EXIT_FAILED if execute_run(folder, worker) == "failed" else 0
    except RunLocked as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_LOCKED
    except MicrocosmError as error:
        sys.stderr.write(f"{folder}: {error}\n")
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
