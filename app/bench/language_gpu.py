"""The same figures on a graphics card, where llama.cpp has one: models of about 1 and 7 billion weights in Q4_K_M."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from app.bench.rows import Row
from engine.llm.devices import Device, list_devices
from engine.llm.random_model import build_random_model, quantize_model

SIZES = {"1b": "about 1 B weights", "7b": "about 7 B weights"}
N_DECISIONS = 512
GPU_REPEATS = 5


def measure_gpu(folder: Path) -> Iterator[Row]:
    """Yield decisions and texts per second on the first graphics card; one row that says so where there is none.

    Args:
        folder: Where models of up to 19 GB are made and removed again.
    """
    from app.bench.language import measure_file

    card = find_card()
    if card is None:
        yield Row("graphics card", 0.0, "found", "", "llama.cpp sees none; `microcosm doctor` says how to install it")
        return
    for size, words in SIZES.items():
        whole = build_random_model(folder / f"{size}-f16.gguf", size, ftype="f16")
        path = quantize_model(whole, folder / f"{size}.gguf", "Q4_K_M")
        whole.unlink()
        for row in measure_file(path, 1, GPU_REPEATS, N_DECISIONS, gpu_layers=-1):
            yield replace(row, work=f"{words}: {row.work}", note=f"{row.note} ({card.name})")
        path.unlink()


def find_card() -> Device | None:
    """Return the first graphics card that llama.cpp can use, or None."""
    return next((device for device in list_devices() if device.is_gpu), None)
