"""The marginal distributions of a mixture along each feature: what a histogram of rows should look like."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters

# Standard deviations from any component's mean within which all quantiles lie that anybody asks for.
_WIDEST = 40.0
# Halvings of the interval that a quantile is searched in: all that float64 can hold.
_HALVINGS = 60


def component_cdf(parameters: MixtureParameters, values: Array) -> Array:
    """Compute how much of each component lies below values of each feature.

    Parameters
    ----------
    parameters : MixtureParameters
    values : array (d, n)
        n values of each feature; may be infinite.

    Returns
    -------
    array (k, d, n)
        Shares of the component; its weight does not count.
    """
    standard = (values - parameters.means[:, :, None]) / parameters.deviations[:, :, None]
    return np.asarray(ndtr(standard), dtype=np.float64)


def marginal_cdf(parameters: MixtureParameters, values: Array) -> Array:
    """Compute how much of the mixture lies below values (d, n) of each feature, (d, n).

    Examples
    --------
    >>> mixture = MixtureParameters([0.5, 0.5], [[-9.0], [9.0]], [1.0, 1.0], "spherical")
    >>> marginal_cdf(mixture, np.array([[-9.0, 0.0]])).round(6).tolist()
    [[0.25, 0.5]]
    """
    found = np.zeros(values.shape)
    spreads = parameters.deviations
    for weight, mean, spread in zip(parameters.weights, parameters.means, spreads, strict=True):
        found += weight * ndtr((values - mean[:, None]) / spread[:, None])
    if parameters.noise is not None:
        found += parameters.noise.weight * noise_cdf(parameters.noise, values)
    return found


def noise_cdf(noise: Noise, values: Array) -> Array:
    """Compute how much of the box of noise lies below values (d, n) of each feature, (d, n)."""
    low, high = noise.low[:, None], noise.high[:, None]
    return np.asarray((np.clip(values, low, high) - low) / (high - low))


def marginal_quantiles(parameters: MixtureParameters, q: Array) -> Array:
    """Compute the values of each feature below which shares q (n,) of the mixture lie, (d, n).

    Shares are more than 0 and less than 1. Found by halving an interval: exact but for rounding.

    Examples
    --------
    >>> mixture = MixtureParameters([1.0], [[5.0]], [4.0], "spherical")
    >>> marginal_quantiles(mixture, np.array([0.5, 0.975])).round(2).tolist()
    [[5.0, 8.92]]
    """
    present, spreads = parameters.weights > 0, parameters.deviations
    low = (parameters.means - _WIDEST * spreads)[present].min(axis=0)
    high = (parameters.means + _WIDEST * spreads)[present].max(axis=0)
    if parameters.noise is not None:
        low, high = np.minimum(low, parameters.noise.low), np.maximum(high, parameters.noise.high)
    below, above = (np.repeat(one[:, None], len(q), axis=1) for one in (low, high))
    for _ in range(_HALVINGS):
        middle = below / 2 + above / 2
        under = marginal_cdf(parameters, middle) < q
        below, above = np.where(under, middle, below), np.where(under, above, middle)
    return np.asarray(below / 2 + above / 2)
