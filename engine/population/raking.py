"""Raking: weights such that several columns have given shares, one column at a time (iterative proportional fitting).

Source: Deming and Stephan (1940), Annals of Mathematical Statistics 11, 427-444.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import PopulationError
from engine.population.text import quoted

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_SUM_TOLERANCE = 5e-3
_MAX_CELLS = 2**62


@dataclass(frozen=True)
class Marginal:
    """The shares that one column shall have.

    Attributes:
        name: The column.
        labels: Its categories or intervals, as the study names them.
        shares: Share of each, summing to 1.
        codes: Position in `labels` of each person, shape (n,).
    """

    name: str
    labels: tuple[str, ...]
    shares: FloatArray
    codes: IntArray


@dataclass(frozen=True)
class Raked:
    """Raked weights and how far they got.

    Attributes:
        weights: One per person, mean 1 over those with a weight above 0, float64.
        rounds: Rounds over all marginals.
        difference: Largest difference left between a share and its target.
        worst: Column and label of that difference.
        is_converged: Whether it is within the tolerance.
        before, achieved: Shares of each marginal under the first weights and the raked ones.
        n_cells, n_empty: Cells of the cross-table of all marginals, and those without anybody.
    """

    weights: FloatArray
    rounds: int
    difference: float
    worst: tuple[str, str]
    is_converged: bool
    before: tuple[FloatArray, ...]
    achieved: tuple[FloatArray, ...]
    n_cells: int
    n_empty: int


def read_shares(targets: Mapping[str, Mapping[str, float]], where: str, problems: list[str]) -> dict[str, FloatArray]:
    """Return the shares of each column, summing to 1.

    Args:
        targets: Numbers by label, for each column: shares, percentages, or counts with the same total everywhere.
        where: Dotted key of the table.
        problems: Receives one sentence per column that is neither.
    """
    totals: dict[str, float] = {}
    for name, row in targets.items():
        bad = [label for label, share in row.items() if not (math.isfinite(share) and share >= 0)]
        if bad or not row:
            what = f"{quoted(bad[0])} = {row[bad[0]]:g} is no share of at least 0" if bad else "no share is given"
            problems.append(f"{what} @ {where}.{name}")
        else:
            totals[name] = math.fsum(row.values())
    for name, total in totals.items():
        is_share = any(abs(total - whole) <= _SUM_TOLERANCE * whole for whole in (1.0, 100.0))
        is_count = len(totals) > 1 and total > 100 and all(
            abs(other - total) <= 1e-6 * total for other in totals.values()
        )  # fmt: skip
        if not (is_share or is_count):
            problems.append(
                f"the shares sum to {total:.6g}; they must sum to 1 or 100, or be counts with one total in all columns "
                f"@ {where}.{name}"
            )
    return {
        name: np.array([*targets[name].values()], np.float64) / total for name, total in totals.items() if total > 0
    }


def check_cells(marginals: Sequence[Marginal], weights: FloatArray, where: str) -> list[str]:
    """Return one sentence per target above 0 that nobody could fill."""
    problems = []
    for marginal in marginals:
        held = np.bincount(marginal.codes, weights, len(marginal.labels))
        for label, share, weight in zip(marginal.labels, marginal.shares, held, strict=True):
            if share > 0 and weight <= 0:
                problems.append(
                    f"nobody is in {quoted(label)}, so the share {share:.4g} cannot be reached; merge it with another "
                    f"category @ {where}.{marginal.name}"
                )
    return problems


def rake(marginals: Sequence[Marginal], weights: FloatArray, *, tolerance: float = 1e-6, rounds: int = 500) -> Raked:
    """Return weights under which every marginal has its shares.

    People who are alike in all marginals keep the ratio of their weights, so the work is done on the cells of the
    cross-table that are not empty.

    Args:
        marginals: At least one; labels with a share above 0 must have somebody with a weight.
        weights: First weights, at least 0, shape (n,).
        tolerance: Largest difference between a share and its target.
        rounds: Most rounds over all marginals.

    Raises:
        PopulationError: nobody is left: no one has a weight in categories with a share above 0 only.
    """
    n_cells = math.prod(len(marginal.labels) for marginal in marginals)
    cells, codes = _cells(marginals, n_cells)
    first = np.bincount(cells, weights, codes.shape[1])
    total = first.sum()
    if not total > 0:
        raise PopulationError("raking needs somebody with a weight above 0")
    held = first / total
    before = tuple(_shares(held, row, marginal) for row, marginal in zip(codes, marginals, strict=True))
    done, difference, worst = 0, math.inf, ("", "")
    while done < rounds and difference > tolerance:
        for row, marginal in zip(codes, marginals, strict=True):
            now = _shares(held, row, marginal)
            held = held * np.divide(marginal.shares, now, out=np.zeros_like(now), where=now > 0)[row]
        done += 1
        difference, worst = _largest(held, codes, marginals)
    if not held.sum() > 0:
        raise PopulationError("the targets leave nobody: everyone is in some category whose share is 0")
    factor = np.divide(held, first, out=np.zeros_like(held), where=first > 0)
    raked = weights * factor[cells]
    n_people = max(int((raked > 0).sum()), 1)
    return Raked(
        weights=raked * (n_people / raked.sum()),
        rounds=done,
        difference=difference,
        worst=worst,
        is_converged=difference <= tolerance,
        before=before,
        achieved=tuple(_shares(held, row, marginal) for row, marginal in zip(codes, marginals, strict=True)),
        n_cells=n_cells,
        n_empty=n_cells - int((first > 0).sum()),
    )


def _cells(marginals: Sequence[Marginal], n_cells: int) -> tuple[IntArray, IntArray]:
    """Return each person's cell, shape (n,), and each cell's codes, shape (marginals, cells)."""
    if n_cells < _MAX_CELLS:
        joint = np.zeros(marginals[0].codes.size, np.int64)
        for marginal in marginals:
            joint = joint * len(marginal.labels) + marginal.codes
        _, place, cells = np.unique(joint, return_index=True, return_inverse=True)
    else:
        table = np.stack([marginal.codes for marginal in marginals])
        _, place, cells = np.unique(table, axis=1, return_index=True, return_inverse=True)
    return cells.reshape(-1), np.stack([marginal.codes[place] for marginal in marginals])


def _shares(held: FloatArray, codes: IntArray, marginal: Marginal) -> FloatArray:
    return np.asarray(np.bincount(codes, held, len(marginal.labels)), np.float64)


def _largest(held: FloatArray, codes: IntArray, marginals: Sequence[Marginal]) -> tuple[float, tuple[str, str]]:
    largest, worst = 0.0, ("", "")
    for row, marginal in zip(codes, marginals, strict=True):
        gaps = np.abs(_shares(held, row, marginal) - marginal.shares)
        if gaps.max() >= largest:
            largest, worst = float(gaps.max()), (marginal.name, marginal.labels[int(gaps.argmax())])
    return largest, worst
