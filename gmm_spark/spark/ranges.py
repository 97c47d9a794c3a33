"""Ranges of numbers: features that float32 cannot hold, and numbers that float64 must round."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features

# float64 holds every whole number up to here; the next one is rounded to this.
_LARGEST_EXACT = 2.0**53


def require_float32_range(names: Sequence[str], deviations: Array, rows: float = 1.0) -> None:
    """Raise DataError if features may not fit float32, in which kernels hold them less their means.

    Parameters
    ----------
    names : sequence of str
    deviations : array (d,)
        Standard deviations; 0 if a feature is constant.
    rows : float
        Number of rows. No row is farther from the mean than the deviation times the root of it.
    """
    least = float(np.finfo(np.float32).tiny)
    with np.errstate(over="ignore"):
        beyond = (deviations > 0) & ((deviations < least) | (deviations * np.sqrt(rows) > 1 / least))
    if beyond.any():
        named = [f"{names[i]!r} (standard deviation {deviations[i]:.1g})" for i in np.flatnonzero(beyond)[:5]]
        raise DataError(
            f"precision='float32', but {beyond.sum()} feature(s) may lie beyond its range of 1e-38 to 1e38: "
            f"{', '.join(named)}{', ...' if beyond.sum() > 5 else ''}; use precision='float64', or rescale them"
        )


def count_rounded(features: Features, rows: Block) -> Counter[str]:
    """Count the values of rows (d, m) that float64 may have rounded, by the name of the feature.

    These are the values of long and decimal columns that are 2**53 or more away from 0.
    """
    found: Counter[str] = Counter()
    if not features.exact or not rows.shape[1]:
        return found
    names = features.names
    largest = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    for i in np.flatnonzero(largest >= _LARGEST_EXACT).tolist():
        if features.form == "array" or names[i] in features.exact:
            found[names[i]] = int(np.count_nonzero(np.abs(rows[i]) >= _LARGEST_EXACT))
    return found


def warn_of_rounding(rounded: Mapping[str, int]) -> None:
    """Warn if values were rounded to float64; takes what :func:`count_rounded` has counted."""
    if not rounded:
        return
    named = [f"{name!r} ({count:,} value(s))" for name, count in list(rounded.items())[:5]]
    warnings.warn(
        f"column(s) {', '.join(named)}{', ...' if len(rounded) > 5 else ''} hold whole numbers or decimals at 2**53 or "
        "beyond, which are rounded to float64: values that differ little become one. Subtract an offset in SQL first, "
        "or drop them if they are identifiers",
        RuntimeWarning,
        stacklevel=5,
    )
