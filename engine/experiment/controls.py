"""Null controls: arms in which one suspected cause is taken away."""

from __future__ import annotations

from typing import Any

from engine import registry
from engine.errors import Problem, StudyError
from engine.loading import load_study, study_tables
from engine.registry import nearest
from engine.spec import ArmSpec, DecisionSpec, LayerSpec, Study

CONTROLS = {
    "shuffled_ties": "Everyone keeps the number of ties, but to random others: who knows whom no longer matters.",
    "no_interaction": "Nobody is tied to anybody. What is shared without ties, such as a stock of fish, stays.",
    "blank_persona": "The language model is told nothing about the person who decides.",
}
UNCHANGED = "as it is"
"""Name of the arm that changes nothing, added where a study gets its first arms."""


def null_control(study: Study, kind: str) -> ArmSpec:
    """Return the arm of a null control.

    - shuffled_ties: every layer is shuffled, each agent keeping the number of ties (configuration model);
    - no_interaction: every layer is emptied;
    - blank_persona: no persona column is shown at any decision or writing that a language policy takes.

    Args:
        study: The study that the control belongs to.
        kind: shuffled_ties, no_interaction or blank_persona.

    Raises:
        StudyError: no such control, or one that would change nothing in this study.
    """
    if kind not in CONTROLS:
        raise StudyError([Problem(f"'{kind}' is not a null control{nearest(kind, list(CONTROLS))}", "arms")])
    if kind == "blank_persona":
        values = _blank_persona(study)
        reason = "no decision here shows a persona to a language policy"
    else:
        values = {}
        for layer in study.layers:
            values |= _without_ties(study, layer) if kind == "no_interaction" else _shuffled(study, layer)
        reason = "every layer of ties is complete, shuffled or empty already"
    if not values:
        raise StudyError([Problem(f"the control '{kind}' would change nothing: {reason}", "arms")])
    return ArmSpec(name=kind.replace("_", " "), set=values)


def add_arms(study: Study, *arms: ArmSpec) -> Study:
    """Return the study with more arms, checked; a study without any first gets one that changes nothing.

    Raises:
        StudyError: with every problem at once.
    """
    first = study.arms or (ArmSpec(name=UNCHANGED),)
    return load_study(study_tables(study.model_copy(update={"arms": (*first, *arms)})))


def _key(study: Study, layer: LayerSpec, name: str) -> str:
    position = "" if len(study.layers) == 1 else f"layers.{study.layers.index(layer)}."
    return f"network.{position}{name}"


def _shuffled(study: Study, layer: LayerSpec) -> dict[str, Any]:
    if layer.kind == "complete" or layer.shuffle or _is_empty(layer):
        return {}
    return {_key(study, layer, "shuffle"): True}


def _without_ties(study: Study, layer: LayerSpec) -> dict[str, Any]:
    if _is_empty(layer):
        return {}
    empty = {"kind": "erdos_renyi", "mean_degree": 0.0} | ({"shuffle": False} if layer.shuffle else {})
    return {_key(study, layer, name): value for name, value in empty.items()}


def _is_empty(layer: LayerSpec) -> bool:
    return layer.kind == "erdos_renyi" and layer.params.get("mean_degree") == 0


def _blank_persona(study: Study) -> dict[str, Any]:
    registry.discover()
    info = registry.scenarios.get(study.scenario)
    if not info.decisions:
        return {}
    first = study.decisions.get(info.decisions[0].name, DecisionSpec())
    values: dict[str, Any] = {}
    for ask in (*info.decisions, *info.writings):
        inherited = first if ask in info.writings else DecisionSpec()
        spec = study.decisions.get(ask.name, inherited)
        if spec.policy in ("rule", "scripted") or (spec.policy == "mixture" and spec.share == 0):
            continue  # neither reads what is shown
        if not (ask.persona_fields if spec.persona_fields is None else spec.persona_fields):
            continue
        # A writing that the study does not name follows the first decision; naming it must not change its policy.
        own = spec.model_dump(mode="json", exclude_none=True) if ask.name not in study.decisions else {}
        values |= {f"decisions.{ask.name}.{key}": value for key, value in (own | {"persona_fields": []}).items()}
    return values
