"""The floor under variances: the least variance that a component may have along each feature.

Without one, the likelihood has no maximum: a component on a single row, or on rows that share a value, gets narrower
for ever. The floor is a bound, ``covariance - diag(floor)`` stays positive semi-definite: a component that is wider is
what it would be without a floor. Under the bound EM's M step still has an exact maximum (each structure's ``bound``),
so the likelihood never falls.

Two figures of the data make it, feature by feature, and the larger counts:

- A share, ``regCovar``, of the feature's variance. The variance is the robust one if missing-value codes or outliers
  have inflated the other.
- The step that values are rounded to. A component on each lattice point explains rounded values better than a smooth
  one does, by a factor of about ``1 + 2 exp(-2 pi^2 s^2 / step^2)`` in the density if s is its standard deviation
  (Poisson's summation formula). With a variance of ``step^2 ln(n) / (2 pi^2)`` that is worth 2 nats in all n rows
  together, less than any criterion asks for a component. The variance of the rounding itself, step^2 / 12, is too
  little for any table, and step^2 / 4 for a large one: at a million rows BIC then buys a component for every value of a
  rounded Gaussian. On a scale of few steps so large a floor would blur what there is to see: it is then a quarter of
  the feature's variance. But it is never less than step^2 / 6, with which two values of one column are still two groups
  (from step^2 / 5 on one Gaussian explains them better), and a flag that few rows have is no proof of a group.
"""

from __future__ import annotations

import math
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
# Share of a direction's squared length from which on a feature is named.
_SHARE_OF_DIRECTION = 0.25


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
    profile: ColumnProfile, variance: Array, n: float, reg_covar: float, given: Sequence[float] | None = None
) -> Array:
    """Find the least variance that a component may have along each feature, (d,); 0 everywhere if there is no floor.

    Parameters
    ----------
    profile : ColumnProfile
    variance : array (d,)
        Of the table; 0 if a feature is constant.
    n : float
        Rows of the table that its weights make up.
    reg_covar : float
        Share of the robust variance. 0 for no floor at all.
    given : sequence of d floats, optional
        The floor itself, in squared units of the features, all positive; ``reg_covar`` is then not used.
    """
    if given is not None:
        return np.maximum(np.array(given, dtype=np.float64), _RESOLVED * variance)
    if not reg_covar > 0:
        return np.zeros_like(variance)
    smooth = profile.step**2 * math.log(max(n, 1.0)) / (2 * math.pi**2)
    robust = robust_variance(profile, variance)
    # Codes do not make a scale of few steps a long one.
    typical = np.where(robust < variance, profile.spread**2, variance)
    rounding = np.maximum(profile.step**2 / 6, np.minimum(smooth, typical / 4))
    return np.maximum(np.maximum(reg_covar * robust, rounding), _RESOLVED * variance)


def components_at_floor(parameters: MixtureParameters, floor: Array) -> NDArray[np.bool_]:
    """Tell which components are at the floor along some direction, (k,)."""
    k = parameters.n_components
    if not floor.any():
        return np.zeros(k, dtype=bool)
    if parameters.structure.axis_aligned:
        return np.asarray((parameters.deviations**2 <= floor * (1 + _AT_FLOOR)).any(axis=1))
    raised = parameters.structure.bound(parameters.covariances, floor * (1 + _AT_FLOOR)) != parameters.covariances
    return np.broadcast_to(raised.any(axis=(-2, -1)), (k,))


def features_at_floor(parameters: MixtureParameters, floor: Array) -> NDArray[np.bool_]:
    """Tell which components are at the floor along which features, (k, d).

    With correlations a component is at the floor along directions. Each is told by the features that make up at least a
    quarter of it, in units of the floor, or by the one that makes up most.
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
            found[j] |= axis**2 >= min(_SHARE_OF_DIRECTION, float((axis**2).max()))
    return found
