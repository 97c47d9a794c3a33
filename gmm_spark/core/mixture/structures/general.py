"""What the structures with general covariance matrices share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.quadratic import QuadraticForm, quadratic_order
from gmm_spark.errors import DegenerateComponentError


class General(ABC):
    """Covariances with correlations: log-densities need the cross products of the features."""

    axis_aligned = False
    pooled = False
    shares_scatter = False
    fits_constant_features = False

    @abstractmethod
    def project(self, second: Array) -> Array:
        """Reduce second moments (k, d, d) to the stored shape."""

    def quadratic_form(self, means: Array, factors: Array, deviations: Array) -> QuadraticForm:
        """Coefficients of z, of the squares and of the cross products."""
        precisions = factors @ np.swapaxes(factors, 1, 2)
        linear = np.einsum("kij,kj->ki", precisions, means)
        reach = np.abs(means) + deviations
        magnitude = np.einsum("ki,kij,kj->k", reach, np.abs(precisions), reach)
        i, j = quadratic_order(means.shape[1])
        # A cross product stands once for z_i z_j and z_j z_i.
        return QuadraticForm(linear, np.where(i == j, -0.5, -1.0) * precisions[:, i, j], magnitude)

    def second_moments(self, sums: Array, scale: Array) -> Array:
        """From sums over the products of features, (k, d (d + 1) / 2)."""
        k, d = len(sums), len(scale)
        second = np.empty((k, d, d))
        i, j = quadratic_order(d)
        second[:, i, j] = second[:, j, i] = sums
        return self.project(second * np.outer(scale, scale))


def factor_precision(covariance: Array, owner: str) -> Array:
    """Find the upper U with U U^T the inverse of a covariance (d, d).

    Raises
    ------
    DegenerateComponentError
        If the covariance is not positive definite; names the owner.
    """
    # LAPACK without scipy's checks: for small matrices these take most of the time.
    lower, failed = dpotrf(covariance, lower=1, clean=1)
    # A covariance that rounding alone makes definite factors without complaint; its factor is noise.
    if failed or not np.all(lower.diagonal() ** 2 > np.finfo(float).eps * covariance.diagonal()):
        raise DegenerateComponentError(
            f"{owner} collapsed: its covariance is not positive definite; "
            "raise regCovar, lower k, or drop constant and duplicate features"
        )
    inverse, _ = dtrtri(lower, lower=1)
    upper: Array = inverse.T
    return upper
