"""The small language of `where` and `when`: comparisons of columns, measures and literals.

::

    condition   condition and condition | condition or condition | not condition | (condition)
                value < value, also <= > >= == != and chains such as 18 <= age < 65
                value in [literal, ...] | value not in (literal, ...)
                the name of a boolean column | true | false
    value       number | 'text' | name | value + value, also - * / | -value | (value)

An expression is read with `ast.parse`, checked node by node against this list, typed, and turned into a polars
expression and a plain function. It is never evaluated as Python.

Numbers are float64. **What is missing satisfies no comparison**: a null, a NaN and the result of a division by
zero make each of `<`, `<=`, `>`, `>=`, `==`, `!=`, `in` and `not in` false, so `not (x > 1)` is true for them. A
missing boolean counts as false.
"""

from __future__ import annotations

import ast
import keyword
import math
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from engine.errors import ExpressionError
from engine.registry import nearest

MAX_CHARACTERS = 500
MAX_NODES = 50

Values = Mapping[str, Any]
_QUOTED = re.compile(r"('[^']*'|\"[^\"]*\")")
_NUMBER_THEN_LETTER = re.compile(r"(?<!\w)(?>\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?)[^\W\d]")
_OWN_WORDS = frozenset({"and", "or", "not", "in", "True", "False", "None"})
_COMPARE: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
}
_FOREIGN = {
    "Call": "a call",
    "Attribute": "an attribute",
    "Subscript": "a subscript",
    "Lambda": "lambda",
    "IfExp": "if ... else",
    "NamedExpr": "an assignment",
    "JoinedStr": "an f-string",
    "ListComp": "a comprehension",
    "SetComp": "a comprehension",
    "DictComp": "a comprehension",
    "GeneratorExp": "a comprehension",
    "Dict": "a dictionary",
    "Set": "a set",
    "List": "a list outside 'in'",
    "Tuple": "a list outside 'in'",
    "Starred": "*",
    "Await": "await",
    "Yield": "yield",
    "YieldFrom": "yield",
}


@dataclass(frozen=True, eq=False)
class Expression:
    """A checked condition.

    Attributes:
        text: What was written.
        names: Columns or measures that it reads.
        polars: The condition for a frame that has those columns; one boolean per row, never null.
    """

    text: str
    names: frozenset[str]
    polars: pl.Expr
    _compute: Callable[[Values], Any]

    def evaluate(self, values: Mapping[str, float | bool | str]) -> bool:
        """Return whether the condition holds for one row of values; None and NaN count as missing.

        Raises:
            ExpressionError: a name that the expression reads has no value.
        """
        absent = sorted(self.names - set(values))
        if absent:
            raise ExpressionError(f"'{self.text}' reads {', '.join(map(repr, absent))}, for which no value was given")
        return bool(self._compute(values))


@dataclass(frozen=True, eq=False)
class _Part:
    """A checked piece: its type, its polars form, its plain function, and the column or the literal that it is."""

    type: str
    polars: pl.Expr
    compute: Callable[[Values], Any]
    column: str | None = None
    literal: Any = None


def parse_expression(
    text: str,
    columns: Mapping[str, str],
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    noun: str = "column",
) -> Expression:
    """Return the checked expression of a `where` or `when`.

    Args:
        text: At most 500 characters and 50 nodes (names, literals, operations).
        columns: Type of each name that may occur: "number", "boolean" or "text".
        labels: Texts that a column can hold; comparing it with any other text is refused.
        noun: What the names are called in error texts, for example "measure".

    Raises:
        ExpressionError: too long, not readable, outside the language, an unknown name, types that do not go
            together, or a result that is not true or false.
    """
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    tree, aliases = _read_tree(text, columns)
    nodes = sum(isinstance(node, ast.expr) for node in ast.walk(tree))
    if nodes > MAX_NODES:
        raise ExpressionError(f"the expression has {nodes} names, literals and operations; at most {MAX_NODES}")
    reader = _Reader(columns, labels or {}, noun, aliases)
    part = reader.part(tree)
    if part.type != "boolean":
        raise ExpressionError(f"'{text}' is a {part.type}; a condition must be true or false, for example 'x > 1'")
    # A condition without names would be one row long whatever the frame.
    shaped = part.polars if reader.names else pl.repeat(bool(part.compute({})), pl.len(), dtype=pl.Boolean)
    return Expression(text, frozenset(reader.names), shaped, part.compute)


