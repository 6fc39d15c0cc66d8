"""`microcosm new`, `check` and `estimate`: studies before they run."""

from __future__ import annotations

import dataclasses
import json
from argparse import Namespace
from pathlib import Path

from app.terminal import as_duration, as_size, complain, say, say_fields, say_json
from engine.errors import RunError, StudyError
from engine.loading import dump_study, load_study, scenario_info, study_hash
from engine.runs import estimate_study, open_workspace
from engine.spec import Study


def load_chosen(arguments: Namespace) -> Study:
    """Return the study that the command line chooses: file, scenario or preset, with all of its overrides.

    Raises:
        StudyError: the study has problems, all of them named.
    """
    personas = open_workspace(arguments.workspace).personas
    overrides = list(arguments.overrides)
    overrides += [
        f"{key}={getattr(arguments, key)}"
        for key in ("seed", "steps", "replicates")
        if getattr(arguments, key, None) is not None
    ]
    if getattr(arguments, "model", None) is None:
        return load_study(arguments.study, overrides, personas=personas)
    overrides.append(f"model.file={json.dumps(arguments.model)}")
    study = load_study(arguments.study, overrides, personas=personas)
    language = language_overrides(study)
    return load_study(arguments.study, [*overrides, *language], personas=personas) if language else study


def folder_of_study(arguments: Namespace) -> Path | None:
    """Return the folder that relative paths of the chosen study start from; None where it came by name."""
    path = Path(arguments.study).expanduser()
    return path.absolute().parent if path.is_file() else None


def language_overrides(study: Study) -> list[str]:
    """Return the overrides that hand every decision which the study leaves at its default to the language model."""
    chosen = {name for name, part in study.decisions.items() if "policy" in part.model_fields_set}
    names = [decision.name for decision in scenario_info(study.scenario).decisions]
    return [f'decisions.{name}.policy="language"' for name in names if name not in chosen]


def write_new(arguments: Namespace) -> int:
    """Write a complete study file.

    Raises:
        RunError: the file exists already.
    """
    study = load_study(arguments.scenario)
    path = Path(arguments.out).expanduser()
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(dump_study(study))
    except FileExistsError:
        raise RunError(f"'{path}' exists already and is not overwritten; choose another name with -o") from None
    if arguments.json:
        say_json({"file": path, "scenario": study.scenario, "study_hash": study_hash(study)})
    else:
        say(f"Wrote {path}. Check it with: microcosm check {path}")
    return 0


def check(arguments: Namespace) -> int:
    """Print one problem a line and return 2, or say that the study is sound and return 0."""
    try:
        study = load_chosen(arguments)
    except StudyError as error:
        problems = [{"message": p.message, "key": p.key, "file": p.file} for p in error.problems]
        if arguments.json:
            say_json({"ok": False, "problems": problems})
        else:
            for problem in error.problems:
                say(str(problem))
        n = len(problems)
        complain(f"microcosm check: {n} problem{'s' if n != 1 else ''} in {arguments.study}")
        return 2
    found = {"ok": True, "problems": [], "scenario": study.scenario, "study_hash": study_hash(study)}
    if arguments.json:
        say_json(found)
    else:
        say(
            f"{arguments.study}: no problem; scenario {study.scenario}, {study.steps} steps, {study.replicates} run(s)."
        )
    return 0


def estimate(arguments: Namespace) -> int:
    """Print runs, agents, ties, situations, model tokens, time, memory and disk of a study."""
    personas = open_workspace(arguments.workspace).personas
    study = load_chosen(arguments)
    cost = estimate_study(study, folder_of_study(arguments), personas)
    n_runs = study.replicates * max(1, len(study.arms))
    if arguments.json:
        say_json({**dataclasses.asdict(cost), "n_runs": n_runs})
        return 0
    say_fields(
        {
            "runs": n_runs,
            "agents": cost.n_agents,
            "ties": cost.n_ties,
            "situations": cost.situations,
            "model tokens": cost.model_tokens,
            "time of one run": as_duration(cost.seconds),
            "time of all runs": as_duration(cost.seconds * n_runs),
            "memory": as_size(cost.memory_bytes),
            "disk of all runs": as_size(cost.disk_bytes * n_runs),
        }
    )
    for note in cost.notes:
        say(note)
    return 0
