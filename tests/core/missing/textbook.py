"""EM with missing values as a textbook has it: row by row, by scipy's densities and numpy's solve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark.core.mixture.parameters import MixtureParameters


@dataclass(frozen=True)
class Expected:
    """Sums over rows: responsibilities (k,), E[x] (k, d), E[x x'] (k, d, d), log-likelihood, weight."""

    resp_sum: np.ndarray
    first: np.ndarray
    second: np.ndarray
    log_likelihood: float
    weight_sum: float


def expect(parameters: MixtureParameters, rows: np.ndarray, weight: np.ndarray | None = None) -> Expected:
    """E step of rows (d, m) with NaN for missing values (Ghahramani & Jordan 1994)."""
    weight = np.ones(rows.shape[1]) if weight is None else weight
    means, covariances = parameters.means, parameters.dense_covariances
    k, d = means.shape
    resp_sum, first, second, log_likelihood = np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d)), 0.0
    for row, own in zip(rows.T, weight, strict=True):
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        joint = np.array(
            [
                np.log(parameters.weights[j])
                + multivariate_normal(means[j, o], covariances[j][np.ix_(o, o)]).logpdf(row[o])
                for j in range(k)
            ]
        )
        log_density = logsumexp(joint)
        log_likelihood += own * log_density
        for j, share in enumerate(own * np.exp(joint - log_density)):
            filled, spread = row.copy(), np.zeros((d, d))
            slopes = np.linalg.solve(covariances[j][np.ix_(o, o)], covariances[j][np.ix_(o, m)]).T
            filled[m] = means[j, m] + slopes @ (row[o] - means[j, o])
            spread[np.ix_(m, m)] = covariances[j][np.ix_(m, m)] - slopes @ covariances[j][np.ix_(o, m)]
            resp_sum[j] += share
            first[j] += share * filled
            second[j] += share * (np.outer(filled, filled) + spread)
    return Expected(resp_sum, first, second, float(log_likelihood), float(weight.sum()))


def maximize(found: Expected, covariance_type: str) -> MixtureParameters:
    """M step from the definitions, without a floor."""
    means = found.first / found.resp_sum[:, None]
    full = found.second / found.resp_sum[:, None, None] - means[:, :, None] * means[:, None, :]
    weights = found.resp_sum / found.resp_sum.sum()
    variances = np.diagonal(full, axis1=1, axis2=2)
    covariances = {
        "full": full,
        "tied": np.einsum("k,kij->ij", weights, full),
        "diag": variances,
        "spherical": variances.mean(axis=1),
        "tied_diag": weights @ variances,
    }[covariance_type]
    if covariance_type in ("full", "tied"):
        covariances = (covariances + np.swapaxes(covariances, -1, -2)) / 2
    return MixtureParameters(weights, means, covariances, covariance_type)


def with_holes(rows: np.ndarray, share: float, rng: np.random.Generator, patterns: int | None = None) -> np.ndarray:
    """Rows (d, m) of which a share of the values is missing, at random; in so many patterns if that is given.

    Some value of each row is observed.
    """
    d, m = rows.shape
    missing = rng.random((d, m if patterns is None else patterns)) < share
    whole = missing.all(axis=0)
    missing[rng.integers(0, d, whole.sum()), whole] = False
    if patterns is not None:
        missing = missing[:, rng.integers(0, patterns, m)]
    return np.where(missing, np.nan, rows)
