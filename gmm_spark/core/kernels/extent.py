"""The extent of a table: least and greatest value of each feature."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gmm_spark.core.arrays import Array, Block, has_missing


def find_extent(rows: Block, sample_weight: Array | None = None) -> Array:
    """Find the least and the greatest value of each feature in rows (d, m) that have weight, (2, d).

    Infinite, the least above the greatest, if there is no such value: so it leaves another extent as it is.

    Examples
    --------
    >>> find_extent(np.array([[1.0, 5.0, 3.0]]), np.array([1.0, 0.0, 1.0])).tolist()
    [[1.0], [3.0]]
    """
    if sample_weight is not None and not sample_weight.all():
        rows = rows[:, sample_weight > 0]
    least = greatest = rows
    if has_missing(rows):
        # Not fmin and fmax: a signalling NaN, such as R's NA, ends them in NaN and then begins them anew.
        missing = np.isnan(rows)
        least, greatest = np.where(missing, np.inf, rows), np.where(missing, -np.inf, rows)
    low, high = least.min(axis=1, initial=np.inf), greatest.max(axis=1, initial=-np.inf)
    return np.stack([low, high]).astype(np.float64)


def join_extents(extents: Iterable[Array]) -> Array:
    """Join the extents (2, d) of several parts of a table."""
    lows, highs = zip(*extents, strict=True)
    return np.stack([np.min(lows, axis=0), np.max(highs, axis=0)])
