"""From a survey's variables to columns of a population: the stated transformation, checked answer by answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.population.codebook import Code, Survey, Variable
from engine.population.columns import Column
from engine.population.origins import Origin
from engine.population.schema import DTYPES, MAX_CATEGORIES, SchemaColumn, load_schema
from engine.population.text import DEFAULT_LIMIT, LABEL_LIMIT, clean_text, quoted
from engine.population.typed import range_words
from engine.registry import nearest
from engine.spec import MapSpec

_SHOWN = 5
_MAX_LABELS = 32_000


@dataclass(frozen=True)
class Mapped:
    """One column over all respondents.

    Attributes:
        column: Its type.
        values: One per respondent, in the column's dtype; arbitrary where `present` is False.
        present: Whether the respondent gave a valid answer, bool.
        origin: The variable it came from; None where it came from several.
    """

    column: Column
    values: NDArray[Any]
    present: NDArray[np.bool_]
    origin: Origin | None = None


def map_variable(name: str, spec: MapSpec, survey: Survey, problems: list[str], where: str) -> Mapped | None:
    """Return the column that a variable becomes, or None after adding every problem to `problems`.

    Args:
        name: Name of the column; one of the codebook has its type and range from there.
        spec: The variable and its transformation; the survey holds it.
        survey: The file.
        problems: Receives one sentence per problem, each ending in `@ key`.
        where: Dotted key of the mapping.
    """
    return _Mapping(name, spec, survey, problems, where).build()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _code_text(code: Code) -> str:
    return f"{code:.15g}" if isinstance(code, float) else code


class _Mapping:
    """One mapping while it is checked."""

    def __init__(self, name: str, spec: MapSpec, survey: Survey, problems: list[str], where: str) -> None:
        self.name, self.spec, self.problems, self.where = name, spec, problems, where
        self.variable: Variable = survey.variable(spec.variable)
        self.known: SchemaColumn | None = load_schema().get(name)
        self.answers = self._without_missing(survey.frame[spec.variable])
        if spec.missing == "keep":
            self.answers = self._with_codes(survey)
        self.present = self.answers.is_not_null().to_numpy()

    def add(self, message: str, key: str = "") -> None:
        self.problems.append(f"{message} @ {self.where}{'.' if key else ''}{key}")

    def _without_missing(self, answers: pl.Series) -> pl.Series:
        """Return the answers without those that the mapping counts as missing."""
        if self.variable.type == "date":
            answers = answers.cast(pl.String)
        codes = self.spec.missing_codes
        if self.variable.type == "number":
            strange = [code for code in codes if isinstance(code, str)]
            if strange:
                self.add(f"{quoted(strange[0])} is not a number, as {self.spec.variable} holds", "missing_codes")
            wrong = answers.is_in([float(code) for code in codes if not isinstance(code, str)])
        else:
            wrong = answers.is_in([_code_text(code) for code in codes])
        return answers.set(wrong.fill_null(False), None)

    def _origin(self, codes: dict[str, Code] | None = None, *, is_same: bool = False) -> Origin:
        """Return where the column comes from; what the study counts as missing is declared as missing."""
        wanted = float if self.variable.type == "number" else str
        added = [(code, code) for code in self.spec.missing_codes if isinstance(code, wanted)]
        missing = tuple(dict.fromkeys([*self.variable.missing, *added]))
        return Origin(dataclasses.replace(self.variable, missing=missing), codes or {}, is_same)

    def _with_codes(self, survey: Survey) -> pl.Series:
        """Return the answers with the codes of missing ones among them."""
        codes = survey.codes.get(self.spec.variable)
        if codes is None or self.variable.type == "date":
            return self.answers
        if self.variable.type == "number":
            codes = codes.cast(pl.Float64, strict=False)
        return self.answers.fill_null(codes)

    def build(self) -> Mapped | None:
        before = len(self.problems)
        self._check_transformation()
        if not self.present.any():
            self.add(f"no respondent has a valid answer to {self.spec.variable}")
        if len(self.problems) > before:
            return None
        mapped = self._recoded() if self.spec.labels else self._as_given()
        if mapped is not None and self.spec.missing == "keep" and mapped.column.kind != "category":
            self.add(
                f"missing = 'keep' needs a category, but '{self.name}' is a {mapped.column.kind} column; drop or draw",
                "missing",
            )
        return mapped if len(self.problems) == before else None

    def _check_transformation(self) -> None:
        spec = self.spec
        if spec.to is not None and spec.range is None:
            self.add("'to' needs the 'range' of the answers that it rescales", "to")
        if spec.range is not None:
            if spec.labels:
                self.add("'range' and 'labels' are two transformations; keep one", "labels")
            if self.variable.type != "number":
                self.add(f"{spec.variable} holds {self.variable.type}s; a range needs numbers", "range")
            if not spec.range[0] < spec.range[1]:
                self.add(f"range = [{spec.range[0]:g}, {spec.range[1]:g}] does not ascend", "range")
            if spec.to is not None and spec.to[0] == spec.to[1]:
                self.add(f"to = [{spec.to[0]:g}, {spec.to[1]:g}] makes all answers equal", "to")

    def _as_given(self) -> Mapped | None:
        """Return the column without a recode: rescaled, or typed by the codebook and the variable itself."""
        kind = self.known.column.kind if self.known else None
        if self.spec.range is not None:
            if kind not in (None, "integer", "float"):
                self.add(f"'{self.name}' is a {kind} column and takes no numbers; leave 'range' out", "range")
                return None
            return self._numbers()
        if kind in ("category", "boolean"):
            return self._categories()
        if kind == "text" or (kind is None and self.variable.type != "number" and self._has_many()):
            return self._texts()
        if kind is not None and self.variable.type != "number":
            self.add(f"'{self.name}' takes numbers, but {self.spec.variable} holds {self.variable.type}s; add labels")
            return None
        is_labelled = self.variable.type != "number" or self._is_labelled()
        return self._categories() if kind is None and is_labelled else self._numbers()

    def _has_many(self) -> bool:
        return self.answers.drop_nulls().n_unique() > MAX_CATEGORIES and not self._is_labelled()

    def _is_labelled(self) -> bool:
        codes = self.answers.drop_nulls().unique().to_list()
        return bool(self.variable.value_labels) and all(code in self.variable.value_labels for code in codes)

    # -- numbers ---------------------------------------------------------------------------------------------------

    def _numbers(self) -> Mapped | None:
        numbers = self.answers.fill_null(0.0).to_numpy().astype(np.float64)
        low, high = self.spec.range or (-math.inf, math.inf)
        outside = self.present & ~((numbers >= low) & (numbers <= high))
        if outside.any():
            words = f"outside range = [{low:g}, {high:g}]"
            self.add(f"{self._listed(outside)}: {words}; name what is no answer in missing_codes", "range")
            return None
        ends: tuple[float, float] | None = None
        if self.spec.range is not None:
            ends = self.spec.to or self.spec.range
            numbers = ends[0] + (numbers - low) / (high - low) * (ends[1] - ends[0])
            ends = (min(ends), max(ends))
            numbers = np.clip(numbers, *ends)
        return self._typed_numbers(numbers, ends)

    def _typed_numbers(self, numbers: NDArray[np.float64], ends: tuple[float, float] | None) -> Mapped | None:
        valid = numbers[self.present]
        are_whole = bool((np.abs(valid) < 2**53).all() and (valid == np.rint(valid)).all())
        if self.known is None:
            kind = "integer" if are_whole else "float"
            low, high = ends or (float(valid.min()), float(valid.max()))
            column = Column("integer" if kind == "integer" else "float", DTYPES[kind], low=low, high=high)
            column = dataclasses.replace(column, help=self.variable.label, unit=self.variable.unit)
        else:
            column = self.known.column
        if column.kind == "integer" and not are_whole:
            wrong = self.present & (numbers != np.rint(numbers))
            self.add(f"'{self.name}' takes whole numbers, but {self._listed(wrong)} would become others")
            return None
        low = -math.inf if column.low is None else column.low
        high = math.inf if column.high is None else column.high
        outside = self.present & ~((numbers >= low) & (numbers <= high))
        if outside.any():
            told = "rescale with range and to, or name what is no answer in missing_codes"
            self.add(f"{self._listed(outside)}: not in {range_words(column)}, the range of '{self.name}'; {told}")
            return None
        is_same = not self.spec.labels and self.spec.to in (None, self.spec.range)
        origin = self._origin(is_same=is_same)
        return Mapped(column, np.where(self.present, numbers, 0).astype(column.dtype), self.present, origin)

    def _listed(self, wrong: NDArray[np.bool_]) -> str:
        """Return `lrscale = 77 ('Refusal', 12 respondents), 88 (...)` for the answers of these rows."""
        counts = self.answers.filter(pl.Series(wrong)).value_counts(sort=True).rows()
        named = [self._named(code, n) for code, n in counts[:_SHOWN]]
        rest = f" and {len(counts) - _SHOWN} more codes" if len(counts) > _SHOWN else ""
        return f"{self.spec.variable} = {', '.join(named)}{rest}"

    def _named(self, code: Code, n: int | None = None) -> str:
        label = self.variable.value_labels.get(code)
        words = [quoted(label)] if label else []
        words += [f"{n} respondent{'s' if n > 1 else ''}"] if n else []
        shown = _code_text(code) if isinstance(code, float) else quoted(code)
        return f"{shown} ({', '.join(words)})" if words else shown

    # -- categories and texts --------------------------------------------------------------------------------------

    def _texts(self) -> Mapped:
        limit = self.known.limit if self.known else DEFAULT_LIMIT
        codes = self.answers.drop_nulls().unique().to_list()
        cleaned = {code: clean_text(self._label(code), limit) for code in codes}
        values = np.empty(self.answers.len(), dtype=object)
        values[:] = [cleaned.get(code, "") for code in self.answers.to_list()]
        column = self.known.column if self.known else Column("text", "object", help=self.variable.label)
        return Mapped(column, values, self.present, self._origin(is_same=self.variable.type == "text"))

    def _label(self, code: Code) -> str:
        return self.variable.value_labels.get(code) or _code_text(code)

    def _occurring(self) -> list[Code]:
        return sorted(self.answers.drop_nulls().unique().to_list())

    def _categories(self, recoded: dict[Code, str] | None = None) -> Mapped | None:
        """Return a category of the codes that occur, in their order; texts in alphabetical order."""
        recoded = recoded or {}
        codes = self._occurring()
        if len(codes) > _MAX_LABELS:
            self.add(f"{self.spec.variable} has {len(codes)} different answers, too many for a category")
            return None
        labels: dict[Code, str] = {}
        for code in codes:
            label = clean_text(recoded.get(code) or self._label(code), LABEL_LIMIT) or _code_text(code)
            labels[code] = self._allowed(code, label)
        self._check_twins(codes, labels, recoded)
        column = self._category_column(list(dict.fromkeys(labels.values())))
        places = {label: place for place, label in enumerate(column.labels)}
        if any(label not in places for label in labels.values()):
            return None
        mapped = self._replaced(column, {code: places[label] for code, label in labels.items()})
        one_to_one = len(set(labels.values())) == len(labels)
        back = {label: code for code, label in labels.items()} if one_to_one else {}
        return dataclasses.replace(mapped, origin=self._origin(back))

    def _allowed(self, code: Code, label: str) -> str:
        """Return a label in the codebook's spelling; a problem where a closed column does not have it."""
        if self.known is None or not self.known.column.labels or label in self.known.column.labels:
            return label
        allowed = self.known.column.labels
        spelt = next((other for other in allowed if other.casefold() == label.casefold()), None)
        if spelt is None:
            what = f"{quoted(label)} (code {_code_text(code)} of {self.spec.variable}) is not a value of '{self.name}'"
            told = nearest(label, allowed)
            self.add(f"{what}{told}{'' if told.endswith('?') else ';'} translate it in labels", "labels")
        return spelt or label

    def _check_twins(self, codes: Sequence[Code], labels: dict[Code, str], recoded: dict[Code, str]) -> None:
        """Report codes that share a label without having been merged by name."""
        by_label: dict[str, list[Code]] = {}
        for code in codes:
            by_label.setdefault(labels[code], []).append(code)
        for label, twins in by_label.items():
            if len(twins) > 1 and not all(code in recoded for code in twins):
                listed = " and ".join(_code_text(code) for code in twins[:_SHOWN])
                told = "give each its own in labels, or all of them the same one to merge them"
                self.add(f"codes {listed} of {self.spec.variable} share the label {quoted(label)}; {told}", "labels")

    def _category_column(self, labels: list[str]) -> Column:
        if self.known is not None and self.known.column.kind == "category":
            return self.known.column if not self.known.is_open else dataclasses.replace(
                self.known.column, labels=tuple(labels)
            )  # fmt: skip
        return Column("category", "int16", labels=tuple(labels), help=self.variable.label)

    def _replaced(self, column: Column, values: dict[Code, Any]) -> Mapped:
        """Return a column with a value for each code that occurs."""
        codes = list(values)
        places = self.answers.replace_strict(codes, list(range(len(codes))), default=0, return_dtype=pl.Int64)
        chosen = np.array([values[code] for code in codes], dtype=column.dtype)[places.fill_null(0).to_numpy()]
        return Mapped(column, chosen, self.present, self._origin())

    # -- recodes ---------------------------------------------------------------------------------------------------

    def _recoded(self) -> Mapped | None:
        kinds = {self._kind_of(value) for value in self.spec.labels.values()}
        if len(kinds) > 1:
            self.add(f"labels mix {' and '.join(sorted(kinds))}; give values of one type", "labels")
            return None
        recoded = self._by_code()
        kind = kinds.pop()
        wanted = self.known.column.kind if self.known else None
        fits = {"texts": ("category", "text"), "booleans": ("boolean",), "numbers": ("integer", "float")}[kind]
        if wanted is not None and wanted not in fits:
            self.add(f"'{self.name}' is a {wanted} column; its labels cannot be {kind}", "labels")
            return None
        if kind == "texts":
            return self._categories({code: str(value) for code, value in recoded.items()})
        left = [code for code in self._occurring() if code not in recoded]
        if left:
            listed = ", ".join(self._named(code) for code in left[:_SHOWN])
            told = "has no value in labels; add it, or name it in missing_codes"
            self.add(f"{self.spec.variable} = {listed} {told}", "labels")
            return None
        if kind == "booleans":
            return self._replaced(Column("boolean", "bool", help=self.variable.label), dict(recoded))
        used = {code: float(value) for code, value in recoded.items()}
        numbers = self._replaced(Column("float", "float64"), used).values
        return self._typed_numbers(numbers, (min(used.values()), max(used.values())))

    @staticmethod
    def _kind_of(value: str | bool | float) -> str:
        return "texts" if isinstance(value, str) else "booleans" if isinstance(value, bool) else "numbers"

    def _by_code(self) -> dict[Code, str | bool | float]:
        """Return the new value of each code; keys of `labels` are codes or value labels."""
        is_number = self.variable.type == "number"  # then texts among the codes are Stata's letters for no answer
        labelled = [code for code in self.variable.value_labels if isinstance(code, float) == is_number]
        codes = list(dict.fromkeys([*self._occurring(), *labelled]))
        by_text = {_code_text(code): code for code in codes}
        by_label: dict[str, list[Code]] = {}
        for code in codes:
            by_label.setdefault(self.variable.value_labels.get(code, ""), []).append(code)
        recoded: dict[Code, str | bool | float] = {}
        for key, value in self.spec.labels.items():
            found = [by_text[key]] if key in by_text else by_label.get(key, [])
            if (not found or not key) and not (is_number and _is_number(key)):
                valid = [*by_text, *(label for label in by_label if label)]
                self.add(f"{quoted(key)} is no answer to {self.spec.variable}{nearest(key, valid)}", "labels")
            for code in found:
                recoded.setdefault(code, value)
        return recoded
