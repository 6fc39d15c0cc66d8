"""Read coefficient tables as R, Stata and SPSS print them, and plain lines "name value".

Nothing is bound to a study here: rows keep the printed names. Text that holds no logit, or odds ratios in place of
coefficients, is answered with a sentence.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.problems import shown

MAX_LINES = 5_000
MAX_LINE = 2_000

_NUMBER = re.compile(r"<?[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_MISSING = frozenset({"NA", "NaN", "nan"})
_DECIMAL_COMMA = re.compile(r"(?<![\w.,])(-?\d*),(\d+)(?![\w.,])")
_DECIMAL_POINT = re.compile(r"\d\.\d|(?<!\w)\.\d")
_R_HEADER = re.compile(r"Estimate|Values?|Std\. ?Err(?:or|\.)|[zt] value|Pr\(")
_R_SECTION = re.compile(r"(Coefficients|Intercepts|Threshold coefficients|Std\. Errors)\b.*:")
_STATA_HEADER = re.compile(r"\| +(?:Robust|Coef\.|Coefficient|Odds ratio|RRR)", re.IGNORECASE)
_SPSS_STEP = re.compile(r"[^\W\d]+\s+\d+\S{0,3}\s+(?=[^\W\d])")
_CUT = re.compile(r"/?cut ?(\d+)|/?_cut(\d+)", re.IGNORECASE)
_OTHER_MODELS = (
    (r"probit", "a probit model"),
    (r"cloglog|loglog", "a model with a (complementary) log-log link"),
    (r"for (?:poisson|gaussian|Gamma) family|Poisson regression|Linear regression", "another model than a logit"),
    (r"Residual standard error|R-squared:", "a linear regression"),
)


@dataclass(frozen=True)
class Row:
    """One printed coefficient; `outcome` is the option it belongs to, where the table has several."""

    name: str
    value: float
    outcome: str = ""


@dataclass
class Pasted:
    """What a pasted text holds.

    Attributes:
        rows: Coefficients in printed order.
        cuts: (printed name, value) of the thresholds of an ordinal model.
        problems: Sentences about what cannot be read.
    """

    rows: list[Row] = field(default_factory=list)
    cuts: list[tuple[str, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, value: float | None, outcome: str = "") -> None:
        """Take a row; one without a value (NA: dropped from the model) adds nothing."""
        if value is None:
            return
        cut = _CUT.fullmatch(name)
        if cut or (name.count("|") == 1 and "[" not in name):
            self.cuts.append((f"/cut{cut[1] or cut[2]}" if cut else name, value))
        else:
            self.rows.append(Row(name, value, outcome))


def read_pasted(text: str, options: Sequence[str], several: bool) -> Pasted:
    """Return the coefficients of a pasted text.

    Args:
        text: Output of R, Stata or SPSS, or lines "name value".
        options: Options of the decision; a plain line with nothing but one of them opens its coefficients.
        several: Whether there is a table per option (multinomial).
    """
    lines = clean_lines(text)
    wrong = _wrong_model(lines)
    if wrong:
        return Pasted(problems=[wrong])
    if any(_STATA_HEADER.search(line) for line in lines):
        found = _read_stata(lines, several)
    elif any(_is_spss_header(line) for line in lines):
        found = _read_spss(lines)
    elif any(_R_SECTION.match(line.strip()) or _r_columns(line) > 1 for line in lines):
        found = _read_r(lines)
    else:
        found = _read_plain(lines, options, several)
    if not (found.rows or found.cuts or found.problems):
        found.problems.append(
            "no coefficients were found; paste the table of summary() in R, of logit, mlogit or ologit in Stata, of "
            "'Variables in the Equation' in SPSS, or lines with a name and a value"
        )
    return found


def clean_lines(text: str) -> list[str]:
    """Return the lines with plain spaces, minus signs and decimal points."""
    text = text.replace("−", "-").replace("–", "-").replace("\xa0", " ")
    lines = [line[:MAX_LINE].expandtabs(8).rstrip() for line in text.splitlines()[:MAX_LINES]]
    if not any(_DECIMAL_POINT.search(line) for line in lines):
        lines = [_DECIMAL_COMMA.sub(r"\1.\2", line) for line in lines]
    return lines


def _wrong_model(lines: Sequence[str]) -> str:
    """Return why the output cannot be used at all, or an empty string."""
    for pattern, what in _OTHER_MODELS:
        for line in lines:
            if re.search(pattern, line, re.IGNORECASE):
                return f"the pasted output is of {what} ({shown(line.strip())}); a logit is needed"
    for line in lines:
        if re.search(r"\| +Odds ratio|\| +RRR|^\s*OR\b", line, re.IGNORECASE):
            return "the pasted table holds odds ratios; paste the coefficients (in Stata without the options or, rrr)"
    return ""


def _number(token: str) -> float | None:
    """Return the number of a printed token; None where it is something else, or missing."""
    return float(token.lstrip("<")) if _NUMBER.fullmatch(token) else None


def split_row(line: str) -> tuple[str, list[float | None]]:
    """Return (name, numbers) of a printed row; stars of significance are left out, NA is None."""
    tokens = line.split()
    numbers: list[float | None] = []
    while tokens:
        token = tokens[-1].rstrip(",;")
        if _NUMBER.fullmatch(token) or token in _MISSING:
            numbers.insert(0, _number(token))
        elif not (token in ("<", "=") or (set(token) <= {"*", "."} and len(token) <= 3)):
            break
        tokens.pop()
    return " ".join(tokens).rstrip("=:,; "), numbers


def _r_columns(line: str) -> int:
    """Return how many columns of numbers an R header announces; 0 where the line is none."""
    if not re.search(r"Estimate|Values?\b", line) or re.search(r"\d", line):
        return 0
    return len(_R_HEADER.findall(line))


def _read_r(lines: Sequence[str]) -> Pasted:
    found = Pasted()
    columns, section = 0, "Coefficients"
    for place, line in enumerate(lines):
        marker = _R_SECTION.match(line.strip())
        if marker:
            section, columns = marker[1], 0
            after = next((other for other in lines[place + 1 :] if other.strip()), "")
            if section != "Std. Errors" and not _r_columns(after):
                _read_r_matrix(lines[place + 1 :], found)
        elif _r_columns(line):
            columns = _r_columns(line)
        elif not line.strip() or line.startswith("---"):
            columns = 0
        elif columns:
            name, numbers = split_row(line)
            extra = numbers[: max(len(numbers) - columns, 0)]
            name = " ".join([name, *(f"{number:g}" for number in extra if number is not None)]).strip()
            if not name or len(numbers) < 1:
                found.problems.append(f"the row {shown(line.strip())} has no {'value' if name else 'name'}")
            elif section == "Coefficients" or "|" in name:
                found.add(name, numbers[len(extra)])
    return found


def _read_r_matrix(lines: Sequence[str], found: Pasted) -> None:
    """Read coefficients printed as a matrix, a row per outcome (multinom), or as one vector."""
    block: list[str] = []
    for line in lines:
        if not line.strip() and not block:
            continue
        if not line.strip() or _R_SECTION.match(line.strip()):
            break
        block.append(line)
    matrix = read_matrix(block)
    if isinstance(matrix, str):
        found.problems.append(matrix)
        return
    for (row, column), value in matrix.items():
        found.add(column, value, row)


def read_matrix(lines: Sequence[str]) -> dict[tuple[str, str], float] | str:
    """Return {(row name, column name): value} of a matrix as R prints it, wrapped blocks put together.

    Column names may hold spaces: numbers are right-aligned below them.
    """
    values: dict[tuple[str, str], float] = {}
    header, rows = "", list[str]()
    for line in [*(line for line in lines if line.strip()), ""]:
        if split_row(line)[1]:
            rows.append(line)
            continue
        if rows:
            block = _read_block(header, rows)
            if isinstance(block, str):
                return block
            values |= block
        header, rows = line, []
    return values or "the pasted matrix has no numbers"


def _read_block(header: str, rows: Sequence[str]) -> dict[tuple[str, str], float] | str:
    tokens = [list(re.finditer(r"\S+", row)) for row in rows]
    width = min(len(split_row(row)[1]) for row in rows)
    names = header.split()
    if len(names) != width:
        edges = [0, *(token.end() for token in tokens[0][-width:])]
        aligned = all([token.end() for token in row[-width:]] == edges[1:] for row in tokens)
        borders = all(header[edge - 1 : edge].strip() and not header[edge : edge + 1].strip() for edge in edges[1:])
        names = [header[start:end].strip() for start, end in itertools.pairwise(edges)]
        if not (aligned and borders and all(names)):
            return f"the columns below {shown(header.strip())} cannot be told apart; keep the printed spacing"
    found: dict[tuple[str, str], float] = {}
    for row, parts in zip(rows, tokens, strict=True):
        label = row[: parts[-width].start()].strip()
        for name, part in zip(names, parts[-width:], strict=True):
            value = _number(part[0])
            if value is not None:
                found[label, name] = value
    return found


def _read_stata(lines: Sequence[str], several: bool) -> Pasted:
    found = Pasted()
    inside, ruled, outcome, factor = False, False, "", ""
    for line in lines:
        if _STATA_HEADER.search(line):
            inside = True
        elif not inside or not line.strip():
            continue
        elif line.count("-") > 4 and set(line) <= {"-", "+", " "}:
            ruled, factor = "+" in line, ""
            inside = ruled or not (found.rows or found.cuts)
        elif "|" in line:
            left, _, right = line.partition("|")
            name, numbers = left.strip(), right.split()
            if not name:
                factor = ""
            elif not numbers or "(base outcome)" in right:
                joined = factor + name if factor.endswith("#") else name  # long interactions take two lines
                outcome, factor = (name, "") if several and ruled else (outcome, joined)
            elif "(" not in right and _number(numbers[0]) is None:
                found.problems.append(f"the row {shown(line.strip())} has no value")
            elif "(" not in right:  # (base), (omitted) and (empty) add nothing
                is_level = factor and name != "_cons" and not _CUT.fullmatch(name)
                found.add(_stata_level(factor, name) if is_level else name, _number(numbers[0]), outcome)
            ruled = False
    return found


def _stata_level(factor: str, level: str) -> str:
    """Return the name of a row below the header of a factor variable, or of an interaction with one."""
    parts = factor.split("#")
    n_levels = sum(not part.startswith("c.") for part in parts)
    levels = iter(level.split("#") if "#" in level or n_levels == 1 else level.split())
    return "#".join(part if part.startswith("c.") else f"{part}[{next(levels, '').strip()}]" for part in parts)


def _is_spss_header(line: str) -> bool:
    return "Wald" in line and ("S.E." in line or "Exp(B)" in line)


def _read_spss(lines: Sequence[str]) -> Pasted:
    found = Pasted()
    inside = False
    for line in lines:
        if _is_spss_header(line):
            inside = True
            continue
        if line.strip().startswith("a. ") or "not in the Equation" in line:
            inside = False
        if not inside or not line.strip():
            continue
        text = line.strip()
        step = _SPSS_STEP.match(text)
        name, numbers = split_row(text[step.end() :] if step else text)
        if len(numbers) > 3 and name:  # the joint test of a category has three numbers and no coefficient
            if step:  # a later step replaces the earlier ones
                found.rows.clear()
            found.add(name, numbers[0])
    return found


def _read_plain(lines: Sequence[str], options: Sequence[str], several: bool) -> Pasted:
    found = Pasted()
    outcome = ""
    named = {option.casefold() for option in options}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if several and text.rstrip(":").strip().casefold() in named:
            outcome = text.rstrip(":").strip()
            continue
        name, numbers = split_row(text)
        if not numbers:
            for separator in "=,;:":
                before, _, after = text.rpartition(separator)
                if before and _NUMBER.fullmatch(after.strip()):
                    name, numbers = before.strip(), [_number(after.strip())]
                    break
        if not name or not numbers:
            found.problems.append(f"line {number} ({shown(text)}) has no {'value' if name else 'name'}")
        else:
            found.add(name, numbers[0], outcome)
    return found
