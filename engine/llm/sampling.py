"""Draw the next token of a text without sorting the vocabulary, under a grammar where there is one.

llama.cpp's own chain of samplers sorts tens of thousands of candidates and asks the grammar about each of them, for
every token of every text: with 32 texts under way that costs more than a fast model's pass. Here a token is drawn from
all probabilities first and refused where it lies outside the nucleus or the grammar does not allow it; only then is
the grammar asked about the whole vocabulary. Drawing again after a refusal leaves the distribution among what is
allowed as it is (von Neumann 1951, "Various techniques used in connection with random digits").
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.draws import stream_rng
from engine.errors import ModelError
from engine.llm.library import forget_complaints, recent_complaints
from engine.llm.vocabulary import LoadedModel

Logits = NDArray[np.float32]

MOST_TRIES = 16  # refused draws after which the nucleus is sorted out
TOKEN_FIELDS = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama.cpp's llama_token_data


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn and when a text ends.

    Attributes:
        max_tokens: Longest text.
        temperature: 0 takes the most probable token.
        top_p: Nucleus from which tokens are drawn, before the temperature acts.
        stop: Texts that end the writing.
        grammar: What a text may look like, in GBNF with the rule `root`, or None.
    """

    max_tokens: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    grammar: str | None = None


def draw_token(logits: Logits, uniform: Callable[[], float], temperature: float, top_p: float) -> int:
    """Return a token drawn from the nucleus of a distribution.

    The nucleus is the smallest set of most probable tokens that together have at least `top_p` (Holtzman et al. 2020,
    "The curious case of neural text degeneration", section 3.1), tokens of equal probability taken together; the
    temperature acts within it.

    Args:
        logits: Of all tokens, float32, shape (n_vocab,); -inf excludes one, at least one is finite.
        uniform: Gives the next uniform in [0, 1).
        temperature: 0 returns the first most probable token.
        top_p: In (0, 1].
    """
    best = int(np.argmax(logits))
    if temperature <= 0:
        return best
    above = logits - logits[best]
    share = np.exp(above)
    edge = top_p * float(share.sum(dtype=np.float64))
    weight = share if temperature == 1 else np.exp(above / np.float32(temperature))
    ladder = np.cumsum(weight, dtype=np.float64)
    for _ in range(MOST_TRIES):
        token = _climb(ladder, uniform())
        if top_p >= 1 or float(share[share > share[token]].sum(dtype=np.float64)) < edge:
            return token
    order = np.argsort(-share, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(share[order], dtype=np.float64)[:-1]])
    last = share[order[int(np.flatnonzero(before < edge)[-1])]]
    return _climb(np.cumsum(np.where(share >= last, weight, 0), dtype=np.float64), uniform())


def _climb(ladder: NDArray[np.float64], u: float) -> int:
    """Return the first place whose running total exceeds the share `u` of the whole."""
    return int(np.searchsorted(ladder, min(u * ladder[-1], np.nextafter(ladder[-1], 0.0)), side="right"))


class Sampler:
    """Draws the tokens of one text; its draws follow from its seed alone.

    Raises:
        ModelError: llama.cpp cannot read the grammar.
    """

    def __init__(self, model: LoadedModel, sampling: Sampling, seed: int) -> None:
        self._model, self._sampling = model, sampling
        self._uniform = stream_rng(seed, "text", 0).random
        self._grammar: Any = None
        if sampling.grammar is None:
            return
        forget_complaints()
        self._grammar = model.library.llama_sampler_init_grammar(model.vocab, sampling.grammar.encode(), b"root")
        if not self._grammar:
            raise ModelError(
                f"llama.cpp cannot read the grammar{recent_complaints()}; write it in GBNF with a rule `root`"
            )

    def draw(self, logits: Logits) -> int | None:
        """Return the next token, or None where the text ends.

        Args:
            logits: Of all tokens, float32, shape (n_vocab,).

        Raises:
            ModelError: the logits are not numbers.
        """
        if not np.isfinite(logits.max()):
            raise ModelError(
                f"the model {self._model.name} answers with numbers that are not finite; the file is damaged, "
                "replace it"
            )
        token = self._draw(logits)
        if self._grammar is not None:
            if self._allowed(np.array([token], np.int32), logits[[token]])[0] == -np.inf:
                logits = self._allowed(np.arange(len(logits), dtype=np.int32), logits)
                if logits.max() == -np.inf:
                    return None
                token = self._draw(logits)
            if token not in self._model.control:
                self._model.library.llama_sampler_accept(self._grammar, token)
        return None if token in self._model.control else token

    def _draw(self, logits: Logits) -> int:
        return draw_token(logits, self._uniform, self._sampling.temperature, self._sampling.top_p)

    def _allowed(self, tokens: NDArray[np.int32], logits: Logits) -> Logits:
        """Return the logits of some tokens, -inf where the grammar does not allow one next."""
        library = self._model.library
        rows = np.empty(len(tokens), TOKEN_FIELDS)
        rows["id"], rows["logit"], rows["p"] = tokens, logits, 0
        held = library.llama_token_data_array()
        held.data = ctypes.cast(rows.ctypes.data, library.llama_token_data_p)
        held.size, held.selected, held.sorted = len(tokens), -1, False
        library.llama_sampler_apply(self._grammar, ctypes.byref(held))
        found: Logits = np.ascontiguousarray(rows["logit"])
        return found

    def close(self) -> None:
        """Free the grammar; closing twice does nothing."""
        if self._grammar:
            self._model.library.llama_sampler_free(self._grammar)
            self._grammar = None
