"""What is known of training rows with missing values: log-densities by pattern, as a saved model has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.missing.patterns import read_pattern, write_pattern
from gmm_spark.errors import ParameterError


def incomplete(by_pattern: Mapping[bytes, LogDensityHistogram]) -> dict[bytes, LogDensityHistogram]:
    """Return the histograms of patterns under which something is missing."""
    return {pattern: found for pattern, found in by_pattern.items() if any(pattern)}


def to_list(by_pattern: Mapping[bytes, LogDensityHistogram], d: int) -> list[dict[str, Any]]:
    """Write histograms by pattern as plain lists, ready for JSON: each with the indices of the missing features."""
    return [
        {"missing": np.flatnonzero(read_pattern(pattern, d)).tolist(), **found.to_dict()}
        for pattern, found in by_pattern.items()
    ]


def from_list(values: Any, d: int) -> dict[bytes, LogDensityHistogram]:
    """Read what :func:`to_list` wrote.

    Raises
    ------
    ParameterError
        If it is not that.
    """
    if not isinstance(values, list):
        raise ParameterError("not log-densities by pattern: no list")
    found = {}
    for one in values:
        missing = np.zeros(d, bool)
        indices = one.get("missing") if isinstance(one, Mapping) else None
        whole = isinstance(indices, list) and all(type(i) is int and 0 <= i < d for i in indices)
        if not whole or not indices or len(set(indices)) in (0, d) or len(set(indices)) < len(indices):
            raise ParameterError(f"not log-densities by pattern: of {d} features, {str(indices)[:300]} are missing")
        missing[indices] = True
        found[write_pattern(missing)] = LogDensityHistogram.from_dict(one)
    return found
