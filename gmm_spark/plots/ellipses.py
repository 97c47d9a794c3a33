"""The ellipses of components in two features: where a share of a component's rows lies."""

from __future__ import annotations

from itertools import pairwise

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


def cut(points: Array) -> list[Array]:
    """Cut a closed line of points (n, 2) at the edges of the unit square: the pieces inside, each to the edge itself.

    Examples
    --------
    >>> [piece.tolist() for piece in cut(np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 0.5]]))]
    [[[0.5, 0.5], [1.0, 0.5]], [[1.0, 0.5], [0.5, 0.5]]]
    """
    pieces: list[list[Array]] = []
    joined = False
    for start, end in pairwise(points):
        # Liang & Barsky 1984: the part of a segment, from t0 to t1, that each edge leaves.
        step, t0, t1 = end - start, 0.0, 1.0
        for away, room in zip((*-step, *step), (*start, *(1.0 - start)), strict=True):
            if away == 0:
                t1 = t1 if room >= 0 else -1.0
            elif away < 0:
                t0 = max(t0, room / away)
            else:
                t1 = min(t1, room / away)
        if t0 > t1:
            joined = False
            continue
        if not joined or t0 > 0:
            pieces.append([start + t0 * step])
        pieces[-1].append(start + t1 * step)
        joined = t1 == 1.0
    return [np.array(piece) for piece in pieces]


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
