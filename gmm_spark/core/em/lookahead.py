"""Look ahead: many EM steps on a sample in memory for one pass over the table.

Near a point, EM on a sample moves almost as EM on the table does. The difference of the two steps is the sample's
error. One pass over the table gives that error at one point; subtracting it from each of the sample's steps corrects
them (a control variate, as in variance-reduced stochastic EM: Chen et al. 2018). Fixed points are those of the table's
EM, whatever the sample: there the corrected step is zero.

The error is taken in moments, the sufficient statistics per unit of weight, and not in parameters. Moments of a
component with few rows in the sample are noisy, but its covariance could be near singular. And corrected steps still
climb a likelihood, the sample's with the slope that the table's has at the point, so they do not diverge.

The correction is exact at the point alone: in some directions the sample contracts faster or slower than the table.
:class:`gmm_spark.core.em.anderson.Anderson` extrapolates these steps as it does plain ones, and makes up for that.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.anderson import metric, to_free
from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.mixture.noise import share_weight
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import Table
from gmm_spark.errors import DegenerateComponentError, GmmSparkError

# Steps on the sample for one pass over the table. After so many, extrapolation gets further.
STEPS = 10
# A step smaller than this share of the first is the last.
_SMALL = 0.01


def look_ahead(
    sample: Table, point: MixtureParameters, image: MixtureParameters, floor: Array, steps: int = STEPS
) -> MixtureParameters:
    """Estimate where EM on the table leads from a point, by corrected steps on a sample.

    Parameters
    ----------
    sample : Table
        In the table's centred coordinates.
    point, image : MixtureParameters
        A point, and where one step of EM on the table led from it.
    floor : array (d,)
        Least variance along each feature.
    steps : int
        Steps on the sample at most.

    Returns
    -------
    MixtureParameters
        The image itself if a component has starved, or if the first step on the sample fails.
    """
    if min(point.weights.min(), image.weights.min()) <= 0:
        return image
    ahead = image
    try:
        correction = _moments(image, point.means) - _moments(_step(sample, point, floor), point.means)
        units = metric(image)
        first = np.linalg.norm((to_free(image) - to_free(point)) * units)
        for _ in range(steps):
            here = to_free(ahead)
            ahead = _from_moments(_moments(_step(sample, ahead, floor), point.means) + correction, point, floor)
            if not np.linalg.norm((to_free(ahead) - here) * units) > _SMALL * first:
                break
    except GmmSparkError:  # a component starved or collapsed on the sample: keep the steps made so far
        pass
    return ahead


def _step(sample: Table, point: MixtureParameters, floor: Array) -> MixtureParameters:
    image = maximize(sample.expect([point])[0], point, floor)
    if image.weights.min() <= 0:
        raise DegenerateComponentError("a component has no rows in the sample")
    return image


def _moments(parameters: MixtureParameters, about: Array) -> Array:
    """Moments of a mixture about points (k, d), as one vector: those that its M step used, raised to the floor."""
    offsets = parameters.means - about
    if parameters.structure.axis_aligned:
        spread = parameters.component_cholesky**-2.0 + offsets**2  # (k, d)
    else:
        spread = parameters.dense_covariances + offsets[:, :, None] * offsets[:, None, :]  # (k, d, d)
    second = parameters.structure.project((spread.T * parameters.weights).T)
    return np.concatenate([parameters.class_weights, (offsets.T * parameters.weights).T.ravel(), second.ravel()])


def _from_moments(moments: Array, about: MixtureParameters, floor: Array) -> MixtureParameters:
    """Invert :func:`_moments` about a mixture's means; raises GmmSparkError if no mixture has these moments."""
    (k, d), n = about.means.shape, about.n_classes
    weights = moments[:k]
    if moments[:n].min() <= 0:
        raise DegenerateComponentError("the correction leaves a component without weight")
    offsets = moments[n : n + k * d].reshape(k, d) / weights[:, None]
    second = moments[n + k * d :].reshape(about.covariances.shape)
    covariances = about.structure.bound(about.structure.estimate(second, weights, offsets), floor)
    weights, noise = share_weight(weights, float(moments[k:n].sum()), about.noise)
    return MixtureParameters(weights, about.means + offsets, covariances, about.covariance_type, noise)
