"""How opinions on one dimension are spread: polarization and clusters."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from engine.errors import MicrocosmError

MAJOR_SHARE = 0.05  # Smallest share of agents that makes a cluster a major one; ours, after Lorenz (2007).
N_BINS = 10  # Bins of the Esteban-Ray index on [0, 1]; ours.
_BINS_PER_GAP = 2.0
_MOST_BINS = 100_000
ALPHA = 1.6  # Polarization sensitivity; upper end of the range that Esteban and Ray (1994) allow.


def variance_polarization(opinions: ArrayLike) -> float:
    """Return 4 Var(x), population variance: 0 for consensus, 1 for two equal camps at 0 and 1.

    Args:
        opinions: In [0, 1], shape (n,).

    Returns:
        A number in [0, 1]; NaN without agents.

    Source: Bramson et al. (2016), Journal of Mathematical Sociology 40(2), "dispersion", scaled to 1.
    """
    x = np.asarray(opinions, np.float64)
    return float(4.0 * x.var()) if x.size else float("nan")


def cluster_sizes(opinions: ArrayLike, gap: float) -> NDArray[np.int64]:
    """Return the sizes of opinion clusters in ascending order of opinion.

    Sorted neighbours further apart than `gap` belong to different clusters.

    Args:
        opinions: Finite, shape (n,).
        gap: Not negative.

    Raises:
        MicrocosmError: an opinion is not finite or the gap is negative.

    Source: ours; the usual reading of Deffuant et al. (2000).
    """
    x = np.asarray(opinions, np.float64).ravel()
    if x.size == 0:
        return np.empty(0, np.int64)
    low, high = float(x.min()), float(x.max())
    if not gap >= 0 or not np.isfinite([low, high]).all():
        raise MicrocosmError(f"clusters need finite opinions and a gap of 0 or more; gap = {gap}, largest = {high}")
    if gap > 0 and (high - low) / gap * _BINS_PER_GAP < min(x.size, _MOST_BINS):
        sizes: NDArray[np.int64] = _binned_clusters(x, low, high, gap)
        return sizes
    x = np.sort(x)
    ends = np.flatnonzero(np.diff(x) > gap)
    borders = np.concatenate([[0], ends + 1, [x.size]])
    return np.diff(borders).astype(np.int64)


@njit(cache=True, nogil=True)
def _binned_clusters(x, low, high, gap):  # type: ignore[no-untyped-def]
    """Return what sorting would, in O(n): no bin is wider than the gap, so only bins' ends are compared."""
    width = gap / _BINS_PER_GAP
    n_bins = int((high - low) / width) + 2
    count = np.zeros(n_bins, np.int64)
    least, most = np.full(n_bins, np.inf), np.full(n_bins, -np.inf)
    for i in range(x.size):
        b = int((x[i] - low) / width)
        count[b] += 1
        least[b] = min(least[b], x[i])
        most[b] = max(most[b], x[i])
    sizes = np.zeros(n_bins, np.int64)
    found, last = 0, low
    for b in range(n_bins):
        if count[b]:
            if least[b] - last > gap:
                found += 1
            sizes[found] += count[b]
            last = most[b]
    return sizes[: found + 1].copy()


def major_clusters(opinions: ArrayLike, epsilon: float, min_share: float = MAJOR_SHARE) -> NDArray[np.float64]:
    """Return the shares of the major clusters: gap over epsilon / 2 on both sides, at least `min_share` of agents.

    Meaningful after convergence; while opinions still fill the interval everyone is one cluster.

    Args:
        opinions: Shape (n,).
        epsilon: Confidence bound, not negative.
        min_share: In [0, 1].

    Returns:
        Shares in [0, 1] in ascending order of opinion, shape (n_major,).

    Source: ours, after Lorenz (2007), 0707.1762.
    """
    sizes = cluster_sizes(opinions, epsilon / 2)
    shares = sizes / max(int(sizes.sum()), 1)
    return shares[shares >= min_share]


def esteban_ray(opinions: ArrayLike) -> float:
    """Return K sum_ij p_i^(1+a) p_j |c_i - c_j| over ten bins of [0, 1], a = 1.6, K such that two equal poles give 1.

    Args:
        opinions: In [0, 1], shape (n,).

    Returns:
        A number of 0 or more; NaN without agents.

    Source: Esteban and Ray (1994), Econometrica 62(4).
    """
    x = np.asarray(opinions, np.float64).ravel()
    if x.size == 0:
        return float("nan")
    bins = np.clip((x * N_BINS).astype(np.int64), 0, N_BINS - 1)
    p = np.bincount(bins, minlength=N_BINS) / x.size
    centres = (np.arange(N_BINS) + 0.5) / N_BINS
    distance = np.abs(centres[:, None] - centres[None, :])
    poles = 2 * 0.5 ** (2 + ALPHA) * distance[0, -1]
    return float(p ** (1 + ALPHA) @ distance @ p / poles)


def bimodality(opinions: ArrayLike) -> float:
    """Return (skewness^2 + 1) / Pearson kurtosis, in (0, 1]; 1 for any two-point distribution, so never use it alone.

    Args:
        opinions: Shape (n,).

    Returns:
        NaN where all opinions are the same or there are none.

    Source: Pfister et al. (2013), Frontiers in Psychology 4:700, without the finite-sample term.
    """
    x = np.asarray(opinions, np.float64).ravel()
    if x.size == 0 or np.ptp(x) == 0:
        return float("nan")
    z = (x - x.mean()) / x.std()
    return float(((z**3).mean() ** 2 + 1) / (z**4).mean())
