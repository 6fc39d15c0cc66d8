"""Render a chat template from standard input, as its own program with limits on memory, time and size.

Chat templates come out of model files, so they are untrusted. `engine.llm.template` starts this file by its path; it
imports nothing of the engine. Input: a JSON object of template and variables. Output: a JSON object of text or error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MEMORY_BYTES = 512 * 2**20
SECONDS = 3


def main() -> None:
    """Read a request from standard input and write the answer to standard output."""
    _limit()
    request = json.load(sys.stdin)
    try:
        answer = {"text": render(request["template"], request["variables"])}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"[:300]}
    json.dump(answer, sys.stdout)


def render(template: str, variables: dict[str, Any]) -> str:
    """Return a template's text, in Jinja's immutable sandbox."""
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(template).render(**variables)


def _limit() -> None:
    """Bound memory and processor time where the system can (not on Windows)."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    if sys.platform.startswith("linux"):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    main()
