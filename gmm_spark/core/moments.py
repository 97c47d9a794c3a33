"""Moments of a table: what centring, scaling and regularisation are taken from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gmm_spark.core.covariance import Array, Block


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, weighted mean and spread of rows; ``+`` merges exactly (Chan, Golub & LeVeque 1983).

    Attributes
    ----------
    rows, weight_sum : float
    mean : array (d,)
    scatter : array (d,)
        Weighted sum of squared deviations from ``mean``, feature by feature.
    minimum, maximum : array (d,)
        Over all rows, weighted or not.
    """

    rows: float
    weight_sum: float
    mean: Array
    scatter: Array
    minimum: Array
    maximum: Array

    @classmethod
    def zero(cls, d: int) -> Moments:
        """Make the identity of ``+``."""
        return cls(0.0, 0.0, np.zeros(d), np.zeros(d), np.full(d, np.inf), np.full(d, -np.inf))

    @classmethod
    def of(cls, rows: Block, sample_weight: Array | None = None) -> Moments:
        """Take the moments of rows (d, m) with weights (m,)."""
        d, m = rows.shape
        if m == 0:
            return cls.zero(d)
        weight_sum = float(m) if sample_weight is None else float(sample_weight.sum())
        mean, scatter = np.zeros(d), np.zeros(d)
        if weight_sum > 0:
            weighted = rows if sample_weight is None else rows * sample_weight
            mean = weighted.sum(axis=1, dtype=np.float64) / weight_sum
            centred = rows - mean[:, None]
            if sample_weight is None:
                scatter = np.einsum("ij,ij->i", centred, centred)
            else:
                scatter = np.einsum("ij,ij,j->i", centred, centred, sample_weight)
        return cls(float(m), weight_sum, mean, scatter, _float64(rows.min(axis=1)), _float64(rows.max(axis=1)))

    def __add__(self, other: Moments) -> Moments:
        """Merge the moments of disjoint rows."""
        weight_sum = self.weight_sum + other.weight_sum
        mean, scatter = self.mean, self.scatter
        if other.weight_sum > 0:
            share = other.weight_sum / weight_sum
            delta = other.mean - self.mean if self.weight_sum > 0 else other.mean
            mean = self.mean + share * delta if self.weight_sum > 0 else other.mean
            scatter = self.scatter + other.scatter + self.weight_sum * share * delta**2
        minimum, maximum = np.minimum(self.minimum, other.minimum), np.maximum(self.maximum, other.maximum)
        return Moments(self.rows + other.rows, weight_sum, mean, scatter, minimum, maximum)

    @property
    def constant(self) -> Array:
        """Which features have one value in every row, (d,) of bool."""
        return np.asarray(self.minimum == self.maximum)

    @property
    def variance(self) -> Array:
        """Weighted variance of each feature, (d,); exactly 0 where it is constant."""
        variance = self.scatter / self.weight_sum if self.weight_sum > 0 else np.zeros_like(self.scatter)
        return np.where(self.constant, 0.0, variance)

    @property
    def scale(self) -> Array:
        """Standard deviations (d,) as powers of two, by which dividing rounds nothing; 1 where constant."""
        variance = self.variance
        return np.exp2(np.round(0.5 * np.log2(np.where(variance > 0, variance, 1.0))))

    def vector(self) -> Array:
        """Lay the moments out flat, (2 + 4 d,)."""
        parts = [self.mean, self.scatter, self.minimum, self.maximum]
        return np.concatenate([[self.rows, self.weight_sum], *parts])

    @classmethod
    def from_vector(cls, vector: Array) -> Moments:
        """Read what :meth:`vector` laid out."""
        mean, scatter, minimum, maximum = np.split(vector[2:], 4)
        return cls(float(vector[0]), float(vector[1]), mean, scatter, minimum, maximum)


def _float64(values: Block) -> Array:
    return np.asarray(values, dtype=np.float64)
