"""One million people in an epidemic, recorded: agent-steps per second, memory, bytes per recorded change.

Run by hand: `python benchmarks/sir_million.py [--agents N] [--steps N]`. Prints one JSON line. The rate counts the step
loop with recording and flush on one simulation thread; set-up, compilation and consolidation are outside. Mesa is
timed on the same machine where it is installed, on a smaller population, since its rate per agent does not grow
with size.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

from engine import load_study, run_study

MESA_AGENTS, MESA_STEPS = 20_000, 10


def measure(n_agents: int, steps: int) -> dict[str, object]:
    """Run the study once in a workspace of its own."""
    study = load_study(
        "sir",
        [
            f"population.size={n_agents}",
            "network.kind=erdos_renyi",
            "network.mean_degree=10",
            f"steps={steps}",
            "params.p_transmit=0.03",
            "params.gamma=0.1",
            "params.initial_infected=100",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = run_study(study, workspace=folder)[0]
        whole_s = time.perf_counter() - began
        size = sum(path.stat().st_size for path in result.folder.rglob("*") if path.is_file())
    return {
        "scenario": "sir",
        "agents": n_agents,
        "steps": result.steps,
        "step_s": round(result.step_s, 3),
        "agent_steps_per_s": round(result.agent_steps_per_s),
        "whole_s": round(whole_s, 2),
        "peak_rss_mb": round(result.peak_rss_bytes / 1e6),
        "changes": result.changes,
        "bytes_per_change": round(result.recorded_bytes / result.changes, 2),
        "run_folder_mb": round(size / 1e6, 1),
        "recovered_share": result.measures["recovered_share"],
    }


def measure_mesa() -> dict[str, object]:
    """Time the same epidemic with one Mesa agent per person and neighbour lists, without any recording."""
    if importlib.util.find_spec("mesa") is None:
        return {"mesa": "not installed"}
    import mesa

    class Person(mesa.Agent):
        def __init__(self, model: mesa.Model) -> None:
            super().__init__(model)
            self.state, self.after, self.met = 0, 0, []

        def look(self) -> None:
            self.after = self.state
            if self.state == 0:
                infected = sum(other.state == 1 for other in self.met)
                if infected and self.random.random() < 1 - 0.97**infected:
                    self.after = 1
            elif self.state == 1 and self.random.random() < 0.1:
                self.after = 2

        def change(self) -> None:
            self.state = self.after

    model = mesa.Model(rng=1)
    people = [Person(model) for _ in range(MESA_AGENTS)]
    rng = random.Random(1)
    for _ in range(MESA_AGENTS * 5):
        one, other = rng.choice(people), rng.choice(people)
        one.met.append(other)
        other.met.append(one)
    for person in people[: MESA_AGENTS // 10]:
        person.state = 1
    began = time.perf_counter()
    for _ in range(MESA_STEPS):
        model.agents.do("look")
        model.agents.do("change")
    rate = MESA_AGENTS * MESA_STEPS / (time.perf_counter() - began)
    return {"mesa": mesa.__version__, "mesa_agent_steps_per_s": round(rate)}


def machine() -> str:
    """Return processor and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    found = measure(options.agents, options.steps) | measure_mesa()
    load = {"machine": machine(), "load_average": round(os.getloadavg()[0], 1), "python": platform.python_version()}
    sys.stdout.write(json.dumps(found | load) + "\n")


if __name__ == "__main__":
    main()
