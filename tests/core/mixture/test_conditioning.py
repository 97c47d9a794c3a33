"""Marginals and conditionals against scipy's densities and against sums over a fine grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark.core.mixture.conditioning import condition, marginal, regress
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError

STRUCTURES = ("full", "tied", "diag", "spherical")


def mixture(kind, rng, k=3, d=4, scale=1.0, offset=0.0):
    factors = rng.normal(size=(k, d, d)) + 2 * np.eye(d)
    full = factors @ factors.transpose(0, 2, 1) * np.outer(scale * np.ones(d), scale * np.ones(d))
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0].copy(),
    }[kind]
    weights = rng.dirichlet(np.ones(k))
    return MixtureParameters(weights, offset + scale * rng.normal(0, 4, (k, d)), covariances, kind)


def scipy_log_density(parameters, rows):
    terms = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(rows.T)
        for weight, mean, covariance in zip(
            parameters.weights, parameters.means, parameters.dense_covariances, strict=True
        )
    ]
    return logsumexp(np.array(terms).reshape(len(terms), -1), axis=0)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_density_is_the_marginal_times_the_conditional(kind, rng):
    parameters = mixture(kind, rng)
    for row in rng.normal(0, 4, (5, 4)):
        given, rest = [2, 0], [1, 3]
        joint = scipy_log_density(parameters, row[:, None])
        known = scipy_log_density(marginal(parameters, given), row[given][:, None])
        other = scipy_log_density(condition(parameters, given, row[given]), row[rest][:, None])
        np.testing.assert_allclose(known + other, joint, rtol=1e-11)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_structures_stay(kind, rng):
    parameters = mixture(kind, rng)
    assert marginal(parameters, [3, 1]).covariance_type == kind
    assert condition(parameters, [0], [1.0]).covariance_type == kind


def test_a_marginal_is_the_integral_over_the_other_features(rng):
    parameters = mixture("full", rng, d=2)
    grid = np.linspace(-80, 80, 20_001)
    rows = np.stack([np.full_like(grid, 1.5), grid])
    integral = trapezoid(np.exp(scipy_log_density(parameters, rows)), grid)
    found = np.exp(log_density(marginal(parameters, [0]), np.array([[1.5]])))
    np.testing.assert_allclose(found, integral, rtol=1e-9)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_regression_is_the_mean_and_the_spread_of_the_conditional(kind, rng):
    parameters = mixture(kind, rng)
    rows = rng.normal(0, 4, (2, 6))
    means, deviations = regress(parameters, [3, 1], rows)
    for i in range(rows.shape[1]):
        mean, variance = condition(parameters, [3, 1], rows[:, i]).moments()
        np.testing.assert_allclose(means[:, i], mean, rtol=1e-11)
        np.testing.assert_allclose(deviations[:, i], np.sqrt(variance), rtol=1e-10)


def test_regression_of_one_gaussian_is_least_squares(rng):
    rows = rng.normal(size=(3, 500))
    rows[2] += 2 * rows[0] - rows[1]
    covariance = np.cov(rows, bias=True)
    parameters = MixtureParameters([1.0], [rows.mean(axis=1)], [covariance])
    design = np.vstack([rows[:2], np.ones(500)]).T
    fitted = design @ np.linalg.lstsq(design, rows[2], rcond=None)[0]
    means, deviations = regress(parameters, [0, 1], rows[:2])
    np.testing.assert_allclose(means[0], fitted, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(deviations[0], np.sqrt(np.mean((rows[2] - fitted) ** 2)), rtol=1e-9)


def test_features_of_any_scale_and_offset_keep_their_digits(rng):
    scale = np.array([1e-9, 1.0, 1e9, 1e3])
    plain = mixture("full", rng)
    covariances = plain.covariances * np.outer(scale, scale)
    scaled = MixtureParameters(plain.weights, plain.means * scale, covariances)
    values = np.array([0.3, -2.0])
    expected, found = condition(plain, [0, 2], values), condition(scaled, [0, 2], values * scale[[0, 2]])
    np.testing.assert_allclose(found.means, expected.means * scale[[1, 3]], rtol=1e-10)
    np.testing.assert_allclose(
        found.covariances, expected.covariances * np.outer(scale[[1, 3]], scale[[1, 3]]), rtol=1e-9
    )


def test_features_that_nearly_determine_each_other_have_a_positive_conditional_variance():
    parameters = MixtureParameters([1.0], [[0.0, 0.0]], [[[1.0, 1 - 1e-14], [1 - 1e-14, 1.0]]])
    found = condition(parameters, [0], [3.0])
    assert 0 < found.covariances[0, 0, 0] < 1e-13
    assert found.means[0, 0] == pytest.approx(3.0)


def test_a_value_far_from_every_component_goes_to_the_nearest():
    parameters = MixtureParameters([0.5, 0.5], [[0.0, 1.0], [10.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]], "diag")
    assert condition(parameters, [0], [1e200]).weights.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("given", "values", "message"),
    [
        ([], [], "need at least one index from 0 to 3"),
        ([4], [0.0], "need at least one index from 0 to 3"),
        ([-1], [0.0], "need at least one index from 0 to 3"),
        ([1, 1], [0.0, 0.0], "none twice"),
        ([0.5], [0.0], "need at least one index"),
        ([0, 1, 2, 3], [0.0] * 4, "all 4 feature"),
        ([0], [np.nan], "need 1 finite number"),
        ([0], [1.0, 2.0], "need 1 finite number"),
    ],
)
def test_what_is_given_must_be_some_features_and_finite_values(given, values, message, rng):
    with pytest.raises(ParameterError, match=message):
        condition(mixture("full", rng), given, values)
