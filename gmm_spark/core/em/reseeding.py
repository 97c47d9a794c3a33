"""Reseed components: put them where a sample is explained poorly.

A component without weight explains no row, and EM never gives it weight again. It is put at a row that the others
explain poorly, with a share of their average covariance. Several rows are compared, and the one where the sample's
likelihood gains most is taken (greedy insertion: Verbeek, Vlassis & Kroese 2003). All rows of lowest density count the
same, however far off they are: then a lone outlier gains little and a group of rows much, and the component does not
soon collapse again.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.missing.density import log_density, measure_units, weighted_log_prob
from gmm_spark.core.missing.filling import fill
from gmm_spark.core.mixture.noise import Noise, share_weight
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable

# Share of the sample's weight, lowest densities first, that counts as poorly explained, and rows of it at least.
_POOR_SHARE = 0.05
_POOR_ROWS = 10
# Rows compared for each component: so many of the poorly explained, and as many of all rows. A wide component that
# covers two clusters explains neither well, but has its lowest densities in its tails.
_ROWS_COMPARED = 8
# Covariances compared at each row, as shares of the average: the missing component may be narrower than the others.
_SIZES = (1.0, 0.1)
# Rows scored per chunk.
_CHUNK = 1 << 13


def degenerate_components(parameters: MixtureParameters) -> tuple[int, ...]:
    """Find the components without weight: they starved, or collapsed and were spared.

    Examples
    --------
    >>> degenerate_components(MixtureParameters([1.0, 0.0], [[0.0], [9.0]], [1.0, 1.0], "spherical"))
    (1,)
    """
    return tuple(np.flatnonzero(parameters.weights <= 0).tolist())


def reseed(
    parameters: MixtureParameters, components: Iterable[int], sample: ArrayTable, rng: np.random.Generator
) -> MixtureParameters | None:
    """Reseed components, one after another, each where the mixture so far explains the sample poorly.

    Parameters
    ----------
    parameters : MixtureParameters
        In the sample's centred coordinates; at least one of the other components has weight.
    components : iterable of int
        To reseed. Each gets the weight 1 / k; the others, and noise, keep their relative weights and all else.
    sample : ArrayTable
    rng : numpy Generator

    Returns
    -------
    MixtureParameters or None
        None if no row of the sample has weight.
    """
    weight = np.ones(sample.rows.shape[1]) if sample.sample_weight is None else sample.sample_weight
    present = weight > 0
    if not present.any():
        return None
    rows, weight = sample.rows[:, present] - sample.moments.mean[:, None], weight[present]
    weights, means = parameters.weights.copy(), parameters.means.copy()
    covariances, kind = parameters.covariances.copy(), parameters.covariance_type
    reseeded = list(components)
    weights[reseeded] = 0.0
    weights, noise = share_weight(weights, _weight_of(parameters.noise), parameters.noise)
    pooled = parameters.structure.pooled
    average = covariances if pooled else np.average(covariances, axis=0, weights=weights)
    share = 1.0 / len(weights)
    all_rows = np.arange(len(weight))
    for j in reseeded:
        others = MixtureParameters(weights, means, covariances, kind, noise)
        log_prob_norm = log_density(others, rows)
        units, features = measure_units(others, rows)  # rows of which less was observed have densities of other units
        comparable = (log_prob_norm + units) / features
        poor = _find_poorly_explained(comparable, weight)
        log_prob_norm = np.maximum(comparable, comparable[poor].max()) * features - units
        drawn = [rng.choice(of, size=_ROWS_COMPARED, p=weight[of] / weight[of].sum()) for of in (poor, all_rows)]
        at, sizes = np.unique(drawn), np.array((1.0,) if pooled else _SIZES)
        n = len(at) * len(sizes)
        # The places to compare, as a mixture of equal weights.
        places = MixtureParameters(
            np.full(n, 1.0 / n),
            np.repeat(fill(others, rows[:, at])[0].T, len(sizes), axis=0),
            average if pooled else np.concatenate([np.multiply.outer(sizes, average)] * len(at)),
            kind,
        )
        best = int(np.argmax(_score_places(places, share, rows, weight, log_prob_norm)))
        means[j] = places.means[best]
        if not pooled:
            covariances[j] = places.covariances[best]
        weights *= 1 - share
        weights[j] = share
        noise = None if noise is None else noise.with_weight((1 - share) * noise.weight)
    weights, noise = share_weight(weights, _weight_of(noise), noise)
    return MixtureParameters(weights, means, covariances, kind, noise)


def _weight_of(noise: Noise | None) -> float:
    return 0.0 if noise is None else noise.weight


def _score_places(places: MixtureParameters, share: float, rows: Array, weight: Array, log_prob_norm: Array) -> Array:
    """Gain in log-likelihood, (n,), from a component of weight ``share`` at each place, but for a constant."""
    offset = np.log(places.n_components) + np.log(share) - np.log1p(-share)
    gains = np.zeros(places.n_components)
    for start in range(0, len(weight), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        # Log of the density with the component over the density without it: log(1 + exp(ratio)), without overflow.
        ratio = weighted_log_prob(places, rows[:, chunk]) + (offset - log_prob_norm[chunk])
        gains += (np.log(1.0 + np.exp(-np.abs(ratio))) + np.maximum(ratio, 0.0)) @ weight[chunk]
    return gains


def _find_poorly_explained(log_prob_norm: Array, weight: Array) -> NDArray[np.intp]:
    """Find the rows of lowest density."""
    order = np.argsort(log_prob_norm, kind="stable")
    n = int(np.searchsorted(np.cumsum(weight[order]), _POOR_SHARE * weight.sum()))
    return order[: max(n, _POOR_ROWS)]
