"""The distribution of a table's log-densities, as a histogram that adds up over parts of the table.

No log-density exceeds :attr:`~gmm_spark.core.kernels.plan.Segment.ceiling`. A row's depth is what it lies below, nats.
Bins are equal steps of ``asinh(depth / 16)``: of equal width near the ceiling, in proportion to the depth far below.
They follow from the mixture alone, so that tasks can fill them independently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.errors import ParameterError

# Up to this depth, nats, bins are about equally wide: 16 / 512 = 1/32 nat.
_KNEE = 16.0
# Number of bins in which the depth grows by a factor of e, far beyond the knee.
_STEPS = 512.0
# The last bin begins 16 sinh(10239 / 512) = 3.9e9 nats down, and has all rows that lie lower.
N_BINS = 10_240


def bin_weights(depth: Block, sample_weight: Array) -> Array:
    """Sum the weights (m,) of rows by the bins of their depths (m,), nats; returns (N_BINS,)."""
    # fmin and fmax, not clip: a depth of NaN, from a row too far off for floats, counts as the deepest.
    steps = np.fmax(np.fmin(_STEPS * np.arcsinh(depth / _KNEE), N_BINS - 1), 0)
    return np.asarray(np.bincount(steps.astype(np.intp), sample_weight, N_BINS), np.float64)


@dataclass(frozen=True, eq=False)
class LogDensityHistogram:
    """Distribution of log p(row) over a table's rows, by weight.

    Bins are sqrt(16² + depth²) / 512 nats wide: 1/32 near the ceiling, 0.2 % of the depth far below it.

    Attributes
    ----------
    ceiling : float
        Upper bound of all log-densities, nats.
    weights : array (N_BINS,)
        Sums of row weights by bin, from the ceiling down.

    Raises
    ------
    ParameterError
        If the weights have another shape, a negative one or no finite positive sum, or the ceiling is not finite.

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
        """Estimate the log-density, nats, below which a share q of the rows' weight lies.

        Interpolates within a bin: the error is at most the bin's width.

        Raises
        ------
        ParameterError
            If q is not within [0, 1].
        """
        if not 0 <= q <= 1:
            raise ParameterError(f"q={q}; need a share of the rows, from 0 to 1")
        ascending = self.weights[::-1]
        below = np.concatenate([[0.0], np.cumsum(ascending)])
        target = q * below[-1]
        # The bin in which the sum reaches the target; for q = 0 the lowest bin that has weight.
        found = max(int(np.searchsorted(below, target)) - 1, int(np.flatnonzero(ascending)[0]))
        share = (target - below[found]) / ascending[found]
        deep, shallow = _KNEE * np.sinh((N_BINS - found - np.arange(2)) / _STEPS)
        return float(self.ceiling - deep + share * (deep - shallow))

    def find_edge(self, q: float) -> tuple[float, float]:
        """Find the edge between two bins that is nearest to a quantile.

        If many rows are alike, no value has a share q of them below it. The share below an edge is known exactly.

        Parameters
        ----------
        q : float
            Share of the rows, > 0 and < 1.

        Returns
        -------
        threshold, share : float
            A log-density, nats, and the share of the rows' weight that is not above it; more than 0.
        """
        ascending = self.weights[::-1]
        share = np.cumsum(ascending) / ascending.sum()  # not above the upper edge of each bin
        upper = int(np.searchsorted(share, q))  # the bin that the quantile is in
        found = upper
        if upper and share[upper - 1] > 0 and q / share[upper - 1] < share[upper] / q:
            found = upper - 1
        return float(self.ceiling - _KNEE * np.sinh((N_BINS - 1 - found) / _STEPS)), float(share[found])

    def under(self, ceiling: float) -> LogDensityHistogram:
        """Return the same distribution in the bins below another ceiling, nats.

        A bin's weight goes to those that it overlaps, in proportion; what lies above the ceiling to the first.
        Quantiles move by less than the width of a bin.
        """
        if ceiling == self.ceiling:
            return self
        depths = _KNEE * np.sinh(np.arange(N_BINS + 1) / _STEPS)
        below = np.concatenate([[0.0], np.cumsum(self.weights)])
        found = np.interp(depths - ceiling, depths - self.ceiling, below)
        found[0], found[-1] = 0.0, below[-1]
        return LogDensityHistogram(ceiling, np.diff(found))

    def with_floor(self, before: float, after: float) -> LogDensityHistogram:
        """Return the distribution with the rows at a floor of log-densities, nats, at another, and none below that."""
        old, new = (int(bin_weights(np.array([self.ceiling - one]), np.ones(1)).argmax()) for one in (before, after))
        weights = self.weights.copy()
        at_floor = weights[max(old - 1, 0) :].sum()  # with the bin above, to which a log-density may be rounded
        weights[max(old - 1, 0) :] = 0.0
        weights[new] += at_floor + weights[new + 1 :].sum()
        weights[new + 1 :] = 0.0
        return LogDensityHistogram(self.ceiling, weights)

    def bin_edge(self, i: int) -> float:
        """Return the upper edge of bin i, nats; that of bin ``N_BINS`` is the lower edge of the last."""
        return float(self.ceiling - _KNEE * np.sinh(i / _STEPS))

    @property
    def mean(self) -> float:
        """Mean of the log-densities, nats; exact but for the widths of the bins."""
        bins = np.flatnonzero(self.weights)
        depth, weight = _KNEE * np.sinh((bins + 0.5) / _STEPS), self.weights[bins] / self.weights.sum()
        return float(self.ceiling - weight @ depth)

    @property
    def deviation(self) -> float:
        """Standard deviation of the log-densities, nats; exact but for the widths of the bins."""
        bins = np.flatnonzero(self.weights)
        depth, weight = _KNEE * np.sinh((bins + 0.5) / _STEPS), self.weights[bins] / self.weights.sum()
        return float(np.sqrt(weight @ (depth - weight @ depth) ** 2))

    def to_dict(self) -> dict[str, Any]:
        """Write the bins that have weight as plain lists, ready for JSON; floats survive the round trip exactly."""
        bins = np.flatnonzero(self.weights)
        return {"ceiling": self.ceiling, "bins": bins.tolist(), "weights": self.weights[bins].tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LogDensityHistogram:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        ParameterError
            If it is not that.
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


def find_threshold(histogram: LogDensityHistogram, fraction: float, noise: Noise | None) -> float:
    """Find the log-density, nats, below which a share of the training rows lies: such rows are anomalies.

    Raises
    ------
    ParameterError
        If noise holds more of the rows than that. No density is below that of noise, so rows of noise are equally
        unlikely, and which of them are the rarest cannot be told.
    """
    threshold = histogram.quantile(fraction)
    if noise is not None and threshold <= noise.log_height + 1 / 32 + 0.004 * (histogram.ceiling - threshold):
        raise ParameterError(
            f"anomalies are to be {fraction:g} of the rows, but noise holds about {noise.weight:.2g} of them, all "
            "about as unlikely; take the rows that are predicted to be noise, the last component, or a larger fraction"
        )
    return threshold
