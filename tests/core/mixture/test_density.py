from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark.core.mixture.density import log_density, responsibilities, weighted_log_prob
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import DataError
from tests.examples import draw_rows, random_mixture
from tests.oracles import (
    dense_covariances,
    log_sum_exp_longdouble,
    needs_longdouble,
    sklearn_mixture,
    weighted_log_prob_longdouble,
)

K, D, M = 4, 3, 60


@pytest.fixture
def mixture(covariance_type, rng):
    return random_mixture(covariance_type, K, D, rng)


@pytest.fixture
def rows(mixture, rng):
    return draw_rows(mixture, M, rng)[0]


def test_weighted_log_densities_are_scipys(mixture, rows):
    expected = [
        np.log(w) + multivariate_normal(mean, covariance).logpdf(rows.T)
        for w, mean, covariance in zip(mixture.weights, mixture.means, dense_covariances(mixture), strict=True)
    ]
    np.testing.assert_allclose(weighted_log_prob(mixture, rows), expected, rtol=1e-10)
    np.testing.assert_allclose(log_density(mixture, rows), logsumexp(expected, axis=0), rtol=1e-10)


def test_log_densities_and_responsibilities_are_scikit_learns(mixture, rows):
    oracle = sklearn_mixture(mixture)
    np.testing.assert_allclose(log_density(mixture, rows), oracle.score_samples(rows.T), rtol=1e-10)
    np.testing.assert_allclose(responsibilities(mixture, rows).T, oracle.predict_proba(rows.T), rtol=1e-10)


@needs_longdouble
@pytest.mark.parametrize(("offset", "scale"), [(1e8, 1.0), (0.0, 1e-8), (1.0, 1e-8), (0.0, 1e8)])
def test_log_densities_keep_ten_digits_at_any_offset_and_scale(covariance_type, offset, scale, rng):
    friendly = random_mixture(covariance_type, K, D, rng)
    parameters = MixtureParameters(
        friendly.weights, offset + scale * friendly.means, scale**2 * friendly.covariances, covariance_type
    )
    rows = offset + scale * draw_rows(friendly, M, rng)[0]
    exact = weighted_log_prob_longdouble(parameters, rows)
    np.testing.assert_allclose(weighted_log_prob(parameters, rows), exact.astype(float), rtol=1e-10)
    exact_density = log_sum_exp_longdouble(exact).astype(float)
    np.testing.assert_allclose(log_density(parameters, rows), exact_density, rtol=1e-10)


def test_responsibilities_of_every_row_sum_to_one(mixture, rows):
    np.testing.assert_allclose(responsibilities(mixture, rows).sum(axis=0), 1.0, rtol=1e-14)


def test_a_row_too_far_for_any_density_still_has_one_in_logs():
    # exp(-1e6 / 2) is 0 in float64, so a density computed outside logs would be log(0).
    parameters = MixtureParameters([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0], "spherical")
    far = np.array([[-1000.0, 1001.0]])
    nearest = np.log(0.5) - 0.5 * np.log(2 * np.pi) - 0.5 * 1000.0**2  # the other component is e^1000 less likely
    np.testing.assert_allclose(log_density(parameters, far), [nearest, nearest], rtol=1e-14)
    np.testing.assert_allclose(responsibilities(parameters, far), np.eye(2), atol=1e-300)


@pytest.mark.parametrize("d", [5, 20, 40, 100])
def test_clusters_ten_deviations_apart_on_every_axis_are_told_apart_in_any_dimension(d):
    # With machine epsilon added to linear densities, as in pyspark.ml, both are 0.5 from d = 20 on.
    parameters = MixtureParameters([0.5, 0.5], [np.full(d, -5.0), np.full(d, 5.0)], np.ones((2, d)), "diag")
    found = responsibilities(parameters, np.stack([np.full(d, -4.0), np.full(d, 6.0)], axis=1))
    np.testing.assert_allclose(found, np.eye(2), atol=1e-15)


def test_a_component_without_weight_gets_no_row():
    parameters = MixtureParameters([1.0, 0.0], [[0.0], [5.0]], [1.0, 1.0], "spherical")
    found = responsibilities(parameters, np.array([[5.0, 0.0]]))
    np.testing.assert_array_equal(found, [[1.0, 1.0], [0.0, 0.0]])


@pytest.mark.parametrize("shape", [(D + 1, 5), (5,), (D,)])
def test_rows_of_another_width_are_refused_with_both_shapes(shape, rng):
    with pytest.raises(DataError, match=rf"need \({D}, m\)"):
        log_density(random_mixture("diag", K, D, rng), np.zeros(shape))


def test_no_rows_have_no_densities(mixture):
    assert log_density(mixture, np.empty((D, 0))).shape == (0,)


@pytest.mark.parametrize("size", [1e160, 1e200, 1e300])
def test_a_row_too_far_off_for_a_density_belongs_to_the_nearest_component(covariance_type, size, rng):
    """Oracle: Mahalanobis distances in whole numbers of Python, which do not overflow."""
    mixture = random_mixture(covariance_type, 4, 3, rng)
    rows = size * rng.uniform(-1, 1, (3, 40))
    shares = responsibilities(mixture, rows)
    assert set(shares.ravel().tolist()) == {0.0, 1.0}
    np.testing.assert_array_equal(shares.sum(axis=0), 1.0)
    precisions = [[[Fraction(p) for p in row] for row in np.linalg.inv(c)] for c in mixture.dense_covariances]
    for row, leader in zip(rows.T, shares.argmax(axis=0), strict=True):
        distances = []
        for mean, precision in zip(mixture.means, precisions, strict=True):
            gap = [Fraction(x) - Fraction(m) for x, m in zip(row, mean, strict=True)]
            distances.append(sum(gap[i] * precision[i][j] * gap[j] for i in range(3) for j in range(3)))
        assert leader == distances.index(min(distances))
    np.testing.assert_array_equal(log_density(mixture, rows), -np.inf)


def test_a_far_row_never_belongs_to_a_component_without_weight():
    mixture = MixtureParameters([1.0, 0.0], [[0.0], [5.0]], [1.0, 100.0], "spherical")
    assert responsibilities(mixture, np.array([[1e200]])).ravel().tolist() == [1.0, 0.0]


def test_what_is_not_a_number_has_no_density():
    mixture = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    assert np.isnan(log_density(mixture, np.array([[np.nan]]))).all()
