"""Mixtures of scikit-learn become parameters that score the same; what would not is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from gmm_spark.core.mixture import density
from gmm_spark.errors import ParameterError
from gmm_spark.interop.fitted import convert_pyspark, read_sklearn
from gmm_spark.interop.scikit_learn import to_sklearn
from tests.examples import COVARIANCE_TYPES, draw_rows, random_mixture
from tests.interop.hostile import hostile_places, mixture_at

ROWS = draw_rows(random_mixture("full", 3, 2, np.random.default_rng(1)), 300, np.random.default_rng(2))[0].T


class Scaled(GaussianMixture):  # type: ignore[misc]  # scikit-learn has no types
    """A mixture that scores otherwise than its parameters say."""

    def score_samples(self, X):
        return 2 * super().score_samples(X)


@pytest.fixture(scope="module")
def fitted():
    return {kind: GaussianMixture(3, covariance_type=kind, random_state=0).fit(ROWS) for kind in COVARIANCE_TYPES}


def test_parameters_of_a_fitted_mixture_score_as_it_does(fitted, covariance_type):
    theirs = fitted[covariance_type]
    ours = read_sklearn(theirs)
    np.testing.assert_allclose(density.log_density(ours, ROWS.T), theirs.score_samples(ROWS), rtol=1e-12)
    np.testing.assert_allclose(density.responsibilities(ours, ROWS.T).T, theirs.predict_proba(ROWS), atol=1e-12)


@hostile_places
def test_a_mixture_comes_back_from_scikit_learn_as_it_went(covariance_type, offset, scale):
    parameters = mixture_at(covariance_type, offset, scale)
    back = read_sklearn(to_sklearn(parameters))
    assert back.covariance_type == covariance_type
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(back, name), getattr(parameters, name))


def test_a_mixture_of_float32_is_read(covariance_type):
    theirs = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(ROWS)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(theirs, name, getattr(theirs, name).astype(np.float32))
    np.testing.assert_allclose(density.log_density(read_sklearn(theirs), ROWS.T), theirs.score_samples(ROWS), rtol=1e-4)


@pytest.mark.parametrize(
    ("mixture", "words"),
    [
        (GaussianMixture(2), r"sklearn GaussianMixture without weights_, .*: it is not fitted; call fit\(X\) first"),
        (
            BayesianGaussianMixture(n_components=2, random_state=0).fit(ROWS),
            "BayesianGaussianMixture, whose scores are averages",
        ),
        (BayesianGaussianMixture(n_components=2), "BayesianGaussianMixture, whose scores are averages"),
        (Scaled(2, random_state=0).fit(ROWS), "Scaled; need a sklearn.mixture.GaussianMixture itself"),
        (KMeans(2), "KMeans; need a sklearn.mixture.GaussianMixture itself"),
        (None, "NoneType; need a sklearn.mixture.GaussianMixture itself"),
        ("mixture.pkl", "str; need a sklearn.mixture.GaussianMixture itself"),
    ],
)
def test_anything_else_is_refused(mixture, words):
    with pytest.raises(ParameterError, match=words):
        read_sklearn(mixture)


def test_a_mixture_that_was_edited_after_its_fit_is_refused(covariance_type):
    theirs = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(ROWS)
    theirs.covariances_ = 2 * theirs.covariances_
    with pytest.raises(ParameterError, match="covariances_ are not those of precisions_cholesky_"):
        read_sklearn(theirs)
    theirs.precisions_cholesky_ = theirs.precisions_cholesky_[:1]
    if covariance_type != "tied":
        with pytest.raises(ParameterError, match="precisions_cholesky_ has shape"):
            read_sklearn(theirs)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("weights_", np.array([0.5, 0.2, 0.1]), "weights sum to 0.8"),
        ("means_", np.full((3, 2), np.nan), "means has shape"),
        ("covariances_", np.zeros((3, 2, 2)), "covariances"),
        ("covariance_type", "round", "covariance_type='round'"),
    ],
)
def test_values_that_no_mixture_has_are_refused(name, value, words):
    theirs = GaussianMixture(3, random_state=0).fit(ROWS)
    setattr(theirs, name, value)
    with pytest.raises(ParameterError, match=words):
        read_sklearn(theirs)


def test_what_is_no_model_of_pyspark_is_refused():
    with pytest.raises(
        ParameterError, match=r"SimpleNamespace; need a GaussianMixtureModel of pyspark.ml; fit it first"
    ):
        convert_pyspark(SimpleNamespace(fit=None))
    with pytest.raises(ParameterError, match=r"model is a builtins str; need a GaussianMixtureModel of pyspark.ml$"):
        convert_pyspark("path")
