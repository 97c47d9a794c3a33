"""A mixture as scikit-learn's: it scores as ours does, wherever the features lie, and is as if it had been fitted."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.utils.validation import check_is_fitted

from gmm_spark.core.mixture import criteria
from gmm_spark.errors import ParameterError
from gmm_spark.interop.scikit_learn import to_sklearn
from tests.interop.hostile import D, K, hostile_places, mixture_at, rows_for, scores_of


@hostile_places
def test_scores_are_ours_at_any_offset_and_scale(covariance_type, offset, scale):
    parameters = mixture_at(covariance_type, offset, scale)
    rows = rows_for(parameters)
    labels, probabilities, log_density = scores_of(parameters, rows)
    mixture = to_sklearn(parameters)
    # Its check of the rows for NaN overflows at the farthest of them.
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("error")
        np.testing.assert_array_equal(mixture.predict(rows), labels)
        np.testing.assert_allclose(mixture.predict_proba(rows), probabilities, rtol=0, atol=1e-12)
        np.testing.assert_allclose(mixture.score_samples(rows), log_density, rtol=1e-12)


@hostile_places
def test_criteria_are_ours_at_any_offset_and_scale(covariance_type, offset, scale):
    parameters = mixture_at(covariance_type, offset, scale)
    rows = rows_for(parameters)[:250]
    log_likelihood = float(scores_of(parameters, rows)[2].sum())
    mixture, count = to_sklearn(parameters), parameters.n_parameters
    assert mixture.score(rows) == pytest.approx(log_likelihood / len(rows), rel=1e-12)
    assert mixture.aic(rows) == pytest.approx(criteria.aic(log_likelihood, count), rel=1e-12)
    assert mixture.bic(rows) == pytest.approx(criteria.bic(log_likelihood, count, len(rows)), rel=1e-12)


def test_its_attributes_are_those_of_a_fit(covariance_type):
    parameters = mixture_at(covariance_type, 2.0, 1.0)
    mixture = to_sklearn(
        parameters, settings={"tol": 0.5, "max_iter": 7}, converged=True, lower_bound=-3.0, lower_bounds=[-4.0, -3.0]
    )
    fitted = GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(rows_for(parameters)[:200])
    check_is_fitted(mixture)
    found, wanted = vars(mixture), vars(fitted)
    assert {name for name in wanted if name.endswith("_")} <= found.keys()
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert found[name].shape == wanted[name].shape, name
        assert found[name].flags.writeable, name
    assert (mixture.converged_, mixture.n_iter_, mixture.lower_bound_) == (True, 2, -3.0)
    assert mixture.n_features_in_ == D
    assert (mixture.n_components, mixture.covariance_type) == (K, covariance_type)
    assert (mixture.tol, mixture.max_iter) == (0.5, 7)


def test_its_precisions_invert_its_covariances():
    mixture = to_sklearn(mixture_at("full", 0.0, 1.0))
    np.testing.assert_allclose(
        mixture.precisions_ @ mixture.covariances_, np.broadcast_to(np.eye(D), (K, D, D)), atol=1e-12
    )
    tied = to_sklearn(mixture_at("tied", 0.0, 1.0))
    np.testing.assert_allclose(tied.precisions_ @ tied.covariances_, np.eye(D), atol=1e-12)
    for kind in ("diag", "spherical"):
        aligned = to_sklearn(mixture_at(kind, 0.0, 1.0))
        np.testing.assert_allclose(aligned.precisions_ * aligned.covariances_, 1.0)


def test_it_checks_the_names_of_features():
    import pandas as pd

    parameters = mixture_at("diag", 0.0, 1.0)
    mixture = to_sklearn(parameters, ["a", "b", "c"])
    table = pd.DataFrame(rows_for(parameters)[:5], columns=["a", "b", "c"])
    assert len(mixture.predict(table)) == 5
    with pytest.raises(ValueError, match="feature names"):
        mixture.predict(table[["c", "b", "a"]])


def test_it_samples_clones_and_pickles_as_any_estimator(covariance_type):
    parameters = mixture_at(covariance_type, 0.0, 1.0)
    mixture = to_sklearn(parameters, settings={"random_state": 3})
    rows, labels = mixture.sample(500)
    assert rows.shape == (500, D)
    assert set(labels) == set(range(K - 1))  # the last has no weight
    again = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(again.score_samples(rows), mixture.score_samples(rows))
    assert not hasattr(clone(mixture), "weights_")


def test_it_can_be_fitted_again():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0.0, 1.0, (300, 2)), rng.normal(8.0, 1.0, (300, 2))])
    own = GaussianMixture(2, random_state=0).fit(rows)
    again = to_sklearn(mixture_at("full", 0.0, 1.0)).set_params(n_components=2, random_state=0).fit(rows)
    np.testing.assert_allclose(again.means_, own.means_, rtol=1e-9)
    assert again.score(rows) == pytest.approx(own.score(rows), rel=1e-12)


def test_the_plain_class_is_scikit_learns_own_and_refused_if_it_would_lose_digits(covariance_type):
    parameters = mixture_at(covariance_type, 0.0, 1.0)
    rows = rows_for(parameters)[:200]
    plain = to_sklearn(parameters, plain=True)
    assert type(plain) is GaussianMixture
    with np.errstate(divide="ignore"):  # a component has no weight
        np.testing.assert_allclose(plain.score_samples(rows), scores_of(parameters, rows)[2], rtol=1e-12)
    with pytest.raises(ParameterError, match=r"plain=True: .* would lose about .* nats"):
        to_sklearn(mixture_at(covariance_type, 1e8, 1.0), plain=True)
