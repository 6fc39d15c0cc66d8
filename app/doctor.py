"""`microcosm doctor`: what this installation has, what it lacks, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import os
import re
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.terminal import as_size, say, say_json
from engine.errors import MicrocosmError
from engine.runs import open_workspace

DISTRIBUTION = "microcosm-studio"
PACKAGES = ("app", "engine", "personas", "scenarios", "assets")
MIN_PYTHON = (3, 11)
LOW_MEMORY_BYTES = 2e9
LOW_DISK_BYTES = 2e9
MODEL_PACKAGE = "llama-cpp-python"


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, how it is, what was found and what to do."""

    status: Literal["ok", "warn", "fail"]
    subject: str
    found: str
    advice: str = ""


def doctor(arguments: Namespace) -> int:
    """Print one line per check; 1 where any of them fails."""
    checks = list(check_installation(arguments.workspace))
    for check in checks:
        if arguments.json:
            say_json(check)
        else:
            advice = f" -> {check.advice}" if check.advice else ""
            say(f"{check.status:4}  {check.subject}: {check.found}{advice}")
    return 1 if any(check.status == "fail" for check in checks) else 0


def check_installation(workspace: str | None = None) -> Iterator[Check]:
    """Yield every check, in the order in which they matter."""
    yield _check_python()
    yield _check_dependencies()
    yield _check_top_level()
    yield _check_processor()
    yield _check_memory()
    for check in (_check_workspace, _check_disk):
        yield _survive(check, workspace)
    yield _check_model_library()
    yield from _check_devices()
    yield _check_embedded_model()


def _survive(check: Callable[[str | None], Check], workspace: str | None) -> Check:
    try:
        return check(workspace)
    except (MicrocosmError, OSError) as error:
        return Check("fail", "workspace", str(error), "choose another folder with --workspace or $MICROCOSM_WORKSPACE")


def _check_python() -> Check:
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info[:2] < MIN_PYTHON:
        return Check("fail", "Python", found, f"install Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer")
    return Check("ok", "Python", found)


def _check_dependencies() -> Check:
    try:
        required = importlib.metadata.requires(DISTRIBUTION) or []
        own = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return Check("fail", "program", "not installed as a package", "install it with: pip install -e .")
    missing, versions = [], []
    for line in required:
        name = re.split(r"[\s<>=!~;\[]", line, maxsplit=1)[0]
        if "extra ==" in line or name == MODEL_PACKAGE:
            continue
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("fail", "program", f"{own}, missing {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return Check("ok", "program", f"{DISTRIBUTION} {own} with {', '.join(versions)}")


def _check_top_level() -> Check:
    owners = importlib.metadata.packages_distributions()
    rivals = {package: sorted(set(owners.get(package, [])) - {DISTRIBUTION}) for package in PACKAGES}
    others = sorted({name for names in rivals.values() for name in names})
    if others:
        taken = ", ".join(package for package, names in rivals.items() if names)
        advice = f"use a virtual environment of its own, or: pip uninstall {' '.join(others)}, then install again"
        return Check("fail", "packages", f"{', '.join(others)} also installs {taken} and may overwrite ours", advice)
    places = {Path(str(importlib.resources.files(package))).parent for package in PACKAGES}
    if len(places) > 1:
        told = ", ".join(str(place) for place in sorted(places))
        return Check(
            "fail", "packages", f"found in different places: {told}", "remove the foreign folder from the path"
        )
    return Check("ok", "packages", f"{', '.join(PACKAGES)} in {places.pop()}")


def _check_processor() -> Check:
    import psutil

    logical = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    found = f"{usable} of {logical} logical cores usable, {psutil.cpu_count(logical=False) or logical} physical"
    if usable < 2:
        return Check("warn", "processor", found, "runs will be slow to show while the studio is open")
    return Check("ok", "processor", found)


def _check_memory() -> Check:
    from engine.llm.models import available_memory

    free = available_memory()
    found = f"{as_size(free)} available"
    if free < LOW_MEMORY_BYTES:
        return Check("warn", "memory", found, "close other programs, or keep to small populations and models")
    return Check("ok", "memory", found)


def _check_workspace(workspace: str | None) -> Check:
    space = open_workspace(workspace)
    with tempfile.NamedTemporaryFile(dir=space.runs, prefix=".doctor-"):
        return Check("ok", "workspace", f"{space.path} is writable")


def _check_disk(workspace: str | None) -> Check:
    space = open_workspace(workspace)
    free = shutil.disk_usage(space.path).free
    found = f"{as_size(free)} free at {space.path}"
    if free < LOW_DISK_BYTES:
        return Check("warn", "disk", found, "remove old runs or choose a workspace on another disk")
    return Check("ok", "disk", found)


def _check_model_library() -> Check:
    from engine.llm.library import load_library

    if os.environ.get("MICROCOSM_NO_MODEL") == "1":
        return Check("warn", "language model library", "MICROCOSM_NO_MODEL=1 forbids models", "unset it to use a model")
    try:
        library = load_library()
    except MicrocosmError as error:
        return Check("warn", "language model library", "not usable; rules work without it", str(error))
    offload = bool(library.llama_supports_gpu_offload())
    version = importlib.metadata.version(MODEL_PACKAGE)
    return Check(
        "ok", "language model library", f"{MODEL_PACKAGE} {version}, {'with' if offload else 'no'} GPU offload"
    )


def _check_devices() -> Iterator[Check]:
    """Yield one line per device of llama.cpp, and what would make it use a graphics card that it cannot use yet."""
    from engine.llm.devices import advise_build, find_graphics_card, list_devices

    if os.environ.get("MICROCOSM_NO_MODEL") == "1":
        return
    try:
        devices = list_devices()
    except MicrocosmError:
        return  # the line before has said why
    for device in devices:
        memory = f"{as_size(device.free_bytes)} of {as_size(device.total_bytes)} free"
        yield Check("ok", f"model device {device.name}", f"{device.description}, {device.kind}, {memory}")
    advice = advise_build(devices)
    if advice:
        found = f"a card for {find_graphics_card()} is there, and the installed llama.cpp cannot use it"
        yield Check("warn", "graphics card", found, f"install its build tools, then: {advice}")


def _check_embedded_model() -> Check:
    from engine.llm import read_model_info
    from engine.llm.models import pocket_path

    try:
        info = read_model_info(pocket_path())
    except MicrocosmError as error:
        return Check("fail", "embedded model", str(error), "install the program again")
    found = f"{info['name']}, {info['architecture']}, {info['quantization']}, sha256 {info['sha256']}"
    return Check("ok", "embedded model", found)
