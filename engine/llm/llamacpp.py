"""A GGUF model in this program, asked in batches through llama.cpp's low-level calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import ContextOverflow, ModelError
from engine.llm.context import MOST_SEQUENCES, UNIT_TOKENS, Watch
from engine.llm.embedding import embed_texts
from engine.llm.library import load_library
from engine.llm.opened import Opened
from engine.llm.prompts import PromptBuilder, check_room
from engine.llm.protocol import FloatArray, ModelIdentity, Scores, normalise_scores
from engine.llm.recurrent import score_prompts_in_stages
from engine.llm.sampling import Sampling
from engine.llm.scoring import GROUP_TOKENS, score_prompts
from engine.llm.scripted import check_options, check_texts, check_writing
from engine.llm.trie import OptionTrie, Tokens, build_tries
from engine.llm.vocabulary import LoadedModel
from engine.llm.writing import write_prompts
from engine.spec import ModelSpec

EXACT = frozenset({"F32", "F16", "BF16"})  # number formats that round less than flash attention does
SLOTS = 32  # texts written at once
WRITING_CELLS = 16_384  # context that texts under way may take together
MOST_STATEFUL_LEAVES = 16


class LlamaCppModel:
    """A loaded GGUF model; calls from several threads wait for one another.

    Results are a function of the call alone: equal calls give bit-identical numbers on the same machine with the same
    number of threads, whatever was asked before. The same situation within another call may differ by rounding (about
    1e-6 in probability with 32-bit weights, up to 1e-2 with strongly quantized ones), since it shares its passes with
    other situations.

    Attributes:
        n_calls: Calls of `score` and `write` so far.
        n_situations: Situations in those calls.
        n_threads: Processor threads.
    """

    def __init__(
        self,
        path: Path,
        identity: ModelIdentity,
        spec: ModelSpec,
        *,
        should_stop: Callable[[], bool] | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.identity = identity
        self.n_calls = 0
        self.n_situations = 0
        self._watch = Watch(should_stop)
        self.n_threads = n_threads or spare_threads()
        self._model: LoadedModel | None = LoadedModel(load_library(), path, spec.gpu_layers)
        self._limit = min(self._model.n_ctx_train, spec.n_ctx or self._model.n_ctx_train)
        try:
            self._builder = PromptBuilder(self._model)
        except ModelError:
            self._model.close()
            raise
        self._scorer = Opened(self.n_threads, self._watch)
        self._writer = Opened(self.n_threads, self._watch, flash=identity.quantization not in EXACT)
        self._embedder = Opened(self.n_threads, self._watch)
        self._uses = (self._scorer, self._writer, self._embedder)
        self._lock = threading.Lock()

    @property
    def n_tokens(self) -> int:
        """Tokens computed so far."""
        return sum(use.n_decoded for use in self._uses)

    @property
    def n_ctx(self) -> int:
        """Tokens that the largest present context holds over all sequences; it grows with need. 0 at first."""
        return max(use.n_cells for use in self._uses)

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Scores:
        """Return the log probability of every option in every situation; see `LanguageModel.score`."""
        check_options(options)
        variants = [prefixes] if isinstance(prefixes, str) else list(prefixes)
        if not variants:
            raise ModelError("no prefix was given; give one, or two that list the options forward and in reverse")
        with self._asking(suffixes):
            if not suffixes:
                return Scores([], [], np.zeros(0))
            kept, paths = self._builder.split_options(options, lead)
            most = MOST_STATEFUL_LEAVES if self._open_model().stateful else MOST_SEQUENCES - 1
            tries = build_tries(paths, most, GROUP_TOKENS)
            return normalise_scores([self._score_variant(prefix, suffixes, kept, tries) for prefix in variants])

    def _score_variant(
        self, prefix: str, suffixes: Sequence[str], lead: Tokens, tries: Sequence[OptionTrie]
    ) -> FloatArray:
        """Return log P of the options under one listing, shape (n_situations, n_options)."""
        batch = self._builder.build_batch(prefix, suffixes, lead)
        check_room(batch, max(trie.n_steps for trie in tries), self._limit, self.identity.name)
        model = self._open_model()
        if model.stateful:
            own = batch.longest - batch.start + max(trie.n_nodes * trie.n_sequences for trie in tries)
            context = self._scorer.hold(model, batch, batch.start + max(GROUP_TOKENS, own) * 2)
            found = score_prompts_in_stages(context, batch.prompts, batch.start, tries, self._check_stop)
        else:
            most = batch.longest + max(trie.n_nodes for trie in tries) + UNIT_TOKENS
            context = self._scorer.hold(model, batch, most)
            found = score_prompts(context, self._scorer.keeper, batch.prompts, batch.start, tries, self._check_stop)
        return found[batch.place]

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
        """Return one written text per situation, None where it is unusable; see `LanguageModel.write`."""
        check_writing(suffixes, seeds, max_tokens)
        sampling = Sampling(max_tokens, temperature, top_p, tuple(stop), grammar)
        with self._asking(suffixes):
            if not suffixes:
                return []
            batch = self._builder.build_batch(prefix, suffixes, ())
            check_room(batch, max_tokens, self._limit, self.identity.name)
            order = sorted(range(len(suffixes)), key=lambda number: (batch.place[number], seeds[number]))
            longest = batch.longest - batch.start + max_tokens
            slots = max(1, min(SLOTS, len(order), WRITING_CELLS // longest))
            context = self._writer.hold(self._open_model(), batch, batch.start + slots * longest)
            prompts = [batch.prompts[batch.place[number]] for number in order]
            texts = write_prompts(
                context,
                self._writer.share,
                prompts,
                [seeds[number] for number in order],
                batch.start,
                slots,
                sampling,
                self._check_stop,
            )
        return [text for _, text in sorted(zip(order, texts, strict=True), key=lambda pair: pair[0])]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one direction per text, float32 of shape (n_texts, width); see `LanguageModel.embed`."""
        check_texts(texts)
        with self._lock:
            model = self._open_model()
            self._watch.begin()
            self.n_calls += 1
            if not texts:
                return np.zeros((0, model.width), np.float32)
            begin = (model.bos,) if model.adds_bos else ()
            tokens = [(*begin, *model.plain_tokens(text)) for text in texts]
            distinct = sorted(set(tokens))
            longest = max(map(len, distinct))
            if longest > self._limit:
                raise ContextOverflow(
                    f"a text of {longest:,} tokens exceeds the {self._limit:,} tokens of {self.identity.name}; "
                    "shorten it, or choose a model with a longer context"
                )
            context = self._embedder.open(model, longest)
            try:
                rows = embed_texts(context, distinct, self._check_stop)
            except BaseException:
                self._embedder.forget()
                raise
            place = {text: number for number, text in enumerate(distinct)}
            return rows[[place[text] for text in tokens]]

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, without the template."""
        with self._lock:
            return len(self._open_model().plain_tokens(text))

    def close(self) -> None:
        """Free context and weights; closing twice does nothing."""
        with self._lock:
            for use in self._uses:
                use.close()
            if self._model is not None:
                self._model.close()
                self._model = None

    def _open_model(self) -> LoadedModel:
        if self._model is None:
            raise ModelError(f"the model {self.identity.name} was closed; load it again")
        return self._model

    @contextmanager
    def _asking(self, suffixes: Sequence[str]) -> Iterator[None]:
        """Count a call and keep others out; after a failure nothing of the context's memory is trusted."""
        with self._lock:
            self._open_model()
            self._watch.begin()
            self.n_calls += 1
            self.n_situations += len(suffixes)
            try:
                yield
            except BaseException:
                self._scorer.forget()
                self._writer.forget()
                raise

    def _check_stop(self) -> None:
        self._watch.check(self.identity.name)


def spare_threads() -> int:
    """Return the number of processor cores that this program may use, less one for the rest of the computer."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return max(1, allowed - 1)
