import ast
import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ExpressionError
from engine.expressions import MAX_CHARACTERS, MAX_NODES, parse_expression

COLUMNS = {"age": "number", "degree": "number", "infected": "boolean", "city": "text", "größe": "number"}
ROW = {"age": 41.0, "degree": 3.0, "infected": True, "city": "Bonn", "größe": 1.8}
FRAME = pl.DataFrame(
    {
        "age": [41.0, 17.0, math.nan, None],
        "degree": [3, 0, 5, 2],
        "infected": [True, False, None, True],
        "city": ["Bonn", "Kiel", None, "Bonn"],
        "größe": [1.8, 1.5, 1.6, 2.0],
    },
    schema_overrides={"degree": pl.Int64},
)


def select(text: str, columns=COLUMNS, frame=FRAME) -> list[bool]:
    held = frame.select(parse_expression(text, columns).polars.alias("held"))["held"]
    assert held.dtype == pl.Boolean
    return held.to_list()


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("age > 40", [True, False, False, False]),
        ("age != 41", [False, True, False, False]),
        ("not age > 40", [False, True, True, True]),
        ("age == age", [True, True, False, False]),
        ("18 <= age < 65", [True, False, False, False]),
        ("1 < degree < age", [True, False, False, False]),
        ("degree + 2 * 3 - 1 == 8", [True, False, False, False]),
        ("-degree < -2", [True, False, True, False]),
        ("+degree > 2", [True, False, True, False]),
        ("degree / 2 == 1.5", [True, False, False, False]),
        ("1 / degree > 0", [True, False, True, True]),
        ("1 / degree <= 0 or 1 / degree > 0", [True, False, True, True]),
        ("0 / degree == 0", [True, False, True, True]),
        ("1 / 0 > 0", [False] * 4),
        ("not 1 / 0 > 0", [True] * 4),
        ("infected", [True, False, False, True]),
        ("infected == false", [False, True, True, False]),
        ("infected and age < 50", [True, False, False, False]),
        ("infected or degree == 0 or degree == 5", [True, True, True, True]),
        ("city == 'Bonn'", [True, False, False, True]),
        ('city != "Bonn"', [False, True, False, False]),
        ("city in ['Bonn', 'Ulm']", [True, False, False, True]),
        ("city not in ('Bonn', 'Ulm')", [False, True, False, False]),
        ("age in [41, 3, -2]", [True, False, False, False]),
        ("age not in [41]", [False, True, False, False]),
        ("infected in [true]", [True, False, False, True]),
        ("größe > 1.7", [True, False, False, True]),
        ("true", [True] * 4),
        ("False", [False] * 4),
        ("1 < 2 < 3", [True] * 4),
        ("  age > 40\n", [True, False, False, False]),
        ("(((age))) > ((40))", [True, False, False, False]),
        ("1e3 > age", [True, True, False, False]),
        ("city == 'it is \"so\"'", [False] * 4),
        ("degree == 1_0", [False] * 4),
    ],
)
def test_meaning_on_a_frame_and_on_single_rows(text, held):
    assert select(text) == held
    expression = parse_expression(text, COLUMNS)
    assert [expression.evaluate(row) for row in FRAME.iter_rows(named=True)] == held


def test_an_expression_knows_its_text_and_names():
    expression = parse_expression("age > 40 and not infected", COLUMNS)
    assert expression.text == "age > 40 and not infected"
    assert expression.names == {"age", "infected"}


