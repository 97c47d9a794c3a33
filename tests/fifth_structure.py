"""A covariance structure that the package does not have: one diagonal covariance that all components share."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.mixture.structures.axis_aligned import AxisAligned


class TiedDiag(AxisAligned):
    """Variances (d,), the same for every component."""

    name = "tied_diag"
    pooled = True

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (d,)

    def n_parameters(self, k: int, d: int) -> int:
        return d

    def expand_cholesky(self, precisions_cholesky: np.ndarray, k: int, d: int) -> np.ndarray:
        return np.broadcast_to(precisions_cholesky, (k, d))

    def dense(self, covariances: np.ndarray, k: int, d: int) -> np.ndarray:
        return np.broadcast_to(np.diag(covariances), (k, d, d))

    def project(self, second: np.ndarray) -> np.ndarray:
        return second.sum(axis=0)

    def estimate(self, second: np.ndarray, resp_sum: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        return (second - resp_sum @ offsets**2) / resp_sum.sum()

    def bound(self, covariances: np.ndarray, floor: np.ndarray) -> np.ndarray:
        return np.maximum(covariances, floor)

    def initial_covariances(self, variance: np.ndarray, k: int) -> np.ndarray:
        return variance
