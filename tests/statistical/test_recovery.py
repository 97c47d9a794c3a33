"""Rows of a known mixture give the mixture back, within the sampling error that theory allows."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.single import search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from tests.examples import draw_rows, matched, random_mixture

K, D, M = 3, 2, 20_000
# Standard errors that an estimate may lie from the truth: a normal number is beyond 5 once in 1.7 million. With some
# 20 estimates a case the seeds, which are fixed, pass by a wide margin.
ERRORS = 5


def fitted(rows: np.ndarray, covariance_type: str, weight: np.ndarray | None = None) -> MixtureParameters:
    table = ArrayTable(rows, weight)
    asked = Settings(k=K, covariance_type=covariance_type, n_init=5, tol=1e-8, max_iter=500, reg_covar=0.0)
    return search(table, (rows, weight), asked).parameters.shifted(table.moments.mean)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_well_separated_components_come_back_within_their_standard_errors(covariance_type, seed, offset):
    rng = np.random.default_rng(seed)
    # Corners of a triangle, at least ten deviations apart: overlap is below 1e-5, so standard errors are those of
    # labelled rows.
    corners = np.array([[0.0, 0.0], [15.0, 0.0], [0.0, 15.0]]) + offset
    shape = random_mixture(covariance_type, K, D, rng)
    truth = MixtureParameters(shape.weights, corners, shape.covariances, covariance_type)
    rows, _ = draw_rows(truth, M, rng)
    found = fitted(rows, covariance_type)
    order = matched(found, truth.means)
    counts = M * truth.weights
    binomial = np.sqrt(truth.weights * (1 - truth.weights) / M)
    np.testing.assert_array_less(np.abs(found.weights[order] - truth.weights), ERRORS * binomial)
    variances = np.diagonal(truth.dense_covariances, axis1=1, axis2=2)
    np.testing.assert_array_less(
        np.abs(found.means[order] - truth.means), ERRORS * np.sqrt(variances / counts[:, None])
    )
    # A sample covariance's entry has variance (s_ii s_jj + s_ij^2) / n; pooling over rows or features only shrinks it.
    dense = truth.dense_covariances
    spread = np.sqrt((variances[:, :, None] * variances[:, None, :] + dense**2) / counts[:, None, None])
    np.testing.assert_array_less(np.abs(found.dense_covariances[order] - dense), ERRORS * spread)


def test_overlapping_components_come_back_at_least_as_likely_as_the_truth(covariance_type, rng):
    truth = random_mixture(covariance_type, K, D, rng, spread=2.0)
    rows, _ = draw_rows(truth, M, rng)
    found = fitted(rows, covariance_type)
    gain = log_density(found, rows).sum() - log_density(truth, rows).sum()
    # Wilks 1938: twice the gain is chi-square of n_parameters degrees; its mean is p, its deviation sqrt(2 p).
    p = truth.n_parameters
    assert 0 <= 2 * gain <= p + 5 * np.sqrt(2 * p)


def test_weights_recover_the_mixture_that_the_rows_were_thinned_from(rng):
    truth = MixtureParameters([0.2, 0.3, 0.5], [[0.0, 0.0], [15.0, 0.0], [0.0, 15.0]], [1.0, 1.0, 1.0], "spherical")
    rows, components = draw_rows(truth, M, rng)
    # Nine of ten rows of the last component are dropped; each of the others gets weight ten.
    kept = (components != 2) | (rng.random(M) < 0.1)
    weight = np.where(components == 2, 10.0, 1.0)[kept]
    found = fitted(np.ascontiguousarray(rows[:, kept]), "spherical", weight)
    order = matched(found, truth.means)
    # The heavy rows' number has a deviation of sqrt(900); ten each, of 20,000: 0.015.
    np.testing.assert_allclose(found.weights[order], truth.weights, atol=ERRORS * 10 * np.sqrt(900) / M)
