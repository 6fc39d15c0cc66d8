"""The same epidemic in other simulators; run by the Python of an environment that has them, so it imports nothing ours.

    python -m venv peers && peers/bin/pip install mesa agent-torch
    microcosm bench step --peers peers/bin/python

Everyone has 10 random ties on average; per step an infected neighbour infects with 0.03 and an infected agent recovers
with 0.1; one in a hundred is infected at the start. Nothing is recorded. Prints one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import time

PEERS = ("mesa", "agent_torch")
P_TRANSMIT, GAMMA = 0.03, 0.1
MESA_AGENTS, MESA_STEPS = 1_000_000, 5
TORCH_AGENTS, TORCH_STEPS = 1_000_000, 20


def time_mesa():
    """Time one object per person with a list of neighbours, all activated at once in two stages."""
    import mesa

    class Person(mesa.Agent):
        def __init__(self, model):
            super().__init__(model)
            self.state, self.after, self.met = 0, 0, []

        def look(self):
            self.after = self.state
            if self.state == 0:
                infected = sum(other.state == 1 for other in self.met)
                if infected and self.random.random() < 1 - (1 - P_TRANSMIT) ** infected:
                    self.after = 1
            elif self.state == 1 and self.random.random() < GAMMA:
                self.after = 2

        def change(self):
            self.state = self.after

    model = mesa.Model(rng=1)
    people = [Person(model) for _ in range(MESA_AGENTS)]
    rng = random.Random(1)
    for _ in range(MESA_AGENTS * 5):
        one, other = rng.choice(people), rng.choice(people)
        one.met.append(other)
        other.met.append(one)
    for person in people[: MESA_AGENTS // 100]:
        person.state = 1
    began = time.process_time()
    for _ in range(MESA_STEPS):
        model.agents.do("look")
        model.agents.do("change")
    rate = MESA_AGENTS * MESA_STEPS / (time.process_time() - began)
    return {"name": f"Mesa {mesa.__version__}", "rate": rate, "note": f"{MESA_AGENTS:,} agents, {MESA_STEPS} steps"}


def time_agent_torch():
    """Time a Runner with one transition of whole-population tensor operations, the fastest form that it allows."""
    import torch
    from agent_torch.core import Registry, Runner
    from agent_torch.core.substep import SubstepTransition

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    ends = torch.randint(0, TORCH_AGENTS, (2, TORCH_AGENTS * 5), generator=generator)
    source, target = torch.cat([ends[0], ends[1]]), torch.cat([ends[1], ends[0]])

    class Spread(SubstepTransition):
        def forward(self, state, action):
            now = state["agents"]["people"]["state"]
            infected = (now == 1).to(torch.float32).squeeze(1)
            met = torch.zeros(TORCH_AGENTS).index_add_(0, target, infected[source])
            drawn = torch.rand(TORCH_AGENTS, generator=generator)
            caught = (now.squeeze(1) == 0) & (drawn < 1 - (1 - P_TRANSMIT) ** met)
            recovered = (now.squeeze(1) == 1) & (drawn < GAMMA)
            after = now.squeeze(1) + caught.to(now.dtype) + recovered.to(now.dtype)
            return {"state": after.unsqueeze(1)}

    Spread.__name__ = "spread"
    registry = Registry()
    registry.register(Spread, "spread", "transition")
    start = {"name": "state", "shape": (TORCH_AGENTS, 1), "dtype": "float", "learnable": False, "value": 0}
    spread = {"generator": "spread", "arguments": None}
    spread |= {"input_variables": {"state": "agents/people/state"}, "output_variables": ["state"]}
    metadata = {"num_episodes": 1, "num_steps_per_episode": TORCH_STEPS, "num_substeps_per_step": 1}
    metadata |= {"device": "cpu", "calibration": False}
    people = {"number": TORCH_AGENTS, "properties": {"state": {**start, "initialization_function": None}}}
    substep = {"active_agents": ["people"], "observation": {"people": None}, "policy": {"people": None}}
    config = {
        "simulation_metadata": metadata,
        "state": {"environment": None, "agents": {"people": people}, "objects": None, "network": None},
        "substeps": {"0": {**substep, "transition": {"spread": spread}}},
    }
    runner = Runner(config, registry)
    runner.init()
    runner.state["agents"]["people"]["state"][: TORCH_AGENTS // 100] = 1
    began = time.process_time()
    with torch.no_grad():
        runner.step(TORCH_STEPS)
    rate = TORCH_AGENTS * TORCH_STEPS / (time.process_time() - began)
    left = float((runner.state["agents"]["people"]["state"] == 0).float().mean())
    note = f"{TORCH_AGENTS:,} agents, {TORCH_STEPS} steps, tensors on one thread, {1 - left:.0%} infected in the end"
    return {"name": "AgentTorch", "rate": rate, "note": note}


if __name__ == "__main__":
    found = {"mesa": time_mesa, "agent_torch": time_agent_torch}[sys.argv[1]]()
    sys.stdout.write(json.dumps(found) + "\n")
