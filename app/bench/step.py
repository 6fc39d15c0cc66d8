"""Agent-steps per second: kernels on one core, the machine's limit, whole runs, other simulators, growth with size."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import app.bench.peers
from app.bench.rows import BenchOptions, Row, gather_rate
from engine import load_study, run_study
from engine.simulation import build_world

RATE = "M agent-steps/s"
NETWORK = ("network.kind=erdos_renyi", "network.mean_degree=10")
EPIDEMIC = ("params.p_transmit=0.03", "params.gamma=0.1")
GROWTH_SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


@dataclass(frozen=True)
class Kernel:
    """A step that is timed.

    Attributes:
        name: Name of the row.
        scenario: Scenario.
        steps: Steps timed.
        overrides: Study keys.
        aim: What to reach.
        reads: Type of the numbers that it reads from every neighbour at every step; empty where it reads fewer.
    """

    name: str
    scenario: str
    steps: int
    overrides: tuple[str, ...] = ()
    aim: str = ""
    reads: str = ""


KERNELS = (
    Kernel("sir on ties", "sir", 100, EPIDEMIC, "50"),
    Kernel("sir, well mixed", "sir", 20, ("params.mixing=well_mixed",)),
    Kernel("bounded confidence, Deffuant", "bounded_confidence", 20, (), "18"),
    Kernel(
        "bounded confidence, Hegselmann-Krause",
        "bounded_confidence",
        20,
        ("params.rule=hegselmann_krause",),
        "18",
        "float64",
    ),
    Kernel("degroot", "degroot", 20, (), "", "float64"),
    Kernel("friedkin_johnsen", "friedkin_johnsen", 20, (), "", "float64"),
    Kernel("threshold_cascade", "threshold_cascade", 10),
    Kernel("independent_cascade", "independent_cascade", 10),
    Kernel("voter, one after another", "voter", 10),
    Kernel("voter, all at once", "voter", 10, ("params.update=synchronous",)),
    Kernel("majority_force", "majority_force", 10),
    Kernel("naming_game", "naming_game", 5),
)


def measure(options: BenchOptions) -> Iterator[Row]:
    """Yield the group's figures; kernels are timed in processor seconds of one thread."""
    n = options.agents
    limits = {dtype: gather_rate(n, dtype) for dtype in ("float64", "float32", "int8")}
    for dtype, rate in limits.items():
        yield Row(f"random reads, {dtype}", rate / 1e6, "M reads/s", note=f"{n:,} numbers, 32-bit indices, one core")
    rates = {}
    for kernel in KERNELS:
        rates[kernel.name] = rate = kernel_rate(kernel, n)
        reads = "float32" if kernel.reads and n > 1_000_000 else kernel.reads
        share = f"; reads ties at {rate * 10 / limits[reads]:.0%} of the limit" if reads else ""
        yield Row(kernel.name, rate / 1e6, RATE, kernel.aim, f"{n:,} agents, mean degree 10, one core{share}")
    yield from _whole_run(n, rates["sir on ties"])
    yield from _peers(options.peers, rates["sir on ties"])
    yield from _growth(options)


def kernel_rate(kernel: Kernel, n: int) -> float:
    """Return agents x steps per processor second of `scenario.step`, after one step that compiles."""
    started = {"sir": "initial_infected", "threshold_cascade": "n_seeds", "independent_cascade": "n_seeds"}
    first = [f"params.{started[kernel.scenario]}={max(n // 100, 10)}"] if kernel.scenario in started else []
    sized = [f"population={{size={n}}}", f"steps={kernel.steps + 1}"]
    study = load_study(kernel.scenario, [*sized, *NETWORK, *first, *kernel.overrides])
    world = build_world(study)
    scenario = world.info.build()
    scenario.setup(world)
    taken = 0.0
    for step in range(kernel.steps + 1):
        world.begin_step()
        began = time.process_time()
        scenario.step(world)
        taken += time.process_time() - began if step else 0.0
    return n * kernel.steps / taken


def run_epidemic(n: int, steps: int = 100) -> Any:
    """Run and record `sir` in a workspace of its own and return the RunResult."""
    sized = [f"population={{size={n}}}", f"steps={steps}", f"params.initial_infected={max(n // 100, 10)}"]
    with tempfile.TemporaryDirectory() as folder:
        return run_study(load_study("sir", [*sized, *NETWORK, *EPIDEMIC]), workspace=folder)[0]


def _whole_run(n: int, kernel: float) -> Iterator[Row]:
    result = run_epidemic(n)
    rate = result.agent_steps_per_s
    yield Row(
        "sir through `microcosm run`",
        rate / 1e6,
        RATE,
        "half the kernel",
        f"recorded; {rate / kernel:.0%} of the kernel",
    )
    yield Row(
        "bytes a recorded change",
        result.recorded_bytes / max(result.changes, 1),
        "B",
        "16",
        f"{result.changes:,} changes",
    )
    for name, value in (
        ("compilation", result.compile_s),
        ("set-up", result.setup_s),
        ("steps", result.step_s),
        ("consolidation", result.consolidate_s),
    ):
        yield Row(f"  {name}", value, "s", note=f"{n:,} agents, {result.steps} steps")
    yield Row("  memory", result.peak_rss_bytes / 1e9, "GB", note="largest of the worker")


def _peers(python: str, kernel: float) -> Iterator[Row]:
    """Yield the rates of the other simulators that the given Python has, on the same epidemic."""
    if not python:
        return
    script = Path(app.bench.peers.__file__)
    for name in app.bench.peers.PEERS:
        finished = subprocess.run([python, str(script), name], capture_output=True, text=True, check=False)
        if finished.returncode:
            continue
        found = json.loads(finished.stdout.splitlines()[-1])
        ratio = kernel / found["rate"]
        yield Row(
            f"sir in {found['name']}", found["rate"] / 1e6, RATE, "", f"{found['note']}; ours is {ratio:,.0f} times"
        )


def _growth(options: BenchOptions) -> Iterator[Row]:
    """Yield nanoseconds per agent-step by size, and draw them."""
    kernel, found = KERNELS[0], {}
    for n in GROWTH_SIZES:
        if n > options.largest:
            break
        found[n] = 1e9 / kernel_rate(kernel, n)
        note = f"{found[n] / found[100_000]:.2f} times that at 100,000" if 100_000 in found else ""
        aim = "6 times 100,000's" if n == GROWTH_SIZES[-1] else ""
        yield Row(f"sir, cost with {n:,} agents", found[n], "ns per agent-step", aim, note)
    if len(found) > 1:
        path = options.out / "microcosm-growth.png"
        _draw(found, path)
        yield Row("plot of the growth", len(found), "sizes", note=str(path))


def _draw(found: dict[int, float], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(list(found), list(found.values()), marker="o", color="#2f6db5")
    axes.set_xlabel("agents")
    axes.set_ylabel("ns per agent-step, one core")
    axes.set_ylim(bottom=1)
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=150)
