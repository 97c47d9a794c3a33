"""Mixtures and rows at which naive formulas lose their digits, overflow or underflow."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture import density
from gmm_spark.core.mixture.parameters import MixtureParameters
from tests.examples import draw_rows, random_mixture

K, D = 4, 3
# Offset and scale of the features: friendly, far from zero, in small and in large units, and both.
PLACES = [(0.0, 1.0), (1e8, 1.0), (1e12, 1.0), (0.0, 1e-8), (0.0, 1e8), (-1e15, 1e3)]

hostile_places = pytest.mark.parametrize(("offset", "scale"), PLACES)


def mixture_at(kind: str, offset: float, scale: float) -> MixtureParameters:
    """Return a mixture whose means are near an offset, in units of a scale; one component has no weight."""
    friendly = random_mixture(kind, K, D, np.random.default_rng(5))
    weights = np.append(friendly.weights[:-1] / friendly.weights[:-1].sum(), 0.0)
    return MixtureParameters(weights, offset + scale * friendly.means, scale**2 * friendly.covariances, kind)


def rows_for(parameters: MixtureParameters) -> Array:
    """Return rows (n, d) of a mixture, rows thousands of deviations off, and rows too far off for float64."""
    rng = np.random.default_rng(6)
    own = draw_rows(parameters, 200, rng)[0].T
    far = parameters.means[0] + 1e4 * parameters.deviations[0] * rng.normal(size=(50, D))
    farther = 1e200 * parameters.deviations[0] * rng.normal(size=(50, D))
    farthest = 1.7e308 * rng.choice([-1.0, 1.0], size=(20, D))  # infinity less infinity is NaN
    return np.concatenate([own, far, farther, farthest])


def scores_of(parameters: MixtureParameters, rows: Array) -> tuple[Array, Array, Array]:
    """Return labels (n,), probabilities (n, k) and log-densities (n,) by this package."""
    probabilities = density.responsibilities(parameters, rows.T).T
    return probabilities.argmax(axis=1), probabilities, density.log_density(parameters, rows.T)