def _read_tree(text: str, columns: Mapping[str, str]) -> tuple[ast.expr, dict[str, str]]:
    """Return the syntax tree, and the column behind each name that had to be spelled differently for Python."""
    if "\\" in text:
        raise ExpressionError("an expression cannot hold a backslash")
    pieces = _QUOTED.split(text.strip())
    reserved = [name for name in keyword.kwlist if name in columns and name not in _OWN_WORDS]
    aliases = {unicodedata.normalize("NFKC", name): name for name in columns}
    for position in range(0, len(pieces), 2):
        if found := _NUMBER_THEN_LETTER.search(pieces[position]):
            raise ExpressionError(f"'{found.group()}' is not a number; put a space after the number")
        for name in reserved:
            pieces[position] = re.sub(rf"\b{name}\b", f"{name}__", pieces[position])
            aliases[f"{name}__"] = name
    try:
        return ast.parse("".join(pieces), mode="eval").body, aliases
    except SyntaxError as error:
        raise ExpressionError(f"cannot read '{text}': {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"cannot read '{text[:60]}': nested too deeply, or holds invalid characters") from None


class _Reader:
    """Turn syntax nodes into typed parts; collects the names that occur."""

    def __init__(
        self,
        columns: Mapping[str, str],
        labels: Mapping[str, Sequence[str]],
        noun: str,
        aliases: Mapping[str, str],
    ) -> None:
        self.columns, self.labels, self.noun, self.aliases = columns, labels, noun, aliases
        self.names: set[str] = set()

    def part(self, node: ast.expr) -> _Part:
        """Return the typed part of one node."""
        match node:
            case ast.Constant():
                return _literal(node.value)
            case ast.Name():
                return self._name(node.id)
            case ast.BoolOp():
                return self._connect(node)
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.Compare():
                return self._chain(node)
        word = _FOREIGN.get(type(node).__name__, type(node).__name__)
        raise ExpressionError(f"{word} is not in the language of expressions; allowed: names, literals, {_SIGNS}")

    def _name(self, written: str) -> _Part:
        if written in ("true", "false"):
            return _literal(written == "true")
        name = self.aliases.get(written)
        if name is None:
            raise ExpressionError(f"'{written}' is not a {self.noun}{nearest(written, self.columns)}")
        self.names.add(name)
        column = pl.col(name)
        match self.columns[name]:
            case "number":
                return _Part("number", column.cast(pl.Float64).fill_null(math.nan), _read_number(name), name)
            case "boolean":
                return _Part("boolean", column.cast(pl.Boolean).fill_null(False), _read_boolean(name), name)
            case _:
                return _Part("text", column.cast(pl.String), _read_text(name), name)

    def _connect(self, node: ast.BoolOp) -> _Part:
        word = "and" if isinstance(node.op, ast.And) else "or"
        parts = [self._expect(value, "boolean", f"'{word}'") for value in node.values]
        computes = [part.compute for part in parts]
        if word == "and":
            return _Part(
                "boolean", pl.all_horizontal(*[p.polars for p in parts]), lambda v: all(c(v) for c in computes)
            )
        return _Part("boolean", pl.any_horizontal(*[p.polars for p in parts]), lambda v: any(c(v) for c in computes))

    def _unary(self, node: ast.UnaryOp) -> _Part:
        if isinstance(node.op, ast.Not):
            part = self._expect(node.operand, "boolean", "'not'")
            return _Part("boolean", part.polars.not_(), lambda v: not part.compute(v))
        if isinstance(node.op, ast.Invert):
            raise ExpressionError("'~' is not in the language of expressions; write 'not'")
        part = self._expect(node.operand, "number", "a sign")
        sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
        literal = None if part.literal is None else sign * part.literal
        return _Part("number", part.polars * sign, lambda v: part.compute(v) * sign, literal=literal)

    def _arithmetic(self, node: ast.BinOp) -> _Part:
        if type(node.op) not in _ARITHMETIC:
            raise ExpressionError(f"'{type(node.op).__name__}' is not in the language; arithmetic is + - * /")
        sign, apply = _ARITHMETIC[type(node.op)]
        left = self._expect(node.left, "number", f"'{sign}'")
        right = self._expect(node.right, "number", f"'{sign}'")
        if sign != "/":
            return _Part("number", apply(left.polars, right.polars), lambda v: apply(left.compute(v), right.compute(v)))
        guarded = pl.when(right.polars != 0).then(left.polars / right.polars).otherwise(pl.lit(math.nan))
        return _Part("number", guarded, lambda v: _divide(left.compute(v), right.compute(v)))

    def _chain(self, node: ast.Compare) -> _Part:
        links: list[_Part] = []
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            links.append(
                self._member(left, op, right) if isinstance(op, ast.In | ast.NotIn) else self._pair(left, op, right)
            )
            left = right
        if len(links) == 1:
            return links[0]
        return _Part(
            "boolean", pl.all_horizontal(*[k.polars for k in links]), lambda v: all(k.compute(v) for k in links)
        )

    def _pair(self, left_node: ast.expr, op: ast.cmpop, right_node: ast.expr) -> _Part:
        if type(op) not in _COMPARE:
            raise ExpressionError("'is' is not in the language of expressions; write == or !=")
        sign, apply = _COMPARE[type(op)]
        left, right = self.part(left_node), self.part(right_node)
        if left.type != right.type:
            raise ExpressionError(
                f"'{_source(left_node)}' is a {left.type} and '{_source(right_node)}' a {right.type}; "
                f"'{sign}' compares two of one type"
            )
        if left.type != "number" and sign not in ("==", "!="):
            raise ExpressionError(f"'{sign}' compares numbers; a {left.type} can only be compared with == and !=")
        self._check_label(left, right.literal)
        self._check_label(right, left.literal)
        both = _present(left) & _present(right)

        def compute(values: Values) -> bool:
            a, b = left.compute(values), right.compute(values)
            return not _missing(a) and not _missing(b) and bool(apply(a, b))

        return _Part("boolean", (both & apply(left.polars, right.polars)).fill_null(False), compute)

    def _member(self, left_node: ast.expr, op: ast.cmpop, right_node: ast.expr) -> _Part:
        left = self.part(left_node)
        if not isinstance(right_node, ast.List | ast.Tuple) or not right_node.elts:
            raise ExpressionError("'in' needs a list of literals on its right, for example x in [1, 2]")
        literals = []
        for element in right_node.elts:
            part = self.part(element)
            if part.literal is None:
                raise ExpressionError(f"'{_source(element)}' is not a literal; 'in' needs a list of literals")
            if part.type != left.type:
                raise ExpressionError(f"'{_source(element)}' is a {part.type}, '{_source(left_node)}' a {left.type}")
            self._check_label(left, part.literal)
            literals.append(part.literal)
        inside = isinstance(op, ast.In)
        found = left.polars.is_in(literals)

        def compute(values: Values) -> bool:
            value = left.compute(values)
            return not _missing(value) and (value in literals) is inside

        return _Part("boolean", (_present(left) & (found if inside else found.not_())).fill_null(False), compute)

    def _expect(self, node: ast.expr, wanted: str, by: str) -> _Part:
        part = self.part(node)
        if part.type != wanted:
            raise ExpressionError(f"'{_source(node)}' is a {part.type}; {by} needs a {wanted}")
        return part

    def _check_label(self, part: _Part, literal: Any) -> None:
        allowed = self.labels.get(part.column or "")
        if isinstance(literal, str) and allowed and literal not in allowed:
            raise ExpressionError(f"'{literal}' is not a value of '{part.column}'{nearest(literal, allowed)}")


_SIGNS = "and, or, not, in, < <= > >= == !=, + - * /"


def _source(node: ast.expr) -> str:
    return ast.unparse(node)


def _literal(value: object) -> _Part:
    if isinstance(value, bool):
        return _Part("boolean", pl.lit(value), lambda _: value, literal=value)
    if isinstance(value, str):
        return _Part("text", pl.lit(value), lambda _: value, literal=value)
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            raise ExpressionError("a number in the expression is too large; the largest is about 1.8e308")
        return _Part("number", pl.lit(number), lambda _: number, literal=number)
    raise ExpressionError(f"{value!r} is not a literal of the language; allowed: numbers, 'text', true, false")


def _read_number(name: str) -> Callable[[Values], float]:
    return lambda values: math.nan if values[name] is None else float(values[name])


def _read_boolean(name: str) -> Callable[[Values], bool]:
    return lambda values: bool(values[name]) if not _missing(values[name]) else False


def _read_text(name: str) -> Callable[[Values], str | None]:
    return lambda values: None if values[name] is None else str(values[name])


def _divide(a: float, b: float) -> float:
    return a / b if b != 0 else math.nan


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _present(part: _Part) -> pl.Expr:
    return part.polars.is_not_nan() if part.type == "number" else part.polars.is_not_null()
