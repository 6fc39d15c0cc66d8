"""Build the text that a language model reads: shared before particular.

Order of the parts: preamble, question and options (the prefix, the same for all); then announcement, free texts
such as a transcript, persona, and what the agent observes (the suffix).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.decision import Decision, Integers, Writing
from engine.errors import DecisionError

TEXT_LIMIT = 20_000


def render_preamble(preamble: str, params: Any) -> str:
    """Fill the scenario's parameters into its preamble.

    Raises:
        DecisionError: the preamble refers to something that is not a parameter.
    """
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    try:
        return environment.from_string(preamble).render(params=params)[:TEXT_LIMIT].strip()
    except TemplateError as error:
        raise DecisionError(f"the preamble cannot be filled in: {error}") from error


def build_prefix(ask: Decision | Writing, preamble: str, options: Sequence[str] = ()) -> str:
    """Return the shared part of a prompt, with the options listed in the given order."""
    parts = [preamble] if preamble else []
    parts.append(ask.question.strip())
    if isinstance(ask, Decision):
        if isinstance(ask.answer, Integers):
            unit = f" ({ask.unit})" if ask.unit else ""
            parts.append(f"Answer with one whole number from {ask.answer.low} to {ask.answer.high}{unit}.")
        else:
            parts.append("Possible answers: " + "; ".join(options) + ".")
    return "\n".join(parts) + "\n\n"


def build_suffix(
    ask: Decision | Writing,
    announcement: str,
    texts: Mapping[str, str],
    persona: Sequence[str],
    seen: Mapping[str, str],
) -> str:
    """Return the particular part of a prompt.

    Args:
        ask: The decision or writing.
        announcement: Text of the last broadcast that reached the agent, or an empty string.
        texts: Free texts by name, in order; empty ones are left out.
        persona: One sentence per persona field.
        seen: Words of each shown observation column, in order.
    """
    lines = [f"Announcement: {announcement}"] if announcement else []
    for name, text in texts.items():
        if text:
            lines.append(f"{ask.labels.get(name, name.replace('_', ' ').capitalize())}:\n{text}")
    if persona:
        lines.append(" ".join(persona))
    lines += [f"{ask.labels.get(name, name.replace('_', ' ').capitalize())}: {text}." for name, text in seen.items()]
    return "\n".join(lines) + "\n"
