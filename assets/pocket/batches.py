"""Cases to arrays: prefixes, rows that continue them, and what should follow at which place."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.pocket.situations import Ask, Case, draw_case, draw_group, draw_retelling, draw_unknown, list_asks
from assets.pocket.tokens import Tokenizer

ENDS = 0.1  # share of the answers after which the end token is trained, too
READ_AHEAD = (
    48  # places per batch at which the prompt's own next token is trained, so that values get tied to their labels
)
READ_WEIGHT = 0.05  # weight of one of them
TEXT_WEIGHT = 0.15  # weight of one token of a text; a decision weighs 1
KINDS = (("choice", 0.46), ("reasoned", 0.05), ("reason", 0.2), ("text", 0.24), ("retelling", 0.04), ("made_up", 0.01))
GROUP_ROWS = {"choice": 16, "reasoned": 12, "reason": 8, "text": 8, "retelling": 12, "made_up": 8}

EFFORT = {"trash.harvest": 5.0, "harvest": 1.6, "listen": 1.2, "change": 1.4, "argument": 4.0}
"""How often a decision or writing is drawn, against 0.8 for the others; the difficult ones more often."""

Target = tuple[int, dict[int, float], float]
"""Place in the row, probabilities of the next token, weight."""


@dataclass
class Batch:
    """Arrays of one group: a prefix and K rows that continue it.

    Attributes:
        prefix: Tokens, int64 (P,).
        rows: Tokens, int64 (K, S), filled up with zeros.
        places: Indexes into the flattened P + K S tokens, int64 (n,).
        target: Probabilities, float32 (n, n_vocab).
        weight: float32 (n,).
        origin: Number of the decision where one is read in full, -1 for texts, -2 for the prompt's own words.
    """

    prefix: NDArray[np.int64]
    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    origin: NDArray[np.int64]


def follow(tokenizer: Tokenizer, case: Case, rng: random.Random) -> tuple[list[int], list[Target]]:
    """Return a row's tokens and its targets.

    For a decision, one option is drawn by its probability; at each node of the option trie on its path the target is
    the distribution over the node's children.
    """
    tokens = [*tokenizer.encode(case.suffix), tokenizer.special["<|assistant|>"]]
    end, last = tokenizer.special["<|end|>"], len(tokens) - 1
    if not case.options:
        text = [*tokenizer.encode(case.text), end]
        return tokens + text[:-1], [(last + k, {token: 1.0}, TEXT_WEIGHT) for k, token in enumerate(text)]
    paths = [tuple(tokenizer.encode(option)) for option in case.options]
    path = rng.choices(paths, case.p.tolist())[0]
    targets: list[Target] = []
    for depth in range(len(path)):
        children: dict[int, float] = {}
        for other, p in zip(paths, case.p.tolist(), strict=True):
            if other[:depth] == path[:depth] and len(other) > depth:
                children[other[depth]] = children.get(other[depth], 0.0) + p
        total = sum(children.values())
        targets.append((last + depth, {token: p / total for token, p in children.items()}, 1.0 if depth == 0 else 0.3))
    if rng.random() < ENDS:
        targets.append((last + len(path), {end: 1.0}, 0.3))
        return tokens + list(path), targets
    return tokens + list(path[:-1]), targets


def shared_length(rows: Sequence[Sequence[int]], limit: int) -> int:
    """Return the number of tokens, at most `limit`, with which all rows begin."""
    first = rows[0]
    for place in range(limit):
        if any(row[place] != first[place] for row in rows):
            return place
    return limit


class Source:
    """Endless random batches.

    Args:
        tokenizer: The model's tokenizer.
        seed: Seed of everything that is drawn.
        asks: Names of the decisions to train on; None for all.
    """

    def __init__(self, tokenizer: Tokenizer, seed: int, asks: Sequence[str] | None = None) -> None:
        self.tokenizer, self.rng = tokenizer, random.Random(seed)
        decisions, self.writings = list_asks()
        self.decisions = [ask for ask in decisions if asks is None or ask.name in asks]
        self.number = {ask.name: k for k, ask in enumerate(decisions)}

    def draw_ask(self, asks: Sequence[Ask]) -> Ask:
        """Return one of the decisions or writings, the difficult ones more often."""
        return self.rng.choices(asks, [EFFORT.get(ask.name, EFFORT.get(ask.ask.name, 0.8)) for ask in asks])[0]

    def group(self) -> tuple[str, Iterator[Case]]:
        """Return the kind of a random group and its endless cases."""
        rng = self.rng
        kind = rng.choices([name for name, _ in KINDS], [share for _, share in KINDS])[0]
        if kind == "retelling":
            return kind, iter(lambda: draw_retelling(rng), None)
        if kind == "made_up":
            return kind, draw_unknown(rng)
        ask = self.draw_ask(self.writings if kind == "text" else self.decisions)
        group = draw_group(ask, rng, kind)
        return kind, iter(lambda: draw_case(group, rng), None)

    def batch(self, longest: int = 448) -> Batch:
        """Return one group's prompts; those that are held out, or longer than `longest` tokens, are drawn anew."""
        while True:
            kind, cases = self.group()
            rows: list[tuple[Case, list[int], list[Target]]] = []
            for case in itertools.islice(cases, 4 * GROUP_ROWS[kind]):
                row = () if case.is_held_out else follow(self.tokenizer, case, self.rng)
                if row and len(row[0]) <= longest:
                    rows.append((case, *row))
                if len(rows) == GROUP_ROWS[kind]:
                    return self.pack(rows)

    def pack(self, rows: list[tuple[Case, list[int], list[Target]]]) -> Batch:
        """Return the arrays of one group's rows."""
        prefix = [self.tokenizer.special["<|user|>"], *self.tokenizer.encode(rows[0][0].prefix)]
        shared = shared_length([row for _, row, _ in rows], min(wanted[0][0] for _, _, wanted in rows))
        prefix += rows[0][1][:shared]
        rows = [(case, row[shared:], [(at - shared, *rest) for at, *rest in wanted]) for case, row, wanted in rows]
        width = -(-max(len(row) for _, row, _ in rows) // 8) * 8
        grid = np.zeros((len(rows), width), np.int64)
        places, targets, weights, origins = [], [], [], []
        for r, (case, row, wanted) in enumerate(rows):
            grid[r, : len(row)] = row
            for depth, (place, next_tokens, weight) in enumerate(wanted):
                places.append(len(prefix) + r * width + place)
                targets.append(next_tokens)
                weights.append(weight)
                origins.append(self.number.get(case.name, -1) if depth == 0 and case.options else -1)
        for _ in range(READ_AHEAD):
            r = self.rng.randrange(len(rows))
            _, row, wanted = rows[r]
            if wanted[0][0] > 0:
                place = self.rng.randrange(wanted[0][0])
                places.append(len(prefix) + r * width + place)
                targets.append({row[place + 1]: 1.0})
                weights.append(READ_WEIGHT)
                origins.append(-2)
        dense = np.zeros((len(targets), self.tokenizer.n_vocab), np.float32)
        for place, next_tokens in enumerate(targets):
            for token, share in next_tokens.items():
                dense[place, token] = share
        weight, origin = np.array(weights, np.float32), np.array(origins, np.int64)
        return Batch(np.array(prefix, np.int64), grid, np.array(places, np.int64), dense, weight, origin)
