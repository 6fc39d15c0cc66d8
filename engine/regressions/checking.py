"""Check a study's regressions and give each its canonical form: names bound, pasted text replaced by what it says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.decision import Choice, Decision, Integers
from engine.problems import Findings, Path, shown, unknown
from engine.regressions.covariance import check_covariance
from engine.regressions.tables import Pasted, read_pasted
from engine.regressions.terms import INTERCEPT, TermReader, match, visible_columns
from engine.spec import DecisionSpec, RegressionSpec, Study

Table = dict[str, float]


def check_regressions(
    study: Study, info: Any, columns: Mapping[str, Any], is_mistake: Callable[[str], bool], findings: Findings
) -> dict[str, DecisionSpec]:
    """Return the study's decisions with their regressions in canonical form; problems go to `findings`.

    Args:
        study: The study; its decisions have the right shape.
        info: The scenario.
        columns: Persona and state columns by name.
        is_mistake: Tells whether a sentence about an unknown column is to be believed.
        findings: Where problems go.
    """
    asks = {ask.name: ask for ask in (*info.decisions, *info.writings)}
    decisions = dict(study.decisions)
    for name, spec in study.decisions.items():
        if spec.regression is None or name not in asks:
            continue
        path: Path = ("decisions", name, "regression")
        ask = asks[name]
        if not isinstance(ask, Decision):
            findings.add(f"'{name}' is a writing; a regression decides between options", *path)
        elif isinstance(ask.answer, Integers):
            low, high = ask.answer.low, ask.answer.high
            asked = f"'{name}' asks for a whole number from {low} to {high}"
            findings.add(f"{asked}; a regression decides between named options", *path)
        elif not isinstance(ask.answer, Choice):
            findings.add(f"'{name}' asks for more than one of its options; a regression chooses one", *path)
        elif spec.regression.kind is None:
            if not any(problem.key == f"decisions.{name}.regression.kind" for problem in findings.problems):
                findings.add("'kind' is missing; it is one of logit, multinomial, ordinal", *path, "kind")
        else:
            checked = _Check(ask, spec.regression, columns, is_mistake, path, findings).run()
            decisions[name] = spec.model_copy(update={"policy": spec.policy, "regression": checked})
    return decisions


class _Check:
    """One regression; each method reports what is wrong and goes on with the rest."""

    def __init__(
        self,
        ask: Decision,
        spec: RegressionSpec,
        columns: Mapping[str, Any],
        is_mistake: Callable[[str], bool],
        path: Path,
        findings: Findings,
    ) -> None:
        self.ask, self.spec, self.is_mistake, self.path, self.findings = ask, spec, is_mistake, path, findings
        self.options = ask.answer.texts
        self.reader = TermReader(visible_columns(ask, columns), f"that '{ask.name}' can see")

    def run(self) -> RegressionSpec:
        """Return the canonical regression; it is good only if no problem was found."""
        spec, before = self.spec, len(self.findings.problems)
        changes: dict[str, Any] = {"pasted": None, "option": self.option()}
        pasted = self.pasted()
        if spec.kind == "multinomial":
            tables = self.tables_of(pasted)
            changes["coefficients"] = tables
            self.check_reference(tables)
            self.check_intercepts(tables)
        else:
            table = self.table_of(pasted)
            changes["coefficients"] = table
            if spec.kind == "logit" and not (pasted and pasted.cuts):
                self.check_intercepts({"": table})
        changes["thresholds"] = self.thresholds(pasted)
        canonical = spec.model_copy(update=changes)
        if len(self.findings.problems) > before:
            return canonical
        return check_covariance(canonical, self.reader, self.options, self.path, self.findings)

    def add(self, message: str, *path: str) -> None:
        """Report a problem with the regression."""
        self.findings.add(message, *self.path, *path)

    def option(self) -> str | None:
        """Return the option whose log odds a logit gives."""
        given, name = self.spec.option, self.ask.name
        if self.spec.kind != "logit":
            if given is not None:
                self.add(f"option = {shown(given)} belongs to a logit; {self.spec.kind} has none", "option")
            return None
        if len(self.options) != 2:
            listed = ", ".join(self.options)
            self.add(f"a logit decides between two options; '{name}' has {len(self.options)}: {listed}", "kind")
        found = self.options[1] if given is None else self.find_option(given, "option")
        return self.options[1] if found is None else found

    def find_option(self, text: str, *path: str) -> str | None:
        """Return the option that a text stands for; Stata writes spaces as underscores."""
        found = match(text, self.options)
        if len(found) == 1:
            return found[0]
        self.add(unknown(text, f"an option of '{self.ask.name}'", self.options), *path)
        return None

    def pasted(self) -> Pasted | None:
        """Return what the pasted text holds; None where coefficients are typed."""
        spec = self.spec
        if spec.pasted is None:
            if not spec.coefficients and not (spec.kind == "ordinal" and spec.thresholds):
                self.add("the coefficients are missing; give either coefficients or pasted")
            return None
        if spec.coefficients:
            self.add("coefficients and pasted are both given; keep one of them", "pasted")
        found = read_pasted(spec.pasted, self.options, spec.kind == "multinomial")
        for problem in found.problems:
            self.add(problem, "pasted")
        return found

    def bind(self, given: Sequence[tuple[str, float, Path]]) -> Table:
        """Return canonical term -> coefficient of (name, coefficient, place of the problem)."""
        self.reader.note_levels([name for name, _, _ in given])
        table: Table = {}
        for name, value, place in given:
            term = self.reader.read(name)
            if isinstance(term, str):
                table[name] = value  # so that what is missing beside it is still seen
                if self.is_mistake(term):
                    self.findings.add(term, *place)
            elif term.text in table:
                self.findings.add(f"{term.text} is given twice", *place)
            else:
                table[term.text] = value
        return table

    def table_of(self, pasted: Pasted | None) -> Table:
        """Return the one table of a logit or an ordinal regression."""
        kind, given = self.spec.kind, list[tuple[str, float, Path]]()
        if pasted is not None:
            place: Path = (*self.path, "pasted")
            outcomes = list(dict.fromkeys(row.outcome for row in pasted.rows if row.outcome))
            if outcomes:
                self.add(f"the table has coefficients for each of {', '.join(outcomes)}; that is a multinomial", "kind")
            given = [(row.name, row.value, place) for row in pasted.rows]
        for name, value in self.spec.coefficients.items() if pasted is None else ():
            at: Path = (*self.path, "coefficients", name)
            if isinstance(value, float):
                given.append((name, value, at))
            else:
                self.findings.add(f"{name} is a table; {kind} takes one number for each term", *at)
        table = self.bind(given)
        if kind == "ordinal" and INTERCEPT in table:
            self.add("an ordinal regression has thresholds in place of an intercept; leave it out", self.source())
        return table

    def tables_of(self, pasted: Pasted | None) -> dict[str, Table]:
        """Return the tables of a multinomial regression by option."""
        given: dict[str, list[tuple[str, float, Path]]] = {}
        for row in pasted.rows if pasted is not None else ():
            outcome, name = row.outcome, row.name
            if not outcome and ":" in name:  # as R names them in coef() and vcov()
                first, _, rest = name.partition(":")
                outcome, name = (first, rest) if match(first, self.options) else ("", name)
            if outcome:
                given.setdefault(outcome, []).append((name, row.value, (*self.path, "pasted")))
            else:
                self.add(f"{shown(name)} belongs to no option; a multinomial has one table for each option", "pasted")
        for outcome, table in self.spec.coefficients.items() if pasted is None else ():
            place: Path = (*self.path, "coefficients", outcome)
            if isinstance(table, dict):
                given[outcome] = [(name, value, (*place, name)) for name, value in table.items()]
            else:
                self.findings.add(f"{outcome} = {table:g} stands outside the table of an option", *place)
        self.reader.note_levels([name for rows in given.values() for name, _, _ in rows])
        tables: dict[str, Table] = {}
        for outcome, rows in given.items():
            place = ("pasted",) if pasted is not None else ("coefficients", outcome)
            option = self.find_option(outcome, *map(str, place))
            table = self.bind(rows)
            if option in tables:
                self.add(f"'{option}' has two tables", *map(str, place))
            elif option is not None:
                tables[option] = table
        return tables

    def source(self) -> str:
        """Return the key under which the coefficients were given."""
        return "pasted" if self.spec.pasted is not None else "coefficients"

    def check_reference(self, tables: Mapping[str, Table]) -> None:
        """Report more or fewer tables than one for each option but the reference."""
        missing = [option for option in self.options if option not in tables]
        if not tables or len(missing) == 1:
            return
        listed = ", ".join(missing) or "none is left out"
        message = f"a multinomial has one table for each option but one, the reference; without a table: {listed}"
        self.add(message, self.source())

    def check_intercepts(self, tables: Mapping[str, Table]) -> None:
        """Report tables without an intercept."""
        without = [option for option, table in tables.items() if table and INTERCEPT not in table]
        if without:
            listed = ", ".join(f"'{option}'" for option in without if option)
            where = f" for {listed}" if listed else ""
            self.add(f"there is no intercept{where}; write intercept = 0 if it is meant to be 0", self.source())

    def thresholds(self, pasted: Pasted | None) -> tuple[float, ...]:
        """Return the cut points of an ordinal regression."""
        typed, cuts = self.spec.thresholds, pasted.cuts if pasted is not None else []
        if self.spec.kind != "ordinal":
            if typed:
                self.add(f"thresholds belong to an ordinal regression; {self.spec.kind} has none", "thresholds")
            if cuts:
                self.add(f"the table has thresholds ({cuts[0][0]}, ...); that is an ordinal regression", "kind")
            return ()
        if typed and cuts:
            self.add("the pasted table has thresholds of its own; leave these out", "thresholds")
        found = typed or self.order_of(cuts)
        key = "pasted" if cuts else "thresholds"
        n = len(self.options) - 1
        if len(found) != n:
            listed = ", ".join(self.options)
            self.add(f"{len(found)} thresholds are given; the {n + 1} options ({listed}) need {n}", key)
        elif any(high <= low for low, high in itertools.pairwise(found)):
            self.add(f"thresholds {', '.join(f'{cut:g}' for cut in found)} do not ascend", key)
        return tuple(found)

    def order_of(self, cuts: Sequence[tuple[str, float]]) -> tuple[float, ...]:
        """Return printed thresholds, whose names must follow the options from the first to the last."""
        for place, (name, _) in enumerate(cuts[: len(self.options) - 1]):
            sides = [side.strip() for side in name.split("|")]
            if len(sides) != 2 or all(side.isdecimal() for side in sides):
                continue
            wanted = self.options[place : place + 2]
            if [match(side, self.options) for side in sides] != [[option] for option in wanted]:
                message = f"threshold '{name}' stands where {'|'.join(wanted)} belongs"
                self.add(f"{message}; the options run {', '.join(self.options)}", "pasted")
                break
        return tuple(value for _, value in cuts)
