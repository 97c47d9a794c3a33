"""The M step: from sufficient statistics to the parameters that maximize the expected likelihood.

Covariances are bounded from below by a floor (:mod:`gmm_spark.core.mixture.floor`), and maximize under that bound. A
component whose responsibilities become negligible has starved: it keeps its last mean and covariance,
without weight. A component whose covariance is no longer positive definite has collapsed: :func:`maximize` raises an
error that names it, :func:`maximize_survivors` treats it like a starved one. Noise has nothing but its weight, which
is never less than a least one, so it does not starve.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.statistics import STARVED_SHARE, SufficientStatistics
from gmm_spark.core.mixture.noise import share_weight
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import DataError, DegenerateComponentError


def maximize(statistics: SufficientStatistics, previous: MixtureParameters, floor: Array) -> MixtureParameters:
    """M step (Bishop 2006, eq. 9.24-9.26).

    Parameters
    ----------
    statistics : SufficientStatistics
    previous : MixtureParameters
        The parameters that the statistics were made with; a starved component keeps its mean and covariance.
    floor : array (d,)
        Least variance along each feature, all positive, or all 0 for none.

    Raises
    ------
    DegenerateComponentError
        If a covariance has collapsed, or noise has taken all rows.
    DataError
        If the total weight is zero.
    """
    weights, means, covariances = _estimate(statistics, previous, floor)
    previous.structure.precisions_cholesky(covariances)  # raises for a component that collapsed
    weights, noise = share_weight(weights, statistics.noise_sum, previous.noise)
    return MixtureParameters(weights, means, covariances, previous.covariance_type, noise)


def maximize_survivors(
    statistics: SufficientStatistics, previous: MixtureParameters, floor: Array
) -> tuple[MixtureParameters, tuple[int, ...]]:
    """M step after which a collapsed component has its last mean and covariance and no weight, like a starved one.

    Arguments and errors are those of :func:`maximize`, except that DegenerateComponentError is raised only if no
    component is left, or if the collapsed covariance is shared by all components.

    Returns
    -------
    parameters : MixtureParameters
    collapsed : tuple of int
        The components that collapsed in this step.
    """
    try:
        return maximize(statistics, previous, floor), ()
    except DegenerateComponentError:
        if previous.structure.pooled:
            raise
        weights, means, covariances = (array.copy() for array in _estimate(statistics, previous, floor))
        collapsed = [j for j in range(len(weights)) if _collapses(covariances[j : j + 1], previous)]
        weights[collapsed] = 0.0
        if not weights.sum() > 0:
            raise
    means[collapsed] = previous.means[collapsed]
    covariances[collapsed] = previous.covariances[collapsed]
    weights, noise = share_weight(weights, statistics.noise_sum, previous.noise)
    return MixtureParameters(weights, means, covariances, previous.covariance_type, noise), tuple(collapsed)


def _collapses(covariance: Array, like: MixtureParameters) -> bool:
    try:
        like.structure.precisions_cholesky(covariance)
    except DegenerateComponentError:
        return True
    return False


def _estimate(
    statistics: SufficientStatistics, previous: MixtureParameters, floor: Array
) -> tuple[Array, Array, Array]:
    """Estimate weights that do not sum to 1 yet, means, and covariances that may have collapsed."""
    if not statistics.weight_sum > 0:
        raise DataError("the rows' weights sum to 0; give at least one row a positive weight")
    structure = previous.structure
    starved = statistics.resp_sum <= STARVED_SHARE * statistics.weight_sum
    resp_sum = np.where(starved, 1.0, statistics.resp_sum)
    offsets = np.where(starved[:, None], 0.0, statistics.first / resp_sum[:, None])
    means = np.where(starved[:, None], previous.means, statistics.reference + offsets)
    effective = np.where(starved, 0.0, resp_sum) if structure.pooled else resp_sum
    covariances = structure.bound(structure.estimate(statistics.second, effective, offsets), floor)
    if not structure.pooled and starved.any():
        covariances = covariances.copy()
        covariances[starved] = previous.covariances[starved]
    weights = np.where(starved, 0.0, statistics.resp_sum)
    return weights, means, covariances
