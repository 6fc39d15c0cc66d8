"""Simulate a study: one generator whose phases are numbered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import registry
from engine.contract import ScenarioInfo
from engine.decision import IntArray
from engine.expressions import parse_expression
from engine.interventions import intervene, intervene_all, may_act
from engine.llm import LanguageModel, load_model
from engine.measures.places import add_agent_columns, likeness_reached
from engine.network import build_network
from engine.policy.asking import Asker, Journal, MemoryJournal
from engine.policy.records import DecisionBatch, Message, Situation
from engine.population import build_population
from engine.spec import InterventionSpec, Study
from engine.world import Event, TieChange, World

FIRST_LINK = "00" * 16


@dataclass
class StepRecord:
    """What one step left behind.

    Attributes:
        step: 0 for the initial state, then 1 to the number of steps.
        world: The world at the end of the step; valid until the next record is asked for.
        recorded: Whether states and measures of this step are to be kept (`record.every`).
        measures: (measure, segment) -> value; segment "" stands for everyone.
        changed: Agents whose state columns changed since the last recorded step; None means all.
        decisions, situations, texts, messages, events, ties: As in the tables of the same names.
        entered: Ids of agents that entered in this step.
        digest: The digest chain up to this step, hexadecimal.
        stopped: Why the run ends here (the scenario's reason, or the study's `stop_when`), or None.
    """

    step: int
    world: World
    recorded: bool
    measures: dict[tuple[str, str], float]
    changed: IntArray | None
    decisions: list[DecisionBatch]
    situations: list[Situation]
    texts: list[tuple[int, str]]
    messages: list[Message]
    events: list[Event]
    ties: list[TieChange]
    entered: IntArray
    digest: str
    stopped: str | None


def build_world(
    study: Study,
    *,
    replicate: int = 0,
    model: LanguageModel | None = None,
    journal: Journal | None = None,
    base: Path | None = None,
    models_folder: Path | None = None,
    personas: Path | None = None,
) -> World:
    """Build population, network and an empty world of a study; the scenario's `setup` has not run.

    Args:
        study: A checked study.
        replicate: Number of the replicate; moves the seeds as the study says.
        model: A loaded language model; None loads the study's at the first question.
        journal: Answers from outside; None keeps them in memory.
        base: Folder that relative paths of the study start from.
        models_folder: Folder of models that a study may name.
        personas: Folder of persona packs and recipes beside the shipped ones.
    """
    registry.discover()
    info: ScenarioInfo = registry.scenarios.get(study.scenario)
    persona = build_population(study.population, study.seed_of("population", replicate), folder=personas, base=base)
    seed = study.seed_of("network", replicate)
    network = build_network(study.layers, persona.n, seed, base, persona)
    add_agent_columns(persona, network, study.layers, seed)

    def load() -> LanguageModel:
        return model if model is not None else load_model(study.model, models_folder=models_folder)

    asker = Asker(load, journal if journal is not None else MemoryJournal(), study.model.label)
    return World(study, info, persona, network, asker, replicate)


def simulate(
    study: Study,
    *,
    replicate: int = 0,
    model: LanguageModel | None = None,
    journal: Journal | None = None,
    state: Mapping[str, NDArray[Any]] | None = None,
    digest: str | None = None,
    control: Callable[[int], Sequence[InterventionSpec]] | None = None,
    base: Path | None = None,
    models_folder: Path | None = None,
    personas: Path | None = None,
) -> Iterator[StepRecord]:
    """Yield one record per step: step 0 (the initial state), then 1, 2, ... until the last or a reason to stop.

    Phases of the step from t to t + 1:

    1. Control requests, injections, scheduled interventions, triggers on the measures at t; all on the state at t.
    2. `scenario.step`.
    3. Measures, and `stop_when` on them.
    4. Record: what changed, the digest's next link.
    5. Commit if due (the caller, while the generator rests).
    6. Live frame (likewise).

    Args:
        study: A checked study.
        replicate: Number of the replicate.
        model: A loaded language model; None loads the study's at the first question.
        journal: Answers from outside, read before the model is asked.
        state: A checkpoint of `World.get_state` after step t; the first record is then t + 1.
        digest: The digest after step t, given with `state`.
        control: Step t -> interventions that were injected there.
        base: Folder that relative paths of the study start from.
        models_folder: Folder of models that a study may name.
        personas: Folder of persona packs and recipes beside the shipped ones.

    Raises:
        MicrocosmError: anything that the study, a rule, a model or a file did wrong, in one sentence.
    """
    world = build_world(
        study,
        replicate=replicate,
        model=model,
        journal=journal,
        base=base,
        models_folder=models_folder,
        personas=personas,
    )
    scenario = world.info.build()
    link = digest or FIRST_LINK
    before, ending = _Before(world), _Ending(study, world.info)
    if state is None:
        for likeness in likeness_reached(world.persona, world.network, study.layers):
            world.emit("homophily", **likeness)
        scenario.setup(world)
        yield (record := _record(world, before, link, ending))
        link = record.digest
    else:
        world.set_state(state)
        before = _Before(world, known=True)
    while world.step < study.steps and ending.reason(world) is None:
        at = world.step
        world.begin_step()
        if control is not None:
            for injected in control(at):
                _inject(world, injected, at)
        intervene_all(world, study.interventions, at)
        intervene_all(world, [InterventionSpec(**spec) for spec in world.injected], at)
        scenario.step(world)
        yield (record := _record(world, before, link, ending))
        link = record.digest


def _inject(world: World, intervention: InterventionSpec, at: int) -> None:
    """Take over an intervention that came from outside; one without a time of its own acts at once."""
    if intervention.every is None and intervention.when is None and (intervention.at is None or intervention.at <= at):
        intervene(world, intervention, at)
    else:
        world.injected.append(intervention.model_dump(mode="json"))


class _Before:
    """The state columns as last recorded, to find what changed."""

    def __init__(self, world: World, known: bool = False) -> None:
        self.columns: dict[str, NDArray[Any]] = {}
        if known:
            self.columns = {name: world.population[name].copy() for name in world.state_columns}

    def changed(self, world: World) -> IntArray | None:
        """Return the agents whose state changed, ascending; None for all."""
        now = {name: world.population[name] for name in world.state_columns}
        if self.columns.keys() != now.keys() or any(self.columns[n].shape != now[n].shape for n in now):
            self.columns = {name: array.copy() for name, array in now.items()}
            return None
        different = np.zeros(world.n_agents, bool)
        for name, array in now.items():
            if array is not self.columns[name]:
                different |= array != self.columns[name]
        rows = np.flatnonzero(different)
        for name, array in now.items():
            self.columns[name][rows] = array[rows]
        return rows


class _Ending:
    """Judges after each step whether the run is over, other than by its number of steps."""

    def __init__(self, study: Study, info: ScenarioInfo) -> None:
        self._names = {measure.name: "number" for measure in info.measures} | {"step": "number"}
        text = study.stop_when
        self._condition = parse_expression(text, self._names, noun=f"measure of {info.name}") if text else None

    def reason(self, world: World) -> str | None:
        """Return why the run ends after the world's step, or None; `stop_when` is not asked of the initial state.

        The answer follows from the world alone, so that a resumed run and a fork under another condition
        come to their own.
        """
        if world.stopped is not None:
            return world.stopped
        if world.settled is not None and not self._may_change(world):
            return world.settled
        if self._condition is None or world.step == 0:
            return None
        values = {name: world.measured.get((name, ""), float("nan")) for name in self._names}
        holds = self._condition.evaluate(values | {"step": float(world.step)})
        return f"stop_when = {self._condition.text} holds" if holds else None

    @staticmethod
    def _may_change(world: World) -> bool:
        """Tell whether an intervention may still act on a world in which nothing changes by itself."""
        injected = [InterventionSpec(**spec) for spec in world.injected]
        last = world.study.steps - 1
        return any(may_act(world, one, world.step, last) for one in (*world.study.interventions, *injected))


def _record(world: World, before: _Before, link: str, ending: _Ending) -> StepRecord:
    study = world.study
    world.check_states()
    measures = world.measure()
    stopped = ending.reason(world)
    last = world.step == study.steps or stopped is not None
    recorded = world.step % study.record.every == 0 or last
    changed: IntArray | None = np.empty(0, np.int64)
    if recorded and study.record.states != "none":
        changed = before.changed(world)
        if study.record.states == "dense":
            changed = None
    traces = world.traces
    return StepRecord(
        step=world.step,
        world=world,
        recorded=recorded,
        measures=measures,
        changed=changed,
        decisions=traces.decisions,
        situations=traces.situations,
        texts=traces.texts,
        messages=traces.messages,
        events=traces.events,
        ties=traces.ties,
        entered=np.concatenate([np.empty(0, np.int64), *traces.entered]).astype(np.int64),
        digest=world.digest(link),
        stopped=stopped,
    )


__all__ = [
    "FIRST_LINK",
    "DecisionBatch",
    "Event",
    "MemoryJournal",
    "Message",
    "Situation",
    "StepRecord",
    "TieChange",
    "World",
    "build_world",
    "simulate",
]
