"""A small made-up English text, from which the tokenizer of the random-weight models learns its pieces."""

from __future__ import annotations

import numpy as np

WORDS = """
the of and to a in is it you that he was for on are with as I his they be at one have this from or had by not but
what all were we when your can said there use an each which she do how their if will up other about out many then
them these so some her would make like him into time has look two more write go see number no way could people my
than first water been call who now find long down day did get come made may part over new sound take only little
work know place year live me back give most very after thing our just name good sentence man think say great where
help through much before line right too mean old any same tell boy follow came want show also around form three
small set put end does another well large must big even such because turn here why ask went men read need land
different home us move try kind hand picture again change off play spell air away animal house point page letter
mother answer found study still learn should world high every near add food between own below country plant last
school father keep tree never start city earth eye light thought head under story saw left don't few while along
might close something seem next hard open example begin life always those both paper together got group often run
important until children side feet car mile night walk white sea began grow took river four carry state once book
hear stop without second later miss idea enough eat face watch far really almost let above girl sometimes mountain
cut young talk soon list song being leave family agree disagree support oppose trust doubt believe fair unfair share
fish catch lake village market council tax vote neighbour friend farmer teacher nurse doctor worker student age
money rent price month week tonnes harvest rule promise future risk safe healthy ill vaccine mask meeting opinion
argument reason cost benefit town climate energy wind power road health job income education woman education
daughter son strongly somewhat slightly neither probably certainly maybe yes accept refuse join wait listen speak
careful honest friendly worried calm angry hopeful ignore reject nothing nobody less stay buy sell vaccinate adopt
reduce increase neutral low medium high favour against moderate
"""

PATTERNS = (
    "You are {n} years old. You live in a {w} {w} and you {w} the {w}.",
    "Your {w} is {n}. Your {w} is {w}.",
    "What do you {w}? Answer with one of these options:",
    "I think that we should {w} the {w}, because the {w} is {w}.",
    "We can {w} {n} tonnes this month, but the {w} must {w}.",
    "It is {w} to {w} when the {w} {w} the {w}.",
    "{w} and {w}, {w} or {w}: {w} {w} {w}.",
    "The {w} of the {w} said to the {w} that {n} people {w}.",
    "{w}",
    "{w}",
)


def build_corpus(seed: int = 0, n_lines: int = 4000) -> str:
    """Return made-up English: `n_lines` fixed sentence patterns filled with common words and numbers.

    Each word also stands alone on a line, as an option does at the beginning of an answer.
    """
    rng = np.random.default_rng(seed)
    vocabulary = WORDS.split()
    weights = 1.0 / np.arange(10, 10 + len(vocabulary))
    weights /= weights.sum()
    words = iter(rng.choice(len(vocabulary), size=n_lines * 8, p=weights))
    numbers = iter(rng.integers(0, 101, size=n_lines * 2))
    patterns = rng.integers(0, len(PATTERNS), size=n_lines)
    lines = []
    for pattern in patterns:
        parts = PATTERNS[pattern].split("{")
        line = parts[0] + "".join(
            (vocabulary[next(words)] if part[0] == "w" else str(next(numbers))) + part[2:] for part in parts[1:]
        )
        lines.append(line[0].upper() + line[1:] if " " in line else line)
    return "\n".join([*lines, *sorted(set(vocabulary)) * 3])
