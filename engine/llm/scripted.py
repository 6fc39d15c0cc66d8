"""A deterministic stand-in for a language model: weights and words come from a keyed hash of the text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.llm.corpus import WORDS
from engine.llm.protocol import ModelIdentity, Scores, normalise_scores

RULE = "scripted 1: log weights uniform in [-1.5, 1.5] from BLAKE2b of (seed, prefix, suffix, lead, option)"
EMBEDDING_WIDTH = 64


class ScriptedModel:
    """Answers without a model file, for tests and for trying a study: the same text always gets the same answer.

    Attributes:
        n_calls: Calls of `score` and `write` so far.
        n_situations: Situations in those calls.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.n_calls = 0
        self.n_situations = 0
        digest = hashlib.sha256(f"{RULE}\x1f{seed}".encode()).hexdigest()
        self.identity = ModelIdentity("scripted", digest, "none", "plain", "scripted", "scripted", 0, 1_048_576)

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Scores:
        """Return log weights from the hash of the text; they do not depend on the order of the options."""
        check_options(options)
        self._count(suffixes)
        variants = [prefixes] if isinstance(prefixes, str) else list(prefixes)
        weights = np.array([[self._uniform(variants[0], s, lead, o) for o in options] for s in suffixes])
        shape = (len(suffixes), len(options))
        logp = normalise_scores([3.0 * weights.reshape(shape) - 1.5]).logp if suffixes else []
        return Scores(logp, [row.copy() for row in logp], np.ones(len(suffixes)))

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
        """Return common words drawn by the hash of text and seed: at least three, at most twelve or `max_tokens`.

        Raises:
            ModelError: a grammar is given, which the double cannot follow.
        """
        if grammar is not None:
            raise ModelError("the scripted model follows no grammar; name a language model file, or ask without one")
        check_writing(suffixes, seeds, max_tokens)
        self._count(suffixes)
        return [self._words(prefix, suffix, seed, max_tokens) for suffix, seed in zip(suffixes, seeds, strict=True)]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the scaled sum of one random direction per word, so that texts with common words are alike."""
        check_texts(texts)
        self.n_calls += 1
        rows = np.zeros((len(texts), EMBEDDING_WIDTH))
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split() or [text]:
                digest = self._digest("embedding", word.strip(".,;:!?\"'()") or word)
                row += np.frombuffer(digest, "<i1")[:EMBEDDING_WIDTH] / 128.0 + 1 / 256
        scaled: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return scaled

    def count_tokens(self, text: str) -> int:
        """Return the number of words."""
        return len(text.split())

    def close(self) -> None:
        """Free nothing: there is nothing to free."""

    def _count(self, suffixes: Sequence[str]) -> None:
        self.n_calls += 1
        self.n_situations += len(suffixes)

    def _uniform(self, *parts: str) -> float:
        digest = self._digest(*parts)
        return float(int.from_bytes(digest[:8], "little") / 2.0**64)

    def _digest(self, *parts: str) -> bytes:
        key = str(self.seed).encode()[:64]
        text = "\x1f".join(f"{len(part)}:{part}" for part in parts)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=64).digest()

    def _words(self, prefix: str, suffix: str, seed: int, max_tokens: int) -> str:
        digest = self._digest(prefix, suffix, str(seed))
        words = WORDS.split()
        n_words = min(max(3, digest[0] % 13), max_tokens)
        numbers = np.frombuffer(digest[2 : 2 + 2 * n_words], "<u2")
        return " ".join(words[number % len(words)] for number in numbers).capitalize() + "."


def check_options(options: Sequence[str]) -> None:
    """Refuse options that no model can score.

    Raises:
        ModelError: no option, an empty one, or two equal ones.
    """
    if not options:
        raise ModelError("no options were given; scoring needs at least one")
    empty = [str(place) for place, option in enumerate(options) if not option]
    if empty:
        raise ModelError(f"option {', '.join(empty)} of {len(options)} is an empty text; give every option a text")
    twice = sorted({option for option in options if list(options).count(option) > 1})
    if twice:
        raise ModelError(f"duplicate options: {', '.join(map(repr, twice))}; every option must differ")


def check_writing(suffixes: Sequence[str], seeds: Sequence[int], max_tokens: int) -> None:
    """Refuse a writing request whose seeds or length do not fit.

    Raises:
        ModelError: another number of seeds than of situations, or `max_tokens` below 1.
    """
    if len(seeds) != len(suffixes):
        raise ModelError(f"{len(seeds)} seeds were given for {len(suffixes)} texts; give one seed per text")
    if max_tokens < 1:
        raise ModelError(f"max_tokens = {max_tokens} leaves nothing to write; allowed is 1 or more")


def check_texts(texts: Sequence[str]) -> None:
    """Refuse empty texts, which have no direction.

    Raises:
        ModelError: naming their places.
    """
    empty = [str(place) for place, text in enumerate(texts) if not text.strip()]
    if empty:
        raise ModelError(f"text {', '.join(empty[:5])} of {len(texts)} is empty; an embedding needs at least a word")
