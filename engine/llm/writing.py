"""Write many texts at once: a text that ends makes room for the next one in the same pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.llm.context import UNIT_TOKENS, Context
from engine.llm.sampling import Logits, Sampler, Sampling
from engine.llm.trie import Tokens

UNPRINTABLE = {code: None for code in range(32) if chr(code) not in "\n\t"} | {127: None}


@dataclass
class _Text:
    """One text under way: its number, its sampler, the pass's row of its next logits, its last token and position."""

    number: int
    sampler: Sampler
    row: int
    position: int
    token: int = 0
    n_tokens: int = 0
    raw: bytearray = field(default_factory=bytearray)


def write_prompts(
    context: Context,
    share: Callable[[int], None],
    prompts: Sequence[Tokens],
    seeds: Sequence[int],
    start: int,
    slots: int,
    sampling: Sampling,
    check_stop: Callable[[], None],
) -> list[str | None]:
    """Return one text per prompt, None where nothing readable was written.

    Every text has its own sampler with its own seed, so its draws do not depend on the slot or on its neighbours; its
    probabilities do only through rounding in the shared passes. Equal calls give equal texts.

    Args:
        context: Its sequence 0 holds the first `start` tokens of all prompts and keeps them.
        share: Shares sequence 0 with sequences 1..n.
        prompts: Each longer than `start`.
        seeds: One per prompt.
        start: Tokens of the held prefix.
        slots: Texts under way at once, at least 1.
        sampling: How to draw and when to end.
        check_stop: Raises where the caller wants to stop; called before every pass.
    """
    waiting = deque(range(len(prompts)))
    results: list[str | None] = [None] * len(prompts)
    live: dict[int, _Text] = {}
    share(slots)
    try:
        while waiting or live:
            check_stop()
            context.batch.clear()
            for sequence, text in sorted(live.items()):
                text.row = context.batch.append([text.token], text.position, sequence, 1, wanted=True)
                text.position += 1
            for sequence in range(1, slots + 1):
                if sequence in live or not waiting or not _admits(context, prompts[waiting[0]], start):
                    continue
                number = waiting.popleft()
                sampler = Sampler(context.model, sampling, seeds[number])
                live[sequence] = _Text(number, sampler, _enter(context, sequence, prompts[number], start), 0)
                live[sequence].position = len(prompts[number])
            logits = context.decode()
            place = np.cumsum(context.batch.wanted[: context.batch.size]) - 1
            for sequence, text in sorted(live.items()):
                if _goes_on(context, text, logits[place[text.row]], sampling):
                    continue
                results[text.number] = clean_text(bytes(text.raw), sampling.stop)
                text.sampler.close()
                del live[sequence]
                _leave(context, sequence, start)
    finally:
        for text in live.values():
            text.sampler.close()
    return results


def _admits(context: Context, prompt: Tokens, start: int) -> bool:
    """Return whether a prompt may join the pass: it keeps the pass small, or the pass has no rows yet."""
    size = context.batch.size
    return size == 0 or size + len(prompt) - start <= UNIT_TOKENS


def _enter(context: Context, sequence: int, prompt: Tokens, start: int) -> int:
    """Add a prompt's own tokens to the pass and return the row of its last one."""
    first = context.batch.append(prompt[start:], start, sequence, 1, wanted=False)
    last = first + len(prompt) - start - 1
    context.batch.wanted[last] = 1
    return last


def _leave(context: Context, sequence: int, start: int) -> None:
    """Bring a sequence back to the held prefix."""
    if context.model.stateful:
        context.copy(0, sequence)
    else:
        context.cut(start, sequence)


def _goes_on(context: Context, text: _Text, logits: Logits, sampling: Sampling) -> bool:
    """Draw the next token of a text; return whether another may follow."""
    token = text.sampler.draw(logits)
    if token is None:
        return False
    text.token = token
    text.n_tokens += 1
    text.raw += context.model.piece(token)
    return text.n_tokens < sampling.max_tokens and not _stops(bytes(text.raw), sampling.stop)


def _stops(raw: bytes, stop: Sequence[str]) -> bool:
    text = raw.decode("utf-8", "ignore").lstrip()
    return any(ending in text for ending in stop if ending)


def clean_text(raw: bytes, stop: Sequence[str]) -> str | None:
    """Return what was written up to the first stop text, or None where nothing readable is left.

    Space around the text, bytes that are no UTF-8 and unprintable control characters are dropped.
    """
    text = raw.decode("utf-8", "ignore").translate(UNPRINTABLE).lstrip()
    ends = [text.index(ending) for ending in stop if ending and ending in text]
    return text[: min(ends, default=len(text))].strip() or None
