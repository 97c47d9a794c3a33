from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gmm_spark.core.mixture.parameters import InitialMeans, MixtureParameters
from gmm_spark.errors import ParameterError
from tests.examples import draw_rows, random_mixture
from tests.oracles import dense_covariances

K, D = 3, 2


def test_normalisers_are_the_log_weighted_densities_at_the_means(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    expected = [
        np.log(w) + multivariate_normal(mean, covariance).logpdf(mean)
        for w, mean, covariance in zip(parameters.weights, parameters.means, dense_covariances(parameters), strict=True)
    ]
    np.testing.assert_allclose(parameters.log_normalisers, expected, rtol=1e-12)


def test_values_cannot_be_changed(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    for array in (parameters.weights, parameters.means, parameters.covariances):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        parameters.weights = np.ones(K) / K  # type: ignore[misc]


def test_the_callers_arrays_stay_the_callers(rng):
    weights, means, variances = np.array([0.5, 0.5]), np.zeros((2, 1)), np.ones((2, 1))
    parameters = MixtureParameters(weights, means, variances, "diag")
    means[0] = 9.0
    assert parameters.means[0, 0] == 0.0


def test_a_round_trip_through_json_keeps_every_bit(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    again = MixtureParameters.from_dict(json.loads(json.dumps(parameters.to_dict())))
    assert again.covariance_type == covariance_type
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(parameters, name))


def test_a_dictionary_without_a_structure_is_full(rng):
    values = random_mixture("full", K, D, rng).to_dict()
    del values["covariance_type"]
    assert MixtureParameters.from_dict(values).covariance_type == "full"


def test_a_dictionary_with_missing_or_unknown_keys_is_refused_by_their_names(rng):
    values = random_mixture("diag", K, D, rng).to_dict()
    del values["means"]
    values["centres"] = []
    with pytest.raises(ParameterError, match=r"\['means'\].*\['centres'\]"):
        MixtureParameters.from_dict(values)


def test_shifting_moves_the_means_and_nothing_else(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    moved = parameters.shifted(np.array([1.0, -2.0]))
    np.testing.assert_array_equal(moved.means, parameters.means + np.array([1.0, -2.0]))
    np.testing.assert_array_equal(moved.covariances, parameters.covariances)
    np.testing.assert_array_equal(moved.weights, parameters.weights)


def test_moments_are_those_of_the_rows_it_makes(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    m = 200_000
    rows, _ = draw_rows(parameters, m, rng)
    mean, variance = parameters.moments()
    # Five standard errors: 4 statistics here, by chance beyond it once in 400,000 runs; the seed is fixed besides.
    np.testing.assert_array_less(np.abs(rows.mean(axis=1) - mean), 5 * np.sqrt(variance / m))
    fourth = ((rows - mean[:, None]) ** 4).mean(axis=1)
    np.testing.assert_array_less(np.abs(rows.var(axis=1) - variance), 5 * np.sqrt((fourth - variance**2) / m))


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "kind", "message"),
    [
        ([0.5, 0.6], [[0.0], [1.0]], [1.0, 1.0], "spherical", "weights sum to 1.1"),
        ([1.5, -0.5], [[0.0], [1.0]], [1.0, 1.0], "spherical", "values >= 0"),
        ([1.0], [[0.0], [1.0]], [1.0, 1.0], "spherical", r"weights has shape \(1,\)"),
        ([0.5, 0.5], [0.0, 1.0], [1.0, 1.0], "spherical", "means has shape"),
        ([0.5, 0.5], [[0.0], [np.nan]], [1.0, 1.0], "spherical", "means .* finite"),
        ([0.5, 0.5], [[0.0], [1.0]], [1.0, np.inf], "spherical", "covariances .* finite"),
        ([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0, 1.0], "spherical", r"shape \(3,\); need \(2,\)"),
        ([0.5, 0.5], [[0.0], [1.0]], [[1.0, 1.0]], "diag", r"shape \(1, 2\); need \(2, 1\)"),
        ([1.0], [[0.0, 0.0]], [[1.0, 0.5], [0.4, 1.0]], "tied", "transposes"),
        ([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]], "full", "component 0 collapsed"),
        ([1.0], [[0.0]], [0.0], "spherical", "component 0 collapsed"),
        ([1.0], [[0.0]], [1.0], "round", "covarianceType='round'"),
        ([1.0], [["a"]], [1.0], "spherical", "means is not a rectangular array of numbers"),
        ([], np.empty((0, 2)), [], "spherical", "need"),
    ],
)
def test_what_cannot_be_a_mixture_is_refused_with_its_cause(weights, means, covariances, kind, message):
    with pytest.raises(ParameterError, match=message):
        MixtureParameters(weights, means, covariances, kind)


def test_a_component_may_have_no_weight():
    parameters = MixtureParameters([1.0, 0.0], [[0.0], [5.0]], [1.0, 1.0], "spherical")
    assert parameters.log_normalisers[1] == -np.inf


def test_precisions_are_the_inverses_of_covariances(covariance_type, rng):
    expected = random_mixture(covariance_type, K, D, rng)
    invert = np.linalg.inv if covariance_type in ("full", "tied") else np.reciprocal
    precisions = invert(expected.covariances)
    found = MixtureParameters.from_precisions(expected.weights, expected.means, precisions, covariance_type)
    assert found.covariance_type == covariance_type
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(found.weights, expected.weights)
    np.testing.assert_array_equal(found.means, expected.means)


@pytest.mark.parametrize(
    ("means", "precisions", "kind", "message"),
    [
        ([[0.0], [1.0]], [1.0], "spherical", r"spherical precisions have shape \(1,\); need \(2,\)"),
        ([[0.0], [1.0]], [1.0, 0.0], "spherical", "component 1 is not positive definite"),
        ([[0.0, 1.0], [1.0, 0.0]], [[1.0, 1.0], [1.0, -2.0]], "diag", "component 1 .* -2 along"),
        ([[0.0, 1.0], [1.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]], "tied", "the tied precision .* -1 along"),
        ([[0.0, 1.0], [1.0, 0.0]], [np.eye(2), np.ones((2, 2))], "full", "component 1 is not positive definite"),
        ([[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.5], [0.4, 1.0]], "tied", "tied precisions differ from their transposes"),
        ([[0.0], [1.0]], [np.nan, 1.0], "spherical", "precisions .* finite"),
        ([0.0, 1.0], [1.0, 1.0], "spherical", "means has shape"),
        ([[0.0], [1.0]], [1.0, 1.0], "round", "covarianceType='round'"),
    ],
)
def test_what_cannot_be_precisions_is_refused_with_its_cause(means, precisions, kind, message):
    with pytest.raises(ParameterError, match=message):
        MixtureParameters.from_precisions([0.5, 0.5], means, precisions, kind)


def test_initial_means_have_equal_weights_by_default():
    means = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    np.testing.assert_array_equal(InitialMeans(means).weights, np.full(3, 1 / 3))
    assert InitialMeans(means, [0.5, 0.5, 0.0]).weights.tolist() == [0.5, 0.5, 0.0]
    assert (InitialMeans(means).n_components, InitialMeans(means).n_features) == (3, 2)


@pytest.mark.parametrize(
    ("means", "weights", "message"),
    [
        ([0.0, 1.0], None, "means has shape"),
        ([[0.0], [np.inf]], None, "means .* finite"),
        (np.empty((0, 2)), None, "need"),
        ([[0.0], [1.0]], [1.0], r"weights has shape \(1,\)"),
        ([[0.0], [1.0]], [0.9, 0.2], "weights sum to 1.1"),
    ],
)
def test_what_cannot_be_initial_means_is_refused_with_its_cause(means, weights, message):
    with pytest.raises(ParameterError, match=message):
        InitialMeans(means, weights)
