"""Noise as a part of a mixture's parameters: its box, its weight, its written form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gmm_spark.core.mixture.density import log_density, responsibilities
from gmm_spark.core.mixture.noise import Noise, enclose
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from tests.examples import random_mixture

BOX = [0.0, -1.0], [4.0, 1.0]


@pytest.fixture
def mixture():
    return MixtureParameters([0.5, 0.3], [[1.0, 0.0], [3.0, 0.5]], [1.0, 0.5], "spherical", Noise(0.2, *BOX))


def test_density_is_that_of_the_gaussians_and_the_box(mixture):
    rows = np.array([[1.0, 3.5], [0.2, -0.9]])
    gaussians = mixture.without_noise()
    expected = np.log(0.8 * np.exp(log_density(gaussians, rows)) + 0.2 / 8.0)
    np.testing.assert_allclose(log_density(mixture, rows), expected, rtol=1e-14)
    assert responsibilities(mixture, rows).sum(axis=0) == pytest.approx([1.0, 1.0])


def test_noise_counts_one_parameter_and_one_class(mixture):
    alone = mixture.without_noise()
    assert (mixture.n_parameters, mixture.n_classes, mixture.n_components) == (alone.n_parameters + 1, 3, 2)
    assert alone.n_classes == 2
    assert mixture.class_weights.tolist() == [0.5, 0.3, 0.2]


def test_noise_is_taken_out_and_put_back(mixture):
    again = mixture.without_noise().with_noise(mixture.noise)
    np.testing.assert_allclose(again.class_weights, mixture.class_weights, rtol=1e-15)
    assert mixture.with_noise(None).noise is None
    np.testing.assert_allclose(mixture.without_noise().weights, [0.625, 0.375], rtol=1e-15)


def test_a_moved_mixture_has_the_same_density(mixture):
    rows, offset = np.array([[1.0, 9.0], [0.2, 9.0]]), np.array([5.0, -3.0])
    moved = mixture.shifted(offset)
    np.testing.assert_allclose(log_density(moved, rows + offset[:, None]), log_density(mixture, rows), rtol=1e-14)
    assert moved.noise is not None
    assert moved.noise.low.tolist() == [5.0, -4.0]


def test_moments_are_those_of_the_gaussians(mixture):
    for found, expected in zip(mixture.moments(), mixture.without_noise().moments(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_a_floor_leaves_noise_alone(mixture):
    raised = mixture.bounded(np.array([2.0, 2.0]))
    assert raised.covariances.tolist() == [2.0, 2.0]
    assert raised.noise is mixture.noise


def test_a_dictionary_has_all_of_it(covariance_type, rng):
    mixture = random_mixture(covariance_type, 2, 2, rng).with_noise(Noise(0.1, *BOX))
    again = MixtureParameters.from_dict(mixture.to_dict())
    assert again.to_dict() == mixture.to_dict()
    assert again.noise is not None
    assert again.noise.weight == 0.1
    assert "noise" not in mixture.without_noise().to_dict()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((0.0, *BOX), "weight 0.0"),
        ((1.0, *BOX), "above 0 and below 1"),
        ((math.nan, *BOX), "weight nan"),
        ((True, *BOX), "weight True"),
        (("0.5", *BOX), "weight '0.5'"),
        ((0.1, [0.0, 1.0], [1.0, 1.0]), "the first below the second"),
        ((0.1, [0.0, 1.0], [1.0]), "two finite numbers for each"),
        ((0.1, [0.0, -np.inf], [1.0, 1.0]), "two finite numbers for each"),
        ((0.1, [], []), "two finite numbers for each"),
        ((0.1, [-1.7e308], [1.7e308]), "two finite numbers for each"),
    ],
)
def test_what_cannot_be_noise_is_refused(arguments, told):
    with pytest.raises(ParameterError, match=told):
        Noise(*arguments)


def test_noise_that_does_not_fit_the_gaussians_is_refused():
    with pytest.raises(ParameterError, match=r"weights sum to 1 beside noise of 0.2; need values >= 0 that sum to 0.8"):
        MixtureParameters([1.0], [[0.0, 0.0]], [1.0], "spherical", Noise(0.2, *BOX))
    with pytest.raises(ParameterError, match=r"a box of 2 feature\(s\) and means of 1"):
        MixtureParameters([0.8], [[0.0]], [1.0], "spherical", Noise(0.2, *BOX))


@pytest.mark.parametrize("noise", [{"weight": 0.1}, {"weight": 0.1, "low": [0.0], "high": ["x"]}, {"weight": "x"}])
def test_damaged_noise_is_refused(noise):
    values = {"weights": [0.9], "means": [[0.0]], "covariances": [[[1.0]]], "noise": noise}
    with pytest.raises(ParameterError, match="noise"):
        MixtureParameters.from_dict(values)


def test_a_box_of_rounded_values_is_wider_by_a_step():
    """Over the whole numbers from 0 to 9, noise has probability 1 in all."""
    noise = enclose(np.array([[0.0, -1.5], [9.0, 2.5]]), np.array([1.0, 0.0]))
    assert (noise.low.tolist(), noise.high.tolist()) == ([-0.5, -1.5], [9.5, 2.5])
    assert 10 * 4 * math.exp(noise.log_density) == pytest.approx(1.0)


def test_a_constant_feature_has_no_box():
    with pytest.raises(ParameterError, match="1 of 2 have one value in all rows"):
        enclose(np.array([[0.0, 3.0], [1.0, 3.0]]), np.zeros(2))
