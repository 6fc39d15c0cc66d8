"""What the batched engine is compared with: one fresh pass per option by plain llama.cpp calls, and a random Mamba."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from engine.llm import random_model
from engine.llm.library import load_library
from engine.llm.vocabulary import LoadedModel


class FreshPasses:
    """log P of an option after a prompt, each time computed from nothing with a batch of llama.cpp's own making."""

    def __init__(self, path: Path) -> None:
        self.library = load_library()
        self.model = LoadedModel(self.library, path, 0)
        settings = self.library.llama_context_default_params()
        settings.n_ctx = settings.n_batch = 4096
        settings.n_threads = settings.n_threads_batch = 1
        settings.flash_attn_type = 0
        self.context = self.library.llama_init_from_model(self.model.pointer, settings)
        self.memory = self.library.llama_get_memory(self.context)

    def log_p(self, prompt: list[int], answer: list[int]) -> float:
        library, tokens = self.library, [*prompt, *answer]
        library.llama_memory_clear(self.memory, True)
        batch = library.llama_batch_init(len(tokens), 0, 1)
        for place, token in enumerate(tokens):
            batch.token[place], batch.pos[place] = token, place
            batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, 0, 1
        batch.n_tokens = len(tokens)
        assert library.llama_decode(self.context, batch) == 0
        shape = (len(tokens), self.model.n_vocab)
        logits = np.ctypeslib.as_array(library.llama_get_logits(self.context), shape=shape).astype(np.float64)
        library.llama_batch_free(batch)
        logp = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return float(sum(logp[len(prompt) - 1 + place, token] for place, token in enumerate(answer)))

    def chat_tokens(self, text: str) -> list[int]:
        """Return the tokens of one user message in ChatML, the message itself without control tokens."""
        head = self.model.tokenize("<|im_start|>user\n", special=True)
        tail = self.model.tokenize("<|im_end|>\n<|im_start|>assistant\n", special=True)
        return [*head, *self.model.tokenize(text, special=False), *tail]

    def option_paths(self, options: list[str]) -> list[list[int]]:
        """Return the tokens of each option, with the end token where another option goes on from there."""
        paths = [list(self.model.tokenize(option, special=False)) for option in options]
        longer = [any(other[: len(path)] == path != other for other in paths) for path in paths]
        return [path + [self.model.end] * grows for path, grows in zip(paths, longer, strict=True)]

    def score(self, text: str, options: list[str]) -> np.ndarray:
        prompt = self.chat_tokens(text)
        return np.array([self.log_p(prompt, path) for path in self.option_paths(options)])

    def close(self) -> None:
        self.library.llama_free(self.context)
        self.model.close()


def build_random_mamba(path: Path, seed: int = 0) -> Path:
    """Write a small random-weight Mamba model with the tokenizer of the tiny one."""
    shape = random_model.SHAPES["tiny"]
    vocabulary = random_model._build_vocabulary(shape)
    width, inner, kernel, state, rank = 64, 128, 4, 16, 4
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "mamba")
    writer.add_name("random mamba")
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    writer.add_vocab_size(shape.n_vocab)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    random_model._write_vocabulary(writer, vocabulary)
    writer.add_chat_template(random_model.CHATML)

    def add(name: str, *size: int, scale: float | None = None) -> None:
        values = rng.standard_normal(size) * (scale or size[-1] ** -0.5)
        writer.add_tensor(name, values.astype(np.float32))

    add("token_embd.weight", shape.n_vocab, width, scale=0.3)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for layer in range(2):
        block = f"blk.{layer}."
        writer.add_tensor(block + "attn_norm.weight", np.ones(width, np.float32))
        add(block + "ssm_in.weight", 2 * inner, width)
        add(block + "ssm_conv1d.weight", inner, kernel)
        add(block + "ssm_conv1d.bias", inner, scale=0.1)
        add(block + "ssm_x.weight", rank + 2 * state, inner)
        add(block + "ssm_dt.weight", inner, rank)
        add(block + "ssm_dt.bias", inner, scale=0.1)
        decay = -np.tile(np.arange(1, state + 1, dtype=np.float32), (inner, 1))
        writer.add_tensor(block + "ssm_a", decay)
        writer.add_tensor(block + "ssm_d", np.ones(inner, np.float32))
        add(block + "ssm_out.weight", width, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
