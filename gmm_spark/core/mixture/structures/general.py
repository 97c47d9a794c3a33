"""What the structures with general covariance matrices share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.quadratic import QuadraticForm, quadratic_order
from gmm_spark.errors import DegenerateComponentError

# Least axis of a covariance raised to its floor, as a share of the longest.
_RESOLVED = 1e-14


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


def raise_to_floor(covariance: Array, floor: Array) -> Array:
    """Raise a covariance (d, d) to a floor (d,), all positive: of all that exceed ``diag(floor)``, the likeliest.

    The maximum of ``-log|C| - trace(C^-1 S)`` over such C has S's eigenvectors, in the coordinates in which the floor
    is the identity, and its eigenvalues, or 1 for those below 1 (Anderson, Anderson & Olkin 1986). If S exceeds the
    floor, it is returned as it is.
    """
    # With a constant feature no covariance is definite, and one that is not finite has no axes: factoring says so.
    if not floor.all() or not np.isfinite(covariance).all():
        return covariance
    root = np.sqrt(floor)
    units = np.outer(root, root)
    scaled = covariance / units
    _, below = dpotrf(scaled - np.eye(len(floor)), lower=1)
    if not below:
        return covariance
    lengths, axes = np.linalg.eigh(scaled)
    # Shorter axes than that are rounding errors of the longest.
    lengths = np.maximum(lengths, max(1.0, _RESOLVED * lengths[-1]))
    raised = (axes * lengths) @ axes.T
    return np.asarray((raised + raised.T) / 2 * units)


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
