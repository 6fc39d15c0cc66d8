"""A simple checker of English: does each sentence hold a clause of subject and verb, in known words, without loops?

It is no grammar of English. It knows the words of the training texts, which of them are verbs, nouns and pronouns,
and how pronouns and verbs agree, and it looks for one clause per sentence. Word salad, broken words, loops, sentences
that break off and wrong agreement next to a pronoun are refused. Its word lists are in `texts.toml`, table `checker`.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from assets.pocket.sentences import load_texts, load_words

LONGEST = 45  # words of a sentence
REACH = 4  # words that may stand between a subject's head and its verb

FIRST = {"i"}


def third_person(verb: str) -> str:
    """Return the form after he, she or it."""
    if verb in ("have", "be", "do", "go"):
        return {"have": "has", "be": "is", "do": "does", "go": "goes"}[verb]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "ch", "sh")) else "s")


@dataclass(frozen=True)
class Lexicon:
    """Words by kind.

    Attributes:
        singular, plural: Pronouns that take the verb form of one or of several.
        modals: Verbs that are followed by a bare verb.
        imperatives: Words that may open a sentence without a subject.
        third, past: Verb forms after he or she, and past forms.
        base: Bare verbs.
        finite: All verb forms that can follow a subject.
        never_nouns: Words that head no subject.
        agrees: Pronouns that may stand before a form of to be or to have.
        all: Every word of the training texts.
    """

    singular: frozenset[str]
    plural: frozenset[str]
    modals: frozenset[str]
    imperatives: frozenset[str]
    third: frozenset[str]
    past: frozenset[str]
    base: frozenset[str]
    finite: frozenset[str]
    never_nouns: frozenset[str]
    agrees: dict[str, frozenset[str]]
    all: frozenset[str]


@functools.cache
def load_lexicon() -> Lexicon:
    """Return the words that the checker knows."""
    kinds = {name: frozenset(words.split()) for name, words in load_texts()["checker"].items()}
    singular, plural, base = kinds["singular"], kinds["plural"], kinds["base"]
    third = frozenset(third_person(verb) for verb in base)
    one = {"is": singular, "has": singular, "was": singular | FIRST}
    agrees = {"am": frozenset(FIRST), "are": plural, "were": plural, **one}
    return Lexicon(
        singular,
        plural,
        kinds["modals"],
        kinds["imperatives"],
        third,
        kinds["past"],
        base,
        base | kinds["past"] | third | kinds["modals"] | frozenset(agrees),
        singular | plural | FIRST | kinds["modals"] | kinds["never_nouns"],
        agrees,
        known_words(),
    )


@functools.cache
def known_words() -> frozenset[str]:
    """Return the words of the training texts, lower case."""
    found: set[str] = set()

    def walk(part: object) -> None:
        if isinstance(part, str):
            found.update(re.findall(r"[a-z]+(?:'[a-z]+)?", re.sub(r"\{\w+\}", " ", part.lower())))
        elif isinstance(part, dict):
            for key, inner in part.items():
                walk(key)
                walk(inner)
        elif isinstance(part, list):
            for inner in part:
                walk(inner)

    walk({name: part for name, part in load_texts().items() if name != "checker"})
    walk(load_words()["knobs"])
    units = "tonnes flocks pallets units per cent caught grazed made carried received"
    return frozenset(found | set(units.split()))


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, each with its mark."""
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


def find_fault(text: str) -> str:
    """Return what is wrong with a text, or an empty string."""
    sentences = split_sentences(text)
    if not sentences:
        return "there is no sentence"
    if len(set(sentences)) < len(sentences):
        return "a sentence is repeated"
    return next((fault for fault in map(_fault_of, sentences) if fault), "")


def _fault_of(sentence: str) -> str:
    if not re.fullmatch(r"[A-Z].*[.!?]", sentence):
        return f"no capital or no mark: {sentence}"
    words = re.findall(r"[a-z]+(?:'[a-z]+)?|\d+", sentence.lower())
    unknown = [word for word in words if not word.isdigit() and word not in load_lexicon().all]
    if unknown:
        return f"unknown words {', '.join(unknown)}: {sentence}"
    if not 2 <= len(words) <= LONGEST:
        return f"{len(words)} words: {sentence}"
    if any(a == b for a, b in itertools.pairwise(words)):
        return f"a word is repeated: {sentence}"
    runs = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    if len(set(runs)) < len(runs):
        return f"it goes in a loop: {sentence}"
    wrong = next(_disagreements(words), "")
    if wrong:
        return f"{wrong}: {sentence}"
    return "" if words[0] in load_lexicon().imperatives or _has_clause(words) else f"no subject with a verb: {sentence}"


def _disagreements(words: list[str]) -> Iterator[str]:
    """Yield pairs of words that do not go together."""
    known = load_lexicon()
    bare = {"we", "they", "you"} | FIRST
    for place, (word, following) in enumerate(itertools.pairwise(words)):
        before = words[place - 1] if place else ""
        alone = word in bare | {"he", "she", "it"} and before not in ("and", "of", "with", "like", "for")
        allowed = known.agrees.get(following)
        wrong_form = alone and allowed is not None and word not in allowed
        wrong_ending = alone and word in bare and following in known.third - known.base - {"is"}
        after_modal = word in known.modals - {"need"} and following in known.third | known.past - {"read"}
        may_follow = {"one", "others", "people", "most", "very", "only", "may"}
        after_article = word in ("a", "an", "the") and following in known.never_nouns - may_follow
        if wrong_form or wrong_ending or after_modal or after_article:
            yield f"'{word} {following}'"


def _has_clause(words: list[str]) -> bool:
    """Tell whether a subject's head is followed by a verb within reach."""
    known = load_lexicon()
    pronouns = known.singular | known.plural | FIRST
    return any(
        (word in pronouns or word not in known.never_nouns)
        and any(following in known.finite for following in words[place + 1 : place + 1 + REACH])
        for place, word in enumerate(words)
    )
