"""Talk to a model server over HTTP: consent, key, limits, retries, and answers that are checked before use."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.errors import ContextOverflow, ModelError, ServerError
from engine.spec import ModelSpec

KEY_NAME = "MICROCOSM_API_KEY"
CONSENT_NAME = "allowed_servers.json"
TRIES = 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LOOK_S = 0.05
MOST_BYTES = 64 * 2**20
SHOWN = 200
RETRIED = (408, 429, 500, 502, 503, 504)


def is_loopback(url: str) -> bool:
    """Tell whether a server runs on this computer, by its written address alone: no name is looked up."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def allow_server(workspace: Path, url: str) -> None:
    """Note that the user lets texts of this workspace go to a server beyond this computer."""
    allowed = sorted({*allowed_servers(workspace), origin_of(url)})
    (workspace / CONSENT_NAME).write_text(json.dumps(allowed, indent=1) + "\n", encoding="utf-8")


def allowed_servers(workspace: Path) -> list[str]:
    """Return the servers to which texts of this workspace may go."""
    try:
        held = json.loads((workspace / CONSENT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(origin) for origin in held] if isinstance(held, list) else []


def needs_consent(url: str, workspace: Path | None) -> bool:
    """Tell whether a server is beyond this computer and not yet allowed in a workspace."""
    return not (is_loopback(url) or (workspace is not None and origin_of(url) in allowed_servers(workspace)))


def check_consent(url: str, workspace: Path | None) -> None:
    """Refuse a server beyond this computer that the user has not allowed; a study alone cannot allow one.

    Raises:
        ModelError: says what would happen and how to allow it.
    """
    if not needs_consent(url, workspace):
        return
    raise ModelError(
        f"model.url = '{url}' is not on this computer: texts of personas and situations would leave it. If that is "
        "allowed for these data, say so where the studio asks, or run, resume or fork once with --allow-remote; "
        "the workspace remembers this server"
    )


class ServerClient:
    """One server; answers questions in parallel, at most `max_concurrent` at once.

    Attributes:
        url: The server's address.
        should_stop: Asked while one waits; True ends the questions under way with a ModelError.
    """

    def __init__(self, spec: ModelSpec, should_stop: Callable[[], bool] | None = None) -> None:
        import httpx

        assert spec.url is not None
        self.url, self.should_stop = spec.url.rstrip("/"), should_stop
        self._timeout_s = spec.timeout_s
        key = os.environ.get(KEY_NAME, "")
        self._has_key = bool(key)
        self._http = httpx.Client(
            timeout=httpx.Timeout(spec.timeout_s, connect=min(10.0, spec.timeout_s)),
            limits=httpx.Limits(max_connections=spec.max_concurrent),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            trust_env=not is_loopback(spec.url),
            follow_redirects=False,
        )
        self._pool = ThreadPoolExecutor(spec.max_concurrent, thread_name_prefix="server")
        self._given_up = False

    def close(self) -> None:
        """Close all connections."""
        self._given_up = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def ask(self, path: str, body: dict[str, Any] | None = None, *, tries: int = TRIES) -> dict[str, Any]:
        """Return the server's answer to one question, a JSON object.

        Args:
            path: Path below the server's address, for example "/v1/completions".
            body: What is posted; None gets the path instead.
            tries: How often it is tried where the server is busy or gone.

        Raises:
            ContextOverflow: the server says that the prompt is too long.
            ServerError: it does not answer, refuses, or answers what is no JSON object.
        """
        said = ""
        for number in range(tries):
            if number:
                self._pause(min(FIRST_PAUSE_S * 2 ** (number - 1), LONGEST_PAUSE_S))
            self._check_stop()
            said, found = self._try(path, body)
            if found is not None:
                return found
        again = "" if tries == 1 else f" after {tries} tries"
        raise ServerError(
            f"the model server {self.url} does not answer{again}: {said}; see whether it runs, then resume the run: "
            "no answer is lost"
        )

    def ask_all(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers to several questions, in their order; the first failure ends all.

        Raises:
            ServerError: as with `ask`.
            ModelError: `should_stop` said so.
        """
        if len(bodies) == 1:
            return [self.ask(path, bodies[0])]
        futures: list[Future[dict[str, Any]]] = [self._pool.submit(self.ask, path, body) for body in bodies]
        try:
            waiting = set(futures)
            while waiting:
                self._check_stop()
                done, waiting = wait(waiting, LOOK_S)
                for future in done:
                    future.result()
        finally:
            for future in futures:
                future.cancel()
        return [future.result() for future in futures]

    def _try(self, path: str, body: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
        """Return the answer, or what speaks for another try."""
        import httpx

        try:
            target = self.url + path
            response = self._http.get(target) if body is None else self._http.post(target, json=body)
        except httpx.TimeoutException:
            return f"no answer within {self._timeout_s:g} s", None
        except (httpx.TransportError, RuntimeError) as error:
            return f"{type(error).__name__}", None
        if response.status_code in RETRIED:
            self._wait_as_told(response.headers.get("Retry-After", ""))
            return f"status {response.status_code}: {_shown(response.text)}", None
        if response.status_code != 200:
            raise self._refusal(response.status_code, response.text)
        if len(response.content) > MOST_BYTES:
            raise ServerError(f"the model server {self.url} answered {len(response.content):,} bytes, too many to read")
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServerError(
                f"the model server {self.url} answered what is no JSON object: {_shown(response.text)}; see whether "
                "model.url is the address of a server with OpenAI's completions"
            )
        return "", found

    def _refusal(self, status: int, text: str) -> ModelError:
        if status in (401, 403):
            held = "the key in it" if self._has_key else "no key, since it is not set"
            return ServerError(f"the model server {self.url} refuses (status {status}); {KEY_NAME} gave {held}")
        lowered = text.lower()
        if status == 400 and "context" in lowered and ("length" in lowered or "exceed" in lowered or "size" in lowered):
            return ContextOverflow(f"a prompt is too long for the model server {self.url}: {_shown(text)}; shorten it")
        return ServerError(f"the model server {self.url} refuses (status {status}): {_shown(text)}")

    def _wait_as_told(self, text: str) -> None:
        if text.strip().isdigit():
            self._pause(min(float(text), LONGEST_PAUSE_S))

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._check_stop()
            time.sleep(min(left, LOOK_S))

    def _check_stop(self) -> None:
        if self._given_up or (self.should_stop is not None and self.should_stop()):
            raise ModelError(f"asking the model server {self.url} was stopped")


def _shown(text: str) -> str:
    """Return the beginning of what a server said, printable and on one line."""
    return "".join(character if character.isprintable() else " " for character in text[:SHOWN]).strip() or "nothing"
