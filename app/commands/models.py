"""`microcosm models`: the model files at hand, and what one of them says of itself."""

from __future__ import annotations

import importlib.resources
from argparse import Namespace
from pathlib import Path

from app.terminal import as_size, say, say_fields, say_json, say_table
from engine.errors import ModelError
from engine.llm import read_model_info
from engine.registry import nearest
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
    embedded = Path(str(importlib.resources.files("assets") / "pocket.gguf"))
    found = [("pocket", embedded)] if embedded.is_file() else []
    folder = open_workspace(workspace).models
    return found + [(str(path.relative_to(folder)), path) for path in sorted(folder.rglob("*.gguf")) if path.is_file()]


def find_model_file(name: str, workspace: str | None) -> Path:
    """Return the path of a model given by name, by name without its ending, or by path.

    Raises:
        ModelError: no such file; the text names the nearest one.
    """
    known = dict(find_model_files(workspace))
    for candidate in (name, f"{name}.gguf"):
        if candidate in known:
            return known[candidate]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise ModelError(f"'{name}' is neither a model file nor a name in the models folder{nearest(name, known)}")


def _files(arguments: Namespace) -> list[tuple[str, Path]]:
    return find_model_files(arguments.workspace)


def _info(arguments: Namespace) -> int:
    path = find_model_file(arguments.model or "pocket", arguments.workspace)
    info = read_model_info(path)
    if arguments.json:
        say_json({"path": path, **info})
    else:
        say_fields({"path": path, **info})
    return 0
