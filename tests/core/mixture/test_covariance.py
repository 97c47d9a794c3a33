from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

from gmm_spark.core.mixture.covariance import STRUCTURES, structure
from gmm_spark.errors import DegenerateComponentError, ParameterError
from tests.examples import COVARIANCE_TYPES, random_mixture
from tests.oracles import dense_covariances, sklearn_mixture

K, D = 3, 4


def moments_about(reference: np.ndarray, rows: np.ndarray, resp: np.ndarray, axis_aligned: bool):
    """First and second weighted moments of rows (d, m) about reference points (k, d), by definition."""
    centred = rows[None] - reference[:, :, None]  # (k, d, m)
    first = np.einsum("kim,km->ki", centred, resp)
    second = np.einsum("kim,kjm,km->kij", centred, centred, resp)
    return first, np.diagonal(second, axis1=1, axis2=2) if axis_aligned else second


def test_the_registry_knows_each_structure_by_its_own_name():
    assert tuple(STRUCTURES) == COVARIANCE_TYPES
    assert all(structure(name).name == name for name in COVARIANCE_TYPES)


def test_an_unknown_structure_is_refused_with_the_names_there_are():
    with pytest.raises(ParameterError, match=r"'banded'.*full, tied, diag, spherical"):
        structure("banded")


