"""Grammar of the training texts: templates with choices and slots -> sentences."""

from __future__ import annotations

import functools
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


@functools.cache
def load_words() -> dict[str, Any]:
    """Return `words.toml`: knob values, persona texts, announcements."""
    return tomllib.loads((FOLDER / "words.toml").read_text(encoding="utf-8"))


@functools.cache
def load_texts() -> dict[str, Any]:
    """Return `texts.toml`: arguments, utterances, reflections, reasons, news."""
    return tomllib.loads((FOLDER / "texts.toml").read_text(encoding="utf-8"))


def expand(template: str, rng: random.Random, slots: Mapping[str, str] | None = None) -> str:
    """Return one sentence of a template; a slot with a capital first letter is filled with a capital first letter."""
    while "[" in template:
        template = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    filled = _SLOT.sub(lambda found: _fill(found[1], slots or {}), template)
    return filled[:1].upper() + filled[1:]


def _fill(name: str, slots: Mapping[str, str]) -> str:
    if name in slots:
        return slots[name]
    value = slots[name.lower()]
    return value[:1].upper() + value[1:]


def pick(templates: Sequence[str], rng: random.Random, slots: Mapping[str, str] | None = None) -> str:
    """Return a sentence of one of the templates."""
    return expand(rng.choice(templates), rng, slots)


def announce(decision: str, side: int, rng: random.Random) -> str:
    """Return an announcement that speaks for the rule's target (1), against it (-1) or of something else (0)."""
    words = load_words()
    speaker = {"who": rng.choice(words["speakers"]["any"])}
    table = words["announcements"]
    sentence = pick(
        table[decision]["for" if side > 0 else "against"] if side else table["any"]["neither"], rng, speaker
    )
    return sentence + "."


def argue(kind: str, claim: str, rng: random.Random) -> str:
    """Return an argument of one or two sentences that appeals to `kind`."""
    texts = load_texts()
    matters = texts["matters"]
    slots = {"it": rng.choice(matters.get(claim, matters["other"]))}
    first, *more = rng.sample(texts["argument"][kind], 2 if rng.random() < 0.4 else 1)
    return " ".join(expand(template, rng, slots) for template in (first, *more))


def speak(scenario: str, aim: int, slots: Mapping[str, str], rng: random.Random) -> str:
    """Return what somebody says after a month: one or two sentences."""
    table = load_texts()["utterance"]
    opinion = pick(table[f"{scenario}{aim}"], rng, slots)
    return f"{pick(table['report'], rng, slots)} {opinion}" if rng.random() < 0.45 else opinion


def reflect(scenario: str, aim: int, slots: Mapping[str, str], rng: random.Random) -> str:
    """Return what somebody wants to remember of a month."""
    return pick(load_texts()["reflection"][f"{scenario}{aim}"], rng, slots)


def give_reason(decision: str, side: int, rng: random.Random) -> str:
    """Return a reason for the rule's target (1) or against it (-1)."""
    table = load_texts()["reasons"]
    return pick(table.get(decision, table["any"])["for" if side > 0 else "against"], rng)


def tell_twice(rng: random.Random) -> tuple[str, str]:
    """Return a piece of news and the same in other words."""
    frame = rng.choice(load_texts()["frames"])
    slots = {name: rng.choice(values) for name, values in frame["slots"].items()}
    one, other = rng.sample(frame["tell"], 2)
    return expand(one, rng, slots), expand(other, rng, slots)


def describe_life(field: str, rng: random.Random) -> str:
    """Return a made-up text of a persona's bio, goals, beliefs or style."""
    templates = load_words()["life"][field]
    chosen = rng.sample(templates, min(len(templates), rng.choice((1, 1, 1, 2))))
    return " ".join(expand(template, rng) for template in chosen)
