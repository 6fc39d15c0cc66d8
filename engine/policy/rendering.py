"""Lift the agents of a call into situations and render each situation's prompt once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.decision import Decimals, Decision, IntArray, Integers, Items, MultiSelect, Offered, Writing
from engine.errors import DecisionError
from engine.policy.budget import Shortener
from engine.policy.calls import Call, Room
from engine.policy.lifting import group_codes, object_codes
from engine.policy.prompt import build_prefix, build_suffix, list_items, order_options, render_preamble
from engine.policy.reading import Listing, Prompt
from engine.population import field_phrase

TextOf = Sequence[str] | Callable[[int], str]


@dataclass(frozen=True)
class Lifted:
    """Agents of one call grouped into situations.

    Attributes:
        call: The call.
        prompts: Prompt of each situation.
        group: Situation of each agent, shape (n,).
        first: First agent's row of each situation.
    """

    call: Call
    prompts: tuple[Prompt, ...]
    group: IntArray
    first: IntArray


@dataclass(frozen=True)
class _Shown:
    """One thing that prompts show: its kind and name, each agent's code, and the words of a code."""

    kind: str
    name: str
    codes: IntArray
    n_codes: int
    text_of: TextOf

    def texts(self, rows: IntArray) -> list[str]:
        """Return the words of some rows; those of a code are made once."""
        codes = self.codes[rows].tolist()
        words = self.text_of if callable(self.text_of) else self.text_of.__getitem__
        made = {code: words(code) for code in dict.fromkeys(codes)}
        return [made[code] for code in codes]


def lift(room: Room, call: Call) -> Lifted:
    """Group the agents of a call by everything that their prompts show, and render each group's prompt once.

    Raises:
        DecisionError: the decision shows a column that its caller did not give.
    """
    shown = [*_shown_texts(room, call), *_shown_persona(room, call), *_shown_columns(call)]
    parts = [(one.codes, one.n_codes) for one in shown]
    listings = _list_options(room, call)
    if listings.codes is not None:
        parts.append((listings.codes, len(listings.all)))
    first, group = group_codes(parts, call.agents.size)
    shortener = Shortener(room.asker, room.step, room.study.model)
    sizes = np.bincount(group, minlength=first.size).tolist()
    bodies = _render(room, call.ask, shown, first, sizes, shortener)
    prompts = tuple(Prompt(listings.of(row), body) for row, body in zip(first.tolist(), bodies, strict=True))
    room.asker.journal_together(room.step)
    for part, (n_agents, n_situations, n_sentences) in shortener.cut.items():
        room.emit(
            "shortened",
            decision=call.ask.name,
            part=part,
            agents=n_agents,
            situations=n_situations,
            sentences=n_sentences,
            limit_tokens=shortener.limit(part),
        )
    return Lifted(call, prompts, group, first)


def _shown_texts(room: Room, call: Call) -> list[_Shown]:
    shown = []
    heard = room.announcements(call.agents)
    if (heard >= 0).any():
        ids, codes = np.unique(heard, return_inverse=True)
        shown.append(_Shown("announcement", "announcement", codes, ids.size, [room.text(int(i)) for i in ids]))
    for name in call.ask.texts:
        given = call.texts.get(name, np.full(call.agents.size, -1, np.int64))
        ids, codes = np.unique(given, return_inverse=True)
        shown.append(_Shown("text", name, codes, ids.size, [room.text(int(i)) for i in ids]))
    return shown


def _shown_persona(room: Room, call: Call) -> list[_Shown]:
    spec = room.spec_of(call.ask)
    fields = spec.persona_fields if spec.persona_fields is not None else call.ask.persona_fields
    return [_shown_column(room, name, call.agents) for name in fields if name in room.persona.columns]


def _shown_column(room: Room, name: str, agents: IntArray) -> _Shown:
    column, values = room.persona.columns[name], room.population[name][agents]
    if column.kind == "text":
        codes, texts = object_codes(values)
        phrases = [field_phrase(name, column, text, room.persona.lang) for text in texts]
        return _Shown("persona", name, codes, max(len(texts), 1), phrases)
    everyone = room.population[name]
    low, high = (float(everyone.min()), float(everyone.max())) if column.kind in ("float", "integer") else (0.0, 0.0)
    presentation = column.shown(low, high)
    assert presentation is not None

    def phrase(code: int) -> str:
        return field_phrase(name, column, presentation.text(code), room.persona.lang)

    return _Shown("persona", name, presentation.codes(values), presentation.n_codes, phrase)


def _shown_columns(call: Call) -> list[_Shown]:
    shown = []
    for name, presentation in call.ask.shows.items():
        if name not in call.columns:
            raise DecisionError(f"'{call.ask.name}' shows the column '{name}', which its caller did not give")
        values = call.columns[name]
        if values.size and values.strides == (0,):  # one value for all
            codes = np.broadcast_to(presentation.codes(values[:1]), values.shape)
        else:
            codes = presentation.codes(values)
        shown.append(_Shown("seen", name, codes, presentation.n_codes, presentation.text))
    return shown


