"""Tied: all components share one general covariance matrix."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.quadratic import QuadraticForm
from gmm_spark.core.mixture.structures.general import General, factor_precision, raise_to_floor


class Tied(General):
    """One covariance (d, d)."""

    name = "tied"
    pooled = True
    # Responsibilities sum to 1 in each row, so the components' second moments sum to the scatter of all rows.
    shares_scatter = True

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (d, d)

    def n_parameters(self, k: int, d: int) -> int:
        return d * (d + 1) // 2

    def precisions_cholesky(self, covariances: Array) -> Array:
        return factor_precision(covariances, "the tied covariance")

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return np.broadcast_to(precisions_cholesky, (k, d, d))

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        return np.broadcast_to(covariances, (k, d, d))

    def project(self, second: Array) -> Array:
        return np.asarray(second.sum(axis=0))

    def quadratic_form(self, means: Array, factors: Array, deviations: Array) -> QuadraticForm:
        """Coefficients of z alone: the quadratic term is the same for all components."""
        linear, _, magnitude = super().quadratic_form(means, factors, deviations)
        return QuadraticForm(linear, np.empty((len(means), 0)), magnitude)

    def second_moments(self, sums: Array, scale: Array) -> Array:
        """From the scatter of all rows, (d, d)."""
        return sums * np.outer(scale, scale)

    def estimate(self, second: Array, resp_sum: Array, offsets: Array) -> Array:
        between = (offsets * resp_sum[:, None]).T @ offsets
        covariance = (second - between) / resp_sum.sum()
        return np.asarray((covariance + covariance.T) / 2)

    def bound(self, covariances: Array, floor: Array) -> Array:
        return raise_to_floor(covariances, floor) if floor.any() else covariances

    def initial_covariances(self, variance: Array, k: int) -> Array:
        return np.diag(variance)
