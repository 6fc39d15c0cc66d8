"""Fork a run: a new run that shares its parent's past up to a step and then goes its own way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.loading import dump_study, load_study, scenario_info
from engine.runs.creation import create_run
from engine.runs.inputs import base_of, inputs_of
from engine.runs.records import read_info, read_study
from engine.runs.workspace import Workspace
from engine.spec import Do, InterventionSpec, Study
from engine.store.catalog import Catalog
from engine.store.segments import copy_history

_FIXED = ("scenario", "population", "layers", "redraw")
_COPIED = ("dynamic", "columns", "layers", "model", "base")


def fork_run(
    workspace: Workspace,
    folder: Path,
    at: int,
    overrides: Sequence[str] = (),
    interventions: Sequence[InterventionSpec] = (),
) -> Path:
    """Make a queued run that shares another's history up to and including step `at`, and return its folder.

    A changed knob becomes an intervention at `at`, so the study tells when it changed.

    Args:
        workspace: Where the new run goes.
        folder: The parent run; it may still go on.
        at: Last shared step, 0 to the parent's last committed one.
        overrides: "KEY=VALUE": params.*, steps, decisions.*, model.*, interventions.*, record.*, seeds.dynamics,
            title, question.
        interventions: Further interventions; one without a time acts at `at`.

    Raises:
        RunError: the step or a change is not possible; says what is.
        StudyError: the changed study has problems.
        StorageFull: the disk is full.
    """
    parent, info = read_study(folder), read_info(folder)
    with Catalog(folder) as catalog:
        last, status = catalog.last_step(), catalog.read_status()
        if not 0 <= at <= last:
            reached = f"steps 0 to {last}" if last >= 0 else "no step yet"
            raise RunError(f"run {info.run_id} cannot be forked at step {at}: it has committed {reached}")
        child_study = _changed(parent, at, overrides, interventions, inputs_of(folder))
        if child_study.model.label != parent.model.label and _asked_until(catalog, at):
            raise RunError(
                f"the model '{parent.model.label}' has answered before step {at}, and its answers stay valid in a "
                "fork; keep the model, fork earlier, or start a new run"
            )
        base = Path(status["base"]) if status.get("base") else None
        child = create_run(
            workspace, child_study, replicate=info.replicate, parent=info.run_id, forked_at=at, base=base, like=folder
        )
        with Catalog(child) as own:
            copy_history(catalog, own, at)
            past = [(text, until) for text, until in status.get("stages") or [] if until < at]
            governing = _governing(parent, status.get("stages") or [], at)
            inherited: dict[str, Any] = {key: status.get(key) for key in _COPIED}
            inherited |= {"stages": [*past, (governing, at)], "n_agents": info.n_agents}
            inherited |= {"step": at, "digest": own.digest_at(at)}
            own.write_status(**inherited)
    return child


def _asked_until(catalog: Catalog, at: int) -> bool:
    query = "select 1 from journal where kind = 'distribution' and step <= ? limit 1"
    return bool(catalog.select(query, (at,)))


def _governing(parent: Study, stages: Sequence[Sequence[object]], at: int) -> str:
    """Return the study, as TOML, that governed the parent's step `at`."""
    for text, until in stages:
        if isinstance(until, int) and at <= until:
            return str(text)
    return dump_study(parent)


def _changed(
    parent: Study,
    at: int,
    overrides: Sequence[str],
    interventions: Sequence[InterventionSpec],
    personas: Path,
) -> Study:
    child = load_study(parent, overrides, personas=personas, base=base_of(personas.parent, None))
    moved = [name for name in _FIXED if getattr(child, name) != getattr(parent, name)]
    moved += [
        f"seed of the {part}" for part in ("population", "network") if child.seed_of(part) != parent.seed_of(part)
    ]
    if moved:
        raise RunError(
            f"a fork shares its parent's past, so {', '.join(moved)} cannot change; params, steps, decisions, model, "
            "interventions, record and seeds.dynamics can"
        )
    if child.steps <= at:
        raise RunError(f"a fork at step {at} needs more than {child.steps} steps; add --set steps={at + 1} or more")
    added = [*_knob_changes(parent, child, at), *(_timed(spec, at) for spec in interventions)]
    taken = {spec.name for spec in child.interventions}
    for spec in added:
        if spec.name in taken:
            raise RunError(f"the run has an intervention '{spec.name}' already; give the new one another name")
        taken.add(spec.name)
    return child.model_copy(update={"params": parent.params, "interventions": (*child.interventions, *added)})


def _knob_changes(parent: Study, child: Study, at: int) -> list[InterventionSpec]:
    knobs = scenario_info(parent.scenario).params
    before, after = knobs(**parent.params), knobs(**child.params)
    changes = []
    for name, knob in knobs.model_fields.items():
        value = getattr(after, name)
        if value == getattr(before, name):
            continue
        extra = knob.json_schema_extra
        if isinstance(extra, dict) and extra.get("at_setup"):
            raise RunError(
                f"params.{name} works only when the world is set up, so a fork cannot change it; start a run"
            )
        do = Do.model_validate({"effect": "set_param", "param": name, "value": value})
        changes.append(InterventionSpec(name=f"fork at {at}: {name} = {value}", at=at, do=do))
    return changes


def _timed(spec: InterventionSpec, at: int) -> InterventionSpec:
    if spec.at is None and spec.every is None and spec.when is None:
        return spec.model_copy(update={"at": at})
    if spec.at is not None and spec.at < at:
        raise RunError(f"'{spec.name}' is to act at step {spec.at}, before the fork at step {at}; fork earlier")
    return spec
