"""How likely training rows were, by pattern of missing values: rows that lack different features do not compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.missing.patterns import read_pattern, write_pattern
from gmm_spark.errors import ParameterError


@dataclass(frozen=True, eq=False)
class PatternLevels:
    """Log-densities of the training rows of q patterns of missing values.

    Attributes
    ----------
    patterns : tuple of bytes, (q,)
        Those of which there were rows enough.
    shares : array (q,)
        Share of all training rows, by weight, that have the pattern.
    means, spreads : array (q,)
        Mean and standard deviation of log p(row), nats.
    thresholds : array (q, t)
        Log-densities near some quantiles, nats.
    shares_below : array (q, t)
        Share of the pattern's rows, by weight, that are less likely than each threshold.

    Raises
    ------
    ParameterError
        If a shape or a value cannot be that.
    """

    patterns: tuple[bytes, ...]
    shares: Array
    means: Array
    spreads: Array
    thresholds: Array
    shares_below: Array

    def __post_init__(self) -> None:
        q, arrays = len(self.patterns), (self.shares, self.means, self.spreads, self.thresholds, self.shares_below)
        ranks = [one.ndim for one in arrays] == [1, 1, 1, 2, 2]
        whole = bool(q) and ranks and all(len(one) == q and np.isfinite(one).all() for one in arrays)
        if not whole or self.thresholds.shape != self.shares_below.shape:
            raise ParameterError(f"not log-densities of the rows of {q} patterns: check their shapes and values")
        if not (self.shares > 0).all() or min(self.shares_below.min(), self.spreads.min()) < 0:
            raise ParameterError(f"not log-densities of the rows of {q} patterns: a share or a spread cannot be right")

    @classmethod
    def of(
        cls, by_pattern: Mapping[bytes, LogDensityHistogram], weight_sum: float, quantiles: Sequence[float]
    ) -> PatternLevels:
        """Read histograms of log-densities by pattern, of rows whose weights sum to ``weight_sum`` with all others."""
        histograms = by_pattern.values()
        edges = np.array([[one.find_edge(q) for q in quantiles] for one in histograms])  # (q, t, 2)
        return cls(
            tuple(by_pattern),
            np.array([one.weights.sum() for one in histograms]) / weight_sum,
            np.array([one.mean for one in histograms]),
            np.array([one.deviation for one in histograms]),
            edges[:, :, 0],
            edges[:, :, 1],
        )

    @property
    def spread(self) -> float:
        """Standard deviation of log-densities about the mean of their pattern, nats."""
        return float(np.sqrt(self.shares @ self.spreads**2 / self.shares.sum()))

    @property
    def most_frequent(self) -> int:
        """Number of the pattern of complete rows, or else of the one that the most rows have."""
        complete = [number for number, pattern in enumerate(self.patterns) if not any(pattern)]
        return complete[0] if complete else int(self.shares.argmax())

    def to_dict(self, d: int) -> dict[str, Any]:
        """Write as plain lists, ready for JSON: of each pattern the indices of the missing features."""
        arrays = {name: value.tolist() for name, value in vars(self).items() if name != "patterns"}
        return {"missing": [np.flatnonzero(read_pattern(one, d)).tolist() for one in self.patterns], **arrays}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], d: int) -> PatternLevels:
        """Read what :meth:`to_dict` wrote; raises KeyError, TypeError, ValueError or ParameterError if it is not."""
        missing = np.zeros((len(values["missing"]), d), bool)
        for own, indices in zip(missing, values["missing"], strict=True):
            if not all(type(i) is int and 0 <= i < d for i in indices):
                raise ValueError(f"of {d} features {str(indices)[:300]} are missing")
            own[indices] = True
        names = ("shares", "means", "spreads", "thresholds", "shares_below")
        arrays = (np.array(values[name], np.float64) for name in names)
        return cls(tuple(write_pattern(one) for one in missing), *arrays)
