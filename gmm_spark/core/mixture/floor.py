"""The floor under variances: the least variance that a component may have along each feature.

Without one, the likelihood has no maximum: a component on a single row, or on rows that share a value, gets narrower
for ever. The floor is a bound, ``covariance - diag(floor)`` stays positive semi-definite: a component that is wider is
what it would be without a floor. Under the bound EM's M step still has an exact maximum (each structure's ``bound``),
so the likelihood never falls.

Two figures of the data make it, feature by feature, and the larger counts:

- A share, ``regCovar``, of the feature's variance. The variance is the robust one if missing-value codes or outliers
  have inflated the other.
- A quarter of the squared step that values are rounded to. With a standard deviation of half a step, components on each
  lattice point explain rounded values no better than one smooth component does, so no criterion buys them. The
  variance of the rounding itself, step^2 / 12, is too little for that. It counts up to the feature's own variance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile

# A variance is inflated if it is that of more than so many robust deviations.
_INFLATED = 3.0
# A floor below this share of the feature's variance is lost in the rounding of a covariance.
_RESOLVED = 1e-15
# Share by which a variance may exceed its floor and count as at its floor.
_AT_FLOOR = 1e-6


def robust_variance(profile: ColumnProfile, variance: Array) -> Array:
    """Variances (d,) that a few per cent of codes cannot move: the table's own, unless far values have inflated them.

    Parameters
    ----------
    profile : ColumnProfile
    variance : array (d,)
        Of the table.
    """
    spread = profile.spread
    return np.where(spread > 0, np.minimum(variance, (_INFLATED * spread) ** 2), variance)


def find_floor(
    profile: ColumnProfile, variance: Array, reg_covar: float, given: Sequence[float] | None = None
) -> Array:
    """Find the least variance that a component may have along each feature, (d,); 0 everywhere if there is no floor.

    Parameters
    ----------
    profile : ColumnProfile
    variance : array (d,)
        Of the table; 0 if a feature is constant.
    reg_covar : float
        Share of the robust variance. 0 for no floor at all.
    given : sequence of d floats, optional
        The floor itself, in squared units of the features, all positive; ``reg_covar`` is then not used.
    """
    if given is not None:
        return np.maximum(np.array(given, dtype=np.float64), _RESOLVED * variance)
    if not reg_covar > 0:
        return np.zeros_like(variance)
    rounding = np.minimum(profile.step**2 / 4, variance)
    return np.maximum(np.maximum(reg_covar * robust_variance(profile, variance), rounding), _RESOLVED * variance)


def features_at_floor(parameters: MixtureParameters, floor: Array) -> NDArray[np.bool_]:
    """Tell which components are at the floor along which features, (k, d).

    With correlations a component is at the floor along directions. Each is told by the features that it has a share of
    at least one half in, in units of the floor, or by the feature of its largest share.
    """
    k, d = parameters.means.shape
    found = np.zeros((k, d), dtype=bool)
    if not floor.any():
        return found
    if parameters.structure.axis_aligned:
        return np.asarray(parameters.deviations**2 <= floor * (1 + _AT_FLOOR))
    root = np.sqrt(floor)
    for j, covariance in enumerate(parameters.dense_covariances):
        lengths, axes = np.linalg.eigh(covariance / np.outer(root, root))
        for axis in axes[:, lengths <= 1 + _AT_FLOOR + 1e-13 * lengths[-1]].T:
            found[j] |= axis**2 >= min(0.5, float((axis**2).max()))
    return found
