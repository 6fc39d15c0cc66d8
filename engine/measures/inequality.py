"""How unequally a quantity is spread over agents."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import MicrocosmError


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient, in [0, 1 - 1/n].

    Args:
        values: Not negative, finite, shape (n,). Where nobody has anything the coefficient is 0.

    Returns:
        sum_ij |x_i - x_j| / (2 n sum x), in O(n log n); NaN without agents.

    Raises:
        MicrocosmError: a value is negative or not finite.

    Source: Gini (1912); the sorted form is that of Sen (1973), On Economic Inequality.
    """
    ordered = np.sort(_amounts(values, "gini"))
    n = ordered.size
    if n == 0:
        return float("nan")
    total = ordered.sum()
    if total == 0:
        return 0.0
    ranks = 2.0 * np.arange(1, n + 1) - n - 1
    return float(max(0.0, (ranks * ordered).sum() / (n * total)))


def gain_equality(values: ArrayLike) -> float:
    """Return 1 - sum_ij |R_i - R_j| / (2 n sum R), in [1/n, 1]: 1 where all have the same or nobody anything.

    Args:
        values: What each agent received in total, not negative, shape (n,).

    Raises:
        MicrocosmError: a value is negative or not finite.

    Source: Piatti et al. (2024), 2404.16698, metrics (equality).
    """
    return 1.0 - gini(values)


def top_share(values: ArrayLike, share: float = 0.1) -> float:
    """Return the part of the total that the largest `share` of agents hold, in [0, 1].

    Args:
        values: Not negative, finite, shape (n,).
        share: In (0, 1]; at least one agent counts.

    Returns:
        NaN without agents or without anything to hold.

    Raises:
        MicrocosmError: a value is negative or not finite, or the share lies outside (0, 1].

    Source: Piketty and Saez (2003), Quarterly Journal of Economics 118(1).
    """
    amounts = _amounts(values, "top_share")
    if not 0 < share <= 1:
        raise MicrocosmError(f"top_share: the share {share} is not in (0, 1]; give for example 0.1")
    total = amounts.sum()
    if amounts.size == 0 or total == 0:
        return float("nan")
    top = max(1, round(share * amounts.size))
    return float(np.sort(amounts)[-top:].sum() / total)


def _amounts(values: ArrayLike, measure: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    amounts = np.asarray(values, np.float64).ravel()
    wrong = np.flatnonzero(~(np.isfinite(amounts) & (amounts >= 0)))
    if wrong.size:
        raise MicrocosmError(
            f"{measure}: {amounts[wrong[0]]} at position {wrong[0]} ({wrong.size} values in all); "
            "amounts must be finite and not negative"
        )
    return amounts
