"""Which processors llama.cpp can use here, and how to give it a graphics card that it cannot use yet."""

from __future__ import annotations

import ctypes
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.llm.library import load_library

KINDS = ("processor", "graphics card", "graphics in the processor", "accelerator", "group of devices")
BUILDS = {
    "CUDA": "CMAKE_ARGS='-DGGML_CUDA=on -DLLAVA_BUILD=OFF'",
    "ROCm": "CMAKE_ARGS='-DGGML_HIP=on -DLLAVA_BUILD=OFF'",
    "Vulkan": "CMAKE_ARGS='-DGGML_VULKAN=on -DLLAVA_BUILD=OFF'",
    "Metal": "CMAKE_ARGS='-DGGML_METAL=on -DLLAVA_BUILD=OFF'",
}
REBUILD = "pip install --force-reinstall --no-cache-dir llama-cpp-python"


@dataclass(frozen=True)
class Device:
    """One processor that llama.cpp can compute on.

    Attributes:
        name: llama.cpp's name, for example CPU, CUDA0, Metal.
        description: The maker's name.
        kind: One of `KINDS`.
        free_bytes: Memory that is free on it.
        total_bytes: All of its memory.
    """

    name: str
    description: str
    kind: str
    free_bytes: int
    total_bytes: int

    @property
    def is_gpu(self) -> bool:
        """Whether layers can be given to it."""
        return self.kind in KINDS[1:3]


def list_devices() -> list[Device]:
    """Return the devices of the installed build of llama.cpp.

    Raises:
        ModelError: llama-cpp-python is missing or cannot be loaded.
    """
    load_library()
    from llama_cpp import _ggml

    ggml = _ggml.libggml
    try:
        return [_read_device(ggml, number) for number in range(_ask(ggml, "count", ctypes.c_size_t)())]
    except AttributeError as error:
        raise ModelError(
            f"this build of llama.cpp does not list its devices ({error}); llama-cpp-python 0.3.36 or newer does"
        ) from error


def _ask(ggml: Any, what: str, result: Any, *arguments: Any) -> Any:
    function = getattr(ggml, f"ggml_backend_dev_{what}")
    function.restype, function.argtypes = result, list(arguments)
    return function


def _read_device(ggml: Any, number: int) -> Device:
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    device = _ask(ggml, "get", pointer, size)(number)
    free, total = size(0), size(0)
    _ask(ggml, "memory", None, pointer, ctypes.POINTER(size), ctypes.POINTER(size))(
        device, ctypes.byref(free), ctypes.byref(total)
    )
    kind = _ask(ggml, "type", ctypes.c_int, pointer)(device)
    return Device(
        _ask(ggml, "name", ctypes.c_char_p, pointer)(device).decode("utf-8", "replace"),
        _ask(ggml, "description", ctypes.c_char_p, pointer)(device).decode("utf-8", "replace").strip(),
        KINDS[kind] if 0 <= kind < len(KINDS) else "other",
        free.value,
        total.value,
    )


def find_graphics_card() -> str | None:
    """Return which build would use this computer's graphics card (a key of `BUILDS`), None where none is seen."""
    if sys.platform == "darwin":
        return "Metal" if platform.machine() == "arm64" else None
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        return "CUDA"
    if shutil.which("rocm-smi") or Path("/dev/kfd").exists():
        return "ROCm"
    if sys.platform == "linux" and any(Path("/dev/dri").glob("renderD*")):
        return "Vulkan"
    return None


def advise_build(devices: list[Device]) -> str:
    """Return the command that makes llama.cpp use a graphics card that it does not use now; empty if it does or none.

    The build tools of the card's maker are needed: the CUDA toolkit, ROCm, the Vulkan SDK, or Xcode's.
    """
    card = find_graphics_card()
    if card is None or any(device.is_gpu for device in devices):
        return ""
    return f"{BUILDS[card]} {REBUILD}"


def suggest_layers(n_layers: int, tensor_bytes: int, context_bytes: int, free_bytes: int) -> int:
    """Return how many layers fit on a graphics card; -1 for all of them.

    Weights and context are taken as spread evenly over the layers and the output; a tenth of the card stays free.

    Args:
        n_layers: Layers of the model.
        tensor_bytes: Bytes of all weights.
        context_bytes: Bytes of keys and values of a full context.
        free_bytes: Free memory of the card.
    """
    if n_layers <= 0 or free_bytes <= 0:
        return 0
    each = (tensor_bytes + context_bytes) / (n_layers + 1)
    fitting = int(0.9 * free_bytes / each)
    return -1 if fitting > n_layers else fitting
