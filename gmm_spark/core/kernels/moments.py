"""Moments of a table: what centring, scaling and regularisation are taken from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.layout import VectorLayout

_FEW_ROWS = 64
# What the moments of the same rows may differ by where they were added up in another order, against the features'
# root mean square: a million blocks' worth of roundings.
_SAME = 1e-10


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, weighted mean and spread of rows; ``+`` merges exactly (Chan, Golub & LeVeque 1983).

    Attributes
    ----------
    rows, weight_sum : float
    mean : array (d,)
    scatter : array (d,)
        Weighted sum of squared deviations from ``mean``, feature by feature.
    low, high : array (d,)
        Two of each feature's values, weighted or not; equal only where all of them are.
    """

    rows: float
    weight_sum: float
    mean: Array
    scatter: Array
    low: Array
    high: Array

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
        low, high = _two_values(rows)
        if weight_sum > 0:
            weight = np.ones(m) if sample_weight is None else sample_weight
            wide = np.ascontiguousarray(rows, dtype=np.float64)  # however rows lie, BLAS adds in one order
            # A sum of equal values rounds; centred at anything else, a constant feature would seem to vary.
            mean = np.where(low == high, low, wide @ weight / weight_sum)
            centred = wide - mean[:, None]
            if sample_weight is None:
                scatter = np.einsum("ij,ij->i", centred, centred)
            else:
                scatter = np.einsum("ij,ij,j->i", centred, centred, sample_weight)
        return cls(float(m), weight_sum, mean, scatter, low, high)

    def __add__(self, other: Moments) -> Moments:
        """Merge the moments of disjoint rows."""
        weight_sum = self.weight_sum + other.weight_sum
        mean, scatter = self.mean, self.scatter
        if other.weight_sum > 0:
            share = other.weight_sum / weight_sum
            delta = other.mean - self.mean if self.weight_sum > 0 else other.mean
            mean = self.mean + share * delta if self.weight_sum > 0 else other.mean
            scatter = self.scatter + other.scatter + self.weight_sum * share * delta**2
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Moments(self.rows + other.rows, weight_sum, mean, scatter, low, high)

    @property
    def constant(self) -> Array:
        """Which features have one value in every row, (d,) of bool."""
        return np.asarray(self.low == self.high)

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
        return _layout(len(self.mean)).pack(vars(self))

    @classmethod
    def from_vector(cls, vector: Array) -> Moments:
        """Read what :meth:`vector` laid out."""
        found = _layout((len(vector) - 2) // 4).unpack(vector)
        return cls(float(found.pop("rows")), float(found.pop("weight_sum")), **found)


def same_rows(first: Moments, again: Moments) -> bool:
    """Whether moments can be of the same rows, added up in another order or each rounded anew.

    Each difference is held against what rounding may make of it. A feature far from zero has a mean that is less
    exact the farther it is, and so the squares of what is left when it is subtracted.
    """
    spread = np.sqrt(first.variance)
    size = np.hypot(first.mean, spread)
    mean = np.abs(again.mean - first.mean) <= _SAME * size
    variance = np.abs(again.variance - first.variance) <= _SAME * spread * (spread + size)
    weight = abs(again.weight_sum - first.weight_sum) <= _SAME * first.weight_sum
    return first.rows == again.rows and weight and bool((mean & variance).all())


def _layout(d: int) -> VectorLayout:
    return VectorLayout({"rows": (), "weight_sum": ()} | dict.fromkeys(("mean", "scatter", "low", "high"), (d,)))


def _two_values(rows: Block) -> tuple[Array, Array]:
    """Two values of each feature, equal only where all are: seldom more than a few rows have to be looked at."""
    few = rows[:, :_FEW_ROWS]
    low, high = few.min(axis=1).astype(np.float64), few.max(axis=1).astype(np.float64)
    for i in np.flatnonzero(low == high):
        low[i], high[i] = rows[i].min(), rows[i].max()
    return low, high
