"""Language model files with random weights, made here: for tests and for measuring.

The architecture is llama with a byte-level BPE tokenizer and a ChatML template. No weight is trained. In the small
models a channel of constant activation carries a bias per token: the log frequency of the token in `corpus`, and a
strong penalty for unprintable pieces, so that sampled text is made of word-like pieces. Answers depend on the prompt
but mean nothing.
"""

from __future__ import annotations

import collections
import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.llm.bpe import byte_letters, learn_merges
from engine.llm.corpus import build_corpus
from engine.llm.library import forget_complaints, load_library, recent_complaints

Size = Literal["tiny", "100m", "1b", "7b"]
FileType = Literal["f32", "f16", "q8_0"]

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHANNEL = 32  # width of the constant channel: one quantization block, so that biases survive rounding
SHARPNESS = 2.5  # scale of queries and keys: attention falls on few tokens, so that one word changes an answer
SPREAD = 1.0  # standard deviation of the log weights of tokens
NEVER = -30.0  # log weight of pieces that should not be written


@dataclass(frozen=True)
class Shape:
    """Dimensions of a random model; every row length is a multiple of 32, as Q8_0 requires.

    Attributes:
        biased: Whether the constant channel and a separate output matrix exist; otherwise the output is tied.
        repeated: Whether all layers have the weights of the first, so that large models fit into memory while made.
    """

    n_vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    context: int
    merges: int
    biased: bool = True
    repeated: bool = False


SHAPES: dict[str, Shape] = {
    "tiny": Shape(640, 96, 2, 2, 1, 128, 4096, 380),
    "100m": Shape(32000, 768, 12, 12, 4, 2048, 8192, 2000, biased=False),
    "1b": Shape(32000, 2048, 16, 32, 8, 8192, 8192, 2000, biased=False, repeated=True),
    "7b": Shape(32000, 4096, 32, 32, 8, 14336, 8192, 2000, biased=False, repeated=True),
}


@dataclass(frozen=True)
class Vocabulary:
    """Pieces of a byte-level BPE with their merges; the last three are the control tokens of `SPECIAL`."""

    pieces: list[str]
    merges: list[tuple[str, str]]
    n_used: int

    @property
    def first_special(self) -> int:
        """Id of the first control token."""
        return len(self.pieces) - len(SPECIAL)


def build_random_model(
    path: Path | str,
    size: Size = "tiny",
    seed: int = 0,
    ftype: FileType = "f32",
    *,
    name: str | None = None,
    template: str | None = CHATML,
) -> Path:
    """Write a random-weight model as a GGUF file and return its path; equal arguments give equal files.

    Args:
        path: File to write; an existing one is replaced.
        size: tiny (0.3 million weights), 100m, 1b or 7b.
        seed: Seed of the weights; the tokenizer does not depend on it.
        ftype: Number format of the matrices.
        name: Stored as general.name; None for "random-SIZE (random weights)".
        template: Chat template, or None for a model without one.
    """
    import gguf

    shape = SHAPES[size]
    vocabulary = _build_vocabulary(shape)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name or f"random-{size} (random weights)")
    writer.add_description("Random weights, never trained: answers mean nothing. For tests and demonstrations only.")
    writer.add_license("cc0-1.0")
    _write_shape(writer, shape, ftype)
    _write_vocabulary(writer, vocabulary)
    if template is not None:
        writer.add_chat_template(template)
    halves: dict[int, NDArray[np.float16]] = {}
    drawn = _draw_weights(shape, vocabulary, seed)
    for tensor, values in drawn:
        if ftype == "q8_0" and values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(tensor, gguf.quants.quantize(values, kind), raw_dtype=kind)
        elif ftype == "f16" and values.ndim == 2:
            halves[id(values)] = halves.get(id(values), values.astype(np.float16))
            writer.add_tensor(tensor, halves[id(values)])
        else:
            writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def quantize_model(path: Path, target: Path, kind: str) -> Path:
    """Write a model in another number format and return the new file's path.

    Args:
        path: The file, in f32 or f16.
        target: File to write.
        kind: llama.cpp's name of the format, for example Q4_K_M.

    Raises:
        ModelError: llama.cpp knows no such format, or cannot write it.
    """
    library = load_library()
    number = getattr(library, f"LLAMA_FTYPE_MOSTLY_{kind}", None)
    if number is None:
        raise ModelError(f"llama.cpp has no number format '{kind}'; allowed are Q8_0, Q4_0, Q4_K_M and others")
    settings = library.llama_model_quantize_default_params()
    settings.ftype = number
    forget_complaints()
    if library.llama_model_quantize(str(path).encode(), str(target).encode(), ctypes.byref(settings)) != 0:
        raise ModelError(f"llama.cpp cannot write {path.name} as {kind}{recent_complaints()}; is the disk full?")
    return target


def _build_vocabulary(shape: Shape) -> Vocabulary:
    merges = learn_merges(build_corpus(), shape.merges)
    pieces = list(dict.fromkeys([*byte_letters().values(), *(a + b for a, b in merges)]))
    pieces = pieces[: shape.n_vocab - len(SPECIAL)]
    n_used = len(pieces)
    pieces += [f"<|unused{number}|>" for number in range(n_used, shape.n_vocab - len(SPECIAL))]
    known = set(pieces)
    return Vocabulary(pieces + list(SPECIAL), [(a, b) for a, b in merges if a + b in known], n_used)


