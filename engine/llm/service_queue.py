"""What the model service has still to ask: every distinct question once, whoever asks it, in groups.

Requests of several clients share questions. A question waits in the group of all that have the same shared text,
options and settings, since those can be asked in one call of the model.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import MicrocosmError
from engine.llm.protocol import FloatArray
from engine.llm.service_wire import concatenate, pack

CHUNK = 128
"""Questions in one call of the model; each call's answers are committed before the next, so a crash loses no more."""
WINDOW_S = 0.004  # how long a question waits for those of other clients
PROGRESS_S = 0.5


@dataclass(frozen=True)
class Group:
    """What questions must share to be asked in one call.

    Attributes:
        kind: Whether options are scored or texts are written.
        prefixes: Shared text; several variants for the orders of listing.
        options: Option texts, none for written texts.
        lead: Beginning of the answer.
        max_tokens, temperature, top_p, stop, grammar: Settings of the sampler, for written texts.
    """

    kind: Literal["score", "write"]
    prefixes: tuple[str, ...]
    options: tuple[str, ...] = ()
    lead: str = ""
    max_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    grammar: str | None = None

    @property
    def settings(self) -> list[str]:
        """The sampler's settings as texts, for keys."""
        return [str(self.max_tokens), repr(self.temperature), repr(self.top_p), str(len(self.stop)), *self.stop] + (
            [] if self.grammar is None else ["grammar", self.grammar]
        )


@dataclass(eq=False)
class Request:
    """One call of a client.

    Attributes:
        number: The client's number for it.
        group: What its questions share.
        keys: Key of each question, in the client's order; equal ones are one question.
        may_load: Whether the client allows a model to be loaded.
        tell: Sends a frame to the client.
        values: Answers that are there.
        asked: Keys for which the model was asked on behalf of this request.
    """

    number: int
    group: Group
    keys: list[bytes]
    may_load: bool
    tell: Callable[[bytes], None]
    values: dict[bytes, bytes] = field(default_factory=dict)
    asked: set[bytes] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)
    told: float = 0.0
    n_found: int = 0

    def answer(self) -> bytes:
        """Return the frame with all answers."""
        cached = np.zeros(len(self.keys), "|b1")
        fresh = set(self.asked)
        for place, key in enumerate(self.keys):
            cached[place] = key not in fresh
            fresh.discard(key)
        head = {"op": "answer", "id": self.number, "calls": int(bool(self.asked)), "asked": len(self.asked)}
        if self.group.kind == "write":
            texts = [json.loads(self.values[key]) for key in self.keys]
            return pack({**head, "texts": texts}, {"cached": cached})
        rows = [decode_scores(self.values[key], len(self.group.options)) for key in self.keys]
        width = len(self.group.options)
        logp, raw = concatenate([row[0] for row in rows], width), concatenate([row[1] for row in rows], width)
        mass = np.array([row[2] for row in rows], "<f8")
        return pack(head, {"logp": logp, "raw": raw, "mass": mass, "cached": cached})

    def progress(self) -> bytes:
        """Return the frame that tells how far the request is."""
        done, n = len(self.values), len(set(self.keys))
        rate = (done - self.n_found) / max(time.monotonic() - self.began, 1e-6)
        return pack({"op": "progress", "id": self.number, "phase": "asking", "done": done, "of": n, "rate": rate})

    def failure(self, error: MicrocosmError) -> bytes:
        """Return the frame that tells of an error."""
        return pack({"op": "error", "id": self.number, "error": type(error).__name__, "text": str(error)})


@dataclass(eq=False)
class Question:
    """One distinct question and the requests that wait for its answer; the first one counts as having asked."""

    key: bytes
    group: Group
    suffix: str
    seed: int
    waiters: list[Request]


