from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gmm_spark.core.parameters import MixtureParameters
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
        parameters.weights = np.ones(K) / K


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
