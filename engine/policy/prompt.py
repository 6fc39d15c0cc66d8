"""Build the text that a language model reads: shared before particular.

Order of the parts: preamble, question and options (the prefix, the same for all); then announcement, free texts
such as a transcript, persona, and what the agent observes (the suffix). Options that differ by agent come last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.decision import Decimals, Decision, Integers, Items, MultiSelect, Ranking, Writing
from engine.errors import DecisionError

TEXT_LIMIT = 20_000
REASON_LINE = "Give your reason in one short sentence, without naming your answer."
YES_NO = ("yes", "no")


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
        parts += _ask_for(ask, options)
    return "\n".join(parts) + "\n\n"


def _ask_for(ask: Decision, options: Sequence[str]) -> list[str]:
    unit = f" ({ask.unit})" if ask.unit else ""
    listed = "; ".join(options) + "."
    match ask.answer:
        case Integers(low=low, high=high):
            return [f"Answer with one whole number from {low} to {high}{unit}."]
        case Decimals(low=low, high=high, step=step):
            first, last = ask.answer.texts[0], ask.answer.texts[-1]
            return [f"Answer with one number from {first} to {last}{unit} in steps of {step:g}."]
        case MultiSelect():
            return [f"Answers of which any number may apply: {listed}"]
        case Ranking():
            return [f"Answers to put in order: {listed}", "Answer with the one that you put first."]
        case Items():
            return []
        case _:
            return [f"Possible answers: {listed}"]


def list_items(texts: Sequence[str]) -> str:
    """Return the last line of a prompt whose options differ by agent."""
    return "Possible answers: " + "; ".join(texts) + ".\n"


def ask_option(text: str) -> str:
    """Return the last line of a prompt that asks whether one option of a set applies."""
    return f"Does this answer apply: {text}? Answer yes or no.\n"


def ask_reason(prefix: str) -> str:
    """Return a prefix that asks for a reason: the line stands before the blank line that ends the prefix."""
    return prefix.removesuffix("\n\n") + f"\n{REASON_LINE}\n\n"


def show_reason(reason: str) -> str:
    """Return the last line of a prompt that is scored after a reason."""
    return f"Your reason: {reason}\n"


def order_options(options: Sequence[str], order: str) -> list[tuple[str, ...]]:
    """Return the orders in which options are listed, the declared one first.

    Args:
        options: Texts in their declared order.
        order: forward, both (and reversed), or rotations (each option first once).
    """
    declared = tuple(options)
    if order == "both":
        return [declared, declared[::-1]]
    if order == "rotations":
        return [declared[place:] + declared[:place] for place in range(len(declared))]
    return [declared]


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
