"""The model service: one program that holds a language model for all runs, interviews and playgrounds of a workspace.

Started by the first client as `python -P -m engine.llm.service ...`, it answers over a local socket, asks every
distinct question once, keeps the answers in the workspace's cache, loads the model at the first question that the
cache cannot answer, and ends some seconds after its last client has left or when the workspace is gone. It writes no
prompt, no answer and no key to its log.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hmac
import json
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from engine.errors import MicrocosmError, ModelError
from engine.llm.cache import MOST_BYTES, AnswerCache, score_keys, text_keys
from engine.llm.models import identify_model, load_model
from engine.llm.protocol import LanguageModel, ModelIdentity
from engine.llm.scripted import check_options, check_writing
from engine.llm.service_queue import Group, Question, QuestionQueue, Request, encode_scores
from engine.llm.service_wire import (
    VERSION,
    Endpoint,
    Frames,
    Message,
    endpoint_path,
    listen,
    pack,
    read_endpoint,
    write_endpoint,
)
from engine.spec import ModelSpec

IDLE_S = 10.0
"""Pause after the last client has left, before the service ends."""
LOOK_S = 0.25
LOCK_WAIT_S = 10.0
HELLO_WAIT_S = 10.0
LONGEST_QUEUE = 10_000  # frames that wait for a client that does not read
EXIT_TAKEN = 3


class Service:
    """One model and its clients."""

    def __init__(
        self,
        spec: ModelSpec,
        folder: Path,
        name: str,
        *,
        models_folder: Path | None = None,
        idle_s: float = IDLE_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.spec, self.folder, self.name = spec, folder, name
        self.models_folder, self.idle_s = models_folder, idle_s
        self.cache = AnswerCache(folder, most_bytes=most_bytes)
        self.queue = QuestionQueue()
        self.stopping = False
        self._identity: ModelIdentity | None = None
        self._identity_lock = threading.Lock()
        self._model: LanguageModel | None = None
        self._model_lock = threading.Lock()
        self._asking: Sequence[Question] = ()
        self._was_stopped = False
        self._clients: set[Connection] = set()
        self._clients_lock = threading.Lock()
        self._left_at = time.monotonic()
        self.notices: list[str] = []

    # -- life ------------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer clients until none is left or the workspace is gone."""
        listener, endpoint = listen(self.folder, self.name)
        try:
            write_endpoint(self.folder, self.name, endpoint)
            listener.settimeout(LOOK_S)
            asker = threading.Thread(target=self._ask_on, name="model", daemon=True)
            asker.start()
            while not self.stopping and self._is_needed(endpoint):
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    self._welcome(connection, endpoint.token)
        finally:
            self.stopping = True
            if read_endpoint(self.folder, self.name) == endpoint:
                endpoint_path(self.folder, self.name).unlink(missing_ok=True)
            listener.close()
            if not endpoint.address.startswith("127.0.0.1:"):
                Path(endpoint.address).unlink(missing_ok=True)
            self._close()

    def _is_needed(self, endpoint: Endpoint) -> bool:
        if read_endpoint(self.folder, self.name) != endpoint:
            return False  # the workspace is gone, or another service has taken the place
        with self._clients_lock:
            return bool(self._clients) or time.monotonic() - self._left_at < self.idle_s

    def _close(self) -> None:
        with self._clients_lock:
            clients = list(self._clients)
        for client in clients:
            client.close()
        if self._model_lock.acquire(timeout=2.0):
            if self._model is not None:
                self._model.close()
            self._model_lock.release()
        self.cache.close()

    def _welcome(self, connection: socket.socket, token: str) -> None:
        client = Connection(self, connection, token)
        with self._clients_lock:
            self._clients.add(client)
            self.queue.n_clients = len(self._clients)
        client.start()

    def leave(self, client: Connection) -> None:
        """Forget a client that has gone."""
        with self._clients_lock:
            self._clients.discard(client)
            self.queue.n_clients = len(self._clients)
            self._left_at = time.monotonic()

    # -- the model -------------------------------------------------------------------------------------------------

    def identify(self) -> ModelIdentity:
        """Return which model answers; reads the file for its sha256, but loads nothing.

        Raises:
            ModelError: there is no such model.
        """
        with self._identity_lock:
            if self._identity is None:
                self._identity = identify_model(self.spec, self.models_folder)
            return self._identity

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    def model(self, waiting: Sequence[Request] = ()) -> LanguageModel:
        """Return the model, loaded at the first need; those who wait are told.

        Raises:
            ModelError: it cannot be loaded.
        """
        with self._model_lock:
            if self._model is None:
                for request in waiting:
                    request.tell(pack({"op": "progress", "id": request.number, "phase": "loading model"}))
                self._model = load_model(self.spec, models_folder=self.models_folder, should_stop=self._should_stop)
                for request in waiting:
                    request.tell(pack({"op": "progress", "id": request.number, "phase": "asking"}))
            return self._model

    def _should_stop(self) -> bool:
        """Tell the model whether to give up the call under way: nobody waits for it any more."""
        if self.stopping or (self._asking and not self.queue.is_wanted(self._asking)):
            self._was_stopped = True
        return self._was_stopped

    def _ask_on(self) -> None:
        while not self.stopping:
            questions = self.queue.take(LOOK_S)
            if questions:
                self._answer(questions)
            self.tell_notices()

    def tell_notices(self) -> None:
        """Tell every client, and those that come later, what the cache has noticed."""
        with self._clients_lock:
            fresh, self.cache.notices = self.cache.notices, []
            self.notices += fresh
            for notice in fresh:
                sys.stderr.write(f"{notice}\n")
                for client in self._clients:
                    client.tell(pack({"op": "notice", "text": notice}))

    def _answer(self, questions: Sequence[Question]) -> None:
        """Ask the model and hand out the answers; where a mixed call fails, each client's part stands for itself."""
        self._asking, self._was_stopped = questions, False
        try:
            values = self.cache.commit(self._ask(questions))
        except Exception as error:
            if self._was_stopped:
                self.queue.put_back(questions)
                return
            parts = _parts_by_owner(questions)
            if len(parts) > 1:
                for part in parts:
                    self._answer(part)
                return
            self.queue.fail(questions, _explain(error))
            return
        finally:
            self._asking = ()
        self.queue.finish(questions, values)

    def _ask(self, questions: Sequence[Question]) -> dict[bytes, bytes]:
        group = questions[0].group
        model = self.model(self.queue.waiters(questions))
        suffixes, keys = [question.suffix for question in questions], [question.key for question in questions]
        if group.kind == "write":
            texts = model.write(
                group.prefixes[0],
                suffixes,
                seeds=[question.seed for question in questions],
                max_tokens=group.max_tokens,
                temperature=group.temperature,
                top_p=group.top_p,
                stop=group.stop,
                grammar=group.grammar,
            )
            return {key: json.dumps(text).encode() for key, text in zip(keys, texts, strict=True)}
        prefixes = group.prefixes[0] if len(group.prefixes) == 1 else list(group.prefixes)
        scores = model.score(prefixes, suffixes, list(group.options), lead=group.lead)
        rows = zip(keys, scores.logp, scores.raw, scores.mass, strict=True)
        return {key: encode_scores(logp, raw, float(mass)) for key, logp, raw, mass in rows}


