"""`microcosm models`: the model files at hand, and what one of them says of itself."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from app.terminal import as_size, say, say_fields, say_json, say_table
from engine.llm.models import POCKET, find_model, list_models, pocket_path, read_model_info
from engine.runs import open_workspace


def models(arguments: Namespace) -> int:
    """List the model files, or read one of them."""
    if arguments.action == "info":
        return _info(arguments)
    rows = [{"name": name, "size_bytes": path.stat().st_size, "path": path} for name, path in _files(arguments)]
    if arguments.json:
        for row in rows:
            say_json(row)
    elif rows:
        say_table([{**row, "size": as_size(row["size_bytes"])} for row in rows], ["name", "size", "path"])
    else:
        say(f"No model file yet; put GGUF files into {open_workspace(arguments.workspace).models}.")
    return 0


def find_model_files(workspace: str | None) -> list[tuple[str, Path]]:
    """Return (name, path) of the embedded model, where it is there, and of each GGUF file of the workspace."""
    embedded = [(POCKET, pocket_path())] if pocket_path().is_file() else []
    folder = open_workspace(workspace).models
    return embedded + [(name, folder / name) for name in list_models(folder)]


def _files(arguments: Namespace) -> list[tuple[str, Path]]:
    return find_model_files(arguments.workspace)


def _info(arguments: Namespace) -> int:
    path = find_model(arguments.model or POCKET, open_workspace(arguments.workspace).models)
    info = read_model_info(path)
    if arguments.json:
        say_json(info)
    else:
        say_fields(info)
    return 0