def test_a_value_that_is_not_given_is_named():
    with pytest.raises(ExpressionError, match="reads 'degree', for which no value was given"):
        parse_expression("age > degree", COLUMNS).evaluate({"age": 3})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agee > 40", "'agee' is not a column; did you mean 'age'?"),
        ("age", "is a number; a condition must be true or false"),
        ("'Bonn'", "is a text; a condition must be true or false"),
        ("age + 1", "is a number"),
        ("age > 'x'", "'age' is a number and ''x'' a text"),
        ("city > 'A'", "'>' compares numbers; a text can only be compared"),
        ("infected < true", "'<' compares numbers; a boolean"),
        ("infected + 1 > 0", "'infected' is a boolean; '+' needs a number"),
        ("-city == 'x'", "'city' is a text; a sign needs a number"),
        ("not age", "'age' is a number; 'not' needs a boolean"),
        ("age and infected", "'age' is a number; 'and' needs a boolean"),
        ("age > 40 and", "cannot read"),
        ("", "cannot read"),
        ("   ", "cannot read"),
        ("age = 40", "cannot read"),
        ("age > 40; age", "cannot read"),
        ("import os", "cannot read"),
        ("abs(age) > 1", "a call is not in the language"),
        ("__import__('os').system('ls')", "a call is not in the language"),
        ("age.real > 1", "an attribute is not in the language"),
        ("().__class__ == 1", "an attribute is not in the language"),
        ("city[0] == 'B'", "a subscript is not in the language"),
        ("lambda: 1", "lambda is not in the language"),
        ("1 if infected else 2", "if ... else is not in the language"),
        ("(x := 3) > 2", "an assignment is not in the language"),
        ("f'{age}' == 'x'", "an f-string is not in the language"),
        ("[a for a in age] == 3", "a comprehension is not in the language"),
        ("{1: 2} == 3", "a dictionary is not in the language"),
        ("[1] == [1]", "a list outside 'in' is not in the language"),
        ("age ** 2 > 1", "arithmetic is"),
        ("age % 2 == 1", "arithmetic is"),
        ("age // 2 == 1", "arithmetic is"),
        ("age & 1", "arithmetic is"),
        ("~infected", "write 'not'"),
        ("age is 3", "write == or !="),
        ("age is not 3", "write == or !="),
        ("age in []", "needs a list of literals"),
        ("age in degree", "needs a list of literals"),
        ("age in (3)", "needs a list of literals"),
        ("age in [degree]", "'degree' is not a literal"),
        ("age in [1 + 1]", "is not a literal"),
        ("age in ['x']", "''x'' is a text, 'age' a number"),
        ("age in [1] == true", "a list outside 'in'"),
        ("await age", "cannot read|not in the language"),
        ("age > None", "None is not a literal"),
        ("city == b'x'", "is not a literal"),
        ("age > 1j", "put a space after the number"),
        ("age > 0x1f", "put a space after the number"),
        ("age > 1and infected", "put a space after the number"),
        ("age > ...", "Ellipsis is not a literal"),
        ("city == '\\d'", "backslash"),
        ("age > " + "9" * 400, "too large"),
        ("age > 1e999", "too large"),
        ("age\x00 > 1", "cannot read"),
        ("age > 1 # comment", None),
    ],
)
def test_what_is_outside_the_language_is_refused(text, words):
    if words is None:  # a comment is harmless and carries nothing
        assert parse_expression(text, COLUMNS).names == {"age"}
        return
    with pytest.raises(
        ExpressionError, match=words.replace("(", r"\(").replace("+", r"\+") if "|" not in words else words
    ):
        parse_expression(text, COLUMNS)


def test_length_and_nodes_are_limited():
    longest = "age > 1" + " " * (MAX_CHARACTERS - 7)
    assert parse_expression(longest, COLUMNS).names == {"age"}
    with pytest.raises(ExpressionError, match="has 501 characters; at most 500"):
        parse_expression(longest + " ", COLUMNS)
    # n comparisons `age>1` have three nodes each; one more joins them.
    most = " or ".join(["age>1"] * 16)
    assert sum(isinstance(node, ast.expr) for node in ast.walk(ast.parse(most, mode="eval").body)) == MAX_NODES - 1
    parse_expression(most, COLUMNS)
    with pytest.raises(ExpressionError, match="has 52 names, literals and operations; at most 50"):
        parse_expression(most + " or age>1", COLUMNS)


@pytest.mark.parametrize(
    "bomb",
    [
        "(" * 249 + "1" + ")" * 249,
        "-" * 490 + "1 > 0",
        "not " * 120 + "infected",
        "[" * 250 + "]" * 250,
        "age" + "+1" * 245,
        "age" + "<1" * 245,
        "f'" + "{" * 200,
        "lambda:" * 70 + "1",
        "a." * 240 + "b",
        "9" * 500,
    ],
)
def test_bombs_are_refused_quietly(bomb):
    with pytest.raises(ExpressionError):
        parse_expression(bomb, COLUMNS)


