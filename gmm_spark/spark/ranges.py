"""Ranges of numbers: features that float32 cannot hold, and numbers that float64 must round."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features

# float64 holds every whole number up to here.
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


def name_rounded(features: Features, mean: Array, low: Array, high: Array) -> list[str]:
    """Name the long or decimal columns with numbers that float64 must round, as far as some values (d,) tell."""
    if not features.exact:
        return []
    largest = np.max(np.abs([mean, low, high]), axis=0)
    beyond = [name for name, size in zip(features.names, largest, strict=True) if size > _LARGEST_EXACT]
    return [name for name in beyond if features.form == "array" or name in features.exact]


def warn_of_rounding(features: Features, mean: Array, low: Array, high: Array) -> None:
    """Warn of the columns that :func:`name_rounded` names."""
    named = name_rounded(features, mean, low, high)
    if named:
        warnings.warn(
            f"column(s) {', '.join(map(repr, named[:5]))}{', ...' if len(named) > 5 else ''} hold whole numbers or "
            "decimals beyond 2**53, which are rounded to float64: values that differ little become one. Subtract an "
            "offset in SQL first, or drop them if they are identifiers",
            RuntimeWarning,
            stacklevel=5,
        )
