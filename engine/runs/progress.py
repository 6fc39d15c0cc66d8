"""Progress of a run: rate, remaining time, and what the worker used."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.store.catalog import Catalog

WRITE_S = 0.25
WINDOW_S = 5.0


class Progress:
    """Times the step loop and tells the catalog, at most four times a second."""

    def __init__(self, catalog: Catalog, known: Mapping[str, Any]) -> None:
        """Continue from what earlier workers counted, as the status `known` tells."""
        self._catalog, self._steps = catalog, int(known["steps"])
        self._seconds, self._timed = float(known.get("step_s") or 0.0), int(known.get("timed_steps") or 0)
        self._began: float | None = None
        self._first = self._last = 0
        self._written_at = 0.0
        self._recent: deque[tuple[float, int]] = deque()

    def start(self, step: int) -> None:
        """Start the clock after the first step of this worker."""
        self._began, self._first, self._last = time.perf_counter(), step, step
        self._recent.append((time.monotonic(), step))

    def note(self, step: int, n_agents: int) -> None:
        """Note that a step is done."""
        self._last = step
        now = time.monotonic()
        if now - self._written_at < WRITE_S or not self._recent:
            return
        self._written_at = now
        self._recent.append((now, step))
        while len(self._recent) > 2 and now - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()
        then, before = self._recent[0]
        rate = (step - before) / (now - then) if now > then else 0.0
        remaining = (self._steps - step) / rate if rate > 0 else None
        self._catalog.write_status(durable=False, step=step, steps_per_s=rate, remaining_s=remaining, n_agents=n_agents)

    def stop(self, step: int) -> None:
        """Stop the clock when everything is flushed."""
        totals = self.totals()
        self._seconds, self._timed = totals["step_s"], totals["timed_steps"]
        self._last, self._began = step, None

    def totals(self) -> dict[str, Any]:
        """Return `step_s` and `timed_steps` of all workers of the run so far."""
        if self._began is None:
            return {"step_s": self._seconds, "timed_steps": self._timed}
        return {
            "step_s": self._seconds + time.perf_counter() - self._began,
            "timed_steps": self._timed + self._last - self._first,
        }


def peak_rss_bytes() -> int:
    """Return the largest resident memory of this process."""
    # Linux hands `ru_maxrss` on from the process that started this one; VmHWM is this program's own.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