class QuestionQueue:
    """Questions without an answer; used by the threads of all clients and by the one that asks the model."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: dict[bytes, Question] = {}
        self._waiting: OrderedDict[Group, deque[Question]] = OrderedDict()
        self.n_clients = 0

    def submit(
        self, request: Request, found: Mapping[bytes, bytes], suffixes: Sequence[str], seeds: Sequence[int]
    ) -> None:
        """Take in a request; it is answered at once where nothing is missing.

        Args:
            request: The request.
            found: Answers that the cache held.
            suffixes: What is particular to each question.
            seeds: Seed of each written text.
        """
        with self._changed:
            request.values |= found
            request.n_found = len(request.values)
            for key, suffix, seed in zip(request.keys, suffixes, seeds, strict=True):
                if key in request.values:
                    continue
                question = self._open.get(key)
                if question is None:
                    question = Question(key, request.group, suffix, seed, [])
                    self._open[key] = question
                    self._waiting.setdefault(request.group, deque()).append(question)
                if request not in question.waiters:
                    question.waiters.append(request)
            self._changed.notify_all()
            complete = len(request.values) == len(set(request.keys))
        if complete:
            request.tell(request.answer())

    def cancel(self, request: Request) -> None:
        """Forget a request: what nobody else waits for is not asked."""
        with self._changed:
            for question in self._open.values():
                if request in question.waiters:
                    question.waiters.remove(request)

    def take(self, wait_s: float) -> list[Question]:
        """Return questions of one group, at most `CHUNK`; none after `wait_s` without any."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(wait_s)
            if not self._waiting:
                return []
            if self.n_clients > 1:
                self._changed.wait(WINDOW_S)
            while self._waiting:
                group, questions = next(iter(self._waiting.items()))
                taken: list[Question] = []
                while questions and len(taken) < CHUNK:
                    question = questions.popleft()
                    if question.waiters:
                        taken.append(question)
                    else:
                        del self._open[question.key]
                if questions:
                    self._waiting.move_to_end(group)
                else:
                    del self._waiting[group]
                if taken:
                    return taken
            return []

    def is_wanted(self, questions: Sequence[Question]) -> bool:
        """Tell whether someone still waits for one of the questions."""
        return any(question.waiters for question in questions)

    def waiters(self, questions: Sequence[Question]) -> list[Request]:
        """Return the requests that wait for some questions."""
        with self._changed:
            return list({id(request): request for question in questions for request in question.waiters}.values())

    def finish(self, questions: Sequence[Question], values: Mapping[bytes, bytes]) -> None:
        """Hand out committed answers."""
        frames: list[tuple[Request, bytes]] = []
        now = time.monotonic()
        with self._changed:
            touched: dict[int, Request] = {}
            for question in questions:
                del self._open[question.key]
                for place, request in enumerate(question.waiters):
                    request.values[question.key] = values[question.key]
                    if place == 0:
                        request.asked.add(question.key)
                    touched[id(request)] = request
            for request in touched.values():
                if len(request.values) == len(set(request.keys)):
                    frames.append((request, request.answer()))
                elif now - request.told >= PROGRESS_S:
                    request.told = now
                    frames.append((request, request.progress()))
        for request, frame in frames:
            request.tell(frame)

    def fail(self, questions: Sequence[Question], error: MicrocosmError) -> None:
        """End the requests that wait for some questions with an error."""
        failed = self.waiters(questions)
        for request in failed:
            self.cancel(request)
        with self._changed:
            for question in questions:
                self._open.pop(question.key, None)
        for request in failed:
            request.tell(request.failure(error))

    def put_back(self, questions: Sequence[Question]) -> None:
        """Let questions wait again whose call was stopped; those that nobody waits for are forgotten."""
        with self._changed:
            for question in questions:
                if question.waiters:
                    self._waiting.setdefault(question.group, deque()).append(question)
                else:
                    self._open.pop(question.key, None)


def encode_scores(logp: FloatArray, raw: FloatArray, mass: float) -> bytes:
    """Return the scores of one situation as bytes: float64, exact."""
    return np.concatenate([logp, raw, [mass]]).astype("<f8").tobytes()


def decode_scores(value: bytes, n_options: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return (logp, raw, mass) of `encode_scores`."""
    numbers = np.frombuffer(value, "<f8")
    return numbers[:n_options], numbers[n_options : 2 * n_options], float(numbers[-1])
