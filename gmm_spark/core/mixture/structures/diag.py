"""Diag: each component has its own diagonal covariance matrix."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.structures.axis_aligned import AxisAligned


class Diag(AxisAligned):
    """Variances (k, d)."""

    name = "diag"

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return precisions_cholesky

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        return np.asarray(covariances[:, :, None] * np.eye(d))

    def project(self, second: Array) -> Array:
        return second

    def estimate(self, second: Array, resp_sum: Array, offsets: Array) -> Array:
        return second / resp_sum[:, None] - offsets**2

    def bound(self, covariances: Array, floor: Array) -> Array:
        return np.maximum(covariances, floor)

    def initial_covariances(self, variance: Array, k: int) -> Array:
        return np.broadcast_to(variance, self.shape(k, len(variance)))
