"""One worker per run: an advisory lock that the kernel releases however the worker ends."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from types import TracebackType

from engine.errors import RunLocked

LOCK_NAME = "worker.lock"
_PATIENCE_S = 1.0


class RunLock:
    """Holds a run for one worker, in a `with` block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> RunLock:
        self._file = (self._folder / LOCK_NAME).open("ab")
        # `is_locked` holds the lock for an instant when it looks, so one refusal proves nothing.
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                self._file.close()
                raise RunLocked(
                    f"another worker is executing run {self._folder.name}; wait for it, or pause it first"
                ) from None
            return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def is_locked(folder: Path) -> bool:
    """Tell whether a worker holds the run."""
    try:
        with (folder / LOCK_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
