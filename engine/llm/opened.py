"""A context that is opened at first need and again, larger, when more room is needed, with the prefix that it holds."""

from __future__ import annotations

from engine.llm.context import Context, Watch
from engine.llm.prefix import PrefixKeeper, plan_prefix
from engine.llm.prompts import Batch
from engine.llm.vocabulary import LoadedModel

SMALLEST_CONTEXT = 1024
SPARE_CELLS = 64


class Opened:
    """One use of a model: to score, to write or to embed.

    Args:
        n_threads: Processor threads.
        watch: Asked during a pass; True ends it.
        flash: Whether attention may skip what a token does not see at the price of coarser rounding.

    Attributes:
        context: The context, None before the first need.
        keeper: What its sequence 0 holds.
    """

    def __init__(self, n_threads: int, watch: Watch, *, flash: bool = False) -> None:
        self.n_threads, self.watch, self.flash = n_threads, watch, flash
        self.context: Context | None = None
        self.keeper = PrefixKeeper()
        self._n_before = 0

    @property
    def n_decoded(self) -> int:
        """Tokens computed so far."""
        return self._n_before + (self.context.n_decoded if self.context is not None else 0)

    @property
    def n_cells(self) -> int:
        """Tokens that the context holds over all sequences, 0 before the first need."""
        return self.context.n_cells if self.context is not None else 0

    def open(self, model: LoadedModel, n_cells: int) -> Context:
        """Return a context of at least `n_cells` tokens."""
        if self.context is None or self.context.n_cells < n_cells + SPARE_CELLS:
            size = SMALLEST_CONTEXT
            while size < n_cells + SPARE_CELLS:
                size *= 2
            self.close()
            self.context = Context(model, size, self.n_threads, self.watch, flash=self.flash)
        return self.context

    def hold(self, model: LoadedModel, batch: Batch, n_cells: int) -> Context:
        """Return a context of at least `n_cells` tokens whose sequence 0 holds the batch's shared beginning."""
        context = self.open(model, n_cells)
        self.keeper.hold(context, plan_prefix(batch.prompts[0][: batch.start], batch.stem), batch.stem)
        return context

    def share(self, n_sequences: int) -> None:
        """Let sequences 1..n_sequences see the held beginning."""
        assert self.context is not None
        self.keeper.share(self.context, n_sequences, filled=bool(self.keeper.held.tokens))

    def forget(self) -> None:
        """Trust nothing in the context's memory, after a failure; saved prefixes stay."""
        self.keeper.forget()
        if self.context is not None:
            self.context.clear()

    def close(self) -> None:
        """Free the context."""
        self.keeper.forget()
        if self.context is not None:
            self._n_before += self.context.n_decoded
            self.context.close()
            self.context = None
