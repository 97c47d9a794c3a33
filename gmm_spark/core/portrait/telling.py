"""Which features tell the components of a mixture apart: those that are worth a picture of two of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.parameters import MixtureParameters

# Components whose overlap is looked at, the heaviest; and features, those that tell the most by themselves.
_COMPONENTS, _FEATURES = 40, 40


def choose_features(parameters: MixtureParameters, most: int) -> tuple[int, ...]:
    """Choose up to ``most`` features that together tell the components apart, in ascending order.

    The first tells the most by itself, and each that follows adds the most to those before it. What is looked at is the
    overlap of every two components, sum of w v BC: BC is the Bhattacharyya coefficient in the chosen features (Kailath
    1967). A mixture of one component gives the features that are correlated the most.

    Parameters
    ----------
    parameters : MixtureParameters
    most : int
        At least 1.

    Examples
    --------
    >>> mixture = MixtureParameters([0.5, 0.5], [[0.0, 0.0, 0.0], [0.0, 9.0, 1.0]], np.ones((2, 3)), "diag")
    >>> choose_features(mixture, 2)
    (1, 2)
    """
    d = parameters.n_features
    if d <= most:
        return tuple(range(d))
    heaviest = np.sort(np.argsort(-parameters.weights, kind="stable")[:_COMPONENTS])
    heaviest = heaviest[parameters.weights[heaviest] > 0]
    if len(heaviest) < 2:
        return _choose_correlated(parameters, int(heaviest[0]), most)
    first, second = (heaviest[one] for one in np.triu_indices(len(heaviest), 1))

    def overlap(features: list[int]) -> float:
        shared = parameters.weights[first] * parameters.weights[second]
        return float(shared @ _coefficients(parameters, first, second, features))

    alone = [overlap([j]) for j in range(d)]
    candidates = np.argsort(alone, kind="stable")[: max(_FEATURES, most)].tolist()
    chosen = [candidates.pop(0)]
    while len(chosen) < most:
        chosen.append(candidates.pop(int(np.argmin([overlap([*chosen, j]) for j in candidates]))))
    return tuple(sorted(chosen))


def _coefficients(
    parameters: MixtureParameters, first: NDArray[np.intp], second: NDArray[np.intp], features: list[int]
) -> Array:
    """Compute the Bhattacharyya coefficients of pairs of components (p,) in some features."""
    spread = parameters.deviations[:, features]
    correlations = _take_correlations(parameters, features)  # (k, s, s)
    # In units of the pair's own deviations, so that features of any scale keep their digits.
    scale = np.sqrt(spread[first] * spread[second])
    one, other = (
        correlations[c] * (spread[c] / scale)[:, :, None] * (spread[c] / scale)[:, None, :] for c in (first, second)
    )
    shift = (parameters.means[first][:, features] - parameters.means[second][:, features]) / scale
    pooled = (one + other) / 2
    length = np.einsum("ps,ps->p", shift, np.linalg.solve(pooled, shift[:, :, None])[:, :, 0])
    logs = [np.linalg.slogdet(matrix)[1] for matrix in (pooled, one, other)]
    return np.asarray(np.exp(np.minimum(-length / 8 - 0.5 * logs[0] + 0.25 * (logs[1] + logs[2]), 0.0)))


def _take_correlations(parameters: MixtureParameters, features: list[int]) -> Array:
    """Take the correlations of some features out of each component's, (k, s, s)."""
    k, s = parameters.n_components, len(features)
    if parameters.structure.axis_aligned:
        return np.broadcast_to(np.eye(s), (k, s, s))
    block = parameters.covariances[..., features, :][..., features]
    spread = np.sqrt(np.diagonal(block, axis1=-2, axis2=-1))
    return np.broadcast_to(block / spread[..., :, None] / spread[..., None, :], (k, s, s))


def _choose_correlated(parameters: MixtureParameters, component: int, most: int) -> tuple[int, ...]:
    """Choose the features whose squared correlations with others have the largest sums within a component."""
    if parameters.structure.axis_aligned:
        return tuple(range(most))
    correlations = _take_correlations(parameters, list(range(parameters.n_features)))[component]
    order = np.argsort(-(correlations**2).sum(axis=1), kind="stable")
    return tuple(sorted(order[:most].tolist()))
