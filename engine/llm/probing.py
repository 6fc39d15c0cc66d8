"""Try a model out: what it answers to one question, and how fast it decides and writes on this computer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.errors import ModelError
from engine.llm.protocol import LanguageModel

MOST_OPTIONS, LONGEST_PROMPT = 64, 8_000
QUESTION = "Your neighbour asks whether you will help to clean the park on Saturday. Do you help?"
OPTIONS = ("yes", "no")
N_SITUATIONS, REPEATS, WRITTEN_TOKENS = 16, 3, 24


def answer_question(model: LanguageModel, prompt: str, options: Sequence[str]) -> list[dict[str, Any]]:
    """Return option, probability, raw log probability of its text, and the captured mass, one row per option.

    The options are not listed in the prompt: the model sees the prompt alone, inside its chat template.

    Raises:
        ModelError: fewer than two options, too many, equal or empty ones, or too long a prompt.
    """
    given = [option.strip() for option in options if option.strip()]
    if not 2 <= len(given) <= MOST_OPTIONS or len(set(given)) < len(given):
        raise ModelError(f"{len(given)} options given; a question needs 2 to {MOST_OPTIONS} different ones")
    if not prompt.strip() or len(prompt) > LONGEST_PROMPT:
        raise ModelError(f"a prompt of {len(prompt):,} characters was given; 1 to {LONGEST_PROMPT:,} are allowed")
    scores = model.score("", [prompt], given)
    p = np.exp(scores.logp[0])
    return [
        {"option": option, "p": float(share), "raw_logp": float(raw), "mass": float(scores.mass[0])}
        for option, share, raw in zip(given, p, scores.raw[0], strict=True)
    ]


def measure_speed(model: LanguageModel, on_wait: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Return the model's rates on this computer, medians of three.

    Returns:
        decisions_per_s (two options, 16 situations after a shared beginning), read_tokens_per_s (tokens of those
        prompts per second, the shared beginning counted once), written_tokens_per_s (eight texts at a time), text (one
        of them), shared_tokens, own_tokens.
    """
    shared = "You are asked for your opinion on life in your town. " * 20
    deciding, writing, texts = [], [], []
    tell = on_wait or (lambda words: None)
    for repeat in range(REPEATS):
        tell(f"deciding, {repeat + 1} of {REPEATS}")
        own = [f"Round {repeat}, street {street}. {QUESTION}\n" for street in range(N_SITUATIONS)]
        started = time.perf_counter()
        model.score(f"{shared}{repeat}\n", own, list(OPTIONS))
        deciding.append(time.perf_counter() - started)
        tell(f"writing, {repeat + 1} of {REPEATS}")
        started = time.perf_counter()
        texts = model.write(
            f"Say in one sentence what you like about your town ({repeat}).\n",
            [f"Street {street}.\n" for street in range(8)],
            seeds=list(range(8)),
            max_tokens=WRITTEN_TOKENS,
            temperature=0.8,
            top_p=0.95,
            stop=(),
        )
        writing.append(time.perf_counter() - started)
    shared_tokens, own_tokens = model.count_tokens(shared), model.count_tokens(f"Round 0, street 1. {QUESTION}\n")
    usable = [text for text in texts if text]
    written = sum(model.count_tokens(text) for text in usable)
    median = statistics.median(deciding)
    return {
        "decisions_per_s": N_SITUATIONS / median,
        "read_tokens_per_s": (shared_tokens + N_SITUATIONS * own_tokens) / median,
        "written_tokens_per_s": written / statistics.median(writing),
        "text": usable[0] if usable else None,
        "shared_tokens": shared_tokens,
        "own_tokens": own_tokens,
    }
