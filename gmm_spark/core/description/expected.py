"""What a portrait would look like if the table's rows had been drawn from the mixture."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.marginals import component_cdf, noise_cdf
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import N_PAIR_BINS, Frame
from gmm_spark.core.portrait.observed import Observed

# Points of Gauss's rule within each bin of the first of two features.
_POINTS = 8


def expect_histograms(parameters: MixtureParameters, frame: Frame, observed: Observed | None = None) -> Array:
    """Compute the share of the mixture in each bin of each feature, (d, 66); rows sum to 1.

    If values are missing, it is that of the components as they are among the rows that have the feature; NaN if none
    has it.
    """
    by_component = expect_by_component(parameters, frame)
    if observed is None:
        return np.asarray(np.einsum("k,kdb->db", parameters.class_weights, by_component))
    shares = np.array([observed.weigh_classes([i]) for i in range(parameters.n_features)])  # (d, k)
    return np.asarray(np.einsum("dk,kdb->db", shares, by_component))


def expect_by_component(parameters: MixtureParameters, frame: Frame) -> Array:
    """Compute the share of each component in each bin of each feature, (k, d, 66); its weight does not count.

    Noise, if there is any, is the last: (k + 1, d, 66).
    """
    edges = np.pad(frame.edges, ((0, 0), (1, 1)), constant_values=[(-np.inf, np.inf)])
    below = component_cdf(parameters, edges)
    if parameters.noise is not None:
        below = np.concatenate([below, noise_cdf(parameters.noise, edges)[None]])
    return np.diff(below, axis=2)


def expect_pairs(parameters: MixtureParameters, frame: Frame, observed: Observed | None = None) -> Array:
    """Compute the share of the mixture in each bin of each pair of features, (p, 34, 34).

    If values are missing, it is that of the components as they are among the rows that have both; NaN if none has.
    Within each bin of the first feature, the second has a Gaussian distribution given the first. That is integrated by
    Gauss's rule over the first, in units of its probability: shares by bins of the first are exact.
    """
    found = np.zeros((len(frame.pairs), N_PAIR_BINS, N_PAIR_BINS))
    edges = np.pad(frame.pair_edges, ((0, 0), (1, 1)), constant_values=[(-np.inf, np.inf)])
    spreads = parameters.deviations
    nodes, node_weights = np.polynomial.legendre.leggauss(_POINTS)
    for number, (i, j) in enumerate(frame.pairs):
        shares = parameters.class_weights if observed is None else observed.weigh_classes([i, j])
        for k, weight in enumerate(shares[: parameters.n_components]):
            if weight == 0:
                continue
            correlation = _find_correlation(parameters, k, i, j)
            first, second = ((edges[c] - parameters.means[k, c]) / spreads[k, c] for c in (i, j))
            below = ndtr(first)
            mass = np.diff(below)  # (b,)
            # Points of equal meaning in every bin: probabilities of the first feature, and its values there.
            levels = below[:-1, None] + mass[:, None] * (nodes + 1) / 2
            values = np.clip(ndtri(levels), np.maximum(first[:-1, None], -40.0), np.minimum(first[1:, None], 40.0))
            left = np.sqrt(1 - correlation**2)
            given = ndtr((second - correlation * values[:, :, None]) / left)  # (b, points, edges)
            within = np.einsum("p,bpe->be", node_weights / 2, np.diff(given, axis=2))
            found[number] += weight * mass[:, None] * within
        if parameters.noise is not None:
            along = np.diff(noise_cdf(parameters.noise, edges), axis=1)
            found[number] += shares[-1] * np.outer(along[i], along[j])
    return found


def _find_correlation(parameters: MixtureParameters, k: int, i: int, j: int) -> float:
    """Return the correlation of two features within a component, kept below 1."""
    kind = parameters.structure
    if kind.axis_aligned:
        return 0.0
    covariance = parameters.covariances if kind.pooled else parameters.covariances[k]
    return float(np.clip(covariance[i, j] / np.sqrt(covariance[i, i] * covariance[j, j]), -1 + 1e-12, 1 - 1e-12))
