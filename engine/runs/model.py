"""Language models for workers: asked through the workspace's model service, forbidden in replays.

The model of a file or a server lives in the model service, one program for all runs of the workspace, which also keeps
the answers. `MICROCOSM_MODEL_SERVICE=0` loads it in the worker itself instead, without the workspace's cache; so does
a run outside a workspace, and the scripted double always lives there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError, ModelStopped
from engine.llm import LanguageModel, ModelIdentity, Scores, load_model
from engine.llm.client import ServiceModel, connect_model
from engine.spec import ModelSpec

SERVICE_NAME = "MICROCOSM_MODEL_SERVICE"

Announce = Callable[[str], None]


class ModelOnDemand:
    """A language model that is connected or loaded at the first question.

    Attributes:
        announce: Called with the phase when one waits for the model, and when the run goes on.
        should_stop: Asked about twenty times a second while one waits for the model; True ends the question with
            `ModelStopped`.
    """

    def __init__(self, spec: ModelSpec, models_folder: Path | None = None, cache_folder: Path | None = None) -> None:
        self._spec, self._models_folder, self._cache_folder = spec, models_folder, cache_folder
        self._model: LanguageModel | None = None
        self.announce: Announce | None = None
        self.should_stop: Callable[[], bool] | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the model was needed so far."""
        return self._model is not None

    @property
    def in_service(self) -> bool:
        """Whether the model lives in the workspace's model service."""
        own = self._spec.url is None and self._spec.file == "scripted"
        return self._cache_folder is not None and not own and os.environ.get(SERVICE_NAME) != "0"

    @property
    def notices(self) -> list[str]:
        """What the user should know, for example that a damaged cache was set aside."""
        return list(self._model.notices) if isinstance(self._model, ServiceModel) else []

    @property
    def model(self) -> LanguageModel:
        """The model itself.

        Raises:
            ModelError: it cannot be loaded.
        """
        if self._model is None:
            if self.in_service:
                assert self._cache_folder is not None
                self._model = connect_model(
                    self._spec,
                    self._cache_folder,
                    models_folder=self._models_folder,
                    announce=self._say,
                    should_stop=self._stops,
                )
            else:
                self._say("loading model")
                self._model = load_model(self._spec, models_folder=self._models_folder, should_stop=self._stops)
                self._say("running")
        return self._model

    def _say(self, phase: str) -> None:
        if self.announce is not None:
            self.announce(phase)

    def _stops(self) -> bool:
        return self.should_stop is not None and self.should_stop()

    def _ask(self, question: Callable[[LanguageModel], Any]) -> Any:
        try:
            return question(self.model)
        except ModelStopped:
            raise
        except ModelError as error:
            if self._stops():
                raise ModelStopped(str(error)) from error
            raise

    @property
    def identity(self) -> ModelIdentity:
        """Which model answers."""
        return self.model.identity

    def describe(self) -> dict[str, Any] | None:
        """Return the identity for the table `run`; None while nothing was asked."""
        model = self._model
        identity = model.known if isinstance(model, ServiceModel) else model.identity if model is not None else None
        return None if identity is None else asdict(identity)

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Scores:
        """Return the model's scores; see `LanguageModel.score`.

        Raises:
            ModelStopped: `should_stop` said so.
        """
        scores: Scores = self._ask(lambda model: model.score(prefixes, suffixes, options, lead=lead))
        return scores

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
        """Return the model's texts; see `LanguageModel.write`.

        Raises:
            ModelStopped: `should_stop` said so.
        """
        texts: list[str | None] = self._ask(
            lambda model: model.write(
                prefix,
                suffixes,
                seeds=seeds,
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                stop=stop,
                grammar=grammar,
            )
        )
        return texts

    @property
    def n_calls(self) -> int:
        """Number of calls so far for which the model was asked something that was not known."""
        return 0 if self._model is None else self._model.n_calls

    @property
    def n_situations(self) -> int:
        """Number of situations so far that the model was asked."""
        return 0 if self._model is None else self._model.n_situations

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the model's directions of some texts; see `LanguageModel.embed`."""
        rows: NDArray[np.float32] = self._ask(lambda model: model.embed(texts))
        return rows

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return self.model.count_tokens(text)

    def close(self) -> None:
        """Leave or free the model, if it was needed."""
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
