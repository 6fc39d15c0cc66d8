"""What the tests of the model service need: a model that waits, and the ends of services."""

from __future__ import annotations

import os
import signal
import threading
import time

from engine.errors import ModelError
from engine.llm import ScriptedModel, client
from engine.llm.service_wire import read_endpoint


def stop_services(folder):
    for path in folder.glob("service-*.json"):
        endpoint = read_endpoint(folder, path.stem.removeprefix("service-"))
        if endpoint is not None and endpoint.pid != os.getpid():
            os.kill(endpoint.pid, signal.SIGKILL)
    for process in client._started:
        process.wait(timeout=20)


def pid_of(cache):
    (path,) = cache.glob("service-*.json")
    return read_endpoint(cache, path.stem.removeprefix("service-")).pid


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Gated(ScriptedModel):
    """A scripted model that waits in each call until it is let through, and can be told to fail.

    Attributes:
        gate: Set to let calls through.
        entered: Set when a call has begun.
        batches: Suffixes of each call.
        refuse: A suffix that makes a call fail.
    """

    def __init__(self, should_stop=None):
        super().__init__()
        self.gate, self.entered = threading.Event(), threading.Event()
        self.should_stop, self.batches, self.refuse = should_stop, [], None
        self.gate.set()

    def _wait(self, suffixes):
        self.batches.append(list(suffixes))
        self.entered.set()
        while not self.gate.wait(0.01):
            if self.should_stop is not None and self.should_stop():
                raise ModelError("stopped")
        if self.refuse in suffixes:
            raise ModelError(f"cannot answer {self.refuse!r}")

    def score(self, prefixes, suffixes, options, *, lead=""):
        self._wait(suffixes)
        return super().score(prefixes, suffixes, options, lead=lead)

    def write(self, prefix, suffixes, **settings):
        self._wait(suffixes)
        return super().write(prefix, suffixes, **settings)
