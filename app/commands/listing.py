"""`microcosm list`: what there is to choose from, and the runs so far."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from app.terminal import as_size, say, say_json, say_table
from engine import registry
from engine.loading import default_study, load_study, preset_names
from engine.population import list_packs, list_recipes
from engine.runs import list_runs, open_workspace

Rows = list[dict[str, Any]]


def list_kind(arguments: Namespace) -> int:
    """Print one row per entry of the kind asked for."""
    makers = {
        "scenarios": _scenarios,
        "presets": _presets,
        "measures": _measures,
        "networks": _networks,
        "personas": _personas,
        "models": _models,
        "runs": _runs,
    }
    rows, columns, empty = makers[arguments.kind](arguments.workspace)
    if arguments.json:
        for row in rows:
            say_json(row)
    elif rows:
        say_table([_shown(row) for row in rows], columns)
    else:
        say(empty)
    return 0


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    sized = {name: as_size(value) for name, value in row.items() if name == "size_bytes"}
    return {**row, **sized}


def _scenarios(workspace: str | None) -> tuple[Rows, list[str], str]:
    registry.discover()
    rows = [
        {
            "name": name,
            "title": info.title,
            "family": info.family,
            "decides": ", ".join(decision.name for decision in info.decisions) or "mechanism only",
            "knobs": list(info.params.model_fields),
            "measures": [measure.name for measure in info.measures],
            "promise": info.promise,
            "source": info.source,
            "size": default_study(name).population.size,
            "steps": info.steps,
        }
        for name, info in registry.scenarios.items()
    ]
    return rows, ["name", "decides", "title"], "No scenario is installed."


def _presets(workspace: str | None) -> tuple[Rows, list[str], str]:
    rows = []
    for name in preset_names():
        study = load_study(name)
        rows.append({"name": name, "scenario": study.scenario, "title": study.title, "question": study.question})
    return rows, ["name", "scenario", "title"], "No preset is installed."


def _measures(workspace: str | None) -> tuple[Rows, list[str], str]:
    registry.discover()
    users: dict[str, list[str]] = {}
    found: dict[str, Any] = dict(registry.measures.items())
    for scenario, info in registry.scenarios.items():
        for measure in info.measures:
            users.setdefault(measure.name, []).append(scenario)
            found.setdefault(measure.name, measure)
    rows = [
        {
            "name": name,
            "unit": found[name].unit,
            "low": found[name].low,
            "high": found[name].high,
            "scenarios": users.get(name, []),
            "help": found[name].help,
            "source": found[name].source,
        }
        for name in sorted(found)
    ]
    return rows, ["name", "unit", "help"], "No measure is installed."


def _networks(workspace: str | None) -> tuple[Rows, list[str], str]:
    registry.discover()
    rows = [
        {"name": name, "parameters": ", ".join(generator.params.model_fields), "help": generator.help}
        for name, generator in registry.networks.items()
    ]
    return rows, ["name", "parameters", "help"], "No network kind is installed."


def _personas(workspace: str | None) -> tuple[Rows, list[str], str]:
    packs = [{"name": name, "kind": "pack", "use": f'personas = "{name}"'} for name in list_packs()]
    recipes = [{"name": name, "kind": "recipe", "use": f'recipe = "{name}"'} for name in list_recipes()]
    return [*packs, *recipes], ["name", "kind", "use"], "No personas are installed."


def _models(workspace: str | None) -> tuple[Rows, list[str], str]:
    from app.commands.models import find_model_files

    rows = [
        {"name": name, "size_bytes": path.stat().st_size, "path": path} for name, path in find_model_files(workspace)
    ]
    return rows, ["name", "size_bytes", "path"], "No model file was found."


def _runs(workspace: str | None) -> tuple[Rows, list[str], str]:
    space = open_workspace(workspace)
    rows = [
        {
            "run_id": info.run_id,
            "status": info.status,
            "step": info.step,
            "steps": info.steps,
            "scenario": info.scenario,
            "n_agents": info.n_agents,
            "seed": info.seed,
            "replicate": info.replicate,
            "title": info.title,
            "message": info.message,
            "folder": info.folder,
        }
        for info in list_runs(space)
    ]
    return rows, ["run_id", "status", "step", "steps", "scenario", "title"], f"No runs yet in {space.runs}."
