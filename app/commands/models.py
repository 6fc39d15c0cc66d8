"""`microcosm models`: the model files at hand, what one says of itself, fetching one and trying one out."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any, cast

from app.terminal import as_size, complain, say, say_fields, say_json, say_table
from engine.errors import MicrocosmError, ModelError
from engine.llm import LanguageModel
from engine.llm.devices import list_devices, suggest_layers
from engine.llm.hub import find_source, pull_model
from engine.llm.models import (
    POCKET,
    available_memory,
    find_model,
    list_models,
    load_model,
    pocket_path,
    read_model_info,
)
from engine.llm.probing import OPTIONS, QUESTION, answer_question, measure_speed
from engine.runs import open_workspace
from engine.runs.model import ModelOnDemand
from engine.spec import ModelSpec

TOLD_EVERY_S = 0.5


def models(arguments: Namespace) -> int:
    """List the model files, read one, fetch one or try one out."""
    return {"list": _list, "info": _info, "pull": _pull, "test": _test}[arguments.action](arguments)


def find_model_files(workspace: str | None) -> list[tuple[str, Path]]:
    """Return (name, path) of the embedded model, where it is there, and of each GGUF file of the workspace."""
    embedded = [(POCKET, pocket_path())] if pocket_path().is_file() else []
    folder = open_workspace(workspace).models
    return embedded + [(name, folder / name) for name in list_models(folder)]


def _list(arguments: Namespace) -> int:
    rows = [_row(name, path) for name, path in find_model_files(arguments.workspace)]
    if arguments.json:
        for row in rows:
            say_json(row)
    elif rows:
        shown = ["model", "architecture", "quantization", "size", "memory", "fits", "path"]
        say_table([{**row, "size": as_size(row["size_bytes"]), "memory": _memory(row)} for row in rows], shown)
        for row in rows:
            if row["problem"]:
                complain(row["problem"])
    else:
        say(f"No model file yet; put GGUF files into {open_workspace(arguments.workspace).models}.")
    return 0


def _row(name: str, path: Path) -> dict[str, Any]:
    """Return what a file says of itself; a file that cannot be read is a row with its problem."""
    row: dict[str, Any] = {"model": name, "path": str(path), "size_bytes": path.stat().st_size, "problem": ""}
    try:
        info = read_model_info(path, hashed=False)
    except (MicrocosmError, OSError) as error:
        return row | {"problem": str(error), "fits": False, "memory_bytes": None}
    return info | row | {"fits": info["memory_bytes"] <= available_memory()}


def _memory(row: dict[str, Any]) -> str:
    return as_size(row["memory_bytes"])


def _path(arguments: Namespace) -> Path:
    return find_model(arguments.model or POCKET, open_workspace(arguments.workspace).models)


def _info(arguments: Namespace) -> int:
    info = read_model_info(_path(arguments))
    info["memory_available_bytes"] = available_memory()
    try:
        cards = [device for device in list_devices() if device.is_gpu]
    except ModelError:
        cards = []
    info["gpu"] = cards[0].description if cards else None
    info["gpu_layers_suggested"] = (
        suggest_layers(
            info["n_layers"], info["memory_bytes"] - info["context_bytes"], info["context_bytes"], cards[0].free_bytes
        )
        if cards
        else 0
    )
    if arguments.json:
        say_json(info)
    else:
        say_fields(info)
    return 0


def _pull(arguments: Namespace) -> int:
    if not arguments.model:
        raise ModelError("name what to fetch: OWNER/REPOSITORY/FILE.gguf, or an https:// address")
    source = find_source(arguments.model, sha256=arguments.sha256)
    told = [0.0]

    def tell(done: int, total: int | None, rate: float) -> None:
        now = time.monotonic()
        if now - told[0] < TOLD_EVERY_S and done != total:
            return
        told[0] = now
        left = (total - done) / rate if total is not None and rate > 0 else None
        if arguments.json:
            say_json({"done_bytes": done, "total_bytes": total, "bytes_per_s": rate, "remaining_s": left})
        elif sys.stderr.isatty():
            of = f" of {as_size(total)}" if total is not None else ""
            sys.stderr.write(f"\r{as_size(done)}{of}, {as_size(rate)}/s   ")
            sys.stderr.flush()

    path = pull_model(source, open_workspace(arguments.workspace).models, name=arguments.name, on_bytes=tell)
    if sys.stderr.isatty() and not arguments.json:
        sys.stderr.write("\n")
    info = read_model_info(path)
    info["checked"] = source.sha256 is not None
    if arguments.json:
        say_json(info)
    else:
        proof = "its checksum is right" if source.sha256 else "nobody gave a checksum to compare with"
        say(f"{path.name} is ready ({as_size(path.stat().st_size)}, sha256 {info['sha256']}; {proof}).")
        say(f"Use it in a study with: [model] file = '{path.name}'")
    return 0


def _test(arguments: Namespace) -> int:
    spec, workspace = ModelSpec(file=arguments.model or POCKET), open_workspace(arguments.workspace)
    started = time.perf_counter()
    model: LanguageModel
    if arguments.no_speed:  # the service that the runs use answers; a speed is that of a process of its own
        model = cast(LanguageModel, ModelOnDemand(spec, workspace.models, cache_folder=workspace.cache))
    else:
        model = load_model(spec, models_folder=workspace.models)
    try:
        loaded_s = time.perf_counter() - started
        question, options = arguments.ask or QUESTION, arguments.options or list(OPTIONS)
        answers = answer_question(model, question, options)
        speed = {} if arguments.no_speed else measure_speed(model)
        result = {"model": model.identity.name, "load_s": loaded_s, "question": question, "answers": answers, **speed}
    finally:
        model.close()
    if arguments.json:
        say_json(result)
        return 0
    say(question)
    say_table([{**row, "p": round(row["p"], 4)} for row in answers], ["option", "p"])
    say_fields({name: value for name, value in result.items() if name not in ("question", "answers")})
    return 0
