"""The studio's server: Streamlit as an ASGI application on 127.0.0.1, behind the guard, with the picture's routes."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.resources
import logging
import os
import secrets
import socket
import sys
import tomllib
import webbrowser
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware

from app.channel import Channel
from app.guard import Guard
from engine.errors import MicrocosmError, RunError

ADDRESS = "127.0.0.1"
FIRST_PORT = 8610
WARM_UP_AFTER_S = 2.5
MAIN_PAGE = Path(__file__).with_name("main.py")


def serve(workspace: Path, *, port: int | None = None, browser: bool = True, token: str | None = None) -> None:
    """Serve the studio until it is interrupted; prints the address with its launch token.

    Args:
        workspace: Folder of studies and runs.
        port: Port on 127.0.0.1; None takes the first free one from 8610 on.
        browser: Whether to open the address in the default browser.
        token: Launch token; None draws a fresh one.

    Raises:
        RunError: the port is taken.
    """
    port = _free_port(port)
    token = token or secrets.token_urlsafe(24)
    url = f"http://{ADDRESS}:{port}/?token={token}"
    os.environ["MICROCOSM_WORKSPACE"] = str(Path(workspace).expanduser().resolve())
    app = build_app(Path(workspace), token=token, port=port, open_url=url if browser else None)
    print(f"Microcosm studio: {url}\nStop it with Ctrl+C; runs that are going on keep running.", flush=True)  # noqa: T201
    # Frames go out between pages that are being computed: let the socket's thread in ten times as often as by default.
    sys.setswitchinterval(0.0005)
    app.run(config=server_options(port))


def build_app(workspace: Path, *, token: str, port: int, open_url: str | None = None) -> Any:
    """Build the ASGI application; nothing listens yet."""
    import streamlit as st

    channel = Channel(Path(workspace))

    @contextlib.asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
        opening = asyncio.get_running_loop().run_in_executor(None, _open_browser, open_url) if open_url else None
        warming = asyncio.create_task(_warm_up())
        try:
            yield {"workspace": str(workspace)}
        finally:
            warming.cancel()
            await channel.close()
            if opening is not None:
                await opening

    guard = Middleware(Guard, token=token, port=port)
    return st.App(
        str(MAIN_PAGE),
        lifespan=lifespan,
        routes=channel.routes(),
        middleware=[guard],
        on_script_error=show_script_error,
    )


def show_script_error(error: Exception) -> bool:
    """Show an unexpected error as one calm sentence; the details go to the terminal."""
    import streamlit as st

    from app.forms import safe

    logging.getLogger("microcosm.studio").error("a page failed", exc_info=error)
    expected = isinstance(error, MicrocosmError)
    words = str(error) if expected else f"This page met an error that it does not know ({type(error).__name__})."
    st.error(f"{safe(words)} Your studies and runs are untouched; the terminal shows the details.")
    return True


async def _warm_up() -> None:
    """Load what the pages after the first one need, once the first one is out, so that they answer at once."""
    await asyncio.sleep(WARM_UP_AFTER_S)
    for name in (
        "engine.registry",
        "plotly.graph_objects",
        "scipy.sparse.csgraph",
        "engine.reports",
        "matplotlib.figure",
    ):
        await asyncio.to_thread(importlib.import_module, name)
    await asyncio.to_thread(importlib.import_module("engine.registry").discover)


def server_options(port: int) -> dict[str, Any]:
    """Return Streamlit's options: local only, no statistics, no links to the web, our theme."""
    return {
        "server.address": ADDRESS,
        "server.port": port,
        "server.headless": True,
        "server.allowedHosts": [ADDRESS, "localhost"],
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.showEmailPrompt": False,
        # A full collection after each tick would hold up the frames for a fifth of a second; Python collects by itself.
        "runner.postScriptGC": False,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": ADDRESS,
        "client.showErrorLinks": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "viewer",
        "logger.hideWelcomeMessage": True,
        **theme_options(),
    }


def theme_options() -> dict[str, Any]:
    """Return the theme file as Streamlit options, for example `theme.light.primaryColor`."""
    text = (importlib.resources.files("assets") / "style" / "theme.toml").read_text(encoding="utf-8")
    return dict(_flat("", tomllib.loads(text)))


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value


def _free_port(port: int | None) -> int:
    for candidate in [port] if port else [*range(FIRST_PORT, FIRST_PORT + 20), 0]:
        with socket.socket() as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RunError(f"port {port} on {ADDRESS} is taken; choose another one with --port, or leave it out")


def _open_browser(url: str) -> None:
    webbrowser.open(url)
