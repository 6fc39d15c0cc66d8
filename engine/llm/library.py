"""Import llama-cpp-python when first needed, quietly, and keep what llama.cpp complains about."""

from __future__ import annotations

import collections
import ctypes
import functools
import importlib
import os
from typing import Any

from engine.errors import ModelError

ERROR_LEVELS = (3, 4)  # ggml's levels: 1 debug, 2 information, 3 warning, 4 error, 5 continues the line before
INSTRUCTION = (
    "the language model needs the package llama-cpp-python, which is not installed; add it with "
    "`pip install llama-cpp-python` (it compiles for some minutes and needs a C++ compiler), or let rules decide"
)

_complaints: collections.deque[str] = collections.deque(maxlen=20)


@functools.cache
def load_library() -> Any:
    """Return the module of llama.cpp's C functions, its backend started and its log kept from the screen.

    Sets `OMP_WAIT_POLICY=passive` before the import where it is unset: spinning threads make a small busy machine
    5 to 20 times slower.

    Raises:
        ModelError: llama-cpp-python is missing or cannot be loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        library = importlib.import_module("llama_cpp.llama_cpp")
    except ImportError as error:
        raise ModelError(INSTRUCTION) from error
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"llama-cpp-python is installed but cannot be loaded: {error}; install it again with "
            "`pip install --force-reinstall --no-cache-dir llama-cpp-python`"
        ) from error
    quieten_log(library)
    library.llama_backend_init()
    return library


def quieten_log(library: Any) -> None:
    """Take over llama.cpp's log: warnings and errors are kept for `recent_complaints`, the rest is dropped."""
    library.llama_log_set(_log_callback(library), ctypes.c_void_p(0))


@functools.cache
def _log_callback(library: Any) -> Any:
    """Return the callback; the cache keeps it alive, since C holds only its address."""

    def keep(level: int, text: bytes, _: Any) -> None:
        if level in ERROR_LEVELS and text.strip():
            _complaints.append(text.decode("utf-8", "replace").strip())

    return library.llama_log_callback(keep)


def forget_complaints() -> None:
    """Drop the kept log lines, before an action whose complaints will be shown."""
    _complaints.clear()


def recent_complaints(n_lines: int = 3) -> str:
    """Return the last warnings and errors of llama.cpp in one line, for the end of an error's sentence."""
    lines = list(_complaints)[-n_lines:]
    return f" (llama.cpp: {' · '.join(lines)})" if lines else ""
