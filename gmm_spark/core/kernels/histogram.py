"""How the log-densities of a table's rows are distributed, as a histogram that adds up over parts of the table.

No row is denser than :attr:`~gmm_spark.core.kernels.plan.Segment.ceiling`, so its depth below it, nats, is at least 0.
Bins are equal steps of ``asinh(depth / 16)``: near the ceiling of equal width, far below it of equal proportion. Which
bin a row falls in thus follows from the mixture alone, and parts of a table need to agree on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.errors import ParameterError

# Up to this depth, nats, bins are about equally wide: a sixteenth of it over _STEPS is 1/32 nat.
_KNEE = 16.0
# Bins in which the depth, once far beyond the knee, grows by a factor of e.
_STEPS = 512.0
# They reach 16 sinh(10240 / 512) = 3.9e9 nats down; what lies lower counts in the last.
N_BINS = 10_240


def bin_weights(depth: Block, sample_weight: Array) -> Array:
    """Weight in each bin, (N_BINS,), of rows of these depths (m,), nats, and weights (m,)."""
    # fmin and fmax, not clip: a row so far off that its density is not a number counts as the farthest.
    steps = np.fmax(np.fmin(_STEPS * np.arcsinh(depth / _KNEE), N_BINS - 1), 0)
    return np.asarray(np.bincount(steps.astype(np.intp), sample_weight, N_BINS), np.float64)


@dataclass(frozen=True, eq=False)
class LogDensityHistogram:
    """Distribution of log p(row) over a table's rows, each by its weight.

    Bins are 1/32 nat wide near the ceiling and 0.2 % of their depth far below it, that is sqrt(16² + depth²) / 512.

    Attributes
    ----------
    ceiling : float
        What no log-density exceeds, nats.
    weights : array (N_BINS,)
        Sum of row weights by bin, from the ceiling down.

    Raises
    ------
    ParameterError
        Where the weights are not those of some rows.

    Examples
    --------
    >>> log_density = np.array([-1.0, -2.0, -3.0, -50.0])
    >>> histogram = LogDensityHistogram(0.0, bin_weights(0.0 - log_density, np.ones(4)))
    >>> [round(histogram.quantile(q)) for q in (0.25, 0.5, 1.0)]
    [-50, -3, -1]
    """

    ceiling: float
    weights: Array

    def __post_init__(self) -> None:
        usable = self.weights.shape == (N_BINS,) and bool((self.weights >= 0).all())
        if not usable or not 0 < self.weights.sum() < np.inf or not np.isfinite(self.ceiling):
            raise ParameterError(
                f"a histogram below {self.ceiling:g} nats has weights of shape {self.weights.shape} that sum to "
                f"{self.weights.sum():g}; need ({N_BINS},), each >= 0, a finite sum > 0, and a finite ceiling"
            )

    def quantile(self, q: float) -> float:
        """Log-density, nats, that a share q of the rows' weight lies below, by interpolation within a bin.

        It is no farther than its bin is wide from the log-density of a row that has this rank.

        Raises
        ------
        ParameterError
            Where q is not within [0, 1].
        """
        if not 0 <= q <= 1:
            raise ParameterError(f"q={q}; need a share of the rows, from 0 to 1")
        ascending = self.weights[::-1]
        below = np.concatenate([[0.0], np.cumsum(ascending)])
        target = q * below[-1]
        # The bin in which the sum comes to the target; it has weight, as has the lowest one's for q = 0.
        found = max(int(np.searchsorted(below, target)) - 1, int(np.flatnonzero(ascending)[0]))
        share = (target - below[found]) / ascending[found]
        deep, shallow = _KNEE * np.sinh((N_BINS - found - np.arange(2)) / _STEPS)
        return float(self.ceiling - deep + share * (deep - shallow))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists of the bins that have weight, ready for JSON; floats survive the round trip exactly."""
        bins = np.flatnonzero(self.weights)
        return {"ceiling": self.ceiling, "bins": bins.tolist(), "weights": self.weights[bins].tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LogDensityHistogram:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        ParameterError
            Where it is not that.
        """
        try:
            bins, listed = np.array(values["bins"], np.intp), np.array(values["weights"], np.float64)
            if bins.shape != listed.shape or not ((bins >= 0) & (bins < N_BINS)).all():
                raise ValueError(f"{bins.size} bins, {listed.size} weights, not all below bin {N_BINS}")
            ceiling = float(values["ceiling"])
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(f"not a histogram of log-densities: {error!r}") from error
        weights = np.zeros(N_BINS)
        weights[bins] = listed
        return cls(ceiling, weights)
