"""Spherical: each component has one variance, the same along every feature."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.structures.axis_aligned import AxisAligned


class Spherical(AxisAligned):
    """Variances (k,)."""

    name = "spherical"
    fits_constant_features = True

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k,)

    def n_parameters(self, k: int, d: int) -> int:
        return k

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return np.broadcast_to(precisions_cholesky[:, None], (k, d))

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        return np.asarray(covariances[:, None, None] * np.eye(d))

    def project(self, second: Array) -> Array:
        return np.asarray(second.sum(axis=1))

    def estimate(self, second: Array, resp_sum: Array, offsets: Array) -> Array:
        d = offsets.shape[1]
        return np.asarray((second / resp_sum - (offsets**2).sum(axis=1)) / d)

    def bound(self, covariances: Array, floor: Array) -> Array:
        return np.asarray(np.maximum(covariances, floor.max()))

    def initial_covariances(self, variance: Array, k: int) -> Array:
        return np.full(k, variance.mean())
