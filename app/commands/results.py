"""`microcosm export` and `report`: what leaves the workspace."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from app.terminal import say, say_json
from engine.errors import ReportError
from engine.experiment import read_experiment
from engine.reports import write_report
from engine.runs import (
    Workspace,
    export_run,
    find_run,
    list_experiments,
    open_workspace,
    read_info,
    write_otree,
)

OTREE = "otree"


def export(arguments: Namespace) -> int:
    """Write a run in another form; oTree's takes several runs, each of them a group.

    Raises:
        ReportError: several runs for a form that takes one.
    """
    workspace, out = open_workspace(arguments.workspace), Path(arguments.out).expanduser()
    if arguments.to == OTREE:
        folders = [folder for key in arguments.runs for folder in _runs_named(workspace, key)]
    else:
        folders = [find_run(workspace, key) for key in arguments.runs]
    if len(folders) > 1 and arguments.to != OTREE:
        raise ReportError(
            f"--to {arguments.to} takes one run, not {len(folders)}; export them one after another, or use --to {OTREE}"
        )
    path = export_run(folders[0], arguments.to, out) if len(folders) == 1 else write_otree(folders, out)
    if arguments.json:
        named = {"run_id": folders[0].name} if len(folders) == 1 else {"runs": [folder.name for folder in folders]}
        say_json({**named, "to": arguments.to, "path": path})
    else:
        say(f"Wrote {path}." if len(folders) == 1 else f"Wrote {path} from {len(folders)} runs.")
    return 0


def _runs_named(workspace: Workspace, key: str) -> list[Path]:
    """Return the run of a key, or the finished runs of an experiment.

    Raises:
        RunNotFound: neither answers to the key.
        ReportError: no run of the experiment is done.
    """
    if not (key.startswith("exp-") and any(name.startswith(key) for name in list_experiments(workspace))):
        return [find_run(workspace, key)]
    experiment = read_experiment(workspace, key)
    done = [folder for folder in experiment.folders.values() if read_info(folder).status == "done"]
    if not done:
        raise ReportError(f"no run of {experiment.experiment_id} is done yet; wait for one, or name runs")
    return done


def report(arguments: Namespace) -> int:
    """Write one self-contained report on one or more runs.

    Raises:
        ReportError: the file exists and `--force` was not given.
    """
    workspace = open_workspace(arguments.workspace)
    folders = [find_run(workspace, key) for key in arguments.runs]
    out = Path(arguments.out).expanduser() if arguments.out else workspace.exports / f"{folders[0].name}.html"
    if out.is_file() and not arguments.force and arguments.out:
        raise ReportError(f"'{out}' exists already; give another name with -o, or --force to replace it")
    path = write_report(folders, out)
    if arguments.json:
        say_json({"runs": [folder.name for folder in folders], "path": path})
    else:
        say(f"Wrote {path}.")
    return 0
