"""Frames of the model service: exact numbers, any split, nothing taken on trust."""

import json

import numpy as np
import pytest

from engine.llm.service_wire import LENGTHS, MOST_HEADER, Frames, pack


def test_messages_survive_any_split_of_the_bytes():
    numbers = np.array([[0.1, -np.inf], [np.pi, 5e-324]])
    frames = pack({"op": "a", "text": "caf\u00e9 \ud800"}, {"x": numbers, "y": np.zeros(0)}) + pack({"op": "b"})
    for size in (1, 3, 50, len(frames)):
        reader = Frames()
        found = [m for at in range(0, len(frames), size) for m in reader.feed(frames[at : at + size])]
        assert [message.op for message in found] == ["a", "b"]
        assert found[0].header["text"] == "caf\u00e9 \ud800"
        assert found[0].arrays["x"].tobytes() == numbers.tobytes() and found[0].arrays["y"].shape == (0,)


def frame(head, body=b""):
    encoded = json.dumps(head).encode()
    return LENGTHS.pack(len(encoded), len(body)) + encoded + body


@pytest.mark.parametrize(
    "received",
    [
        LENGTHS.pack(MOST_HEADER + 1, 0),
        LENGTHS.pack(2, 0) + b"[]",
        LENGTHS.pack(2, 0) + b"{x",
        frame({"arrays": [["x", "|O", [1]]]}, bytes(8)),
        frame({"arrays": [["x", "<f8", [2]]]}, bytes(8)),
        frame({"arrays": [["x", "<f8", [-1]]]}, bytes(8)),
    ],
)
def test_what_is_no_frame_is_refused(received):
    with pytest.raises(ValueError):
        Frames().feed(received)
