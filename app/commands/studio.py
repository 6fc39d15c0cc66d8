"""`microcosm studio`: the pages in the browser."""

from __future__ import annotations

from argparse import Namespace

from engine.errors import RunError
from engine.runs import open_workspace


def open_studio(arguments: Namespace) -> int:
    """Serve the studio on 127.0.0.1 until it is interrupted.

    Raises:
        RunError: the port is not one that a program may listen on.
    """
    from app.server import serve

    if arguments.port is not None and not 1 <= arguments.port <= 65535:
        raise RunError(f"port {arguments.port} is not in [1, 65535] @ --port")
    serve(open_workspace(arguments.workspace).path, port=arguments.port, browser=not arguments.no_browser)
    return 0
