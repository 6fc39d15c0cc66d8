"""The chat template of a model, cut into what stands before and after the user's text.

Only the template's own parts are tokenised with control tokens enabled. What a persona, a message or a scenario says
goes between them and stays plain text, whatever it contains.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ModelError

SENTINEL = "MICROCOSM7f3a9c51"
LONGEST_TEMPLATE = 200_000  # characters
LONGEST_FRAME = 20_000  # characters around the user's text
WAIT_S = 20.0
RENDERER = Path(__file__).with_name("template_renderer.py")


@dataclass(frozen=True)
class Frame:
    """The text around one user message: `head` before it, `tail` after it, up to where the answer begins."""

    head: str
    tail: str


PLAIN = Frame("", "\n")  # without a template the answer begins on a new line


@functools.lru_cache(maxsize=32)
def build_frame(template: str | None, bos: str = "", eos: str = "") -> Frame:
    """Render a chat template around a sentinel and cut it there; no template gives plain text.

    The template runs in a program of its own, in Jinja's immutable sandbox, with limits on memory, time and size.

    Args:
        template: Jinja source from the model file, or None.
        bos: Text of the model's first token, as templates use it.
        eos: Text of the model's end token.

    Raises:
        ModelError: the template fails, exceeds a limit, or does not show the user's message exactly once.
    """
    if template is None:
        return PLAIN
    if len(template) > LONGEST_TEMPLATE:
        raise ModelError(
            f"the chat template has {len(template):,} characters; at most {LONGEST_TEMPLATE:,} are allowed"
        )
    text = _render_apart(template, bos, eos)
    parts = text.split(SENTINEL)
    if len(parts) != 2:
        raise ModelError(
            f"the model's chat template shows the user's message {len(parts) - 1} times instead of once; "
            "choose a model with a usual chat template"
        )
    if len(text) > LONGEST_FRAME:
        raise ModelError(f"the chat template adds {len(text):,} characters; at most {LONGEST_FRAME:,} are allowed")
    return Frame(*parts)


def _render_apart(template: str, bos: str, eos: str) -> str:
    variables = {
        "messages": [{"role": "user", "content": SENTINEL}],
        "add_generation_prompt": True,
        "enable_thinking": False,
        "bos_token": bos,
        "eos_token": eos,
    }
    request = json.dumps({"template": template, "variables": variables})
    try:
        finished = subprocess.run(
            [sys.executable, "-I", str(RENDERER)],
            input=request.encode(),
            capture_output=True,
            timeout=WAIT_S,
            check=True,
        )
        answer = json.loads(finished.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise ModelError(
            "the model's chat template exceeds its limits of time or memory; the file may be broken or hostile, "
            "choose another model"
        ) from error
    if "text" not in answer:
        raise ModelError(f"the model's chat template fails: {answer['error']}; choose a model with a usual template")
    return str(answer["text"])
