"""A language model that lives in the workspace's model service; the service is started by the first who asks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError, ModelStopped
from engine.llm.models import POCKET, find_model, pocket_path
from engine.llm.protocol import ModelIdentity, Scores
from engine.llm.service_wire import VERSION, Frames, Message, error_from, pack, read_endpoint
from engine.spec import ModelSpec

IDLE_NAME, CACHE_NAME = "MICROCOSM_MODEL_IDLE_S", "MICROCOSM_CACHE_MB"
SETTINGS = {"file", "url", "name", "api", "timeout_s", "max_concurrent", "n_ctx", "gpu_layers"}
"""What sets one service of a model apart from another."""
LOOK_S = 0.05
START_S = 60.0
ATTEMPTS = 3
"""How often one question is put before a service that dies over it counts as broken."""
_started: list[subprocess.Popen[bytes]] = []


def connect_model(
    spec: ModelSpec,
    cache_folder: Path,
    *,
    models_folder: Path | None = None,
    announce: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ServiceModel:
    """Return a model that is asked through the workspace's service; nothing is started before the first question.

    Args:
        spec: The study's model.
        cache_folder: The workspace's cache folder, where services meet and answers are kept.
        models_folder: The workspace's model folder.
        announce: Called with a phrase while one waits: "loading model", "asking the model: 128 of 512 (40 per second)".
        should_stop: Asked about twenty times a second while one waits; True ends the call with `ModelStopped`.
    """
    return ServiceModel(spec, cache_folder, models_folder, announce, should_stop)


class ServiceModel:
    """A language model behind the service of a workspace; one caller at a time.

    Attributes:
        n_calls: Calls for which the model itself was asked something.
        n_situations: Situations and texts that the model was asked on behalf of this client; the others were known, or
            somebody else asked them at the same time.
        notices: What the service had to say, for example that a damaged cache was set aside.
    """

    def __init__(
        self,
        spec: ModelSpec,
        cache_folder: Path,
        models_folder: Path | None = None,
        announce: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.n_calls = 0
        self.n_situations = 0
        self.notices: list[str] = []
        self.announce, self.should_stop = announce, should_stop
        self._spec, self._folder, self._models_folder = spec, cache_folder, models_folder
        self._socket: socket.socket | None = None
        self._frames = Frames()
        self._inbox: deque[Message] = deque()
        self._number = 0
        self._said = ""
        self._identity: ModelIdentity | None = None
        self._lock = threading.Lock()

    @property
    def known(self) -> ModelIdentity | None:
        """Which model answers, None before the service was asked anything."""
        return self._identity

    @property
    def identity(self) -> ModelIdentity:
        """Which model answers; asks the service at first."""
        with self._lock:
            if self._identity is None:
                self._retry(None)
            assert self._identity is not None
            return self._identity

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Scores:
        """Return the log probability of every option in every situation; see `LanguageModel.score`."""
        variants = [prefixes] if isinstance(prefixes, str) else list(prefixes)
        if not variants:
            raise ModelError("no prefix was given; give one, or two that list the options forward and in reverse")
        head = {"op": "score", "prefixes": variants, "suffixes": list(suffixes), "options": list(options), "lead": lead}
        arrays = self._ask(head).arrays
        return Scores(list(arrays["logp"]), list(arrays["raw"]), arrays["mass"], tuple(arrays["cached"].tolist()))

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
        head: dict[str, Any] = {"op": "write"}
        head |= {"prefix": prefix, "suffixes": list(suffixes), "seeds": [int(seed) for seed in seeds]}
        head |= {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "stop": list(stop)}
        head["grammar"] = grammar
        texts = self._ask(head).header["texts"]
        return [None if text is None else str(text) for text in texts]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one direction per text, float32 of shape (n_texts, width); see `LanguageModel.embed`."""
        return np.asarray(self._ask({"op": "embed", "texts": list(texts)}).arrays["rows"], np.float32)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, without the template."""
        return int(self._ask({"op": "count", "text": text}).header["tokens"])

    def close(self) -> None:
        """Leave the service, which ends some seconds after its last client has left."""
        with self._lock:
            self._disconnect()

    # -- one question ----------------------------------------------------------------------------------------------

    def _ask(self, head: Mapping[str, Any]) -> Message:
        """Return the answer to one message.

        Raises:
            ModelStopped: `should_stop` said so.
            ModelError: what the model refused, or a service that died over the same question again and again.
        """
        with self._lock:
            self._number += 1
            may_load = os.environ.get("MICROCOSM_NO_MODEL") != "1"
            try:
                answer = self._retry(pack({**head, "id": self._number, "load": may_load}))
            finally:
                if self._said and self.announce is not None:
                    self.announce("running")
                self._said = ""
            self.n_calls += int(answer.header.get("calls", 0))
            self.n_situations += int(answer.header.get("asked", 0))
            return answer

    def _retry(self, frame: bytes | None) -> Message:
        for _ in range(ATTEMPTS):
            try:
                self._connect()
                return self._exchange(frame) if frame is not None else Message({})
            except (OSError, EOFError, ValueError):
                self._disconnect()
            except BaseException as error:
                if isinstance(error, ModelStopped) or not isinstance(error, ModelError):
                    self._disconnect()  # which tells the service that nobody waits any more
                raise
        raise ModelError(
            f"the model service ended {ATTEMPTS} times over the same question to '{self._spec.label}'; perhaps memory "
            f"is short. {self._log_path()} says more; resume the run to try again, no answer is lost"
        )

    def _exchange(self, frame: bytes) -> Message:
        assert self._socket is not None
        self._socket.settimeout(None)
        self._socket.sendall(frame)
        for message in self._messages():
            if message.header.get("id") == self._number:
                if message.op == "answer":
                    return message
                if message.op == "error":
                    raise error_from(message.header)
                if message.op == "progress":
                    self._tell(message.header)
        raise EOFError

    def _messages(self) -> Iterator[Message]:
        """Yield what the service says, for as long as it lives and nobody wants to stop."""
        assert self._socket is not None
        self._socket.settimeout(LOOK_S)
        while True:
            while self._inbox:
                message = self._inbox.popleft()
                if message.op == "notice":
                    self.notices.append(str(message.header.get("text", "")))
                yield message
            self._check_stop()
            try:
                received = self._socket.recv(1 << 18)
            except TimeoutError:
                continue
            if not received:
                return
            self._inbox += self._frames.feed(received)

    def _check_stop(self) -> None:
        if self.should_stop is not None and self.should_stop():
            raise ModelStopped("asking the language model was stopped on request; what it had answered is kept")

    def _tell(self, head: Mapping[str, Any]) -> None:
        if head.get("phase") == "asking":
            phrase = "asking the model"
            if "of" in head:
                phrase += f": {int(head['done']):,} of {int(head['of']):,} ({float(head['rate']):.3g} per second)"
        else:
            phrase = "loading model"
        self._say(phrase)

    def _say(self, phrase: str) -> None:
        if self.announce is not None and phrase != self._said:
            self.announce(phrase)
        self._said = phrase

    # -- the connection --------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Be connected to the service, started if need be, and know its model.

        Raises:
            OSError: it ended meanwhile.
            EOFError: likewise.
            ModelError: it cannot be started, or its model is refused.
        """
        if self._socket is not None:
            return
        model = resolve_model(self._spec, self._models_folder)
        name = service_name(model)
        endpoint = read_endpoint(self._folder, name)
        if endpoint is not None:
            with contextlib.suppress(OSError):
                self._greet(endpoint.connect(), endpoint.token)
                return
        self._say("starting the model service")
        with self._starting(name):
            endpoint = read_endpoint(self._folder, name)
            if endpoint is not None:
                with contextlib.suppress(OSError):
                    self._greet(endpoint.connect(), endpoint.token)
                    return
            self._start(model, name)

    def _greet(self, connection: socket.socket, token: str) -> None:
        self._socket, self._frames, self._inbox = connection, Frames(), deque()
        try:
            connection.sendall(pack({"op": "hello", "version": VERSION, "token": token}))
            self._await_welcome()
        except BaseException:
            self._disconnect()
            raise

    def _await_welcome(self) -> None:
        for message in self._messages():
            if message.op == "welcome":
                self._identity = ModelIdentity(**message.header["identity"])
                self.notices += [text for text in message.header["notices"] if text not in self.notices]
                return
            if message.op == "error":
                raise error_from(message.header)
        raise ConnectionResetError("the model service ended")

    def _start(self, model: ModelSpec, name: str) -> None:
        process = self._spawn(model, name)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            self._check_stop()
            endpoint = read_endpoint(self._folder, name)
            if endpoint is not None and endpoint.pid == process.pid:
                self._greet(endpoint.connect(), endpoint.token)
                return
            if process.poll() is not None:
                break
            time.sleep(LOOK_S)
        raise ModelError(
            f"the model service did not start ({self._last_words(name)}); read {self._log_path(name)}, or set "
            "MICROCOSM_MODEL_SERVICE=0 to hold the model in the run's own worker"
        )

    def _spawn(self, model: ModelSpec, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "engine.llm.service", "--folder", str(self._folder.absolute())]
        command += ["--name", name, "--spec", model.model_dump_json()]
        if self._models_folder is not None:
            command += ["--models", str(self._models_folder.absolute())]
        if IDLE_NAME in os.environ:
            command += ["--idle", str(_number_of(IDLE_NAME))]
        if CACHE_NAME in os.environ:
            command += ["--most-bytes", str(int(_number_of(CACHE_NAME) * 1e6))]
        environment = {key: value for key, value in os.environ.items() if key != "MICROCOSM_NO_MODEL"}
        try:
            with self._log_path(name).open("wb") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=environment,
                )
        except OSError as error:
            raise ModelError(f"the model service cannot be started: {error}") from error
        _started[:] = [child for child in (*_started, process) if child.poll() is None]
        return process

    @contextlib.contextmanager
    def _starting(self, name: str) -> Iterator[None]:
        """Let only one client start a service; the others wait and then find it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock_file = (self._folder / f"service-{name}.start").open("ab")
        except OSError as error:
            raise ModelError(f"the cache folder {self._folder} cannot be written: {error}; free space there") from error
        with lock_file as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._check_stop()
                    time.sleep(LOOK_S)
            yield

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _log_path(self, name: str | None = None) -> Path:
        return self._folder / f"service-{name or service_name(resolve_model(self._spec, self._models_folder))}.log"

    def _last_words(self, name: str) -> str:
        with contextlib.suppress(OSError):
            lines = self._log_path(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return lines[-1][:300] if lines else "it said nothing"
        return "it left no log"


def resolve_model(spec: ModelSpec, models_folder: Path | None) -> ModelSpec:
    """Return the spec with the model's file as an absolute path, so that equal models share a service.

    Raises:
        ModelError: there is no such file.
    """
    if spec.url is not None or spec.file == POCKET:
        return spec
    return spec.model_copy(update={"file": str(find_model(spec.file, models_folder).resolve())})


def service_name(model: ModelSpec) -> str:
    """Return the name of the service of a resolved model: one per file (path, size, time of change) and settings."""
    parts: list[Any] = [VERSION, model.model_dump(mode="json", include=SETTINGS)]
    if model.url is None:
        path = pocket_path() if model.file == POCKET else Path(model.file)
        with contextlib.suppress(OSError):
            stat = path.stat()
            parts += [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _number_of(name: str) -> float:
    try:
        number = float(os.environ[name])
    except ValueError:
        number = np.nan
    if not number >= 0:
        raise ModelError(f"{name} = {os.environ[name]!r} is not a number of 0 or more; correct or unset it")
    return number
