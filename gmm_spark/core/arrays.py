"""The two array types that all modules use, and what NaN means in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Parameters and sums: always float64."""

Block = NDArray[np.floating[Any]]
"""Rows of a table as one array (d, m), one row per feature; float32 or float64. NaN is a missing value."""


def has_missing(rows: Block) -> bool:
    """Tell whether a value of rows (d, m) is missing; if none is, that costs one sum.

    Examples
    --------
    >>> has_missing(np.array([[1.0, np.nan]])), has_missing(np.full((1, 2), np.finfo(float).max))
    (True, False)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total = rows.sum()
    return not np.isfinite(total) and bool(np.isnan(rows).any())
