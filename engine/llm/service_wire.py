"""Messages between the model service and its clients: frames of JSON and raw numbers, and where the service is found.

A frame is two lengths (bytes of the JSON header, bytes of all arrays), the header, then the arrays one after another,
little-endian. Nothing that is received is ever evaluated, and sizes are checked before memory is taken.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ContextOverflow, ModelError, ServerError

VERSION = 1
LENGTHS = struct.Struct("<II")
MOST_HEADER, MOST_ARRAYS = 256 * 2**20, 256 * 2**20
DTYPES = ("<f8", "<i8", "|b1")
LONGEST_SOCKET_PATH = 100
"""Bytes; systems take 104 to 108 for the name of a socket. In a longer folder the service listens on loopback TCP."""


@dataclass(frozen=True)
class Message:
    """One message: what it says, and the arrays that came with it."""

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def op(self) -> str:
        """What the message is: hello, welcome, score, write, count, answer, progress, notice, error."""
        return str(self.header.get("op", ""))


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> bytes:
    """Return the frame of a message."""
    parts = {name: np.ascontiguousarray(values) for name, values in (arrays or {}).items()}
    described = [[name, values.dtype.str, list(values.shape)] for name, values in parts.items()]
    head = json.dumps({**header, "arrays": described}, separators=(",", ":")).encode("ascii")
    body = b"".join(values.tobytes() for values in parts.values())
    return LENGTHS.pack(len(head), len(body)) + head + body


class Frames:
    """Turns received bytes into messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, received: bytes) -> list[Message]:
        """Take in some bytes and return the messages that they complete.

        Raises:
            ValueError: the bytes are no frame of this protocol.
        """
        self._held += received
        found = []
        while len(self._held) >= LENGTHS.size:
            n_head, n_body = LENGTHS.unpack_from(self._held)
            if n_head > MOST_HEADER or n_body > MOST_ARRAYS:
                raise ValueError(f"a message of {n_head} + {n_body} bytes is too long")
            whole = LENGTHS.size + n_head + n_body
            if len(self._held) < whole:
                break
            frame = bytes(self._held[LENGTHS.size : whole])
            del self._held[:whole]
            found.append(_unpack(frame[:n_head], frame[n_head:]))
        return found


def _unpack(head: bytes, body: bytes) -> Message:
    header = json.loads(head)
    if not isinstance(header, dict):
        raise ValueError("a message's header is not a JSON object")
    arrays: dict[str, NDArray[Any]] = {}
    start = 0
    for name, dtype, shape in header.pop("arrays", []):
        if dtype not in DTYPES or any(not isinstance(size, int) or size < 0 for size in shape):
            raise ValueError(f"an array of type {dtype!r} and shape {shape!r} is not allowed")
        n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if start + n_bytes > len(body):
            raise ValueError("a message is shorter than the arrays that it announces")
        arrays[str(name)] = np.frombuffer(body, dtype, n_bytes // np.dtype(dtype).itemsize, start).reshape(shape)
        start += n_bytes
    return Message(header, arrays)


@dataclass(frozen=True)
class Endpoint:
    """Where a service listens, as the file `service-NAME.json` tells it; only the owner can read that file.

    Attributes:
        pid: Process of the service.
        address: Path of a Unix socket, or "HOST:PORT".
        token: What a client must say first.
    """

    pid: int
    address: str
    token: str

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """Return a connected socket.

        Raises:
            OSError: nobody listens there.
        """
        if self.address.startswith("127.0.0.1:"):
            return socket.create_connection(("127.0.0.1", int(self.address.rpartition(":")[2])), timeout_s)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(self.address)
        except OSError:
            connection.close()
            raise
        return connection


def endpoint_path(folder: Path, name: str) -> Path:
    """Return the file that tells where a service listens."""
    return folder / f"service-{name}.json"


def read_endpoint(folder: Path, name: str) -> Endpoint | None:
    """Return where a service listens; None where none says so."""
    try:
        held = json.loads(endpoint_path(folder, name).read_text(encoding="utf-8"))
        return Endpoint(int(held["pid"]), str(held["address"]), str(held["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_endpoint(folder: Path, name: str, endpoint: Endpoint) -> None:
    """Tell where a service listens, readable by the owner alone."""
    path = endpoint_path(folder, name)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(endpoint), file)
    partial.replace(path)


def listen(folder: Path, name: str) -> tuple[socket.socket, Endpoint]:
    """Open a listening socket in `folder`, a Unix one where the system and the length of the path allow it."""
    path = folder / f"service-{name}.sock"
    token = secrets.token_hex(16)
    if hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        address = str(path)
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    listener.listen(128)
    return listener, Endpoint(os.getpid(), address, token)


ERRORS: dict[str, type[ModelError]] = {
    "ModelError": ModelError,
    "ContextOverflow": ContextOverflow,
    "ServerError": ServerError,
}


def error_from(header: Mapping[str, Any]) -> ModelError:
    """Return the error that a message tells of."""
    return ERRORS.get(str(header.get("error")), ModelError)(str(header.get("text", "the model service failed")))


def concatenate(rows: Sequence[NDArray[np.float64]], width: int) -> NDArray[np.float64]:
    """Return rows of equal length as one array of shape (n, width), also for no row."""
    return np.stack(rows).astype("<f8") if rows else np.zeros((0, width), "<f8")
