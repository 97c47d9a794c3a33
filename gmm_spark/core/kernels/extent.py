"""The extent of a table: least and greatest value of each feature."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gmm_spark.core.arrays import Array, Block


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
    # fmin and fmax pass over NaN, which stands for a missing value.
    low, high = np.fmin.reduce(rows, axis=1, initial=np.inf), np.fmax.reduce(rows, axis=1, initial=-np.inf)
    return np.stack([low, high]).astype(np.float64)


def join_extents(extents: Iterable[Array]) -> Array:
    """Join the extents (2, d) of several parts of a table."""
    lows, highs = zip(*extents, strict=True)
    return np.stack([np.min(lows, axis=0), np.max(highs, axis=0)])
