"""Read the header of a GGUF file: metadata and tensor sizes, without the weights and without llama.cpp.

Source: the GGUF specification, versions 2 and 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import ModelError

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
MOST_ENTRIES = 1_000_000  # metadata entries or tensors; more can only be damage
LONGEST_KEPT = 512  # numbers of a metadata array that are kept; longer arrays keep only their length
DEEPEST_NESTING = 4


@dataclass
class Header:
    """Metadata and extent of a GGUF file.

    Attributes:
        metadata: Values by key; an array of texts or a long array is kept as its length.
        n_params: Number of weights.
        tensor_bytes: Bytes of all tensors.
        end: Bytes that a complete file has at least.
        largest_type: Number of the tensor type that takes most bytes, -1 without tensors.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    n_params: int = 0
    tensor_bytes: int = 0
    end: int = 0
    largest_type: int = -1

    @property
    def architecture(self) -> str:
        """Architecture as the file names it, or an empty string."""
        return str(self.metadata.get("general.architecture", ""))

    def dimension(self, key: str, default: int = 0) -> int:
        """Return an architecture's whole number such as `context_length`; the largest where it differs by layer."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, list):
            value = max((v for v in value if isinstance(v, int)), default=default)
        return int(value) if isinstance(value, int | float) else default


class _Reader:
    """A file with bounds: reading past the end is a ModelError that says the file is truncated."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path = file, path
        self.size = path.stat().st_size

    def take(self, n_bytes: int) -> bytes:
        chunk = self.file.read(n_bytes) if 0 <= n_bytes <= self.size else b""
        if len(chunk) != n_bytes:
            raise truncated(self.path, f"its header ends after {self.size} bytes")
        return chunk

    def skip(self, n_bytes: int) -> None:
        if n_bytes < 0 or self.file.tell() + n_bytes > self.size:
            raise truncated(self.path, f"its header ends after {self.size} bytes")
        self.file.seek(n_bytes, 1)

    def number(self, letter: str) -> Any:
        return struct.unpack(f"<{letter}", self.take(struct.calcsize(f"<{letter}")))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            return self.array(depth)
        if kind not in FORMATS:
            raise damaged(self.path, f"metadata of the unknown type {kind}")
        return self.number(FORMATS[kind])

    def array(self, depth: int) -> Any:
        kind, length = self.number("I"), self.number("Q")
        if depth >= DEEPEST_NESTING or length > self.size:
            raise damaged(self.path, f"a metadata array of {length} values")
        if kind == STRING:
            for _ in range(length):
                self.skip(self.number("Q"))
            return length
        if kind == ARRAY:
            for _ in range(length):
                self.array(depth + 1)
            return length
        if kind not in FORMATS:
            raise damaged(self.path, f"metadata of the unknown type {kind}")
        letter = FORMATS[kind]
        if length > LONGEST_KEPT:
            self.skip(length * struct.calcsize(f"<{letter}"))
            return length
        return [self.number(letter) for _ in range(length)]


def truncated(path: Path, why: str) -> ModelError:
    """Return the error for a file that is shorter than it says."""
    return ModelError(f"the model file {path} is truncated: {why}; download or copy it again")


def damaged(path: Path, why: str) -> ModelError:
    """Return the error for a header that makes no sense."""
    return ModelError(f"the model file {path} is damaged: its header has {why}; download or copy it again")


def read_header(path: Path) -> Header:
    """Read a GGUF header and check that the file is as long as its tensors need.

    Raises:
        ModelError: not a GGUF file, a damaged header, or a truncated file.
    """
    with path.open("rb") as file:
        reader = _Reader(file, path)
        if file.read(4) != MAGIC:
            raise ModelError(f"{path} is not a GGUF model file: it does not begin with 'GGUF'; choose a .gguf file")
        version, n_tensors, n_entries = reader.number("I"), reader.number("Q"), reader.number("Q")
        if version not in (2, 3):
            raise ModelError(f"{path} is GGUF version {version}; versions 2 and 3 (little-endian) can be read")
        if max(n_tensors, n_entries) > MOST_ENTRIES:
            raise damaged(path, f"{n_entries} metadata entries and {n_tensors} tensors")
        header = Header()
        for _ in range(n_entries):
            key = reader.text()
            header.metadata[key] = reader.value(reader.number("I"))
        _read_tensors(reader, header, n_tensors)
    if header.end > reader.size:
        raise truncated(path, f"it has {reader.size:,} bytes and its tensors end at {header.end:,}")
    return header


def _read_tensors(reader: _Reader, header: Header, n_tensors: int) -> None:
    sizes = _type_sizes()
    by_type: dict[int, int] = {}
    last = 0
    for _ in range(n_tensors):
        reader.text()
        n_dimensions = reader.number("I")
        if n_dimensions > 8:
            raise damaged(reader.path, f"a tensor of {n_dimensions} dimensions")
        n_weights = 1
        for _ in range(n_dimensions):
            n_weights *= reader.number("Q")
        kind, offset = reader.number("I"), reader.number("Q")
        block, block_bytes = sizes.get(kind, (1, 0))
        n_bytes = n_weights // block * block_bytes
        header.n_params += n_weights
        by_type[kind] = by_type.get(kind, 0) + n_bytes
        last = max(last, offset + n_bytes)
    alignment = header.metadata.get("general.alignment", 32)
    alignment = alignment if isinstance(alignment, int) and alignment > 0 else 32
    start = -(-reader.file.tell() // alignment) * alignment
    header.tensor_bytes = sum(by_type.values())
    header.largest_type = max(by_type, key=lambda kind: by_type[kind]) if by_type else -1
    header.end = start + last if n_tensors else reader.file.tell()


def _type_sizes() -> dict[int, tuple[int, int]]:
    """Return (weights, bytes) of one block by tensor type."""
    from gguf.constants import GGML_QUANT_SIZES

    return {int(kind): (int(size[0]), int(size[1])) for kind, size in GGML_QUANT_SIZES.items()}


def quantization_of(header: Header) -> str:
    """Return the number format by its usual name, for example Q4_K_M; "unknown" where the file does not say."""
    from gguf.constants import GGMLQuantizationType, LlamaFileType

    file_type = header.metadata.get("general.file_type")
    if isinstance(file_type, int) and file_type in {int(kind) for kind in LlamaFileType}:
        return str(LlamaFileType(file_type).name).removeprefix("MOSTLY_").removeprefix("ALL_")
    if header.largest_type in {int(kind) for kind in GGMLQuantizationType}:
        return str(GGMLQuantizationType(header.largest_type).name)
    return "unknown"