def test_precision_factors_are_scikit_learns(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    expected = _compute_precision_cholesky(parameters.covariances, covariance_type)
    np.testing.assert_allclose(parameters.precisions_cholesky, expected, rtol=1e-12, atol=1e-14)


def test_expanded_factors_are_upper_and_invert_every_covariance(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    kind = structure(covariance_type)
    factors = kind.expand_cholesky(parameters.precisions_cholesky, K, D)
    for factor, covariance in zip(factors, dense_covariances(parameters), strict=True):
        upper = np.diag(factor) if kind.axis_aligned else factor
        np.testing.assert_array_equal(upper, np.triu(upper))
        np.testing.assert_allclose(upper @ upper.T @ covariance, np.eye(D), atol=1e-12)


def test_covariances_written_out_are_what_the_structure_means(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    dense = structure(covariance_type).dense(parameters.covariances, K, D)
    np.testing.assert_array_equal(dense, dense_covariances(parameters))


@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("d", [1, 3])
def test_free_parameters_are_as_many_as_scikit_learn_counts(covariance_type, k, d, rng):
    parameters = random_mixture(covariance_type, k, d, rng)
    assert parameters.n_parameters == sklearn_mixture(parameters)._n_parameters()


def test_the_estimate_does_not_depend_on_the_reference_points(covariance_type, rng):
    kind = structure(covariance_type)
    rows, resp = rng.standard_normal((D, 50)), rng.dirichlet(np.ones(K), 50).T
    resp_sum = resp.sum(axis=1)
    estimates = []
    for reference in (np.zeros((K, D)), rng.standard_normal((K, D))):
        first, second = moments_about(reference, rows, resp, kind.axis_aligned)
        offsets = first / resp_sum[:, None]
        estimates.append(kind.estimate(kind.project(second), resp_sum, offsets))
    assert estimates[0].shape == kind.shape(K, D)
    np.testing.assert_allclose(estimates[0], estimates[1], rtol=1e-12, atol=1e-13)


def log_likelihood_term(covariance: np.ndarray, scatter: np.ndarray) -> float:
    """Expected log-likelihood of rows with this scatter, but for constants."""
    return float(-np.linalg.slogdet(covariance)[1] - np.trace(np.linalg.solve(covariance, scatter)))


def test_the_bounded_covariance_is_the_likeliest_above_the_floor(covariance_type, rng):
    kind = structure(covariance_type)
    narrow = rng.standard_normal((K, D, D)) * np.geomspace(0.05, 3.0, D)[:, None]
    scatters = narrow @ np.swapaxes(narrow, 1, 2) / D
    floor = rng.uniform(0.1, 1.0, D)
    if kind.axis_aligned:
        scatters = scatters * np.eye(D)
    moments = kind.project(np.diagonal(scatters, axis1=1, axis2=2) if kind.axis_aligned else scatters)
    estimated = kind.estimate(np.asarray(moments), np.ones(K), np.zeros((K, D)))
    bounded = kind.dense(kind.bound(estimated, floor), K, D)
    assert np.linalg.eigvalsh(bounded - np.diag(floor)).min() >= -1e-12
    scatters = kind.dense(estimated, K, D)
    for j in range(K):
        reached = log_likelihood_term(bounded[j], scatters[j])
        for _ in range(200):  # others above the floor, near and far, are no likelier
            factor = rng.standard_normal((D, D)) * 10.0 ** rng.uniform(-4, 0.5)
            other = {
                "full": bounded[j] + factor @ factor.T,
                "tied": np.diag(floor) + factor @ factor.T,
                "diag": np.diag(floor + rng.exponential(10.0 ** rng.uniform(-4, 1), D)),
                "spherical": np.eye(D) * (floor.max() + rng.exponential(10.0 ** rng.uniform(-4, 1))),
            }[covariance_type]
            assert log_likelihood_term(other, scatters[j]) <= reached + 1e-9
            inside = bounded[j] + rng.uniform() * (other - bounded[j])  # the set is convex
            assert log_likelihood_term(inside, scatters[j]) <= reached + 1e-9


def test_a_floor_that_does_not_bind_changes_no_bit(covariance_type, rng):
    kind = structure(covariance_type)
    parameters = random_mixture(covariance_type, K, D, rng)
    least = np.linalg.eigvalsh(parameters.dense_covariances).min()
    bounded = kind.bound(parameters.covariances, np.full(D, 0.99 * least))
    np.testing.assert_array_equal(bounded, parameters.covariances)
    assert parameters.bounded(np.full(D, 0.99 * least)) is parameters
    np.testing.assert_array_equal(kind.bound(parameters.covariances, np.zeros(D)), parameters.covariances)


@pytest.mark.parametrize(
    ("covariance_type", "covariances", "owner"),
    [
        ("full", [np.eye(2), [[1.0, 2.0], [2.0, 1.0]]], "component 1"),
        ("full", [np.eye(2), np.zeros((2, 2))], "component 1"),
        ("full", [np.full((2, 2), np.nan), np.eye(2)], "component 0"),
        ("tied", [[1.0, 1.0], [1.0, 1.0]], "tied covariance"),
        ("diag", [[1.0, 1.0], [1.0, 0.0]], "component 1"),
        ("diag", [[1.0, -1.0], [1.0, 1.0]], "component 0"),
        ("diag", [[1.0, np.nan], [1.0, 1.0]], "component 0"),
        ("spherical", [1.0, 0.0], "component 1"),
        ("spherical", [np.inf, 1.0], "component 0"),
    ],
)
def test_a_collapsed_covariance_is_reported_by_its_owner_with_a_remedy(covariance_type, covariances, owner):
    with pytest.raises(DegenerateComponentError, match=rf"{owner} collapsed.*raise regCovar"):
        structure(covariance_type).precisions_cholesky(np.array(covariances, dtype=float))


def test_a_covariance_definite_by_rounding_alone_is_reported(rng):
    # The third feature is the sum of the others: rank 2, but for the rounding of the products.
    latent = rng.standard_normal((2, 40))
    rows = np.vstack([latent, latent.sum(axis=0)])
    with pytest.raises(DegenerateComponentError, match="component 0"):
        structure("full").precisions_cholesky((rows @ rows.T / 40)[None])


def test_a_strong_but_real_correlation_is_accepted():
    correlation = 1 - 1e-9
    factor = structure("tied").precisions_cholesky(np.array([[1.0, correlation], [correlation, 1.0]]))
    # det of the precision is 1 / (1 - r^2); a factor's entry has lost eps / (1 - r^2) = 1e-7 of its digits.
    assert np.prod(np.diag(factor)) == pytest.approx((1 - correlation**2) ** -0.5, rel=1e-6)
