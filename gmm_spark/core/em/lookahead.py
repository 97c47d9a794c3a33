"""Where a fit is heading, seen on a sample: many EM steps in memory for one pass over the table.

Near a point, EM on a sample moves almost as EM on the table does, but for a drift: the two lead to different
fixed points. One pass tells the drift at the point where it was made; taken off each of the sample's own steps,
it makes them steps of the table's EM, as far as the sample can tell (a control variate, as in variance-reduced
stochastic EM: Chen et al. 2018). A point that EM on the table leaves where it is, this leaves there too, whatever
the sample: it hastens the way to the table's fixed points and changes none of them.

The drift is one of moments, the sufficient statistics per unit of weight, and not of parameters. In these a
component of which the sample has few rows is off by chance alone, where its covariance would be near singular; and the
steps climb a likelihood, the sample's tilted to the table's slope at the point, so that they do not run away.

What the sample gets wrong, directions in which it contracts more or less than the table, is left to
:class:`gmm_spark.core.em.anderson.Anderson`, which extrapolates these steps as it would plain ones.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.anderson import metric, to_free
from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import Table
from gmm_spark.errors import DegenerateComponentError, GmmSparkError

# Steps on the sample for one on the table. What is left after so many, extrapolation finds sooner.
STEPS = 10
# A step of less than this share of the first is the last.
_SMALL = 0.01


def look_ahead(
    trial: Table, point: MixtureParameters, image: MixtureParameters, floor: Array, steps: int = STEPS
) -> MixtureParameters:
    """Where EM would go from a point, by steps on a sample less their drift.

    Parameters
    ----------
    trial : Table
        The sample, in the table's centred coordinates.
    point, image : MixtureParameters
        A point, and where one step on the table led from it.
    floor : array (d,)
        Variance that the M step adds to each feature.
    steps : int
        Steps on the sample at most.

    Returns
    -------
    MixtureParameters
        The image itself where a component has starved, or the sample cannot be asked.
    """
    if min(point.weights.min(), image.weights.min()) <= 0:
        return image
    ahead = image
    try:
        drift = _moments(image, point.means) - _moments(_step(trial, point, floor), point.means)
        units = metric(image)
        first = np.linalg.norm((to_free(image) - to_free(point)) * units)
        for _ in range(steps):
            here = to_free(ahead)
            ahead = _of_moments(_moments(_step(trial, ahead, floor), point.means) + drift, point)
            if not np.linalg.norm((to_free(ahead) - here) * units) > _SMALL * first:
                break
    except GmmSparkError:  # a component starves or collapses on the sample: as far as it got
        pass
    return ahead


def _step(trial: Table, point: MixtureParameters, floor: Array) -> MixtureParameters:
    image = maximize(trial.expect([point])[0], point, floor)
    if image.weights.min() <= 0:
        raise DegenerateComponentError("a component has no rows in the sample")
    return image


def _moments(parameters: MixtureParameters, about: Array) -> Array:
    """Lay out the moments about points (k, d) that a mixture has: those that an M step made it of, and its floor."""
    offsets = parameters.means - about
    if parameters.structure.axis_aligned:
        spread = parameters.component_cholesky**-2.0 + offsets**2  # (k, d)
    else:
        spread = parameters.dense_covariances + offsets[:, :, None] * offsets[:, None, :]  # (k, d, d)
    second = parameters.structure.project((spread.T * parameters.weights).T)
    return np.concatenate([parameters.weights, (offsets.T * parameters.weights).T.ravel(), second.ravel()])


def _of_moments(moments: Array, about: MixtureParameters) -> MixtureParameters:
    """Read what :func:`_moments` laid out about a mixture's means; raises GmmSparkError where no mixture has them."""
    k, d = about.means.shape
    weights = moments[:k]
    if weights.min() <= 0:
        raise DegenerateComponentError("the drift leaves a component without weight")
    offsets = moments[k : k + k * d].reshape(k, d) / weights[:, None]
    second = moments[k + k * d :].reshape(about.covariances.shape)
    covariances = about.structure.estimate(second, weights, offsets, np.zeros(d))
    return MixtureParameters(weights / weights.sum(), about.means + offsets, covariances, about.covariance_type)