def _write_shape(writer: Any, shape: Shape, ftype: FileType) -> None:
    import gguf

    head = shape.width // shape.heads
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.n_vocab)
    kinds = gguf.LlamaFileType
    writer.add_file_type({"f32": kinds.ALL_F32, "f16": kinds.MOSTLY_F16, "q8_0": kinds.MOSTLY_Q8_0}[ftype])


def _write_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    import gguf

    first = vocabulary.first_special
    types = [gguf.TokenType.NORMAL] * vocabulary.n_used + [gguf.TokenType.UNUSED] * (first - vocabulary.n_used)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.pieces)
    writer.add_token_types(types + [gguf.TokenType.CONTROL] * len(SPECIAL))
    writer.add_token_merges([f"{a} {b}" for a, b in vocabulary.merges])
    writer.add_bos_token_id(first)
    writer.add_eos_token_id(first + 2)
    writer.add_eot_token_id(first + 2)
    writer.add_pad_token_id(first)
    writer.add_add_bos_token(False)


def _draw_weights(shape: Shape, vocabulary: Vocabulary, seed: int) -> list[tuple[str, NDArray[np.float32]]]:
    """Return (tensor name, float32 array) pairs; a matrix has shape (outputs, inputs)."""
    rng = np.random.default_rng(seed)
    width, head = shape.width, shape.width // shape.heads
    free = width - CHANNEL if shape.biased else width

    def matrix(rows: int, columns: int, scale: float) -> NDArray[np.float32]:
        drawn: NDArray[np.float32] = rng.standard_normal((rows, columns), dtype=np.float32)
        drawn *= np.float32(scale)
        return drawn

    def into_stream(columns: int, scale: float) -> NDArray[np.float32]:
        weights = matrix(width, columns, scale * columns**-0.5)
        weights[: width - free] = 0.0
        return weights

    inner_norm = np.ones(width, np.float32)
    inner_norm[: width - free] = 0.0
    embedding = matrix(shape.n_vocab, width, 0.3 if shape.biased else 0.1)
    embedding[:, : width - free] = 1.0
    weights = [("token_embd.weight", embedding), ("output_norm.weight", np.ones(width, np.float32))]
    for layer in range(shape.layers):
        into = free**-0.5
        if layer and shape.repeated:
            first = [(name, values) for name, values in weights if name.startswith("blk.0.")]
            weights += [(name.replace("blk.0.", f"blk.{layer}.", 1), values) for name, values in first]
            continue
        weights += [
            (f"blk.{layer}.attn_norm.weight", inner_norm),
            (f"blk.{layer}.ffn_norm.weight", inner_norm),
            (f"blk.{layer}.attn_q.weight", matrix(width, width, SHARPNESS * into)),
            (f"blk.{layer}.attn_k.weight", matrix(shape.kv_heads * head, width, SHARPNESS * into)),
            (f"blk.{layer}.attn_v.weight", matrix(shape.kv_heads * head, width, into)),
            (f"blk.{layer}.attn_output.weight", into_stream(width, 1.0)),
            (f"blk.{layer}.ffn_gate.weight", matrix(shape.feed_forward, width, into)),
            (f"blk.{layer}.ffn_up.weight", matrix(shape.feed_forward, width, into)),
            (f"blk.{layer}.ffn_down.weight", into_stream(shape.feed_forward, 1.0)),
        ]
    if shape.biased:
        output = matrix(shape.n_vocab, width, SPREAD * free**-0.5)
        output[:, :CHANNEL] = _token_biases(vocabulary)[:, None] / CHANNEL
        weights.append(("output.weight", output))
    return weights


def _token_biases(vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Return one log weight per token: 0.4 log frequency in the corpus, the end token at about 1 in 40."""
    letters = {letter: byte for byte, letter in byte_letters().items()}
    counts = _piece_counts(vocabulary)
    biases = np.full(len(vocabulary.pieces), NEVER, np.float64)
    for token in range(vocabulary.n_used):
        raw = bytes(letters[letter] for letter in vocabulary.pieces[token])
        if all(32 <= byte < 127 for byte in raw):
            biases[token] = 0.4 * np.log(counts[vocabulary.pieces[token]] + 0.05)
    written = biases[biases > NEVER]
    biases[vocabulary.first_special + 2] = np.log(np.exp(written).sum() / 40.0)
    shifted: NDArray[np.float32] = (biases - biases.max()).astype(np.float32)
    return shifted


def _piece_counts(vocabulary: Vocabulary) -> collections.Counter[str]:
    """Count the pieces of the corpus, each word split by greedy longest match, which is close to the merges."""
    from engine.llm.bpe import WORD

    letters = byte_letters()
    known = set(vocabulary.pieces[: vocabulary.n_used])
    counts: collections.Counter[str] = collections.Counter()
    for word, times in collections.Counter(WORD.findall(build_corpus())).items():
        rest = "".join(letters[byte] for byte in word.encode())
        while rest:
            length = next(n for n in range(len(rest), 0, -1) if rest[:n] in known)
            counts[rest[:length]] += times
            rest = rest[length:]
    return counts