def _parts_by_owner(questions: Sequence[Question]) -> list[list[Question]]:
    parts: dict[int, list[Question]] = {}
    for question in questions:
        if question.waiters:
            parts.setdefault(id(question.waiters[0]), []).append(question)
    return list(parts.values())


def _explain(error: Exception) -> MicrocosmError:
    if isinstance(error, MicrocosmError):
        return error
    traceback.print_exc(file=sys.stderr)
    return ModelError(
        f"the model service met an unexpected {type(error).__name__}; its log in the cache folder says more"
    )


class Connection:
    """One client: a thread that reads what it asks and one that writes what it is told."""

    def __init__(self, service: Service, connection: socket.socket, token: str) -> None:
        self._service, self._socket, self._token = service, connection, token
        self._outgoing: queue.Queue[bytes | None] = queue.Queue(LONGEST_QUEUE)
        self._requests: dict[int, Request] = {}
        self._greeted = False
        self._writer = threading.Thread(target=self._write_on, daemon=True)

    def start(self) -> None:
        """Begin to read and write."""
        self._socket.settimeout(HELLO_WAIT_S)
        self._writer.start()
        threading.Thread(target=self._read_on, daemon=True).start()

    def tell(self, frame: bytes) -> None:
        """Send a frame when the client takes it; one that has stopped reading is dropped."""
        try:
            self._outgoing.put_nowait(frame)
        except queue.Full:
            self.close()

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _write_on(self) -> None:
        while (frame := self._outgoing.get()) is not None:
            try:
                self._socket.sendall(frame)
            except OSError:
                self.close()
                return

    def _read_on(self) -> None:
        frames = Frames()
        try:
            while received := self._socket.recv(1 << 16):
                for message in frames.feed(received):
                    if not self._take(message):
                        return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if not isinstance(error, OSError):
                sys.stderr.write(f"a client sent what cannot be understood ({type(error).__name__}); it is dropped\n")
        finally:
            for request in list(self._requests.values()):
                self._service.queue.cancel(request)
            with contextlib.suppress(queue.Full):
                self._outgoing.put_nowait(None)
            self.close()
            self._writer.join(HELLO_WAIT_S)
            self._socket.close()
            self._service.leave(self)

    def _take(self, message: Message) -> bool:
        """Do what a message says; False ends the connection."""
        head = message.header
        if not self._greeted:
            known = hmac.compare_digest(str(head.get("token", "")).encode(), self._token.encode())
            if message.op != "hello" or not known or head.get("version") != VERSION:
                return False
            self._greeted = True
            self._socket.settimeout(None)
            self._answer_hello()
            return True
        number = int(head.get("id", 0))
        if message.op == "count":
            threading.Thread(
                target=self._count, args=(number, str(head["text"]), bool(head["load"])), daemon=True
            ).start()
        elif message.op == "embed":
            texts = [str(text) for text in head["texts"]]
            threading.Thread(target=self._embed, args=(number, texts, bool(head["load"])), daemon=True).start()
        elif message.op in ("score", "write"):
            try:
                self._submit(number, head)
            except MicrocosmError as error:
                self.tell(pack({"op": "error", "id": number, "error": type(error).__name__, "text": str(error)}))
        else:
            return False
        return True

    def _answer_hello(self) -> None:
        try:
            identity = vars(self._service.identify())
        except MicrocosmError as error:
            self.tell(pack({"op": "error", "id": 0, "error": type(error).__name__, "text": str(error)}))
            return
        self._service.tell_notices()
        self.tell(pack({"op": "welcome", "identity": identity, "notices": self._service.notices}))

    def _count(self, number: int, text: str, may_load: bool) -> None:
        try:
            if not may_load and not self._service.is_loaded:
                raise _forbidden(self._service.spec)
            self.tell(pack({"op": "answer", "id": number, "tokens": self._service.model().count_tokens(text)}))
        except MicrocosmError as error:
            self.tell(pack({"op": "error", "id": number, "error": type(error).__name__, "text": str(error)}))

    def _embed(self, number: int, texts: list[str], may_load: bool) -> None:
        try:
            if not may_load and not self._service.is_loaded:
                raise _forbidden(self._service.spec)
            rows = self._service.model().embed(texts)
            self.tell(pack({"op": "answer", "id": number}, {"rows": rows.astype("<f8")}))
        except MicrocosmError as error:
            self.tell(pack({"op": "error", "id": number, "error": type(error).__name__, "text": str(error)}))

    def _submit(self, number: int, head: dict[str, Any]) -> None:
        service, identity = self._service, self._service.identify()
        suffixes = [str(suffix) for suffix in head["suffixes"]]
        if head["op"] == "score":
            options = tuple(str(option) for option in head["options"])
            check_options(options)
            group = Group("score", tuple(map(str, head["prefixes"])), options, str(head["lead"]))
            seeds = [0] * len(suffixes)
            keys = score_keys(identity, group.prefixes, suffixes, options, group.lead)
        else:
            seeds = [int(seed) for seed in head["seeds"]]
            sampler = (int(head["max_tokens"]), float(head["temperature"]), float(head["top_p"]))
            check_writing(suffixes, seeds, sampler[0])
            grammar = None if head.get("grammar") is None else str(head["grammar"])
            group = Group("write", (str(head["prefix"]),), (), "", *sampler, tuple(map(str, head["stop"])), grammar)
            keys = text_keys(identity, group.prefixes[0], suffixes, seeds, group.settings)
        found = service.cache.find(keys)
        request = Request(number, group, keys, bool(head["load"]), self.tell)
        if not request.may_load and len(found) < len(set(keys)):
            raise _forbidden(service.spec)
        for earlier in self._requests.values():  # a client asks one thing at a time
            service.queue.cancel(earlier)
        self._requests = {number: request}
        service.queue.submit(request, found, suffixes, seeds)


