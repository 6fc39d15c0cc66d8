"""`microcosm export` and `report`: what leaves the workspace."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from app.terminal import say, say_json
from engine.errors import ReportError
from engine.reports import write_report
from engine.runs import export_run, find_run, open_workspace


def export(arguments: Namespace) -> int:
    """Write a run in another form."""
    folder = find_run(open_workspace(arguments.workspace), arguments.run)
    path = export_run(folder, arguments.to, Path(arguments.out).expanduser())
    if arguments.json:
        say_json({"run_id": folder.name, "to": arguments.to, "path": path})
    else:
        say(f"Wrote {path}.")
    return 0


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
