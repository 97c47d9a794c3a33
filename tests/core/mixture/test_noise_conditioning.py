"""Marginals and conditionals of a mixture with noise, against integrals over its density."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture.conditioning import condition, marginal, regress
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.noise import Noise
from tests.examples import random_mixture

LOW, HIGH = np.array([-12.0, -15.0]), np.array([14.0, 13.0])
# The midpoint rule on a grid across the box and beyond it; only inside is the noise part of an integral.
GRID = np.linspace(-15.0, 13.0, 20_001)
MIDDLES, STEP = (GRID[1:] + GRID[:-1]) / 2, GRID[1] - GRID[0]


@pytest.fixture
def mixture(covariance_type, rng):
    return random_mixture(covariance_type, 2, 2, rng, spread=1.5).with_noise(Noise(0.3, LOW, HIGH))


def test_the_marginal_is_the_integral_over_the_other_feature(mixture):
    for x in (-3.0, 0.5, 9.0):
        joint = np.exp(log_density(mixture, np.stack([np.full(MIDDLES.size, x), MIDDLES])))
        expected = joint.sum() * STEP
        assert np.exp(log_density(marginal(mixture, [0]), np.array([[x]])))[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("x", [-3.0, 0.5, 9.0])
def test_the_conditional_is_joint_over_marginal(mixture, x):
    rest = condition(mixture, [0], [x])
    rows = np.stack([np.full(MIDDLES.size, x), MIDDLES])
    expected = log_density(mixture, rows) - log_density(marginal(mixture, [0]), np.array([[x]]))[0]
    np.testing.assert_allclose(log_density(rest, MIDDLES[None]), expected, atol=1e-9)


def test_of_a_far_value_noise_is_the_whole_conditional(mixture):
    rest = condition(mixture, [0], [1e6])
    assert rest.noise is not None
    assert rest.noise.weight == pytest.approx(1.0)


def test_a_regression_is_that_of_the_gaussians_however_wide_the_box(mixture):
    rows = np.array([[-3.0, 0.5, 1e6]])
    wide = mixture.with_noise(Noise(0.3, LOW, HIGH + 1e9))
    for noisy in (mixture, wide):
        found, expected = regress(noisy, [0], rows), regress(noisy.without_noise(), [0], rows)
        np.testing.assert_array_equal(found, expected)
