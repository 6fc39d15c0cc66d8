"""Language models for workers: loaded when first asked, shared by the runs of one worker, forbidden in replays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.llm import LanguageModel, ModelIdentity, Scores, load_model
from engine.spec import ModelSpec

Announce = Callable[[str], None]


class ModelOnDemand:
    """A language model that is loaded at the first question.

    Attributes:
        announce: Called with the phase when loading begins and ends.
    """

    def __init__(self, spec: ModelSpec, models_folder: Path | None = None) -> None:
        self._spec, self._models_folder = spec, models_folder
        self._model: LanguageModel | None = None
        self.announce: Announce | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the file is in memory."""
        return self._model is not None

    @property
    def model(self) -> LanguageModel:
        """The model itself.

        Raises:
            ModelError: it cannot be loaded.
        """
        if self._model is None:
            if self.announce is not None:
                self.announce("loading model")
            self._model = load_model(self._spec, models_folder=self._models_folder)
            if self.announce is not None:
                self.announce("running")
        return self._model

    @property
    def identity(self) -> ModelIdentity:
        """Which model answers."""
        return self.model.identity

    def describe(self) -> dict[str, Any] | None:
        """Return the identity for the table `run`; None while nothing was asked."""
        return None if self._model is None else asdict(self._model.identity)

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Scores:
        """Return the model's scores; see `LanguageModel.score`."""
        return self.model.score(prefixes, suffixes, options, lead=lead)

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
    ) -> list[str | None]:
        """Return the model's texts; see `LanguageModel.write`."""
        return self.model.write(
            prefix, suffixes, seeds=seeds, max_tokens=max_tokens, temperature=temperature, top_p=top_p, stop=stop
        )

    @property
    def n_calls(self) -> int:
        """Number of calls so far."""
        return 0 if self._model is None else self._model.n_calls

    @property
    def n_situations(self) -> int:
        """Number of situations scored so far."""
        return 0 if self._model is None else self._model.n_situations

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return self.model.count_tokens(text)

    def close(self) -> None:
        """Free the model, if it was loaded."""
        if self._model is not None:
            self._model.close()
            self._model = None


class NoModel(ModelOnDemand):
    """Stands in for the model where everything must come from the journal."""

    def __init__(self) -> None:
        super().__init__(ModelSpec())

    @property
    def model(self) -> LanguageModel:
        """Refuse.

        Raises:
            ModelError: always.
        """
        raise ModelError("the run's journal lacks an answer, and a replay does not ask the language model again")
