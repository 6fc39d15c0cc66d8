"""Benchmarks that run on the user's machine: one module per group, each with `measure(options)`."""

from __future__ import annotations

GROUPS = {
    "step": "Agent-steps per second of kernels and of whole runs, the machine's own limit, and the growth with size.",
    "network": "Seconds to build and to measure networks.",
    "language": "Decisions and texts per second of a local model, against one completion for each decision.",
    "store": "Rate, bytes and time of recording, consolidating and reading.",
}
"""Group -> what it measures; the module `app.bench.GROUP` measures it."""
