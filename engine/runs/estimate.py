"""Estimate what a study will cost before it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError, NetworkError
from engine.llm import Scores, ScriptedModel
from engine.loading import scenario_info
from engine.network import expected_ties
from engine.runs.memory import count_expected_ties, expected_memory
from engine.simulation import simulate
from engine.spec import LayerSpec, Study
from engine.store.recording import FULL_DECISION_ROWS

TRIAL_AGENTS = 400
TRIAL_STEPS = 4
TOKENS_PER_SECOND = 200.0
"""What a small quantized model reads on two processor cores; the real figure shows while the run goes on."""
CHARACTERS_PER_TOKEN = 4.0
_BYTES_PER_CHANGE, _BYTES_PER_DECISION = 4, 12


@dataclass(frozen=True)
class Estimate:
    """What one run of a study will cost, roughly.

    Attributes:
        n_agents: Agents at the start.
        n_ties: Expected ties of all layers; an undirected tie counts once.
        situations: Distinct questions to the language model; None where none decides.
        model_tokens: Tokens that it reads and writes for them.
        seconds: Time of one run on this computer.
        memory_bytes: Largest memory of the worker, without the model file.
        disk_bytes: Size of the run's folder.
        notes: What the figures rest on.
    """

    n_agents: int
    n_ties: int
    situations: int | None
    model_tokens: int | None
    seconds: float
    memory_bytes: int
    disk_bytes: int
    notes: tuple[str, ...]


class _CountingModel(ScriptedModel):
    """A scripted model that adds up how much text it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = 0

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Scores:
        variants = 1 if isinstance(prefixes, str) else len(prefixes)
        self.characters += variants * sum(len(suffix) + sum(map(len, options)) for suffix in suffixes)
        return super().score(prefixes, suffixes, options, lead=lead)

    def write(
        self,
        prefix: str,
        suffixes: Sequence[str],
        *,
        seeds: Sequence[int],
        max_tokens: int,
        temperature: float,
        top_p: float,
        stop: Sequence[str] = ("\n",),
        grammar: str | None = None,
    ) -> list[str | None]:
        self.characters += int(sum(len(suffix) + max_tokens * CHARACTERS_PER_TOKEN for suffix in suffixes))
        return super().write(
            prefix,
            suffixes,
            seeds=seeds,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            stop=stop,
            grammar=grammar,
        )


@dataclass(frozen=True)
class _Trial:
    """What a few steps of a smaller study took."""

    n_agents: int
    step_s: float
    situations: list[int]
    characters: int
    changes: float
    decisions: float


def estimate_study(study: Study, base: Path | None = None, personas: Path | None = None) -> Estimate:
    """Estimate one run of a study from a trial of a few steps with at most 400 agents.

    Args:
        study: A checked study.
        base: Folder that relative paths of the study start from.
        personas: The user's own personas folder.

    Raises:
        MicrocosmError: the study cannot be run at all; says why.
    """
    info: ScenarioInfo = scenario_info(study.scenario)
    trial = _try(study, base, personas)
    n = study.population.size or trial.n_agents
    n_ties = count_expected_ties(study, n, base, personas)
    growth = n / trial.n_agents
    changes = trial.changes * growth * study.steps + n
    decisions = 0.0 if study.record.decisions == "none" else trial.decisions * growth * study.steps
    seconds = 1.0 + trial.step_s * growth * study.steps + n_ties * 4e-7
    notes = [f"From {TRIAL_STEPS} steps with {trial.n_agents} agents; the real run may differ by a factor of two."]
    situations = tokens = None
    if any(spec.policy in ("language", "mixture", "surrogate") for spec in study.decisions.values()):
        situations = _situations(study, trial, growth)
        per_situation = trial.characters / CHARACTERS_PER_TOKEN / max(sum(trial.situations), 1)
        tokens = int(situations * per_situation)
        seconds += tokens / TOKENS_PER_SECOND
        notes.append(
            f"The model's time assumes {TOKENS_PER_SECOND:.0f} tokens a second; situations are extrapolated from "
            f"{sum(trial.situations)} in the trial."
        )
    if decisions > FULL_DECISION_ROWS and study.record.decisions == "auto":
        notes.append("Decisions are recorded as counts and for a panel of 200 agents, as there are over 5 million.")
        decisions = FULL_DECISION_ROWS / 10
    columns = len(info.columns) + len(study.population.columns) + 8
    return Estimate(
        n_agents=n,
        n_ties=n_ties,
        situations=situations,
        model_tokens=tokens,
        seconds=seconds,
        memory_bytes=expected_memory(study, n, n_ties, base, personas),
        disk_bytes=int(
            200_000 + 2 * (changes * _BYTES_PER_CHANGE + decisions * _BYTES_PER_DECISION) + n * columns + n_ties * 3
        ),
        notes=tuple(notes),
    )


def _situations(study: Study, trial: _Trial, growth: float) -> int:
    """Extrapolate: what the first step asked is there once, what the last step still added comes at every step."""
    first, later = trial.situations[0], float(np.mean(trial.situations[1:] or [0]))
    # Situations are shared by agents who see the same, so they grow more slowly than the agents.
    wider = growth if first >= 0.9 * trial.n_agents else growth**0.5
    return int((first + later * (study.steps - 1)) * wider)


def _try(study: Study, base: Path | None, personas: Path | None) -> _Trial:
    smaller = _smaller(study)
    try:
        return _run_trial(smaller, base, personas)
    except MicrocosmError:
        if smaller.population.size == study.population.size:
            raise
        return _run_trial(study.model_copy(update={"steps": min(study.steps, TRIAL_STEPS)}), base, personas)


def _smaller(study: Study) -> Study:
    """Return the study with few agents and steps; a network that is tied to its size becomes a random one."""
    size = study.population.size
    changes: dict[str, object] = {"steps": min(study.steps, TRIAL_STEPS), "interventions": ()}
    if size is not None and size > TRIAL_AGENTS:
        changes["population"] = study.population.model_copy(update={"size": TRIAL_AGENTS})
        changes["layers"] = tuple(_smaller_layer(layer, size) for layer in study.layers)
    return study.model_copy(update=changes)


def _smaller_layer(layer: LayerSpec, size: int) -> LayerSpec:
    try:
        expected_ties(layer, TRIAL_AGENTS)
    except NetworkError:
        degree = min(2 * expected_ties(layer, size) / size, TRIAL_AGENTS / 2)
        return LayerSpec(name=layer.name, kind="erdos_renyi", params={"mean_degree": degree})
    return layer


def _run_trial(study: Study, base: Path | None, personas: Path | None) -> _Trial:
    model, situations, changes, decisions = _CountingModel(), list[int](), 0, 0
    seconds = list[float]()
    n, before = 1, time.perf_counter()
    for record in simulate(study, model=model, base=base, personas=personas):
        n = record.world.n_agents
        if record.step > 0:
            seconds.append(time.perf_counter() - before)
            situations.append(model.n_situations - sum(situations))
            changes += n if record.changed is None else int(record.changed.size)
            decisions += sum(batch.agents.size for batch in record.decisions)
        before = time.perf_counter()
    steps = max(len(seconds), 1)
    # The first step may have compiled kernels.
    step_s = min(seconds[1:] or seconds or [0.0])
    return _Trial(n, step_s, situations or [0], model.characters, changes / steps, decisions / steps)
