"""Keep the shared beginning of prompts decoded, within a call and across calls.

Exactness: what a prompt is answered must not depend on what was asked before. So a prefix is always decoded in the same
chunks, at boundaries that follow from the call alone; a kept beginning is reused only up to a boundary at which both
agree; and a saved beginning is put back bit by bit. Then a call's result is the same whether anything was kept or not.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass

from engine.llm.context import Context
from engine.llm.trie import Tokens

CHUNK_TOKENS = 256
SHORTEST_SAVED = 48  # tokens below which decoding again costs less than saving
SAVED_BYTES = 192 * 2**20


@dataclass(frozen=True)
class Prefix:
    """Tokens of a shared beginning and the chunk boundaries at which it is decoded, ascending, the last its length."""

    tokens: Tokens
    boundaries: tuple[int, ...]

    def common(self, other: Prefix) -> int:
        """Return the last boundary up to which both have the same tokens and the same boundaries, 0 for none."""
        agreed = 0
        for mine, theirs in zip(self.boundaries, other.boundaries, strict=False):
            if mine != theirs or self.tokens[agreed:mine] != other.tokens[agreed:mine]:
                break
            agreed = mine
        return agreed

    def until(self, boundary: int) -> Prefix:
        """Return the part up to one of the boundaries."""
        return Prefix(self.tokens[:boundary], tuple(place for place in self.boundaries if place <= boundary))


def plan_prefix(tokens: Tokens, stem: int) -> Prefix:
    """Return the chunks of a prefix whose first `stem` tokens the caller named, the rest being what prompts share."""
    places = [*range(CHUNK_TOKENS, stem, CHUNK_TOKENS), stem, *range(stem + CHUNK_TOKENS, len(tokens), CHUNK_TOKENS)]
    return Prefix(tokens, tuple(sorted({*places, len(tokens)} - {0})))


class PrefixKeeper:
    """Holds a prefix in sequence 0 of a context and saves earlier ones, least recently used dropped first."""

    def __init__(self) -> None:
        self.held = Prefix((), ())
        self.n_shared = 1
        self._saved: collections.OrderedDict[Prefix, bytes] = collections.OrderedDict()
        self._saved_bytes = 0

    def forget(self) -> None:
        """Take the context's memory as empty, for a new context or after a failure; saved prefixes stay."""
        self.held, self.n_shared = Prefix((), ()), 1

    def hold(self, context: Context, prefix: Prefix, stem: int) -> None:
        """Make sequence 0 hold exactly `prefix`; afterwards no other sequence holds anything.

        Args:
            context: The context.
            prefix: What to hold, from `plan_prefix`.
            stem: Boundary at which the beginning is worth saving for later calls, 0 for none.
        """
        held, self.held = self.held, Prefix((), ())
        done = self._reuse(context, held, prefix)
        self.n_shared = 1
        for end in (place for place in prefix.boundaries if place > done):
            context.batch.clear()
            context.batch.append(prefix.tokens[done:end], done, 0, 1, wanted=False)
            context.decode()
            done = end
            if end == stem and end >= SHORTEST_SAVED:
                self._save(prefix.until(end), context.save_prefix())
        self.held = prefix

    def extend(self, context: Context, tokens: Tokens, start: int) -> None:
        """Let all sequences that share the prefix go on with some tokens, until `Context.cut` takes them back.

        Args:
            context: The context; its sequence 0 holds `start` tokens.
            tokens: What a part of the prompts have in common after those.
            start: Position of the first one.
        """
        context.batch.clear()
        context.batch.append(tokens, start, 0, self.n_shared, wanted=False)
        context.decode()

    def share(self, context: Context, n_sequences: int, *, filled: bool = True) -> None:
        """Let sequences 1..n_sequences see what sequence 0 holds; nothing, where it is not `filled`."""
        if filled:
            context.share(self.n_shared, n_sequences + 1)
        self.n_shared = max(self.n_shared, n_sequences + 1)

    def _reuse(self, context: Context, held: Prefix, wanted: Prefix) -> int:
        """Bring the longest reusable beginning into sequence 0 and return its length."""
        stateful = context.model.stateful
        best, agreed = held, held.common(wanted)
        if stateful and agreed < len(held.tokens):
            agreed = 0
        for saved in self._saved:
            shared = saved.common(wanted)
            if shared > agreed and not (stateful and shared < len(saved.tokens)):
                best, agreed = saved, shared
        if agreed == 0:
            context.clear()
            return 0
        if best is not held:
            self._saved.move_to_end(best)
            if not context.restore_prefix(self._saved[best]):
                return 0
        else:
            for sequence in range(1, self.n_shared):
                context.forget(sequence)
        if agreed < len(best.tokens):
            context.cut(agreed)
        return agreed

    def _save(self, prefix: Prefix, state: bytes) -> None:
        if prefix in self._saved or len(state) > SAVED_BYTES:
            return
        self._saved[prefix] = state
        self._saved_bytes += len(state)
        while self._saved_bytes > SAVED_BYTES:
            self._saved_bytes -= len(self._saved.popitem(last=False)[1])
