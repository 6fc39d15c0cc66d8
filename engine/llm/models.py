"""Find, check and load the language model that a study names."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.llm.header import Header, quantization_of, read_header
from engine.llm.protocol import LanguageModel, ModelIdentity
from engine.llm.scripted import ScriptedModel
from engine.llm.server_http import check_consent
from engine.registry import nearest
from engine.spec import ModelSpec

POCKET, SCRIPTED = "pocket", "scripted"
SPARE_BYTES = 64 * 2**20  # room for activations and the program itself, beside weights and context
CHECKED_CONTEXT = 4096  # tokens of context that the memory check counts when the study names none
MOST_PARTS = 999  # files of one split model
CGROUP = Path("/sys/fs/cgroup")


def pocket_path() -> Path:
    """Return the path of the embedded model file."""
    return Path(str(importlib.resources.files("assets") / "pocket.gguf"))


def find_model(file: str, models_folder: Path | None = None) -> Path:
    """Return the path of a model: "pocket", a path, or a name in the model folder with or without `.gguf`.

    Raises:
        ModelError: nothing is found, or a folder is named; the text lists what the model folder holds.
    """
    if file == POCKET:
        return pocket_path()
    places = [Path(file).expanduser()]
    if models_folder is not None and Path(file).name == file:
        places += [models_folder / file, models_folder / f"{file}.gguf"]
    found = next((place for place in places if place.is_file()), None)
    if found is not None:
        return found
    folder = next((place for place in places if place.is_dir()), None)
    if folder is not None:
        inside = sorted(path.name for path in folder.glob("*.gguf"))[:5]
        hint = f"; it holds {', '.join(inside)}" if inside else ""
        raise ModelError(f"model.file = '{file}' is a folder; name a .gguf file in it{hint}")
    names = [POCKET, SCRIPTED, *list_models(models_folder)]
    where = f" and not in the model folder {models_folder}" if models_folder is not None else ""
    raise ModelError(f"no language model '{file}': there is no such file{where}{nearest(file, names)}")


def list_models(models_folder: Path | None) -> list[str]:
    """Return the names of the GGUF files in the model folder, sorted."""
    if models_folder is None or not models_folder.is_dir():
        return []
    return sorted(path.name for path in models_folder.glob("*.gguf"))


def check_model(spec: ModelSpec, models_folder: Path | None = None) -> Path:
    """Check cheaply that a model can be loaded, and return its path (`scripted` for the double, a server's address).

    Raises:
        ModelError: a server beyond this computer that is not allowed; or a file that is missing, a folder, not GGUF,
            truncated, damaged, an adapter or projector, or too large for the memory that is available now.
    """
    if spec.url is not None:
        check_consent(spec.url, models_folder.parent if models_folder else None)
        return Path(spec.url)
    if spec.file == SCRIPTED:
        return Path(SCRIPTED)
    path = find_model(spec.file, models_folder)
    _check_header(spec, path)
    return path


def _check_header(spec: ModelSpec, path: Path) -> Header:
    header = _read_all_headers(path)
    _check_memory(spec, path, header)
    return header


def _read_all_headers(path: Path) -> Header:
    """Return the header of a model, with the sizes of all files that it is split over."""
    try:
        header = read_header(path)
    except OSError as error:
        raise ModelError(f"the model file {path} cannot be read: {error.strerror}; check its permissions") from error
    kind = header.metadata.get("general.type", "model")
    if kind != "model" or header.architecture in ("clip", ""):
        what = header.architecture or "no architecture"
        raise ModelError(f"{path} is not a language model but '{kind}' ({what}); choose the GGUF file of a whole model")
    for part in find_parts(path, header):
        more = read_header(part)
        header.tensor_bytes += more.tensor_bytes
        header.n_params += more.n_params
    return header


def find_parts(path: Path, header: Header) -> list[Path]:
    """Return the other files of a model that is split over several, none for a usual one.

    Raises:
        ModelError: a part other than the first was named, or a part is missing.
    """
    n_parts = header.metadata.get("split.count", 0)
    if not isinstance(n_parts, int) or not 1 < n_parts <= MOST_PARTS:
        return []
    ending = f"-00001-of-{n_parts:05d}.gguf"
    if not path.name.endswith(ending):
        raise ModelError(f"{path.name} is one of {n_parts} parts of a model; name the first, which ends in {ending}")
    stem = path.name.removesuffix(ending)
    parts = [path.with_name(f"{stem}-{number:05d}-of-{n_parts:05d}.gguf") for number in range(2, n_parts + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise ModelError(f"the model {path.name} lacks {', '.join(missing[:3])}; put all {n_parts} parts in one folder")
    return parts


def _check_memory(spec: ModelSpec, path: Path, header: Header) -> None:
    need = header.tensor_bytes + context_bytes(header, spec.n_ctx) + SPARE_BYTES
    free = available_memory()
    if need > free:
        raise ModelError(
            f"the model {path.name} needs about {need / 2**30:.2f} GiB of memory and {free / 2**30:.2f} GiB is "
            "available; close other programs, or choose a smaller or more strongly quantized file"
        )


def context_bytes(header: Header, n_ctx: int | None = None) -> int:
    """Return the memory of a context of `n_ctx` tokens (None: the usual one), at most the model's own length."""
    return min(n_ctx or CHECKED_CONTEXT, header.dimension("context_length", CHECKED_CONTEXT)) * _bytes_per_token(header)


def _bytes_per_token(header: Header) -> int:
    """Return the context memory per token: keys and values of all layers as 16-bit numbers."""
    heads = header.dimension("attention.head_count", 0)
    if not heads:
        return 0
    width = header.dimension("attention.key_length") or header.dimension("embedding_length") // heads
    kv_heads = header.dimension("attention.head_count_kv", heads)
    return 2 * 2 * header.dimension("block_count") * kv_heads * width


def available_memory() -> int:
    """Return the bytes of memory that new programs can have, the limit of a container included."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file():
        text = limit.read_text().strip()
        if text.isdigit():
            free = min(free, max(0, int(text) - int(used.read_text())))
    return free


def read_model_info(path: Path | str, *, hashed: bool = True) -> dict[str, Any]:
    """Return what a GGUF file says about itself, without llama.cpp.

    Args:
        path: The file.
        hashed: Whether to read the whole file for its sha256; None stands for it otherwise.

    Returns:
        name, architecture, quantization, context (tokens), n_params, n_layers, size_bytes, memory_bytes (weights,
        a usual context and the program), context_bytes (of it), template (bool), description, licence, sha256, path.

    Raises:
        ModelError: not a complete GGUF file.
    """
    path = Path(path)
    header = _check_file(path)
    entries = header.metadata
    return {
        "name": str(entries.get("general.name") or path.stem),
        "architecture": header.architecture,
        "quantization": quantization_of(header),
        "context": header.dimension("context_length"),
        "n_params": header.n_params,
        "n_layers": header.dimension("block_count"),
        "memory_bytes": header.tensor_bytes + context_bytes(header) + SPARE_BYTES,
        "context_bytes": context_bytes(header),
        "size_bytes": path.stat().st_size,
        "template": isinstance(entries.get("tokenizer.chat_template"), str),
        "description": str(entries.get("general.description", "")),
        "licence": str(entries.get("general.license", "")),
        "sha256": hash_file(path) if hashed else None,
        "path": str(path),
    }


def _check_file(path: Path) -> Header:
    if not path.is_file():
        raise ModelError(f"there is no model file {path}; name an existing .gguf file")
    return read_header(path)


def hash_file(path: Path) -> str:
    """Return the sha256 of a file in hex; asked again for an unchanged file it is not read again."""
    stat = path.stat()
    return _hash(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hash(path: str, size: int, changed_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_model(
    spec: ModelSpec,
    *,
    models_folder: Path | None = None,
    on_wait: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    n_threads: int | None = None,
) -> LanguageModel:
    """Load the model that a study names.

    Args:
        spec: `file` is "pocket" (embedded), "scripted" (the double), a path, or a name in the model folder.
        models_folder: The workspace's model folder.
        on_wait: Called with a phrase before each part that takes time.
        should_stop: Asked between and during passes through the model; when it returns True, the call under way ends
            with a ModelError.
        n_threads: Processor threads; None leaves one core to the rest of the computer.

    Raises:
        ModelError: `MICROCOSM_NO_MODEL=1` is set, llama-cpp-python is missing, or `check_model` refuses the file.
    """
    if os.environ.get("MICROCOSM_NO_MODEL") == "1":
        raise ModelError(f"MICROCOSM_NO_MODEL=1 forbids loading the language model '{spec.label}'; unset it to do so")
    if spec.url is not None:
        return _open_server(spec, models_folder, should_stop)
    if spec.file == SCRIPTED:
        return ScriptedModel()
    path = find_model(spec.file, models_folder)
    header = _check_header(spec, path)
    from engine.llm.library import load_library
    from engine.llm.llamacpp import LlamaCppModel

    load_library()
    if on_wait is not None:
        on_wait(f"reading {path.name}")
    identity = _identify(path, header)
    if on_wait is not None:
        on_wait(f"loading {path.name}")
    return LlamaCppModel(path, identity, spec, should_stop=should_stop, n_threads=n_threads)


def _open_server(
    spec: ModelSpec, models_folder: Path | None, should_stop: Callable[[], bool] | None = None
) -> LanguageModel:
    from engine.llm.server import open_server

    return open_server(spec, workspace=models_folder.parent if models_folder else None, should_stop=should_stop)


def identify_model(spec: ModelSpec, models_folder: Path | None = None) -> ModelIdentity:
    """Return which model a study names, without loading it; reads the file once for its sha256, or asks the server.

    Raises:
        ModelError: there is no such model, or it is no whole GGUF file.
    """
    if spec.url is not None:
        server = _open_server(spec, models_folder)
        server.close()
        return server.identity
    if spec.file == SCRIPTED:
        return ScriptedModel().identity
    path = find_model(spec.file, models_folder)
    return _identify(path, _read_all_headers(path))


def _identify(path: Path, header: Header) -> ModelIdentity:
    return ModelIdentity(
        name=str(header.metadata.get("general.name") or path.stem),
        sha256=hash_file(path),
        quantization=quantization_of(header),
        template="chat" if isinstance(header.metadata.get("tokenizer.chat_template"), str) else "plain",
        backend="llama.cpp",
        architecture=header.architecture,
        n_params=header.n_params,
        n_ctx_train=header.dimension("context_length"),
        is_pocket=path.resolve() == pocket_path().resolve(),
    )