def _render(
    room: Room,
    ask: Decision | Writing,
    shown: Sequence[_Shown],
    first: IntArray,
    sizes: Sequence[int],
    shortener: Shortener,
) -> list[str]:
    """Return each situation's own part of the prompt, from its first agent's row."""
    columns = [one.texts(first) for one in shown]
    kinds = {kind: [i for i, one in enumerate(shown) if one.kind == kind] for kind in ("announcement", "text", "seen")}
    persona = [i for i, one in enumerate(shown) if one.kind == "persona"]
    names = [one.name for one in shown]
    bodies = []
    for place, n_agents in enumerate(sizes):
        announcement = "".join(columns[i][place] for i in kinds["announcement"])
        texts = {names[i]: columns[i][place] for i in kinds["text"]}
        sentences = [columns[i][place] for i in persona]
        seen = {names[i]: columns[i][place] for i in kinds["seen"]}
        if shortener.model.budget is not None:
            texts = shortener.texts(texts, n_agents)
            sentences = shortener.sentences(sentences, n_agents)
            seen = shortener.observed(seen, n_agents)
        bodies.append(build_suffix(ask, announcement, texts, sentences, seen))
    return bodies


@dataclass(frozen=True)
class _Listings:
    """The different lists of options in one call.

    Attributes:
        all: Listing of each code.
        codes: Code of each agent, shape (n,); None where all agents have the same one.
    """

    all: Sequence[Listing]
    codes: IntArray | None = None

    def of(self, row: int) -> Listing:
        return self.all[0] if self.codes is None else self.all[int(self.codes[row])]


def _list_options(room: Room, call: Call) -> _Listings:
    ask, preamble = call.ask, render_preamble(call.ask.preamble, room.params)
    if isinstance(ask, Writing):
        return _Listings([Listing((build_prefix(ask, preamble),), ("",), ())])
    order = room.spec_of(ask).option_order
    if call.offered is not None:
        codes, lists = offered_texts(call.offered, room.text)
        return _Listings([_listing_of_items(ask, preamble, texts, order) for texts in lists], codes)
    if call.mask is None:
        return _Listings([_listing(ask, preamble, ask.answer.texts, order)])
    rows, codes = np.unique(call.mask, axis=0, return_inverse=True)
    texts = [tuple(text for text, allowed in zip(ask.answer.texts, row, strict=True) if allowed) for row in rows]
    return _Listings([_listing(ask, preamble, kept, order) for kept in texts], codes.reshape(-1))


def _listing(ask: Decision, preamble: str, options: tuple[str, ...], order: str) -> Listing:
    """Return how fixed options are asked: in the prefix, once per order; numbers are not listed."""
    numbers = isinstance(ask.answer, Integers | Decimals)
    orders = [options] if numbers else order_options(options, order)
    prefixes = tuple(dict.fromkeys(build_prefix(ask, preamble, listed) for listed in orders))
    return Listing(prefixes, ("",) * len(prefixes), options, isinstance(ask.answer, MultiSelect))


def _listing_of_items(ask: Decision, preamble: str, texts: tuple[str, ...], order: str) -> Listing:
    """Return how offered items are asked: in the last line, so that all situations share one prefix."""
    assert isinstance(ask.answer, Items)
    tails = tuple(dict.fromkeys(list_items(listed) for listed in order_options(texts, order)))
    return Listing((build_prefix(ask, preamble),) * len(tails), tails, texts)


def words_of_items(offered: Offered, text_of: Callable[[int], str]) -> list[str]:
    """Return the words of every offered item, one per entry of `offered.items`.

    Raises:
        DecisionError: an item has no words.
    """
    ids, place = np.unique(offered.items, return_inverse=True)
    words = [text_of(int(i)) if offered.texts is None else offered.texts.get(int(i), "") for i in ids]
    if "" in words:
        raise DecisionError(f"item {int(ids[words.index('')])} is offered but has no words")
    return [words[i] for i in place.tolist()]


def offered_texts(offered: Offered, text_of: Callable[[int], str]) -> tuple[IntArray, list[tuple[str, ...]]]:
    """Return (code of each agent's list, different texts of each list), equal lists of words under one code.

    Args:
        offered: What is offered.
        text_of: Words of a text id, for items without words of their own.
    """
    words = words_of_items(offered, text_of)
    borders = offered.indptr.tolist()
    lists: dict[tuple[str, ...], int] = {}
    codes = [lists.setdefault(tuple(dict.fromkeys(words[a:b])), len(lists)) for a, b in pairwise(borders)]
    return np.array(codes, np.int64), list(lists)
