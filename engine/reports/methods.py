"""The methods text of a report, written from the study and the records of its runs."""

from __future__ import annotations

import re
from typing import Any

from engine.decision import Integers
from engine.reports.reading import StudyPart
from engine.reports.study_section import describe_policy, describe_survey, show
from engine.simulation import simulate
from engine.spec import LayerSpec, PopulationSpec

DRAWS = (
    "Every random draw is a number of the counter-based generator Philox4x32-10, keyed by seed, stream, step, turn, "
    "agent and lane; no generator state exists, so a draw is the same whatever the order of computation and however "
    "often a run was stopped and resumed."
)
LIFTING = (
    "Agents for whom everything that the prompt shows is the same share one situation. The model is asked once per "
    "situation; its log probabilities of the option texts are read from the logits, normalised over the options and "
    "stored; each agent's own action is then drawn by the engine. No answer is parsed from free text."
)


def write_methods(part: StudyPart) -> list[str]:
    """Return the paragraphs of the methods text of one study."""
    study, info = part.study, part.info
    runs = len(part.counted)
    unit = "the unit of time is the step" if info.unit == "step" else f"one step is one {info.unit}"
    s = "s" if runs != 1 else ""
    told = [
        f"The scenario “{info.title}” ({info.name}; {info.source}) was simulated with {part.n_agents:,} agents for "
        f"up to {study.steps:,} steps ({unit}), in {runs} run{s} with dynamics "
        f"seed{s} {part.seeds}. Step 0 is the initial state.",
        _describe_population(part),
        _describe_seeds(part),
        DRAWS,
    ]
    if info.mechanism_only:
        told.append("The scenario is mechanism only: nothing in it is a person's decision, so no policy takes part.")
    else:
        told.append(_describe_policies(part))
    if study.interventions:
        n = len(study.interventions)
        told.append(
            f"{n} intervention{'s act' if n != 1 else ' acts'} as listed above. An intervention acts on the state at "
            "its step and is first visible one step later."
        )
    if study.stop_when:
        told.append(
            f"A run ends after the first step at which this holds: {study.stop_when}. A run that ended early keeps its "
            "last values."
        )
    record = study.record
    every = "at every step" if record.every == 1 else f"every {record.every} steps and at the last"
    told.append(f"States and measures were recorded {every} (states: {record.states}; decisions: {record.decisions}).")
    return told


def list_phases() -> list[str]:
    """Return the phases of a step, in order, as the simulation documents them."""
    text = simulate.__doc__ or ""
    found = re.findall(r"^\s+\d+\. (.+?)(?=^\s+\d+\. |^\s*$)", text, flags=re.M | re.S)
    return [" ".join(phase.replace("`", "").split()) for phase in found]


def _describe_population(part: StudyPart) -> str:
    spec = part.study.population
    if spec.file:
        origin = describe_survey(spec, part.n_agents)
    elif spec.personas:
        origin = f"were given the personas of the pack “{spec.personas}”"
    elif spec.recipe:
        origin = f"were drawn from the population recipe “{spec.recipe}”"
    else:
        origin = "have the columns that the study defines"
    if spec.columns and (spec.personas or spec.recipe):
        origin += f", with columns of the study's own ({', '.join(spec.columns)})"
    layers = "; ".join(_describe_layer(layer) for layer in part.study.layers)
    return f"The agents {origin}.{_describe_shaping(spec)} Ties between them: {layers}."


def _describe_shaping(spec: PopulationSpec) -> str:
    """Return in sentences how people were matched to shares, housed, spread or scored; empty where they were not."""
    told = []
    if spec.rake is not None:
        told.append(
            f"Shares of {', '.join(spec.rake.targets)} were matched by raking to within {show(spec.rake.tolerance)} "
            "each; nothing else was matched, and how these columns go together follows the source"
        )
    if spec.households is not None:
        sizes = ", ".join(f"{size}: {show(share)}" for size, share in spec.households.sizes.items())
        told.append(f"They live in households of given sizes ({sizes}) with ages that fit")
    if spec.spread is not None:
        names = ", ".join(spec.spread.columns)
        told.append(f"{names} are spread evenly ({spec.spread.method} sequence) and resemble no population")
    if spec.groups:
        groups = ", ".join(f"{name} ({len(ids)})" for name, ids in spec.groups.items())
        told.append(f"Groups were picked by hand: {groups}")
    told += [f"Answers were scored by the instrument {score.instrument}" for score in spec.score.values()]
    if spec.lang != "en":
        told.append(f"Sentences about a person are in the language {spec.lang}")
    return "".join(f" {sentence}." for sentence in told)


def _describe_layer(layer: LayerSpec) -> str:
    given = {name: value for name, value in layer.params.items() if value not in ([], ())}
    params = ", ".join(f"{name} = {show(value)}" for name, value in given.items())
    shuffled = (
        ", then shuffled (everyone keeps the number of ties and nothing else of the network)" if layer.shuffle else ""
    )
    beside = [f"weights drawn ({layer.weigh.distribution})"] if layer.weigh is not None else []
    beside += [f"{len(layer.add)} ties added by hand"] if layer.add else []
    beside += [f"{len(layer.cut)} cut by hand"] if layer.cut else []
    beside += [f"column {name} = {measure}" for name, measure in layer.agent_columns.items()]
    told = f", with {', '.join(beside)}" if beside else ""
    return f"{layer.kind}{f' ({params})' if params else ''}{shuffled}{told}"


def _describe_seeds(part: StudyPart) -> str:
    study = part.study
    told = ", ".join(f"{name} {study.seed_of(name, 0)}" for name in ("population", "network", "dynamics"))
    if len(part.counted) < 2 and study.replicates < 2:
        return f"Seeds: {told}."
    redrawn = " and ".join(study.redraw)
    others = f"{redrawn} are redrawn as well" if redrawn else "population and network are the same in all of them"
    return f"Seeds of replicate 0: {told}. Replicate r adds r to the seed of the dynamics; {others}."


def _describe_policies(part: StudyPart) -> str:
    chosen = {decision.name: part.study.decisions.get(decision.name) for decision in part.info.decisions}
    told = [f"Decision “{name}”: decided by {describe_policy(spec)}." for name, spec in chosen.items()]
    asked = {
        name
        for name, spec in chosen.items()
        if spec is not None and spec.policy in ("language", "mixture", "surrogate")
    }
    if asked:
        told += [LIFTING, _describe_model(part)]
        if any(isinstance(decision.answer, Integers) for decision in part.info.decisions if decision.name in asked):
            told.append("A number is drawn from the exact distribution over its whole range.")
    return " ".join(text for text in told if text)


def _describe_model(part: StudyPart) -> str:
    for row in part.counted:
        model: dict[str, Any] = row.record.get("model") or {}
        if model:
            return (
                f"Language model: {model.get('name', 'unknown')}, quantization {model.get('quantization', 'unknown')}, "
                f"SHA-256 {model.get('sha256', 'unknown')}, template {str(model.get('template', 'unknown'))[:80]}, "
                f"back end {model.get('backend', 'unknown')}."
            )
    return "The runs recorded no language model."
