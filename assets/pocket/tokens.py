"""The pocket model's tokenizer: byte-level BPE learned from its own prompts, with a token for each number up to 100."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from assets.pocket.situations import draw_case, draw_group, draw_retelling, draw_unknown, list_asks
from engine.decision import Choice
from engine.llm.bpe import byte_letters, learn_merges

SPECIAL = ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
N_MERGES = 1000
PIECE = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
VOCABULARY = Path(__file__).with_name("merges.json")

Merge = tuple[str, str]


def number_merges() -> list[Merge]:
    """Return the merges that make one token of each whole number from 0 to 100, alone and after a space."""
    tens = [(str(a), str(b)) for a in range(1, 10) for b in range(10)]
    space = byte_letters()[32]
    spaced = [(space, str(number)) for number in range(101)]
    return [*tens, ("10", "0"), *spaced]


def sample_corpus(seed: int = 7) -> str:
    """Return many prompts and texts, without numbers, from which merges are learned."""
    rng = random.Random(seed)
    decisions, writings = list_asks()
    parts: list[str] = []
    for ask in (*decisions, *writings):
        for turn in range(12):
            form = ("choice", "reason", "reasoned")[turn % 3] if ask in decisions else "text"
            group = draw_group(ask, rng, form)
            parts.append(group.prefix)
            for _ in range(20):
                case = draw_case(group, rng)
                parts += [case.suffix, case.text]
    for _ in range(300):
        retelling, unknown = draw_retelling(rng), next(draw_unknown(rng))
        parts += [retelling.prefix, retelling.suffix, retelling.text, unknown.prefix, unknown.suffix]
    options = [text for ask in decisions if isinstance(ask.ask.answer, Choice) for text in ask.ask.answer.texts]
    parts += options * 60
    return re.sub(r"\d+|\n", "~", "\n".join(parts))


class Tokenizer:
    """Texts to tokens exactly as llama.cpp does for the exported file.

    Args:
        learned: Merges beyond those of the numbers, most important first.
    """

    def __init__(self, learned: list[Merge]) -> None:
        self.merges = [*number_merges(), *learned]
        letters = byte_letters()
        self.pieces = list(dict.fromkeys([*letters.values(), *(a + b for a, b in self.merges)]))
        self.n_plain = len(self.pieces)
        self.pieces += SPECIAL
        self.pieces += [f"<|unused{k}|>" for k in range(-len(self.pieces) % 32)]
        self.special = {text: self.n_plain + k for k, text in enumerate(SPECIAL)}
        self._id = {piece: number for number, piece in enumerate(self.pieces)}
        self._rank = {pair: rank for rank, pair in reversed(list(enumerate(self.merges)))}
        self._letters = letters
        self._held: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(cls) -> Tokenizer:
        """Return the tokenizer of the shipped model."""
        return cls([(a, b) for a, b in json.loads(VOCABULARY.read_text(encoding="utf-8"))])

    @property
    def n_vocab(self) -> int:
        """Number of tokens, a multiple of 32."""
        return len(self.pieces)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of plain text."""
        tokens: list[int] = []
        for found in PIECE.finditer(text):
            word = found[0]
            held = self._held.get(word)
            if held is None:
                held = self._held[word] = tuple(self._merge(word))
            tokens += held
        return tokens

    def _merge(self, word: str) -> Iterator[int]:
        parts = [self._letters[byte] for byte in word.encode()]
        while len(parts) > 1:
            ranks = [self._rank.get((a, b), 1 << 30) for a, b in itertools.pairwise(parts)]
            best = min(ranks)
            if best == 1 << 30:
                break
            place = ranks.index(best)
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        return (self._id[part] for part in parts)


def learn_vocabulary(seed: int = 7) -> list[Merge]:
    """Return the merges learned from sampled prompts; those of numbers are left out."""
    return learn_merges(sample_corpus(seed), N_MERGES)