def test_names_are_compared_after_unicode_normalisation():
    # Python reads the ligature as two letters; the column keeps its own spelling.
    assert parse_expression("ﬁrst > 1", {"ﬁrst": "number"}).names == {"ﬁrst"}
    assert select("年齢 > 40", {"年齢": "number"}, pl.DataFrame({"年齢": [50.0, 30.0]})) == [True, False]


def test_columns_called_like_a_python_keyword_can_be_used():
    columns = {"class": "text", "from": "number", "is": "boolean"}
    frame = pl.DataFrame({"class": ["worker", "class"], "from": [1, 2], "is": [True, False]})
    assert select("class == 'class' and from > 1", columns, frame) == [False, True]
    assert select("not is", columns, frame) == [False, True]
    assert parse_expression("class == 'x'", columns).names == {"class"}


def test_a_column_is_compared_with_its_labels_only():
    labels = {"city": ("Bonn", "Kiel")}
    parse_expression("city == 'Kiel' or 'Bonn' == city", COLUMNS, labels=labels)
    for text in ("city == 'Kil'", "'Kil' != city", "city in ['Bonn', 'Kil']"):
        with pytest.raises(ExpressionError, match="'Kil' is not a value of 'city'; did you mean 'Kiel'"):
            parse_expression(text, COLUMNS, labels=labels)


def test_categorical_columns_are_texts():
    frame = pl.DataFrame({"city": pl.Series(["Bonn", "Kiel"], dtype=pl.Categorical)})
    assert select("city in ['Kiel', 'Ulm']", {"city": "text"}, frame) == [False, True]
    assert select("city == 'Bonn'", {"city": "text"}, frame) == [True, False]


def test_the_noun_of_names_can_be_chosen():
    with pytest.raises(ExpressionError, match="'polarisation' is not a measure; did you mean 'polarization'"):
        parse_expression("polarisation > 1", {"polarization": "number"}, noun="measure")


NUMBERS = st.one_of(st.sampled_from(["age", "degree"]), st.integers(-3, 3).map(str), st.floats(-2, 2).map(repr))
TERMS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda term: f"-{term}"),
    ),
    max_leaves=4,
)
CONDITIONS = st.recursive(
    st.one_of(
        st.just("infected"),
        st.tuples(TERMS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), TERMS).map(" ".join),
        TERMS.map(lambda term: f"{term} in [0, 1, -2]"),
        st.sampled_from(["city == 'Bonn'", "city != 'Bonn'", "city not in ['Bonn', '']"]),
    ),
    lambda inner: st.one_of(
        inner.map(lambda condition: f"not ({condition})"),
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
    ),
    max_leaves=4,
)
ROWS = st.fixed_dictionaries(
    {
        "age": st.one_of(st.none(), st.floats(width=32), st.sampled_from([0.0, 1.0, math.nan, math.inf])),
        "degree": st.one_of(st.none(), st.integers(-3, 3)),
        "infected": st.one_of(st.none(), st.booleans()),
        "city": st.one_of(st.none(), st.sampled_from(["Bonn", "Kiel", ""])),
    }
)
SCHEMA = {"age": pl.Float64, "degree": pl.Int64, "infected": pl.Boolean, "city": pl.String}


@given(text=CONDITIONS, rows=st.lists(ROWS, min_size=1, max_size=4))
def test_frames_and_single_rows_agree(text, rows):
    try:
        expression = parse_expression(text, COLUMNS)
    except ExpressionError as error:
        assert "at most" in str(error)
        return
    held = pl.DataFrame(rows, schema=SCHEMA).select(expression.polars.alias("held"))["held"].to_list()
    assert held == [expression.evaluate(row) for row in rows]


@given(st.text(max_size=600))
def test_random_text_raises_nothing_else(text):
    try:
        assert parse_expression(text, COLUMNS).text == text
    except ExpressionError as error:
        assert str(error)


@given(
    st.lists(
        st.sampled_from(
            [
                "age",
                "infected",
                "city",
                "(",
                ")",
                "[",
                "]",
                ",",
                "and",
                "or",
                "not",
                "in",
                "<",
                "==",
                "-",
                "+",
                "/",
                "1",
                "'x'",
                ".",
                ":",
                "lambda",
                "if",
            ]
        )
    )
)
def test_random_words_raise_nothing_else(words):
    try:
        parse_expression(" ".join(words), COLUMNS)
    except ExpressionError as error:
        assert str(error)
