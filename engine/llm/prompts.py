"""From texts to tokens: the chat template around untrusted text, the answer's beginning, the options."""

from __future__ import annotations

import bisect
import collections
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import ContextOverflow, ModelError
from engine.llm.template import build_frame
from engine.llm.trie import Tokens, end_prefixes
from engine.llm.vocabulary import NO_TOKEN, LoadedModel

LEAST_EXTENSION = 8  # tokens that all prompts must share beyond the caller's prefix to be decoded with it


@dataclass(frozen=True)
class Batch:
    """Prompts of one call, without repeats, in the order in which they are computed.

    Attributes:
        prompts: Distinct token sequences, ascending, so that neighbours share the longest beginnings.
        place: Index into `prompts` for each of the caller's situations.
        stem: Tokens of the caller's prefix that all prompts share.
        start: Tokens that all prompts share and that are decoded once; at least one token of each is left.
    """

    prompts: list[Tokens]
    place: list[int]
    stem: int
    start: int

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(map(len, self.prompts))


class PromptBuilder:
    """Turns texts into tokens for one model."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        frame = build_frame(model.template, model.spelling(model.bos), model.spelling(model.eos))
        self.head = model.tokenize(frame.head, special=True)
        self.tail = model.tokenize(frame.tail, special=True)
        if model.adds_bos and self.head[:1] != (model.bos,):
            self.head = (model.bos, *self.head)

    def build_batch(self, prefix: str, suffixes: Sequence[str], lead: Tokens) -> Batch:
        """Tokenise prefix + suffix of each situation inside the template, followed by `lead`."""
        model = self.model
        prompts = [(*self.head, *model.plain_tokens(prefix + suffix), *self.tail, *lead) for suffix in suffixes]
        ordered = sorted(set(prompts))
        place = [bisect.bisect_left(ordered, prompt) for prompt in prompts]
        room = min(map(len, ordered)) - 1
        shared = min(shared_length(ordered[0], ordered[-1]), room)
        stem = min(shared_length((*self.head, *model.plain_tokens(prefix)), ordered[0]), shared)
        extended = len(ordered) > 1 and shared - stem >= LEAST_EXTENSION
        return Batch(ordered, place, stem, shared if extended else stem)

    def split_options(self, options: Sequence[str], lead: str) -> tuple[Tokens, list[Tokens]]:
        """Tokenise lead + option for each option, and cut off what the lead alone gives.

        Tokens may span the border between lead and option, so both are tokenised together. An option that is a
        beginning of another one gets the end token.

        Returns:
            The lead's tokens that all options keep, and one path per option.

        Raises:
            ModelError: an option without tokens of its own, or two options with the same tokens.
        """
        alone = self.model.plain_tokens(lead) if lead else ()
        joint = [self.model.plain_tokens(lead + option) for option in options]
        kept = min(shared_length(alone, tokens) for tokens in joint)
        paths = [tokens[kept:] for tokens in joint]
        times = collections.Counter(paths)
        for option, path in zip(options, paths, strict=True):
            if not path or times[path] > 1:
                raise ModelError(f"the option {option!r} has no tokens of its own in {self.model.name}; reword it")
        if self.model.end != NO_TOKEN:
            paths = end_prefixes(paths, self.model.end)
        return alone[:kept], paths


def shared_length(a: Tokens, b: Tokens) -> int:
    """Return the number of tokens with which both begin."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def check_room(batch: Batch, answer: int, limit: int, model: str) -> None:
    """Refuse prompts that do not fit the context.

    Args:
        batch: The prompts.
        answer: Tokens that the answer may take.
        limit: Tokens of the context.
        model: The model's name, for the message.

    Raises:
        ContextOverflow: naming the token counts and what to shorten.
    """
    longest = batch.longest
    if longest + answer <= limit:
        return
    own = longest - batch.stem
    if batch.stem > own:
        advice = "shorten the text that all share (instructions, options, transcript)"
    else:
        advice = "shorten the persona or the situation: show fewer persona fields or a shorter memory or transcript"
    raise ContextOverflow(
        f"a prompt of {longest:,} tokens ({batch.stem:,} shared by all, {own:,} of its own) and {answer:,} for the "
        f"answer exceed the {limit:,} tokens of {model}; {advice}, or choose a model with a longer context"
    )