def _forbidden(spec: ModelSpec) -> ModelError:
    return ModelError(
        f"MICROCOSM_NO_MODEL=1 forbids loading the language model '{spec.label}', and the workspace's cache lacks an "
        "answer; unset it to load one"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one model and return the exit status: 0, or 3 where another service holds the place."""
    parser = argparse.ArgumentParser(prog="engine.llm.service", description="Answer for one language model.")
    parser.add_argument("--folder", type=Path, required=True, help="the workspace's cache folder")
    parser.add_argument("--name", required=True, help="name of the service there")
    parser.add_argument("--spec", required=True, help="the study's [model] as JSON")
    parser.add_argument("--models", type=Path, help="folder of model files")
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds to stay after the last client has left")
    parser.add_argument("--most-bytes", type=int, default=MOST_BYTES, help="size of the cache of answers")
    options = parser.parse_args(arguments)
    with (options.folder / f"service-{options.name}.lock").open("ab") as lock:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return EXIT_TAKEN
                time.sleep(0.05)
        service = Service(
            ModelSpec.model_validate_json(options.spec),
            options.folder,
            options.name,
            models_folder=options.models,
            idle_s=options.idle,
            most_bytes=options.most_bytes,
        )

        def stop(number: int, frame: FrameType | None) -> None:
            service.stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        service.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
