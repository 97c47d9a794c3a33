"""The ellipses of components in two features: where a share of a component's rows lies."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.parameters import MixtureParameters

MOST, HALF = 0.9, 0.5
"""Shares of a component's rows that its ellipses hold."""


def take_plane(parameters: MixtureParameters, i: int, j: int) -> tuple[Array, Array]:
    """Return means (k, 2) and covariances (k, 2, 2) of the components in features i and j."""
    means = parameters.means[:, [i, j]]
    if parameters.structure.axis_aligned:  # written out, those of many features would fill the memory
        variances = parameters.deviations[:, [i, j]] ** 2
        return means, variances[:, :, None] * np.eye(2)
    return means, parameters.dense_covariances[:, [i, j]][:, :, [i, j]]


def trace(mean: Array, covariance: Array, share: float, points: int = 60) -> Array:
    """Return points (points, 2) of the ellipse that holds a share of a Gaussian's rows; the first is also the last.

    Its squared radius in standard deviations is a quantile of chi-square of 2 degrees of freedom, -2 log(1 - share).
    """
    angle = np.linspace(0, 2 * np.pi, points)
    circle = np.sqrt(-2 * np.log1p(-share)) * np.array([np.cos(angle), np.sin(angle)])
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(mean + (vectors * np.sqrt(np.maximum(values, 0)) @ circle).T)


def find_inside(means: Array, covariances: Array, points: Array, share: float) -> Array:
    """Tell which points (n, 2) lie in at least one component's ellipse, (n,) of bool."""
    inside = np.zeros(len(points), bool)
    for mean, covariance in zip(means, covariances, strict=True):
        away = points - mean
        # Divided by the deviations first: features may be of very different sizes.
        size = np.sqrt(np.diagonal(covariance))
        scaled = away / size
        inside |= np.einsum("ni,ni->n", scaled, np.linalg.solve(covariance / np.outer(size, size), scaled.T).T) <= (
            -2 * np.log1p(-share)
        )
    return inside
