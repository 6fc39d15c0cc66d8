"""One llama.cpp context: its batch buffers, its memory of sequences, and the guards around them.

Words: a *sequence* is a numbered line of tokens in the context's memory; sequence 0 keeps the prefix that all share.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError, ModelStopped
from engine.llm.library import forget_complaints, quieten_log, recent_complaints
from engine.llm.vocabulary import LoadedModel

MOST_SEQUENCES = 256  # llama.cpp's own limit
MOST_STATEFUL_SEQUENCES = 33  # each holds a whole state in memory
UNIT_TOKENS = 512  # tokens that llama.cpp computes at once
LOOK_S = 0.05  # pause between two questions whether to stop
PAD_TOKENS = 256  # attention runs over this multiple of the tokens that the memory holds
# On a processor flash attention rounds coarsely where a pass has few rows: the same prompt alone and among others then
# differs 1,000 times more than without it. Where a pass stays within a multiple of PAD_TOKENS, plain attention is as
# fast within 5 %. Texts under way side by side see little of one another's tokens; there flash attention, which skips
# what a token does not see, saves up to half of the time. On a GPU llama.cpp chooses.
FLASH_AUTO, FLASH_OFF, FLASH_ON = -1, 0, 1
STOPPED = 2  # llama.cpp's answer to a pass that was given up


class Watch:
    """Asks now and then whether to stop; llama.cpp would ask thousands of times a second.

    Args:
        should_stop: Returns True to stop; None never stops.
    """

    def __init__(self, should_stop: Callable[[], bool] | None = None) -> None:
        self._should_stop = should_stop
        self._next = 0.0
        self._answer = False

    def __call__(self) -> bool:
        """Return whether to stop, asked again after `LOOK_S`."""
        now = time.monotonic()
        if self._should_stop is not None and now >= self._next:
            self._answer = bool(self._should_stop())
            self._next = now + LOOK_S
        return self._answer

    def begin(self) -> None:
        """Forget the last answer, for a new call."""
        self._next, self._answer = 0.0, False

    def check(self, name: str) -> None:
        """Raise where the caller wants to stop.

        Raises:
            ModelStopped: naming the model.
        """
        if self():
            raise ModelStopped(stopped(name))


def stopped(name: str) -> str:
    """Return the sentence for a call that was given up."""
    return f"asking the model {name} was stopped; ask again to go on"


class TokenBatch:
    """A `llama_batch` on numpy buffers, filled by slices.

    A token belongs to neighbouring sequences: `first` and the `width - 1` after it.
    """

    def __init__(self, library: Any, room: int, most_sequences: int) -> None:
        self.room, self.most_sequences, self.size = room, most_sequences, 0
        self.token = np.zeros(room, np.int32)
        self.position = np.zeros(room, np.int32)
        self.width = np.ones(room, np.int32)
        self.sequences = np.zeros((room, most_sequences), np.int32)
        self.wanted = np.zeros(room, np.int8)
        stride = self.sequences.strides[0]
        self._rows = self.sequences.ctypes.data + np.arange(room, dtype=np.uint64) * np.uint64(stride)
        kinds = dict(library.llama_batch._fields_)
        self.c_batch = library.llama_batch()
        for name, buffer in (
            ("token", self.token),
            ("pos", self.position),
            ("n_seq_id", self.width),
            ("seq_id", self._rows),
            ("logits", self.wanted),
        ):
            setattr(self.c_batch, name, ctypes.cast(buffer.ctypes.data, kinds[name]))
        self.c_batch.embd = None

    def clear(self) -> None:
        """Forget all rows."""
        self.size = 0

    def append(
        self,
        tokens: Sequence[int] | NDArray[np.int64],
        positions: int | NDArray[np.int64],
        first: int | NDArray[np.int64],
        width: int | NDArray[np.int64],
        wanted: bool | NDArray[np.bool_],
    ) -> int:
        """Add rows and return the number of the first one.

        Args:
            tokens: Token ids, shape (k,).
            positions: Position of each token; a single number is that of the first, the others follow.
            first: First sequence of each token, or of all.
            width: Number of neighbouring sequences of each token, or of all.
            wanted: Whether logits are wanted of these rows, or of each.

        Raises:
            ModelError: more rows than the batch has; llama.cpp would end the whole program.
        """
        start, end = self.size, self.size + len(tokens)
        if end > self.room:
            raise ModelError(f"a batch of {end} tokens exceeds the {self.room} that the context was made for")
        rows = slice(start, end)
        self.token[rows] = tokens
        self.position[rows] = positions + np.arange(len(tokens)) if isinstance(positions, int) else positions
        self.width[rows] = width
        widest = int(np.max(width, initial=1))
        self.sequences[rows, :widest] = np.asarray(first).reshape(-1, 1) + np.arange(widest)
        self.wanted[rows] = wanted
        self.size = end
        return start


class Context:
    """A llama.cpp context with sequence 0 as the shared prefix; used by one thread at a time.

    Args:
        model: The loaded model.
        n_cells: Tokens that the memory holds over all sequences.
        n_threads: Processor threads.
        watch: Asked during a pass; True ends it.
        flash: Whether to use flash attention on a processor too, where the model allows it.
    """

    def __init__(
        self, model: LoadedModel, n_cells: int, n_threads: int, watch: Watch | None = None, *, flash: bool = False
    ) -> None:
        self.model, self.library = model, model.library
        self.n_sequences = MOST_STATEFUL_SEQUENCES if model.stateful else MOST_SEQUENCES
        settings = self.library.llama_context_default_params()
        settings.n_ctx = n_cells
        settings.n_batch = n_cells
        settings.n_ubatch = UNIT_TOKENS
        settings.n_seq_max = self.n_sequences
        settings.n_threads = settings.n_threads_batch = n_threads
        settings.kv_unified = True
        settings.swa_full = True
        settings.no_perf = True
        self._stop_callback = None if watch is None else self.library.ggml_abort_callback(lambda _: watch())
        if self._stop_callback is not None:
            settings.abort_callback = self._stop_callback
        forget_complaints()
        quieten_log(self.library)
        self.pointer = None
        for kind in (FLASH_AUTO,) if model.on_gpu else (FLASH_ON, FLASH_OFF) if flash else (FLASH_OFF,):
            settings.flash_attn_type = kind
            self.pointer = self.pointer or self.library.llama_init_from_model(model.pointer, settings)
        if not self.pointer:
            raise ModelError(
                f"no context of {n_cells} tokens could be made for {model.name}{recent_complaints()}; "
                "close other programs, or set a smaller model.n_ctx"
            )
        self.memory = self.library.llama_get_memory(self.pointer)
        self.n_cells = int(self.library.llama_n_ctx(self.pointer))
        self.batch = TokenBatch(self.library, int(self.library.llama_n_batch(self.pointer)), self.n_sequences)
        self.n_decoded = 0

    def decode(self) -> NDArray[np.float32]:
        """Compute the rows of the batch and return the wanted logits, shape (n_wanted, n_vocab).

        The array is a view, valid until the next call; its rows are in batch order.

        Raises:
            ModelStopped: the pass was stopped.
            ModelError: the memory is full, or llama.cpp failed.
        """
        n_wanted = self.compute()
        if n_wanted == 0:
            return np.empty((0, self.model.n_vocab), np.float32)
        logits = self.library.llama_get_logits(self.pointer)
        return np.ctypeslib.as_array(logits, shape=(n_wanted, self.model.n_vocab))

    def embed(self) -> NDArray[np.float32]:
        """Compute the rows of the batch and return the hidden states of the wanted ones, shape (n_wanted, width).

        Valid until the next call; errors as in `decode`.
        """
        self.library.llama_set_embeddings(self.pointer, True)
        try:
            n_wanted = self.compute()
        finally:
            self.library.llama_set_embeddings(self.pointer, False)
        states = self.library.llama_get_embeddings(self.pointer)
        return np.ctypeslib.as_array(states, shape=(n_wanted, self.model.width))

    def compute(self) -> int:
        """Compute the rows of the batch and return how many are wanted; errors as in `decode`."""
        n_rows = self.batch.size
        if not 0 < n_rows <= self.batch.room:
            raise ModelError(f"a batch of {n_rows} tokens was to be computed; allowed are 1 to {self.batch.room}")
        self.batch.c_batch.n_tokens = n_rows
        forget_complaints()
        answer = self.library.llama_decode(self.pointer, self.batch.c_batch)
        if answer == STOPPED:
            raise ModelStopped(stopped(self.model.name))
        if answer != 0:
            raise ModelError(_decode_problem(answer, self.model.name))
        self.n_decoded += n_rows
        self.library.llama_synchronize(self.pointer)
        return int(np.count_nonzero(self.batch.wanted[:n_rows]))

    def share(self, first: int, last: int, start: int = -1) -> None:
        """Give sequences first..last, last excluded, what sequence 0 holds from a position on (-1: all of it)."""
        for sequence in range(first, last):
            self.library.llama_memory_seq_cp(self.memory, 0, sequence, start, -1)

    def copy(self, source: int, target: int) -> None:
        """Replace what one sequence holds by what another holds."""
        self.forget(target)
        self.library.llama_memory_seq_cp(self.memory, source, target, -1, -1)

    def cut(self, position: int, sequence: int = -1) -> None:
        """Forget the tokens from a position on, in one sequence or (-1) in all.

        Raises:
            ModelError: the model's memory cannot be cut.
        """
        if not self.library.llama_memory_seq_rm(self.memory, sequence, position, -1):
            raise ModelError(f"the memory of the model {self.model.name} cannot be cut back at token {position}")

    def forget(self, sequence: int) -> None:
        """Forget one sequence whole."""
        self.library.llama_memory_seq_rm(self.memory, sequence, -1, -1)

    def clear(self) -> None:
        """Forget everything."""
        self.library.llama_memory_clear(self.memory, False)

    def save_prefix(self) -> bytes:
        """Return the state of sequence 0, for `restore_prefix`."""
        size = int(self.library.llama_state_seq_get_size(self.pointer, 0))
        buffer = (ctypes.c_uint8 * size)()
        written = int(self.library.llama_state_seq_get_data(self.pointer, buffer, size, 0))
        return bytes(memoryview(buffer)[:written])

    def restore_prefix(self, state: bytes) -> bool:
        """Replace the whole memory by a saved sequence 0; False, and an empty memory, where llama.cpp refuses it."""
        self.clear()
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        read = int(self.library.llama_state_seq_set_data(self.pointer, buffer, len(state), 0))
        if read == 0:
            self.clear()
        return read != 0

    def close(self) -> None:
        """Free the context."""
        if self.pointer:
            self.library.llama_free(self.pointer)
            self.pointer = None


def log_totals(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-sum-exp of each row in float64, shape (n_rows,)."""
    top = logits.max(axis=1)
    sums: NDArray[np.float64] = np.exp(logits - top[:, None]).sum(axis=1, dtype=np.float64)
    totals: NDArray[np.float64] = top.astype(np.float64) + np.log(sums)
    return totals


def _decode_problem(answer: int, name: str) -> str:
    if answer == 1:
        return f"the context of {name} has no room left for this batch; set a larger model.n_ctx"
    return f"llama.cpp failed in the model {name} (code {answer}){recent_complaints()}; load it again or choose another"
