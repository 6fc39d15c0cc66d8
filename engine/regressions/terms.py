"""The terms of a regression: names as typed or printed by R, Stata and SPSS, bound to the columns that are there.

A term is a product of factors; the intercept is the empty product. Its text is canonical: `intercept`, `age`,
`age^2`, `education[bachelor's degree]`, `age:sex[male]`. A name that fits nothing, or more than one thing, is answered
with a sentence instead of a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.decision import Categories, Decision
from engine.problems import shown, unknown
from engine.registry import nearest

INTERCEPT = "intercept"
MAX_NAME = 300
MAX_FACTORS = 6

_INTERCEPTS = frozenset({"(intercept)", "intercept", "_cons", "constant", "const", "konstante"})
_TRUE, _FALSE = frozenset({"true", "t.true", "yes", "1"}), frozenset({"false", "no", "0"})
_POWER = re.compile(r"(\w+) ?(?:\^|\*\*) ?([2-9]|[1-9]\d)")
_WRAPPED = re.compile(r"(?:factor|as\.factor|ordered|C)\((\w+)\)(.*)")
_BRACKET = re.compile(r"([\w~]+)\[(?:T\.)?(.+)\]")
_STATA = re.compile(r"([^.:#]+)\.(\w+)")
_STATA_LEVEL = re.compile(r"(\d+)[bno]*")
_CALL = re.compile(r"([\w.]+)\(.*\)(?:\d+)?")
_SPSS = re.compile(r"(\w+)\(\d+\)")
_CONTRAST = re.compile(r"(\w+)(\.[LQC]|\^[4-9])")

TermKind = Literal["number", "integer", "boolean", "category", "coded", "text"]


@dataclass(frozen=True)
class TermColumn:
    """What a regression may know of a column.

    Attributes:
        name: Name of the column.
        kind: `coded` is an observation that the scenario passes as a number and shows by a label; both can be used.
        labels: Texts of the codes 0, 1, ...
    """

    name: str
    kind: TermKind
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, order=True)
class Factor:
    """One factor of a term: a column to a power, or 1 where the column has a level and 0 elsewhere.

    Attributes:
        column: Name of the column.
        power: 1, 2 or 3.
        level: The code or number that the indicator compares with; None where the value itself is meant.
        label: Words of the level in the canonical text.
    """

    column: str
    power: int = 1
    level: int | None = None
    label: str = ""

    @property
    def text(self) -> str:
        """The canonical text."""
        if self.level is not None:
            return f"{self.column}[{self.label}]"
        return self.column if self.power == 1 else f"{self.column}^{self.power}"


@dataclass(frozen=True)
class Term:
    """A product of factors, sorted; without any it is the intercept."""

    factors: tuple[Factor, ...] = ()

    @property
    def text(self) -> str:
        """The canonical text."""
        return ":".join(factor.text for factor in self.factors) or INTERCEPT


def visible_columns(decision: Decision, columns: Mapping[str, Any]) -> dict[str, TermColumn]:
    """Return what a regression for a decision may use, by name; an observation hides a persona column of its name.

    Args:
        decision: The decision; the columns that its prompt shows are its observations.
        columns: Persona and state columns by name (`Column`).
    """
    found = {
        name: TermColumn(name, "number" if column.kind == "float" else column.kind, tuple(column.labels))
        for name, column in columns.items()
    }
    for name, presentation in decision.shows.items():
        labels = presentation.labels if isinstance(presentation, Categories) else ()
        found[name] = TermColumn(name, "coded" if labels else "integer", labels)
    return found


def fold(text: str) -> str:
    """Return a text without case, spaces and punctuation, for comparing what programs print differently."""
    return "".join(character for character in text.casefold() if character.isalnum())


def match(text: str, names: Iterable[str]) -> list[str]:
    """Return the names that a printed text stands for: the equal one, else those equal but for case and punctuation.

    Stata shortens long names with a tilde: `educatio~l` stands for every name with that beginning and end.
    """
    names = list(names)
    if text in names:
        return [text]
    if "~" in text:
        start, _, end = (part.casefold() for part in text.partition("~"))
        return [n for n in names if n.casefold().startswith(start) and n.casefold().endswith(end)]
    folded = fold(text)
    return [name for name in names if folded and fold(name) == folded]


@dataclass
class TermReader:
    """Reads the names of one regression.

    Attributes:
        columns: What the names may refer to.
        numbered: Numeric levels by category column, over all names; they tell whether levels count from 0 or 1.
        seeing: Ends the sentence "'x' is not a column ...".
    """

    columns: Mapping[str, TermColumn]
    seeing: str = "of the population"
    numbered: dict[str, set[int]] = field(default_factory=dict)

    def note_levels(self, names: Iterable[str]) -> None:
        """Remember which numeric levels all names together use, before any of them is read."""
        for name in names:
            for part in re.split(r"[:#]", name[:MAX_NAME]):
                for column, level, _ in self._levels_in(part.strip()):
                    if level.isdecimal() and len(level) < 9:
                        self.numbered.setdefault(column, set()).add(int(level))

    def read(self, name: str) -> Term | str:
        """Return the term of a name, or the sentence that says why there is none."""
        text = name.strip().replace("`", "")
        if len(text) > MAX_NAME or not text:
            return f"{shown(name)} is not a name of a term"
        if text.casefold() in _INTERCEPTS and text not in self.columns:
            return Term()
        found = sorted({term.text: term for term in self._products(text, MAX_FACTORS)}.items())
        if len(found) == 1:
            return found[0][1]
        if found:
            return f"{shown(name)} can mean {' or '.join(text for text, _ in found)}; write the one that is meant"
        return self._explain(text)

    def _products(self, text: str, left: int) -> list[Term]:
        """Return every reading of a text as a product."""
        found = [Term((factor,)) for factor in self._factors(text)]
        if found or left == 0:
            return found
        for place, character in enumerate(text):
            if character in ":#":
                for first in self._factors(text[:place]):
                    found += [_product(first, rest) for rest in self._products(text[place + 1 :], left - 1)]
        return found

    def _factors(self, text: str) -> list[Factor]:
        """Return every reading of a text as one factor."""
        text = text.strip()
        if text.startswith("I(") and text.endswith(")"):
            text = text[2:-1].strip()
        power = _POWER.fullmatch(text)
        if power:
            return [Factor(c.name, int(power[2])) for c in self._named(power[1]) if c.kind in _NUMERIC]
        bare = text.removeprefix("c.")
        plain = [Factor(c.name) for c in self._named(bare) if c.kind not in ("category", "text")]
        if plain:
            return plain
        found = [
            factor
            for column, level, separate in self._levels_in(text)
            for factor in self._indicators(self.columns[column], level, separate)
        ]
        return list(dict.fromkeys(found))

    def _named(self, text: str) -> list[TermColumn]:
        return [self.columns[name] for name in match(text, self.columns)] if re.fullmatch(r"[\w~]+", text) else []

    def _levels_in(self, text: str) -> list[tuple[str, str, bool]]:
        """Return (column, level as printed, whether the two are told apart) of each reading as a level.

        A level stands in brackets, before the column (Stata), behind `factor(column)`, or joined to the name (R).
        """
        wrapped = _WRAPPED.fullmatch(text)
        if wrapped and not wrapped[2].startswith("["):
            return [(column.name, wrapped[2].strip(), True) for column in self._named(wrapped[1])]
        bracket = _BRACKET.fullmatch(wrapped[1] + wrapped[2] if wrapped else text)
        if bracket:
            return [(column.name, bracket[2], True) for column in self._named(bracket[1])]
        stata = _STATA.fullmatch(text)
        if stata and (named := self._named(stata[2])):
            numeric = _STATA_LEVEL.fullmatch(stata[1].strip())
            return [(column.name, numeric[1] if numeric else stata[1].strip(), True) for column in named]
        lowered = text.casefold()
        return [
            (name, text[len(name) :].strip(), False)
            for name in self.columns
            if lowered.startswith(name.casefold()) and len(text) > len(name)
        ]

    def _indicators(self, column: TermColumn, level: str, separate: bool) -> list[Factor]:
        """Return every reading of a level of one column; `separate` means that name and level were told apart."""
        if column.kind == "boolean":
            if level.casefold() in _TRUE:
                return [Factor(column.name)]
            return [Factor(column.name, 1, 0, "false")] if level.casefold() in _FALSE else []
        if column.labels:
            found = [column.labels.index(label) for label in match(level, column.labels)]
            if not found and level.isdecimal() and len(level) < 9:
                start = self._first_code(column)
                found = [] if start is None else [int(level) - start]
            return [Factor(column.name, 1, code, column.labels[code]) for code in found]
        if column.kind == "integer" and separate and re.fullmatch(r"-?\d{1,9}", level):
            return [Factor(column.name, 1, int(level), str(int(level)))]
        return []

    def _first_code(self, column: TermColumn) -> int | None:
        """Return whether printed levels count from 0 or from 1; None where both would fit, or neither."""
        levels, n = self.numbered.get(column.name, set()), len(column.labels)
        fits = [start for start in (0, 1) if levels and start <= min(levels) and max(levels) < n + start]
        return fits[0] if len(fits) == 1 else None

    def _explain(self, text: str) -> str:
        """Return why a name cannot be read."""
        for part in re.split(r"[:#](?![^\[]*\])", text) if re.search(r"[:#]", text) else ():
            if part.strip() and not self._factors(part):
                return self._explain(part.strip())
        for column in self._named(text.removeprefix("c.")):
            return _unusable(column)
        for column in self.columns.values():
            sentence = self._explain_level(text, column)
            if sentence:
                return sentence
        call = _CALL.fullmatch(text)
        if call and call[1] != "I":
            return (
                f"{shown(text)} transforms a column; a regression here has columns, products a:b and powers a^2: give "
                "the population a column with the transformed values"
            )
        forms = [*self.columns, *(f"{c.name}[{label}]" for c in self.columns.values() for label in c.labels)]
        close = nearest(text, forms)
        if "did you mean" in close:
            return f"'{text[:60]}' is not a column {self.seeing}{close}"
        return unknown(text, f"a column {self.seeing}", list(self.columns))

    def _explain_level(self, text: str, column: TermColumn) -> str:
        """Return what is wrong with a name that speaks of this column, or an empty string."""
        if _SPSS.fullmatch(text) and text.startswith(f"{column.name}("):
            return f"{shown(text)} is an indicator by number; " + _write_label(column)
        contrast = _CONTRAST.fullmatch(text)
        if contrast and contrast[1] == column.name:
            return f"{shown(text)} is a polynomial contrast of an ordered factor; fit again with treatment contrasts"
        found = [(level, separate) for name, level, separate in self._levels_in(text) if name == column.name]
        if not found:
            return ""
        level, separate = found[0]
        if column.kind in ("integer", "number") and re.fullmatch(r"[23]", level):
            return f"{shown(text)} may be {column.name}^{level} or {column.name}[{level}]; write the one that is meant"
        if column.labels and level.isdecimal():
            return f"level {level} of '{column.name}' fits no one label for sure; " + _write_label(column)
        if column.labels and (separate or "did you mean" in nearest(level, column.labels)):
            return unknown(level, f"a value of '{column.name}'", column.labels)
        if separate:
            return f"{shown(text)} is not understood: '{column.name}' is a {column.kind} column without such levels"
        return ""


_NUMERIC = ("number", "integer", "coded", "boolean")


def _product(first: Factor, rest: Term) -> Term:
    """Return the product; equal columns add their powers, and an indicator times itself stays what it is."""
    factors = list(rest.factors)
    for place, factor in enumerate(factors):
        if factor.column == first.column and factor.level is None and first.level is None:
            factors[place] = Factor(factor.column, factor.power + first.power)
            return Term(tuple(sorted(factors, key=lambda f: f.text)))
    return Term(tuple(sorted({first, *factors}, key=lambda f: f.text)))


def _write_label(column: TermColumn) -> str:
    labels = ", ".join(column.labels[:12]) + (", ..." if len(column.labels) > 12 else "")
    return f"write {column.name}[LABEL]" + (f" with one of {labels}" if labels else "")


def _unusable(column: TermColumn) -> str:
    if column.kind == "category":
        return f"'{column.name}' holds categories; {_write_label(column)}"
    return f"'{column.name}' holds {column.kind}; a regression needs numbers, categories or true and false"
