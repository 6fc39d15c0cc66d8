"""What recording costs: rate, bytes and time of writing, consolidating and reading a run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator

from app.bench.rows import BenchOptions, Row
from app.bench.step import EPIDEMIC, NETWORK
from engine import load_study, read_measures, read_states, run_study

STEPS = 50


def measure(options: BenchOptions) -> Iterator[Row]:
    """Yield the group's figures: the same epidemic recorded in each way."""
    n = options.agents
    for states in ("none", "panel", "changes", "dense"):
        sized = [f"population={{size={n}}}", f"steps={STEPS}", f"params.initial_infected={max(n // 100, 10)}"]
        study = load_study("sir", [*sized, *NETWORK, *EPIDEMIC, f"record.states={states}"])
        with tempfile.TemporaryDirectory() as folder:
            result = run_study(study, workspace=folder)[0]
            note = f"{n:,} agents, {STEPS} steps, {result.changes:,} rows"
            yield Row(f"steps, states = {states}", result.agent_steps_per_s / 1e6, "M agent-steps/s", note=note)
            if not result.changes:
                continue
            yield Row("  bytes a row", result.recorded_bytes / result.changes, "B", "16" if states == "changes" else "")
            yield Row("  consolidation", result.consolidate_s, "s")
            if states == "changes":
                began = time.perf_counter()
                read_states(result, STEPS)
                yield Row("  read one step's states", time.perf_counter() - began, "s")
                began = time.perf_counter()
                read_measures(result)
                yield Row("  read all measures", time.perf_counter() - began, "s")
