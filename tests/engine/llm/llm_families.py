"""Small random-weight models of other architectures, with the tokenizer and template of the tiny one."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from engine.llm import random_model

WIDTH, HEADS, KV_HEADS, HEAD, FEED_FORWARD, CONTEXT = 64, 4, 2, 16, 96, 2048
WINDOW = 32  # tokens that a sliding-window layer sees


class Family:
    """A GGUF file under way."""

    def __init__(self, path: Path, architecture: str, layers: int, seed: int = 0) -> None:
        self.path, self.rng = path, np.random.default_rng(seed)
        shape = random_model.SHAPES["tiny"]
        self.writer = gguf.GGUFWriter(str(path), architecture)
        self.writer.add_name(f"random {architecture}")
        self.writer.add_context_length(CONTEXT)
        self.writer.add_embedding_length(WIDTH)
        self.writer.add_block_count(layers)
        self.writer.add_feed_forward_length(FEED_FORWARD)
        self.writer.add_head_count(HEADS)
        self.writer.add_layer_norm_rms_eps(1e-5)
        self.writer.add_vocab_size(shape.n_vocab)
        self.writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        random_model._write_vocabulary(self.writer, random_model._build_vocabulary(shape))
        self.writer.add_chat_template(random_model.CHATML)
        self.matrix("token_embd", shape.n_vocab, WIDTH, scale=0.3)

    def matrix(self, name: str, *size: int, scale: float | None = None) -> None:
        values = self.rng.standard_normal(size) * (scale or size[-1] ** -0.5)
        self.writer.add_tensor(f"{name}.weight", values.astype(np.float32))

    def ones(self, name: str, size: int = WIDTH) -> None:
        self.writer.add_tensor(f"{name}.weight", np.ones(size, np.float32))

    def attention(self, block: str) -> None:
        self.matrix(f"{block}.attn_q", HEADS * HEAD, WIDTH, scale=0.5)
        self.matrix(f"{block}.attn_k", KV_HEADS * HEAD, WIDTH, scale=0.5)
        self.matrix(f"{block}.attn_v", KV_HEADS * HEAD, WIDTH)
        self.matrix(f"{block}.attn_output", WIDTH, HEADS * HEAD)

    def feed_forward(self, block: str) -> None:
        self.matrix(f"{block}.ffn_gate", FEED_FORWARD, WIDTH)
        self.matrix(f"{block}.ffn_up", FEED_FORWARD, WIDTH)
        self.matrix(f"{block}.ffn_down", WIDTH, FEED_FORWARD)

    def finish(self) -> Path:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()
        return self.path


def build_sliding(path: Path) -> Path:
    """Write a Gemma 2: every other layer sees only the last `WINDOW` tokens; logits and attention are capped."""
    family = Family(path, "gemma2", layers=2)
    writer = family.writer
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_sliding_window(WINDOW)
    writer.add_attn_logit_softcapping(50.0)
    writer.add_final_logit_softcapping(30.0)
    family.ones("output_norm")
    for layer in range(2):
        block = f"blk.{layer}"
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            family.ones(f"{block}.{norm}")
        family.attention(block)
        family.feed_forward(block)
    return family.finish()


def build_hybrid(path: Path) -> Path:
    """Write an LFM2: short convolutions, which keep a state, and attention in turn."""
    family = Family(path, "lfm2", layers=4)
    writer = family.writer
    writer.add_head_count_kv([0, KV_HEADS, 0, KV_HEADS])
    writer.add_rope_freq_base(10000.0)
    writer.add_shortconv_l_cache(3)
    family.ones("token_embd_norm")
    for layer in range(4):
        block = f"blk.{layer}"
        family.ones(f"{block}.attn_norm")
        family.ones(f"{block}.ffn_norm")
        if layer % 2:
            family.ones(f"{block}.attn_q_norm", HEAD)
            family.ones(f"{block}.attn_k_norm", HEAD)
            family.attention(block)
        else:
            family.matrix(f"{block}.shortconv.conv", WIDTH, 3)
            family.matrix(f"{block}.shortconv.in_proj", 3 * WIDTH, WIDTH)
            family.matrix(f"{block}.shortconv.out_proj", WIDTH, WIDTH)
        family.feed_forward(block)
    return family.finish()
