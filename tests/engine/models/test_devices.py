"""What llama.cpp can compute on here, and advice for what it cannot."""

import pytest

from engine.llm import devices as devices_module
from engine.llm.devices import BUILDS, Device, advise_build, list_devices, suggest_layers

GPU = Device("CUDA0", "A card", "graphics card", 8 << 30, 10 << 30)
CPU = Device("CPU", "A processor", "processor", 8 << 30, 16 << 30)


def test_the_processor_is_always_a_device():
    devices = list_devices()
    processors = [device for device in devices if device.kind == "processor"]
    assert processors and all(
        device.total_bytes > 0 and device.free_bytes <= device.total_bytes for device in processors
    )


@pytest.mark.parametrize(
    ("layers", "weights", "context", "free", "expected"),
    [
        (32, 33 << 27, 0, 33 << 30, -1),  # everything fits several times
        (31, 32 << 27, 0, 10 * (16 << 27) // 9 + 10, 16),  # nine tenths of the card hold 16 of 32 equal parts
        (32, 33 << 27, 0, 0, 0),  # no card
        (31, 16 << 27, 16 << 27, 10 * (16 << 27) // 9 + 10, 16),  # a context counts like weights
    ],
)
def test_layers_that_fit(layers, weights, context, free, expected):
    assert suggest_layers(layers, weights, context, free) == expected


def test_a_card_that_the_build_uses_needs_no_advice(monkeypatch):
    monkeypatch.setattr(devices_module, "find_graphics_card", lambda: "CUDA")
    assert advise_build([CPU, GPU]) == ""
    assert advise_build([CPU]).startswith(BUILDS["CUDA"])
    monkeypatch.setattr(devices_module, "find_graphics_card", lambda: None)
    assert advise_build([CPU]) == ""
