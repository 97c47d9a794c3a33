"""Match the components of two mixtures of the same features: which is which, and how far each has moved.

The affinity of two weighted Gaussians, sqrt(w v) BC, is what they share: BC, the Bhattacharyya coefficient, is the
integral of sqrt(p q), 1 if they are alike and 0 if they are apart. Hellinger's distance is sqrt(1 - BC). Components are
assigned one to one so that the mixtures' affinity is the largest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import linear_sum_assignment

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError

# Bhattacharyya distance, -ln BC, from which on a pair is a component that has gone and another that is new. Of two
# components of one shape it is d^2 / 8, with d the distance of the means in standard deviations: here about six.
APART = 4.6
# Of pairs that are far apart along one feature alone the distance along it is taken, which is a lower bound.
_FAR = 50.0
# What breaks ties between components that share nothing: the nearer.
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Match:
    """A component of one mixture, and the component of another that it has become.

    Attributes
    ----------
    before, after : int
    weights : array (2,)
        Before and after.
    hellinger : float
        Distance of the two Gaussians, from 0 (the same) to 1 (apart).
    shifts : array (d,)
        Of the mean along each feature, in standard deviations of the component before.
    distance : float
        Of the means, in standard deviations: Mahalanobis, under the mean of the two covariances.
    spread_ratios : array (d,)
        Standard deviation along each feature, over that before.
    """

    before: int
    after: int
    weights: Array
    hellinger: float
    shifts: Array
    distance: float
    spread_ratios: Array


@dataclass(frozen=True, eq=False)
class Matching:
    """How the components of two mixtures go together.

    Attributes
    ----------
    matches : tuple of Match
        In the order of the components before.
    gone, new : tuple of int
        Components without a counterpart, before and after.
    nearest : dict
        For each new component the one before that it is most like, of which it may be a part.
    """

    matches: tuple[Match, ...]
    gone: tuple[int, ...]
    new: tuple[int, ...]
    nearest: dict[int, int]


def match_components(before: MixtureParameters, after: MixtureParameters) -> Matching:
    """Match the components of two mixtures.

    Parameters
    ----------
    before, after : MixtureParameters
        Of the same d features, in any structure; k may differ.

    Raises
    ------
    ParameterError
        If the numbers of features differ.

    Examples
    --------
    >>> one = MixtureParameters([0.3, 0.7], [[0.0], [9.0]], [1.0, 1.0], "spherical")
    >>> other = MixtureParameters([0.6, 0.4], [[9.5], [0.0]], [1.0, 1.0], "spherical")
    >>> [(match.before, match.after, float(match.shifts[0])) for match in match_components(one, other).matches]
    [(0, 1, 0.0), (1, 0, 0.5)]
    """
    if before.n_features != after.n_features:
        raise ParameterError(
            f"mixtures of {before.n_features} and {after.n_features} features cannot be matched; both need the same"
        )
    distances = bhattacharyya_distances(before, after)
    affinity = np.sqrt(np.outer(before.weights, after.weights)) * np.exp(-distances)
    rows, columns = linear_sum_assignment(affinity - _TIE * np.log1p(distances), maximize=True)
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if distances[i, j] < APART]
    spreads = before.deviations, after.deviations
    matches = tuple(_describe(before, after, spreads, i, j, float(distances[i, j])) for i, j in pairs)
    gone = sorted({*range(before.n_components)} - {i for i, _ in pairs})
    new = sorted({*range(after.n_components)} - {j for _, j in pairs})
    return Matching(matches, tuple(gone), tuple(new), {j: int(distances[:, j].argmin()) for j in new})


def bhattacharyya_distances(before: MixtureParameters, after: MixtureParameters) -> Array:
    """Compute -ln BC of each component of one mixture and each of another, (k, l); weights do not count.

    Kailath (1967). If two are farther apart than 50 along a single feature, the distance along that feature.
    """
    exact = before.structure.axis_aligned and after.structure.axis_aligned
    found = np.empty((before.n_components, after.n_components))
    spreads, others = before.deviations, after.deviations
    for i, (mean, spread) in enumerate(zip(before.means, spreads, strict=True)):
        pooled = (spread**2 + others**2) / 2
        along = (mean - after.means) ** 2 / pooled / 8 + 0.5 * np.log(pooled / (spread * others))  # (l, d)
        found[i] = along.sum(axis=1) if exact else along.max(axis=1)  # of all features together, no less than of one
        for j in [] if exact else np.flatnonzero(found[i] < _FAR):
            found[i, j] = _distance(before, after, i, int(j))
    return found


def _distance(before: MixtureParameters, after: MixtureParameters, i: int, j: int) -> float:
    """Compute -ln BC of two components with general covariances."""
    first, second = _covariance(before, i), _covariance(after, j)
    # In units of one component's deviations, so that features of any scale keep their digits.
    scale = np.sqrt(np.sqrt(np.diag(first)) * np.sqrt(np.diag(second)))
    first, second = (one / scale / scale[:, None] for one in (first, second))
    factor = np.linalg.cholesky((first + second) / 2)
    shift = solve_triangular(factor, (before.means[i] - after.means[j]) / scale, lower=True)
    halves = sum(np.linalg.slogdet(one)[1] for one in (first, second)) / 2
    return float(max(shift @ shift / 8 + np.log(np.diag(factor)).sum() - halves / 2, 0.0))


def _describe(
    before: MixtureParameters, after: MixtureParameters, spreads: tuple[Array, Array], i: int, j: int, distance: float
) -> Match:
    """Describe a pair of components; the standard deviations of all components are given, (k, d) and (l, d)."""
    first, second = spreads[0][i], spreads[1][j]
    moved = after.means[j] - before.means[i]
    scale = np.sqrt((first**2 + second**2) / 2)
    if before.structure.axis_aligned and after.structure.axis_aligned:
        far = moved / scale
    else:
        pooled = (_covariance(before, i) + _covariance(after, j)) / 2 / scale / scale[:, None]
        far = solve_triangular(np.linalg.cholesky(pooled), moved / scale, lower=True)
    return Match(
        before=i,
        after=j,
        weights=np.array([before.weights[i], after.weights[j]]),
        hellinger=float(np.sqrt(-np.expm1(-distance))),
        shifts=moved / first,
        distance=float(np.linalg.norm(far)),
        spread_ratios=second / first,
    )


def _covariance(parameters: MixtureParameters, i: int) -> Array:
    """Return the covariance of one component as a matrix, (d, d)."""
    kind = parameters.structure
    if kind.axis_aligned:
        return np.diag(1 / parameters.component_cholesky[i] ** 2)
    return np.asarray(parameters.covariances if kind.pooled else parameters.covariances[i])
