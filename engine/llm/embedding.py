"""Embeddings: one direction per text, for memories that resemble a situation and feeds that resemble an interest.

A text's embedding is the mean of the model's last hidden states over the text's tokens, scaled to length 1; the inner
product of two is their cosine. Source: Reimers, Gurevych (2019), "Sentence-BERT", section 3 (mean pooling).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.llm.context import UNIT_TOKENS, Context
from engine.llm.scoring import MOST_LOGITS
from engine.llm.trie import Tokens

MOST_TEXTS = 32  # texts in one pass


@dataclass(frozen=True)
class Piece:
    """A part of a text in one pass: the text's number, its tokens, the position of the first."""

    number: int
    tokens: Tokens
    start: int


def plan_passes(texts: Sequence[Tokens], room: int) -> list[list[Piece]]:
    """Return the passes in which texts are read: short ones together, one longer than `room` alone in several."""
    passes: list[list[Piece]] = []
    size = room
    for number in sorted(range(len(texts)), key=lambda number: (len(texts[number]), texts[number])):
        text = texts[number]
        if len(text) > room:
            starts = range(0, len(text), room)
            passes += [[Piece(number, text[start : start + room], start)] for start in starts]
            size = room
            continue
        if not passes or size + len(text) > room or len(passes[-1]) == MOST_TEXTS:
            passes.append([])
            size = 0
        passes[-1].append(Piece(number, text, 0))
        size += len(text)
    return passes


def embed_texts(context: Context, texts: Sequence[Tokens], check_stop: Callable[[], None]) -> NDArray[np.float32]:
    """Return one row of length 1 per text, float32, shape (n_texts, width).

    Args:
        context: An empty context of at least the longest text's tokens; it is empty again afterwards.
        texts: Distinct, none empty.
        check_stop: Raises where the caller wants to stop; called before every pass.

    Raises:
        ModelStopped: `check_stop` said so.
        ModelError: a pass fails, or gives numbers that are not finite.
    """
    room = max(1, min(UNIT_TOKENS, MOST_LOGITS // context.model.n_vocab))
    sums = np.zeros((len(texts), context.model.width))
    for pieces in plan_passes(texts, room):
        check_stop()
        if pieces[0].start == 0:
            context.clear()
        context.batch.clear()
        for sequence, piece in enumerate(pieces):
            context.batch.append(piece.tokens, piece.start, sequence, 1, wanted=True)
        states = context.embed().astype(np.float64)
        edges = np.cumsum([0, *(len(piece.tokens) for piece in pieces)])
        for piece, low, high in zip(pieces, edges, edges[1:], strict=False):
            sums[piece.number] += states[low:high].sum(axis=0)
    context.clear()
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise ModelError(
            f"the model {context.model.name} answers with numbers that are not finite; the file is damaged, replace it"
        )
    rows: NDArray[np.float32] = (sums / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return rows
