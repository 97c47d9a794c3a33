"""Full: each component has its own general covariance matrix."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.structures.general import General, factor_precision, raise_to_floor


class Full(General):
    """Covariances (k, d, d)."""

    name = "full"

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d, d)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d * (d + 1) // 2

    def precisions_cholesky(self, covariances: Array) -> Array:
        return np.stack([factor_precision(c, f"component {j}") for j, c in enumerate(covariances)])

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return precisions_cholesky

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        return covariances

    def project(self, second: Array) -> Array:
        return second

    def estimate(self, second: Array, resp_sum: Array, offsets: Array) -> Array:
        # Bishop 2006, eq. 9.25.
        return second / resp_sum[:, None, None] - offsets[:, :, None] * offsets[:, None, :]

    def bound(self, covariances: Array, floor: Array) -> Array:
        if not floor.any():
            return covariances
        return np.stack([raise_to_floor(covariance, floor) for covariance in covariances])

    def initial_covariances(self, variance: Array, k: int) -> Array:
        return np.broadcast_to(np.diag(variance), self.shape(k, len(variance)))
