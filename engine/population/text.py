"""Text written by others: made harmless for a line of a prompt or a table, never interpreted."""

from __future__ import annotations

import unicodedata

DEFAULT_LIMIT = 20_000
LABEL_LIMIT = 200
_DIRECTION_MARKS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def clean_text(text: str, limit: int = DEFAULT_LIMIT) -> str:
    """Return the text on one line, without control characters, at most `limit` characters long.

    Line breaks and tabs become spaces, so that a persona cannot open a new part of a prompt; marks that reverse the
    direction of writing, surrogates and unassigned code points go. Everything else stays as it is, brackets and braces
    included: it is shown as text and never read as markup or template.
    """
    plain = text.isascii() and text.isprintable()
    kept = text if plain else "".join(_harmless(character) for character in text)
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: max(limit - 1, 0)].rstrip() + "…"


def _harmless(character: str) -> str:
    if character.isspace():
        return " "
    if character in _DIRECTION_MARKS or unicodedata.category(character) in ("Cc", "Cs", "Cn"):
        return ""
    return character


def quoted(value: object, limit: int = 60) -> str:
    """Return a value as it stands in an error: cleaned, shortened, texts in quotation marks."""
    shown = clean_text(str(value), limit)
    return f"'{shown}'" if isinstance(value, str) else shown
