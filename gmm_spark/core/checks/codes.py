"""Values that stand for missing ones: far from the rest of a column, exact, and repeated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array

# A gap of so many robust deviations sets values apart, and a group beyond it is far if so many from the median.
_GAP, _FAR = 5.0, 8.0
# A code is in so many rows, and in this share of them.
_ROWS, _SHARE = 4, 1e-4
# More distinct values than this, far from the rest, are a cluster.
_DISTINCT = 2
# A mode in a larger share of the rows says nothing of how the others are spread.
_COMMON = 0.25
_NORMAL_RANGE = 1.3489795003921634


@dataclass(frozen=True)
class Code:
    """A value that may stand for a missing one.

    Attributes
    ----------
    value : float
    rows : int
        That have exactly this value.
    distance : float
        From the median, in robust standard deviations of the column without its mode.
    nearest : float
        The nearest other value.
    """

    value: float
    rows: int
    distance: float
    nearest: float


def find_codes(values: Array) -> list[Code]:
    """Find the values of a column (m,) that may stand for missing ones, the most frequent first.

    Sort the distinct values, and cut where the gap between neighbours is wide. A group of one or two values, each
    repeated, is taken for codes if it is far from the median, and twice as far as the nearest value outside: a tail
    that ends in a cap, however sparse, does not look like that.

    Examples
    --------
    >>> ages = np.concatenate([np.linspace(20.0, 70.0, 95), np.full(5, -999.0)])
    >>> [(code.value, code.rows) for code in find_codes(ages)]
    [(-999.0, 5)]
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < _DISTINCT + 2:
        return []  # of so few values, each is as good as any other
    center, spread = _locate(distinct, counts)
    if not spread > 0:
        return []
    edges = np.flatnonzero(np.diff(distinct) > _GAP * spread) + 1
    least = max(_ROWS, _SHARE * len(values))
    found = []
    for group in np.split(np.arange(len(distinct)), edges):
        if not len(edges) or len(group) > _DISTINCT or counts[group].min() < least:
            continue
        for value, rows in zip(distinct[group].tolist(), counts[group].tolist(), strict=True):
            nearest = _nearest(np.delete(distinct, group), value)
            distance = abs(value - center)
            if distance > max(_FAR * spread, 2 * abs(nearest - center)):
                found.append(Code(value, rows, distance / spread, nearest))
    return sorted(found, key=lambda code: -code.rows)


def _locate(distinct: Array, counts: NDArray[np.intp]) -> tuple[float, float]:
    """Find the median and a robust standard deviation of the values other than a very common mode."""
    counts = counts.copy()
    mode = int(np.argmax(counts))
    if counts[mode] > _COMMON * counts.sum():
        counts[mode] = 0
    reached = np.cumsum(counts)
    low, center, high = distinct[np.searchsorted(reached, np.array([0.25, 0.5, 0.75]) * reached[-1])]
    return float(center), float((high - low) / _NORMAL_RANGE)


def _nearest(others: Array, value: float) -> float:
    """Find the nearest of some other values."""
    return float(others[np.argmin(np.abs(others - value))])
