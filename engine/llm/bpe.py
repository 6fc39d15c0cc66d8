"""Byte-level byte-pair encoding: the alphabet of bytes and the merges learned from a text.

Source: Sennrich, Haddow, Birch (2016), "Neural machine translation of rare words with subword units", algorithm 1;
the alphabet of printable stand-ins for bytes is GPT-2's.
"""

from __future__ import annotations

import collections
import itertools
import re

WORD = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?[^\s\w]+|\s+(?!\S)|\s+")


def byte_letters() -> dict[int, str]:
    """Return the printable stand-in of each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in letters)
    letters.update({byte: chr(256 + rank) for rank, byte in enumerate(others)})
    return dict(sorted(letters.items()))


def learn_merges(text: str, n_merges: int) -> list[tuple[str, str]]:
    """Return at most `n_merges` merges, most frequent first; ties go to the later pair in code-point order."""
    letters = byte_letters()
    counts = collections.Counter(word for word in WORD.findall(text) if len(word.encode()) > 1)
    words = [[letters[byte] for byte in word.encode()] for word in counts]
    frequency = list(counts.values())
    pairs: collections.Counter[tuple[str, str]] = collections.Counter()
    where: dict[tuple[str, str], set[int]] = collections.defaultdict(set)
    for number, word in enumerate(words):
        _count(word, number, frequency[number], pairs, where)
    merges: list[tuple[str, str]] = []
    while len(merges) < n_merges and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        for number in sorted(where.pop(best)):
            _count(words[number], number, -frequency[number], pairs, where)
            words[number] = _merged(words[number], best)
            _count(words[number], number, frequency[number], pairs, where)
    return merges


def _count(
    word: list[str],
    number: int,
    amount: int,
    pairs: collections.Counter[tuple[str, str]],
    where: dict[tuple[str, str], set[int]],
) -> None:
    for pair in itertools.pairwise(word):
        pairs[pair] += amount
        if pairs[pair] <= 0:
            del pairs[pair]
        if amount > 0:
            where[pair].add(number)


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    result: list[str] = []
    place = 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            result.append(word[place] + word[place + 1])
            place += 2
        else:
            result.append(word[place])
            place += 1
    return result
