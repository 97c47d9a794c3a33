"""What the structures with diagonal covariance matrices share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.quadratic import QuadraticForm
from gmm_spark.errors import DegenerateComponentError


class AxisAligned(ABC):
    """Diagonal covariances: log-densities need the features' squares and no cross products."""

    axis_aligned = True
    pooled = False
    shares_scatter = False
    fits_constant_features = False

    @abstractmethod
    def project(self, second: Array) -> Array:
        """Reduce second moments (k, d) to the stored shape."""

    def precisions_cholesky(self, covariances: Array) -> Array:
        """Take inverse standard deviations."""
        collapsed = ~(covariances > np.finfo(float).tiny) | ~np.isfinite(covariances)
        if collapsed.any():
            owner = "the shared covariance" if self.pooled else f"component {int(np.argwhere(collapsed)[0][0])}"
            raise DegenerateComponentError(
                f"{owner} collapsed: it has a variance of {covariances[collapsed].flat[0]:.3g}; "
                "raise regCovar, lower k, or drop constant features"
            )
        return 1.0 / np.sqrt(covariances)

    def quadratic_form(self, means: Array, factors: Array, deviations: Array) -> QuadraticForm:
        """Coefficients of z and of the squares."""
        precisions = factors**2
        reach = np.abs(means) + deviations
        return QuadraticForm(precisions * means, -0.5 * precisions, (precisions * reach**2).sum(axis=1))

    def second_moments(self, sums: Array, scale: Array) -> Array:
        """From sums over the squares, (k, d)."""
        return self.project(sums * scale**2)
