"""Columns: what a value per agent means, in which range, and how a prompt shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from engine.decision import Categories, Presentation, Rounded

Kind = Literal["float", "integer", "category", "boolean", "text"]
Provenance = Literal["", "survey", "sampled", "manual", "model"]
"""Where a column's values come from: respondents of a survey, draws, a person's hand, or a language model."""


@dataclass(frozen=True)
class Column:
    """Meaning of one value per agent.

    Attributes:
        kind: float (float64 or float32), integer (int64 or smaller), category (integer codes into `labels`),
            boolean, or text (object array of str).
        dtype: numpy dtype name of the array.
        unit: Unit, or an empty string.
        low, high: Range of a number, both included; None where open.
        labels: Texts of the category codes, in order.
        help: One sentence for forms and prompts.
        presentation: How a prompt shows it; None for the default of its kind.
        initial: Value of an agent that enters without one.
        scale: Instrument or coding that the values follow; like the provenance, no part of what the values mean to the
            engine, and so left out when columns are compared.
        provenance: Where the values come from; empty where nothing is known.
    """

    kind: Kind
    dtype: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    labels: tuple[str, ...] = ()
    help: str = ""
    presentation: Presentation | None = None
    initial: float = 0.0
    scale: str = field(default="", compare=False)
    provenance: Provenance = field(default="", compare=False)

    def shown(self, low: float | None = None, high: float | None = None) -> Presentation | None:
        """Return the presentation: the declared one, labels of categories, or numbers in at most 101 roundings.

        Args:
            low: Smallest value present, used where the column declares none.
            high: Largest value present, likewise.
        """
        if self.presentation is not None:
            return self.presentation
        if self.kind == "category":
            return Categories(self.labels)
        if self.kind == "boolean":
            return Categories(("no", "yes"))
        if self.kind == "text":
            return None
        bottom = self.low if self.low is not None else (low if low is not None else 0.0)
        top = self.high if self.high is not None else (high if high is not None else 100.0)
        span = max(top - bottom, 1e-9)
        step = 1.0 if self.kind == "integer" else 10.0 ** np.floor(np.log10(span / 10.0))
        while np.ceil(top / step) - np.floor(bottom / step) > 100:
            step *= 2 if (span / step) <= 200 else 10
        return Rounded(float(np.floor(bottom / step) * step), float(np.ceil(top / step) * step), float(step), self.unit)
