"""Interventions: when, whom, what. They act at the start of a step, on the state of the step before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine import registry
from engine.errors import MicrocosmError, RunError
from engine.expressions import parse_expression
from engine.interventions.effects import EFFECTS, Effect, EffectParams, column_value
from engine.interventions.selection import select_agents
from engine.interventions.tie_rules import TIE_RULES
from engine.spec import InterventionSpec

for _effect in (*EFFECTS, *TIE_RULES):
    registry.effects.register(_effect.name, _effect)


def is_due(world: Any, intervention: InterventionSpec, at: int) -> bool:
    """Tell whether an intervention acts on the state at step `at`.

    `every = k` acts at k, 2k, ...; `when` acts each time its condition becomes true, judged on the measures at
    `at`, and remembers in `world.triggers` whether it was true before.
    """
    if intervention.until is not None and at > intervention.until:
        return False
    if intervention.at is not None:
        return at == intervention.at
    if intervention.every is not None:
        return at > 0 and at % intervention.every == 0
    names = {measure.name: "number" for measure in world.info.measures} | {"step": "number"}
    values = {name: world.measured.get((name, ""), float("nan")) for name in names} | {"step": float(at)}
    holds = parse_expression(intervention.when or "false", names).evaluate(values)
    held = world.triggers.get(intervention.name, False)
    world.triggers[intervention.name] = holds
    return holds and not held


def may_act(world: Any, intervention: InterventionSpec, at: int, last: int) -> bool:
    """Tell whether an intervention may act on a state from step `at` to `last`, if nothing else changes until then.

    A `when` that does not act now will not act later, as the measures it reads stay as they are.
    """
    end = last if intervention.until is None else min(last, intervention.until)
    if intervention.at is not None:
        return at <= intervention.at <= end
    if intervention.every is not None:
        return max(1, -(-at // intervention.every)) * intervention.every <= end
    held = world.triggers.get(intervention.name, False)
    acts = is_due(world, intervention, at)
    world.triggers[intervention.name] = held
    return acts


def intervene(world: Any, intervention: InterventionSpec, at: int) -> None:
    """Apply one intervention and record it as an event.

    Raises:
        RunError: it cannot be applied; names the intervention and step.
    """
    effect: Effect = registry.effects.get(intervention.do.effect)
    try:
        arguments = effect.params(**(intervention.do.model_extra or {}))
        agents = select_agents(world, intervention.whom, f"whom:{intervention.name}")
        effect.apply(world, agents, arguments)
    except (MicrocosmError, ValueError) as error:
        raise RunError(f"intervention '{intervention.name}' at step {at}: {error}") from error
    world.emit("intervention", name=intervention.name, effect=effect.name, at=at, n_agents=int(agents.size))


def intervene_all(world: Any, interventions: Sequence[InterventionSpec], at: int) -> None:
    """Apply all that are due on the state at `at`, in the order of the study."""
    for intervention in interventions:
        if is_due(world, intervention, at):
            intervene(world, intervention, at)


__all__ = ["Effect", "EffectParams", "column_value", "intervene", "intervene_all", "is_due", "may_act", "select_agents"]
