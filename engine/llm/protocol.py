"""What every language model offers: scores of options, written texts, token counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ModelIdentity:
    """Which model answered, precise enough to find the same file again.

    Attributes:
        name: The file's general.name, or its file name.
        sha256: Hex digest of the file; of the double's definition for `scripted`.
        quantization: Number format of the weights, for example Q4_K_M.
        template: chat (the file's own template) or plain (none: prompts are shown as plain text).
        backend: llama.cpp or scripted.
        architecture: Architecture as the file names it.
        n_params: Number of weights.
        n_ctx_train: Largest context in tokens.
        is_pocket: Whether it is the embedded demonstration model, whose answers follow built-in rules.
    """

    name: str
    sha256: str
    quantization: str
    template: str
    backend: str
    architecture: str
    n_params: int
    n_ctx_train: int
    is_pocket: bool = False


@dataclass
class Scores:
    """Log probabilities of the options in each situation.

    Attributes:
        logp: One float64 array per situation: averaged over the orders of listing, then normalised over the options.
        raw: One float64 array per situation: log P of each option's text under the first (forward) listing.
        mass: Captured probability per situation, float64 in [0, 1]: the sum of exp(raw). A small mass means that the
            model wanted to say something else.
        cached: Whether each situation was answered from what had been asked before; empty where nothing was.
    """

    logp: list[FloatArray]
    raw: list[FloatArray]
    mass: FloatArray
    cached: tuple[bool, ...] = ()


class LanguageModel(Protocol):
    """A model that scores options and writes texts. One caller at a time; calls are answered in turn."""

    n_calls: int
    n_situations: int

    @property
    def identity(self) -> ModelIdentity:
        """Which model answers."""

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Scores:
        """Return the log probability of every option in every situation.

        The model sees one user message, prefix + suffix, through its chat template; `lead` opens its answer.

        Args:
            prefixes: Text shared by all situations; or two variants that list the options forward and in reverse,
                whose log probabilities are averaged. Options themselves keep their order.
            suffixes: What is particular to each situation.
            options: The same options for all situations, at least one, all different, none empty.
            lead: Beginning of the answer, for example "I would ".

        Raises:
            ContextOverflow: a prompt longer than the context.
            ModelError: options that cannot be scored, or a model that fails or is stopped.
        """

    def write(
        self,
        prefix: str,
        suffixes: Sequence[str],
        *,
        seeds: Sequence[int],
        max_tokens: int,
        temperature: float,
        top_p: float,
        stop: Sequence[str] = ("\n",),
        grammar: str | None = None,
    ) -> list[str | None]:
        """Return one written text per situation, None where it is unusable (empty, or no valid UTF-8).

        Args:
            prefix: Text shared by all situations.
            suffixes: What is particular to each situation.
            seeds: One seed per situation; equal prompt and seed within one call give equal texts.
            max_tokens: Longest text.
            temperature: 0 takes the most probable token each time.
            top_p: Share of probability from which tokens are drawn, in (0, 1].
            stop: Texts that end the writing; they are cut off.
            grammar: What a text may look like, in llama.cpp's GBNF with the rule `root`; None allows anything.

        Raises:
            ContextOverflow: a prompt with its text longer than the context.
            ModelError: a grammar that cannot be read, or a model that fails or is stopped.
        """

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one direction per text, float32 of shape (n_texts, width); rows have length 1.

        The inner product of two rows is the cosine between the texts. Equal texts in one call have equal rows.

        Raises:
            ContextOverflow: a text longer than the context.
            ModelError: an empty text, or a model that fails or is stopped.
        """

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, without the template."""

    def close(self) -> None:
        """Free the model's memory; it cannot be asked afterwards."""


def normalise_scores(variants: Sequence[FloatArray]) -> Scores:
    """Average log probabilities over variants and normalise them over the options.

    Args:
        variants: Log P of shape (n_situations, n_options), one array per order of listing, the forward one first.
    """
    mean = np.mean(np.stack(variants), axis=0)
    top = mean.max(axis=1, keepdims=True)
    logp = mean - top - np.log(np.exp(mean - top).sum(axis=1, keepdims=True))
    return Scores(list(logp), list(variants[0]), np.exp(variants[0]).sum(axis=1))
