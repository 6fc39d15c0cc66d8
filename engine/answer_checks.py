"""Check what a study says about the answers of a language model: reasons, calibration, shares, budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.decision import Choice, Decision, MultiSelect, Ranking
from engine.problems import Findings, Path, shown, unknown
from engine.spec import CalibrationSpec, Study

SUM_TOLERANCE = 1e-3


def check_answers(
    study: Study, info: Any, columns: Mapping[str, Any], is_mistake: Callable[[str], bool], findings: Findings
) -> None:
    """Report what cannot be asked of a language model in the way that the study wants.

    Args:
        study: The study; its parts have the right shape.
        info: The scenario.
        columns: Persona and state columns by name.
        is_mistake: Tells whether a sentence about an unknown column is to be believed.
        findings: Where problems go.
    """
    budget = study.model.budget
    if budget is not None and study.model.n_ctx is None:
        findings.add(
            "a budget is given in shares of n_ctx, which is missing; set it, for example n_ctx = 2048", "model", "n_ctx"
        )
    if budget is not None and sum(filter(None, (budget.persona, budget.texts, budget.observation))) > 1:
        findings.add("the shares of persona, texts and observation together exceed 1", "model", "budget")
    asks = {ask.name: ask for ask in (*info.decisions, *info.writings)}
    for name, spec in study.decisions.items():
        ask, path = asks.get(name), ("decisions", name)
        if ask is None:
            continue
        if not isinstance(ask, Decision):
            for key in ("reason", "calibration"):
                if getattr(spec, key):
                    findings.add(f"'{name}' is a writing; {key} is for decisions", *path, key)
        elif spec.calibration is not None:
            _Calibration(ask, spec.calibration, columns, is_mistake, (*path, "calibration"), findings).check()


class _Calibration:
    """One calibration; each method reports what is wrong and goes on with the rest."""

    def __init__(
        self,
        ask: Decision,
        spec: CalibrationSpec,
        columns: Mapping[str, Any],
        is_mistake: Callable[[str], bool],
        path: Path,
        findings: Findings,
    ) -> None:
        self.ask, self.spec, self.columns, self.is_mistake = ask, spec, columns, is_mistake
        self.path, self.findings = path, findings

    def check(self) -> None:
        spec, answer = self.spec, self.ask.answer
        if spec.normalisation == "bytes" and isinstance(answer, MultiSelect):
            self.add("'bytes' compares options by length, but each option of a set is asked apart", "normalisation")
        if spec.by is not None and not spec.shares:
            self.add("by says for whose answers shares are given; shares are missing", "by")
        if not spec.shares:
            return
        if not isinstance(answer, Choice | MultiSelect | Ranking):
            self.add(f"shares are given for named options, which '{self.ask.name}' does not have", "shares")
        elif spec.by is None:
            self.check_shares(spec.shares, ("shares",))
        else:
            self.check_segments(spec.by)

    def add(self, message: str, *keys: str) -> None:
        self.findings.add(message, *self.path, *keys)

    def check_segments(self, by: str) -> None:
        column = self.columns.get(by)
        sentence = unknown(by, "a column of the population", self.columns)
        if column is None and self.is_mistake(sentence):
            self.add(sentence, "by")
        if column is not None and column.kind not in ("category", "boolean", "text"):
            self.add(f"'{by}' is a {column.kind} column; shares are given by the labels of a category", "by")
            return
        labels = () if column is None else ("true", "false") if column.kind == "boolean" else column.labels
        for label, table in self.spec.shares.items():
            if labels and label not in labels:
                self.add(unknown(label, f"a label of '{by}'", labels), "shares")
            elif isinstance(table, Mapping):
                self.check_shares(table, ("shares", label))
            else:
                self.add(f"{label} = {shown(table)} is not a table of shares; with by, give one per label", "shares")

    def check_shares(self, shares: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        """Report shares of options that do not exist, that are no shares, or that do not sum to 1."""
        options = self.ask.answer.texts
        numbers = [share for share in shares.values() if isinstance(share, int | float)]
        for option, share in shares.items():
            if isinstance(share, Mapping):
                self.add(f"{option} is a table, but no column is named by which shares are given; set by", *keys)
            elif option not in options:
                self.add(unknown(option, f"an option of '{self.ask.name}'", options), *keys)
            elif not 0 <= share <= 1:
                self.add(f"{option} = {shown(share)} is not in [0, 1]", *keys)
        if len(numbers) != len(shares):
            return
        if isinstance(self.ask.answer, MultiSelect):
            missing = [option for option in options if option not in shares]
            if missing:
                self.add(f"the share of '{missing[0]}' is missing; each option of a set has a share of its own", *keys)
        elif abs(sum(numbers) - 1) > SUM_TOLERANCE:
            self.add(f"the shares sum to {sum(numbers):.6g}, not to 1", *keys)
