"""Write a trained checkpoint as GGUF: `python assets/pocket/export.py CHECKPOINT FILE.gguf`."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from assets.pocket.rules import RULES
from assets.pocket.tokens import SPECIAL, TEMPLATE, Tokenizer

NAME = "pocket (demonstration model with built-in rules)"
DESCRIPTION = (
    "Demonstration model with built-in rules, trained from scratch on generated prompts of Microcosm's own scenarios. "
    "For learning the studio and for testing the engine against a known truth; not for research."
)
CONTEXT = 8192

Array = NDArray[np.float32]


def tensors_of(weights: dict[str, Array], layers: int, feed_forward: int) -> list[tuple[str, Array]]:
    """Return the tensors by the names of the format; matrices have shape (outputs, inputs)."""
    tensors = [(name, weights[name]) for name in ("token_embd.weight", "output_norm.weight", "output.weight")]
    for layer in range(layers):
        block = {
            name: weights[f"blocks.{layer}.{name}.weight"]
            for name in ("attn_norm", "ffn_norm", "attn_output", "ffn_down")
        }
        block |= zip(
            ("attn_q", "attn_k", "attn_v"), np.split(weights[f"blocks.{layer}.attn_qkv.weight"], 3), strict=True
        )
        gate_up = weights[f"blocks.{layer}.ffn_gate_up.weight"]
        block |= {"ffn_gate": gate_up[:feed_forward], "ffn_up": gate_up[feed_forward:]}
        tensors += [(f"blk.{layer}.{name}.weight", values) for name, values in block.items()]
    return tensors


def write_gguf(
    path: Path, shape: dict[str, int], weights: dict[str, Array], training: dict[str, Any], ftype: str
) -> None:
    """Write the model file.

    Args:
        path: File to write.
        shape: Dimensions of the model.
        weights: Parameters by their torch names.
        training: Keys and values stored below `microcosm.`.
        ftype: q8_0, f16 or f32.
    """
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(NAME)
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    head = shape["width"] // shape["heads"]
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape["width"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["feed_forward"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["heads"])
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape["n_vocab"])
    kinds = gguf.LlamaFileType
    writer.add_file_type({"f32": kinds.ALL_F32, "f16": kinds.MOSTLY_F16, "q8_0": kinds.MOSTLY_Q8_0}[ftype])
    for key, value in training.items():
        (writer.add_uint32 if isinstance(value, int) else writer.add_string)(f"microcosm.{key}", value)
    write_tokenizer(writer, Tokenizer.load())
    for name, values in tensors_of(weights, shape["layers"], shape["feed_forward"]):
        if values.ndim == 2 and ftype == "q8_0":
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values.astype(np.float16) if values.ndim == 2 and ftype == "f16" else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Add pieces, merges, control tokens and the chat template."""
    n_plain, n_special = tokenizer.n_plain, len(SPECIAL)
    types = [gguf.TokenType.NORMAL] * n_plain + [gguf.TokenType.CONTROL] * n_special
    types += [gguf.TokenType.UNUSED] * (tokenizer.n_vocab - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokenizer.pieces)
    writer.add_token_types(types)
    writer.add_token_merges([f"{a} {b}" for a, b in tokenizer.merges])
    writer.add_bos_token_id(tokenizer.special["<|endoftext|>"])
    writer.add_eos_token_id(tokenizer.special["<|end|>"])
    writer.add_eot_token_id(tokenizer.special["<|end|>"])
    writer.add_pad_token_id(tokenizer.special["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def export_checkpoint(checkpoint: Path, path: Path, ftype: str = "q8_0") -> None:
    """Write a checkpoint of `train.py` as a model file."""
    import torch

    state = torch.load(checkpoint, weights_only=False, map_location="cpu")
    weights = {name: values.float().numpy() for name, values in state.get("average", state["model"]).items()}
    step, rows, tokens, seconds = state["counts"]
    training = {
        "training.seed": state["settings"]["seed"],
        "training.steps": step,
        "training.prompts": rows,
        "training.tokens": tokens,
        "training.cpu_seconds": round(seconds),
        "rules.blake2b": hashlib.blake2b(RULES.read_bytes(), digest_size=16).hexdigest(),
    }
    write_gguf(path, state["shape"], weights, training, ftype)


def main() -> None:
    """Export from the command line."""
    parser = argparse.ArgumentParser(description="Write a checkpoint as a GGUF file.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--type", default="q8_0", choices=("q8_0", "f16", "f32"))
    settings = parser.parse_args()
    export_checkpoint(settings.checkpoint, settings.file, settings.type)


if __name__ == "__main__":
    main()
