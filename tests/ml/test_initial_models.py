"""Fitted mixtures of other libraries as a start: the start scores as they do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pyspark.ml.clustering import GaussianMixture as PysparkMixture
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.stats import multivariate_normal
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.errors import ParameterError
from gmm_spark.ml.initial_models import to_parameters
from tests.tables import array_table, mixture, three_blobs

KINDS = ("full", "tied", "diag", "spherical")
ROWS = three_blobs(300)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return array_table(spark, ROWS)


def start_log_likelihood(estimator: GaussianMixture, table: DataFrame) -> float:
    """Return the log-likelihood that the first pass sees: the start's, over all rows."""
    seen: list[float] = []
    estimator.setMaxIter(1).setCallback(lambda record: seen.append(record.lower_bound)).fit(table)
    return seen[0] * len(ROWS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # three of its iterations are enough
@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_of_scikit_learn_is_a_start(table: DataFrame, kind: str) -> None:
    theirs = SklearnMixture(3, covariance_type=kind, max_iter=3, tol=0.0, random_state=0).fit(ROWS)
    estimator = GaussianMixture().setInitialModel(theirs)
    assert (estimator.getK(), estimator.getCovarianceType()) == (3, kind)
    start = GaussianMixtureModel(to_parameters(theirs))
    assert start.logLikelihood(table) == pytest.approx(theirs.score(ROWS) * len(ROWS), rel=1e-10)
    assert start_log_likelihood(estimator, table) == pytest.approx(theirs.score(ROWS) * len(ROWS), rel=1e-10)


def test_a_bayesian_mixture_of_scikit_learn_is_a_start() -> None:
    theirs = BayesianGaussianMixture(n_components=2, random_state=0).fit(ROWS)
    np.testing.assert_array_equal(to_parameters(theirs).means, theirs.means_)


def test_a_model_of_pyspark_ml_is_a_start(table: DataFrame) -> None:
    vectors = table.select(array_to_vector(F.col("features")).alias("features"))
    theirs = PysparkMixture(k=3, seed=5, maxIter=4, tol=0.0).fit(vectors)
    estimator = GaussianMixture(k=2, covarianceType="diag").setInitialModel(theirs)
    assert (estimator.getK(), estimator.getCovarianceType()) == (3, "full")
    # Their own summary is of the parameters before the last step; score the returned ones by their Gaussians.
    density = sum(
        weight * multivariate_normal(one.mean.toArray(), one.cov.toArray()).pdf(ROWS)
        for weight, one in zip(theirs.weights, theirs.gaussians, strict=True)
    )
    assert start_log_likelihood(estimator, table) == pytest.approx(np.log(density).sum(), rel=1e-9)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            "models/example",
            "is a str; need a GaussianMixtureModel of gmm_spark or pyspark.ml, .*MixtureParameters, or",
        ),
        (SklearnMixture(3), r"sklearn GaussianMixture; need .*\(fit it first\)"),
        (GaussianMixture(), r"gmm_spark GaussianMixture; need .*\(fit it first\)"),
        ({"weights": [1.0]}, "is a dict; need a GaussianMixtureModel"),
        (np.zeros((2, 2)), r"numpy ndarray of shape \(2, 2\); need a GaussianMixtureModel"),
    ],
)
def test_anything_else_is_refused_with_what_is_accepted(model: object, words: str) -> None:
    estimator = GaussianMixture(k=4)
    with pytest.raises(ParameterError, match=words):
        estimator.setInitialModel(model)
    assert estimator.getK() == 4
    assert estimator._initial is None


def test_covariances_that_no_mixture_has_are_refused() -> None:
    theirs = SklearnMixture(3, covariance_type="diag", random_state=0).fit(ROWS)
    theirs.covariances_ = np.zeros_like(theirs.covariances_)
    with pytest.raises(ParameterError, match="covariances"):
        GaussianMixture().setInitialModel(theirs)


def test_a_model_of_this_package_and_its_parameters_are_starts() -> None:
    parameters = mixture("tied", k=4)
    for model in (parameters, GaussianMixtureModel(parameters)):
        estimator = GaussianMixture().setInitialModel(model)
        assert (estimator.getK(), estimator.getCovarianceType(), estimator._initial) == (4, "tied", parameters)
    assert estimator.setInitialModel(None)._initial is None


def test_scikit_learn_is_not_imported() -> None:
    code = (
        "import sys; from gmm_spark import GaussianMixture, MixtureParameters\n"
        "GaussianMixture().setInitialModel(MixtureParameters([1.0], [[0.0]], [1.0], 'spherical'))\n"
        "print('sklearn' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
