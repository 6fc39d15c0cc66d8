"""The pocket model as a torch module, for training only: llama architecture over prompts that share a prefix.

A batch is one prefix of P tokens and K rows of at most S tokens that continue it; a row attends to the prefix and to
itself, so the prefix is computed once for all rows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CURVES = 12  # in which the embedding of a number changes with its size
EPSILON = 1e-5  # of the norms
ROPE_BASE = 10000.0


@dataclass(frozen=True)
class Shape:
    """Dimensions of the model; every width is a multiple of 32, as Q8_0 requires."""

    n_vocab: int
    width: int = 192
    layers: int = 6
    heads: int = 6
    feed_forward: int = 512

    def to_dict(self) -> dict[str, int]:
        """Return the dimensions by name."""
        return asdict(self)


def turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate pairs of neighbouring channels by their position (the layout that llama.cpp expects of `llama` files).

    Args:
        x: Shape (T, heads, head width).
        cosine: Shape (T, 1, head width / 2).
        sine: The same shape.
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)


class Block(nn.Module):
    """One layer: attention and a gated feed-forward part, each behind a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.attn_norm = nn.RMSNorm(width, EPSILON)
        self.ffn_norm = nn.RMSNorm(width, EPSILON)
        self.attn_qkv = nn.Linear(width, 3 * width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_gate_up = nn.Linear(width, 2 * shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, width, bias=False)

    def forward(self, x: Tensor, around: Around) -> Tensor:
        """Return the stream after this layer; x has shape (P + K S, width)."""
        x = x + self.attn_output(self.attend(self.attn_norm(x), around))
        gate, up = self.ffn_gate_up(self.ffn_norm(x)).chunk(2, -1)
        return x + self.ffn_down(functional.silu(gate) * up)

    def attend(self, x: Tensor, around: Around) -> Tensor:
        """Return the heads' values, joined."""
        length, width = x.shape
        p, k, s = around.prefix, around.rows, around.row
        q, key, value = self.attn_qkv(x).view(length, 3 * self.heads, -1).split(self.heads, 1)
        q, key = turn(q, around.cosine, around.sine), turn(key, around.cosine, around.sine)
        q, key, value = (part.transpose(0, 1) for part in (q * q.shape[-1] ** -0.5, key, value))
        own = q[:, :p] @ key[:, :p].transpose(-1, -2) + around.prefix_mask
        first = own.softmax(-1).to(value.dtype) @ value[:, :p]
        by_row = (self.heads, k, s, width // self.heads)
        to_prefix = q[:, p:] @ key[:, :p].transpose(-1, -2)
        to_row = q[:, p:].reshape(by_row) @ key[:, p:].reshape(by_row).transpose(-1, -2) + around.row_mask
        weights = torch.cat((to_prefix.view(self.heads, k, s, p), to_row), -1).softmax(-1).to(value.dtype)
        second = weights[..., :p].reshape(self.heads, k * s, p) @ value[:, :p]
        second = second + (weights[..., p:] @ value[:, p:].reshape(by_row)).reshape(second.shape)
        return torch.cat((first, second), 1).transpose(0, 1).reshape(length, width)


@dataclass
class Around:
    """What every layer needs to know of a batch: its sizes, rotations and masks."""

    prefix: int
    rows: int
    row: int
    cosine: Tensor
    sine: Tensor
    prefix_mask: Tensor
    row_mask: Tensor


class Pocket(nn.Module):
    """The model; `forward` gives the logits of chosen places of the rows."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.n_vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, EPSILON)
        self.output = nn.Linear(shape.width, shape.n_vocab, bias=False)
        self.reset()

    def reset(self) -> None:
        """Draw the weights from torch's generator: small embeddings, zero outputs of the residual branches."""
        nn.init.normal_(self.token_embd.weight, std=0.5)
        nn.init.normal_(self.output.weight, std=0.02)
        for block in self.blocks:
            for matrix in (block.attn_qkv, block.ffn_gate_up):
                nn.init.normal_(matrix.weight, std=self.shape.width**-0.5)
            for matrix in (block.attn_output, block.ffn_down):
                nn.init.normal_(matrix.weight, std=0.1 * matrix.weight.shape[1] ** -0.5)

    @torch.no_grad()
    def smooth_numbers(self, tokens: list[int]) -> None:
        """Add smooth curves of log(1 + number) to the embeddings, so that near numbers look alike from the start.

        Args:
            tokens: Token of each number from 0 upwards.
        """
        generator = torch.Generator().manual_seed(0)
        directions = torch.randn(CURVES, self.shape.width, generator=generator) * CURVES**-0.5
        height = torch.log1p(torch.arange(len(tokens)).float())[:, None]
        phase = torch.rand(CURVES, generator=generator) * 2 * math.pi
        curves = torch.cos(height * torch.linspace(0.3, 4.0, CURVES) + phase)
        self.token_embd.weight[tokens] += curves @ directions

    def surround(self, prefix: Tensor, rows: Tensor) -> Around:
        """Return rotations and masks of a batch."""
        (p,), (k, s) = prefix.shape, rows.shape
        half = self.shape.width // self.shape.heads // 2
        position = torch.cat((torch.arange(p), (p + torch.arange(s)).repeat(k)))
        angle = position[:, None, None] * ROPE_BASE ** (-torch.arange(half) / half)
        masks = [torch.full((n, n), float("-inf")).triu(1) for n in (p, s)]
        return Around(p, k, s, angle.cos(), angle.sin(), *masks)

    def forward(self, prefix: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        """Return logits, float32, shape (n_places, n_vocab).

        Args:
            prefix: Tokens, shape (P,).
            rows: Tokens, shape (K, S); what follows a row's end is never seen by its own tokens.
            places: Indexes into the P + K S tokens.
        """
        around = self.surround(prefix, rows)
        x = self.token_embd(torch.cat((prefix, rows.flatten())))
        for block in self.blocks:
            x = block(x, around)
        return self.output(self.output_norm(x[places])).float()
