"""Moments of a table: its mean and spread, by which rows are centred and scaled and EM is regularised."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block, has_missing
from gmm_spark.core.kernels.extent import find_extent
from gmm_spark.core.kernels.layout import VectorLayout
from gmm_spark.core.kernels.weight_sums import WeightSums

# Attributes in a vector of moments, after the number of rows.
_OF_WEIGHTS = tuple(one.name for one in fields(WeightSums))
_OF_FEATURES = ("mean", "scatter", "low", "high", "observed")
# Largest difference between moments of the same rows added in another order, as a share of the features' root mean
# square: the roundings of a million blocks.
_SAME_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, weighted mean and spread of rows; ``+`` merges disjoint rows (Chan, Golub & LeVeque 1983).

    Mean and spread of each feature are those of its observed values.

    Attributes
    ----------
    rows : float
    weights : WeightSums
        Of the row weights; of ones if the rows have none.
    mean : array (d,)
    scatter : array (d,)
        Weighted sum of squared deviations from ``mean``, feature by feature, in units of ``weights.unit``.
    low, high : array (d,)
        Least and greatest value of each feature, in rows with weight or without. Infinity and minus infinity if there
        is none.
    observed : array (d,)
        Weight of the rows in which each feature is observed, in units of ``weights.unit``.
    """

    rows: float
    weights: WeightSums
    mean: Array
    scatter: Array
    low: Array
    high: Array
    observed: Array

    @classmethod
    def zero(cls, d: int) -> Moments:
        """Make the moments of no rows, the identity of ``+``."""
        return cls(0.0, WeightSums(), np.zeros(d), np.zeros(d), np.full(d, np.inf), np.full(d, -np.inf), np.zeros(d))

    @classmethod
    def of(cls, rows: Block, sample_weight: Array | None = None) -> Moments:
        """Compute the moments of rows (d, m) with weights (m,)."""
        d, m = rows.shape
        if m == 0:
            return cls.zero(d)
        weights = WeightSums.of_equal(float(m)) if sample_weight is None else WeightSums.of(sample_weight)
        if has_missing(rows):
            return cls(float(m), weights, *_describe_observed(rows, sample_weight, weights))
        mean, scatter = np.zeros(d), np.zeros(d)
        low, high = (one(rows, axis=1).astype(np.float64) for one in (np.min, np.max))
        if weights.total > 0:
            weight = np.ones(m) if sample_weight is None else sample_weight / weights.unit  # exact
            wide = np.ascontiguousarray(rows, dtype=np.float64)  # BLAS adds in one order, however rows lie
            # The mean of equal values may round; centred at anything but that value, a constant feature would vary.
            mean = np.where(low == high, low, wide @ weight / weights.total)
            centred = wide - mean[:, None]
            if sample_weight is None:
                scatter = np.einsum("ij,ij->i", centred, centred)
            else:
                scatter = np.einsum("ij,ij,j->i", centred, centred, weight)
        return cls(float(m), weights, mean, scatter, low, high, np.full(d, weights.total))

    def __add__(self, other: Moments) -> Moments:
        """Merge the moments of disjoint rows."""
        weights = self.weights + other.weights
        mine, theirs = self.weights.unit / weights.unit, other.weights.unit / weights.unit
        ours = self.observed * mine
        observed = ours + other.observed * theirs
        both = (self.observed > 0) & (other.observed > 0)
        share = np.divide(other.observed * theirs, observed, out=np.zeros_like(observed), where=both)
        delta = np.where(both, other.mean - self.mean, 0.0)
        mean = np.where(self.observed > 0, self.mean + share * delta, other.mean)
        scatter = self.scatter * mine + other.scatter * theirs + ours * share * delta**2
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Moments(self.rows + other.rows, weights, mean, scatter, low, high, observed)

    @property
    def weight_sum(self) -> float:
        """Sum of the row weights; infinite if it overflows."""
        return self.weights.weight_sum

    @property
    def constant(self) -> NDArray[np.bool_]:
        """True for features with one value in all rows, (d,)."""
        return np.asarray(self.low == self.high)

    @property
    def variance(self) -> Array:
        """Weighted variance of each feature, (d,); exactly 0 if it is constant."""
        some = self.observed > 0
        variance = np.divide(self.scatter, self.observed, out=np.zeros_like(self.scatter), where=some)
        return np.where(self.constant, 0.0, variance)

    @property
    def scale(self) -> Array:
        """Standard deviations (d,) rounded to powers of two, so that dividing by them is exact; 1 if constant."""
        variance = self.variance
        return np.exp2(np.round(0.5 * np.log2(np.where(variance > 0, variance, 1.0))))

    def vector(self) -> Array:
        """Write the moments as one vector."""
        return _make_layout(len(self.mean)).pack(
            {"rows": self.rows} | vars(self.weights) | {name: getattr(self, name) for name in _OF_FEATURES}
        )

    @classmethod
    def from_vector(cls, vector: Array) -> Moments:
        """Read what :meth:`vector` wrote."""
        scalars = _make_layout(0).length
        found = _make_layout((len(vector) - scalars) // len(_OF_FEATURES)).unpack(vector)
        weights = WeightSums.from_values({name: found[name] for name in _OF_WEIGHTS})
        return cls(float(found["rows"]), weights, *(found[name] for name in _OF_FEATURES))


def same_rows(first: Moments, again: Moments) -> bool:
    """Tell whether two moments can be of the same rows, added in another order.

    Differences are compared with what rounding can cause. The farther a feature is from zero, the less exact are its
    mean and the variance about that mean.
    """
    spread = np.sqrt(first.variance)
    size = np.hypot(first.mean, spread)
    mean = np.abs(again.mean - first.mean) <= _SAME_TOLERANCE * size
    variance = np.abs(again.variance - first.variance) <= _SAME_TOLERANCE * spread * (spread + size)
    weight_sum = again.weights.total * (again.weights.unit / first.weights.unit)
    weight = abs(weight_sum - first.weights.total) <= _SAME_TOLERANCE * first.weights.total
    return first.rows == again.rows and weight and bool((mean & variance).all())


def _make_layout(d: int) -> VectorLayout:
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("rows", *_OF_WEIGHTS), ())
    return VectorLayout(shapes | dict.fromkeys(_OF_FEATURES, (d,)))


def _describe_observed(
    rows: Block, sample_weight: Array | None, weights: WeightSums
) -> tuple[Array, Array, Array, Array, Array]:
    """Compute mean, scatter, low, high and observed weight of rows with missing values, feature by feature."""
    missing = np.isnan(rows)
    weight = np.ones(rows.shape[1]) if sample_weight is None else sample_weight / weights.unit
    observed = ~missing @ weight
    low, high = find_extent(rows)
    filled = np.where(missing, 0.0, rows)
    mean = np.divide(filled @ weight, observed, out=np.zeros_like(observed), where=observed > 0)
    mean = np.where(low == high, low, mean)
    centred = np.where(missing, 0.0, filled - mean[:, None])
    scatter = np.einsum("ij,ij,j->i", centred, centred, weight)
    return mean, scatter, low, high, observed
