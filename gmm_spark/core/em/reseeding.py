"""Degenerate components put anew, where a sample shows that one is missing.

A component without weight explains nothing and EM never gives it any back. It is put at a row that the others explain
poorly, with a share of their average covariance: of several rows the one where the sample gains most (greedy insertion:
Verbeek, Vlassis & Kroese 2003). The rows of lowest density count alike, however far off they are: to explain a lone
outlier then gains little, a group of rows much, and the component does not soon collapse again.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.density import log_density, weighted_log_prob
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable

# Share of the sample's weight, lowest densities first, that counts as poorly explained, and rows of it at least.
_POOR_SHARE = 0.05
_POOR_ROWS = 10
# Rows of these that are tried for each component, and as many of all rows: a wide component may cover two clusters and
# explain neither well, with the lowest densities in its tails.
_TRIALS = 8
# Covariances that are tried at each, as shares of the average: what was not found may be narrower than what was.
_SIZES = (1.0, 0.1)
# Rows that all of these are looked at by at a time.
_CHUNK = 1 << 13


def degenerate_components(parameters: MixtureParameters) -> tuple[int, ...]:
    """Components that are left without weight: they starved, or collapsed where that is forgiven.

    Examples
    --------
    >>> degenerate_components(MixtureParameters([1.0, 0.0], [[0.0], [9.0]], [1.0, 1.0], "spherical"))
    (1,)
    """
    return tuple(np.flatnonzero(parameters.weights <= 0).tolist())


def reseed(
    parameters: MixtureParameters, components: Iterable[int], sample: ArrayTable, rng: np.random.Generator
) -> MixtureParameters | None:
    """Put components anew, one after another, each where the mixture so far explains the sample poorly.

    Parameters
    ----------
    parameters : MixtureParameters
        In the sample's centred coordinates; at least one of the other components has weight.
    components : iterable of int
        Their weights become 1 / k, the others' in proportion less. Means and covariances of the others stay.
    sample : ArrayTable
    rng : numpy Generator

    Returns
    -------
    MixtureParameters or None
        None where no row of the sample has weight.
    """
    weight = np.ones(sample.rows.shape[1]) if sample.sample_weight is None else sample.sample_weight
    present = weight > 0
    if not present.any():
        return None
    rows, weight = sample.rows[:, present] - sample.moments.mean[:, None], weight[present]
    weights, means = parameters.weights.copy(), parameters.means.copy()
    covariances, kind = parameters.covariances.copy(), parameters.covariance_type
    wanted = list(components)
    weights[wanted] = 0.0
    weights /= weights.sum()
    pooled = parameters.structure.pooled
    spread = covariances if pooled else np.average(covariances, axis=0, weights=weights)
    share = 1.0 / len(weights)
    everywhere = np.arange(len(weight))
    for j in wanted:
        so_far = log_density(MixtureParameters(weights, means, covariances, kind), rows)
        poor = _poorly_explained(so_far, weight)
        so_far = np.maximum(so_far, so_far[poor].max())
        drawn = [rng.choice(one, size=_TRIALS, p=weight[one] / weight[one].sum()) for one in (poor, everywhere)]
        at, sizes = np.unique(drawn), np.array((1.0,) if pooled else _SIZES)
        tried = MixtureParameters(
            np.full(len(at) * len(sizes), 1.0 / (len(at) * len(sizes))),
            np.repeat(rows[:, at].T, len(sizes), axis=0),
            spread if pooled else np.concatenate([np.multiply.outer(sizes, spread)] * len(at)),
            kind,
        )
        offset = np.log(len(tried.weights)) + np.log(share) - np.log1p(-share)
        gains = np.zeros(len(tried.weights))
        for start in range(0, len(weight), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            # Log of the joint density over the one so far: log(1 + exp(ratio)), with nothing to overflow.
            ratio = weighted_log_prob(tried, rows[:, chunk]) + (offset - so_far[chunk])
            gains += (np.log(1.0 + np.exp(-np.abs(ratio))) + np.maximum(ratio, 0.0)) @ weight[chunk]
        gained = int(np.argmax(gains))
        means[j] = tried.means[gained]
        if not pooled:
            covariances[j] = tried.covariances[gained]
        weights *= 1 - share
        weights[j] = share
    return MixtureParameters(weights / weights.sum(), means, covariances, kind)


def _poorly_explained(log_prob_norm: Array, weight: Array) -> NDArray[np.intp]:
    """Find the rows of lowest density."""
    order = np.argsort(log_prob_norm, kind="stable")
    n = int(np.searchsorted(np.cumsum(weight[order]), _POOR_SHARE * weight.sum()))
    return order[: max(n, _POOR_ROWS)]
