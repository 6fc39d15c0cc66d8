"""A small scenario for tests of the engine itself; registered only while a test uses it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from engine import registry
from engine.contract import Measure, ScenarioInfo, ScenarioParams, column, knob, scenario
from engine.decision import Categories, Choice, Decision, Observation, Words, Writing
from engine.spec import LayerSpec, PopulationSpec, Study


class ToyParams(ScenarioParams):
    """Knobs of the toy."""

    pull: float = knob(0.5, ge=0, le=1, help="How far agents move.")


def lean(seen: Observation) -> np.ndarray:
    """Logit of moving grows with the mood."""
    return seen.log_weights(0.0, 2 * seen["mood"] - 1)


MOVE = Decision(
    "move",
    Choice("stay", "go"),
    rule=lean,
    question="Do you stay or go?",
    shows={"mood": Words((0.25, 0.5, 0.75), ("bad", "fair", "good", "great"))},
    labels={"mood": "Your mood"},
    persona_fields=("age",),
    preamble="You live in a toy world with a pull of {{ params.pull }}.",
)
REMARK = Writing("remark", rule=lambda seen: [f"I am {a}" for a in seen.agents], question="Say something.")


def moved_share(world) -> float:
    """Share of agents who went in this step."""
    return float(np.mean(world.population["moved"]))


@contextlib.contextmanager
def toy(step=None, setup=None) -> Iterator[ScenarioInfo]:
    """Register the toy; `step` and `setup` replace its methods."""

    class Toy:
        columns = {
            "mood": column("float64", help="Mood.", low=0, high=1, initial=0.5),
            "moved": column("int8", help="Whether it went.", labels=("no", "yes")),
        }
        decisions = (MOVE,)
        writings = (REMARK,)
        measures = (Measure("moved_share", moved_share, help="Share that went.", source="ours", low=0, high=1),)

        def setup(self, world) -> None:
            if setup is not None:
                setup(world)
            else:
                world.population["mood"] = world.uniform("mood")

        def step(self, world) -> None:
            if step is not None:
                step(world)
                return
            action = world.decide(MOVE, mood=world.population["mood"][world.agents])
            world.population["moved"][world.agents] = action
            drift = world.uniform("drift") - 0.5
            world.population["mood"] = np.clip(world.population["mood"] + world.params.pull * 0.1 * drift, 0, 1)

    registry.discover()
    scenario("toy", title="Toy", family="tests", promise="Nothing.", params=ToyParams, source="ours")(Toy)
    try:
        yield registry.scenarios.get("toy")
    finally:
        registry.scenarios._entries.pop("toy")


def toy_study(n: int = 40, steps: int = 5, **changes) -> Study:
    """Return a study of the toy."""
    given = {
        "scenario": "toy",
        "seed": 7,
        "steps": steps,
        "population": PopulationSpec(size=n),
        "layers": (LayerSpec(kind="ring", params={"k": 2}),),
    }
    return Study(**(given | changes))


__all__ = ["MOVE", "REMARK", "Categories", "toy", "toy_study"]
