"""GaussianMixtureModel and its summary, without and with a table."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.ml.linalg import DenseMatrix, DenseVector, Vectors
from pyspark.ml.stat import MultivariateGaussian
from pyspark.sql import DataFrame, SparkSession
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark import GaussianMixture, GaussianMixtureModel, MixtureParameters
from gmm_spark.errors import GmmSparkError
from tests.oracles import sklearn_mixture
from tests.tables import array_table, mixture, rough_start, three_blobs

KINDS = ("full", "tied", "diag", "spherical")
ROWS = three_blobs(300)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return array_table(spark, ROWS, 2)


@pytest.fixture(scope="module")
def fitted(table: DataFrame) -> GaussianMixtureModel:
    return (
        GaussianMixture(k=3, maxIter=5, tol=0.0, accelerate=False, logDensityCol="l")
        .setInitialModel(rough_start(ROWS))
        .fit(table)
    )


def joint(parameters: MixtureParameters, row: np.ndarray) -> np.ndarray:
    """Log of weight times density of each component, by scipy."""
    covariances = parameters.dense_covariances
    return np.array(
        [
            np.log(w) + multivariate_normal(m, c).logpdf(row)
            for w, m, c in zip(parameters.weights, parameters.means, covariances, strict=True)
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [list, np.array, Vectors.dense, lambda row: Vectors.sparse(2, [0, 1], row)])
def test_one_row_is_scored_as_scipy_scores_it(kind: str, form: object) -> None:
    parameters = mixture(kind)
    model = GaussianMixtureModel(parameters)
    for row in ([0.5, -1.0], [3.0, 2.0], [-40.0, 60.0]):
        value = form(row)  # type: ignore[operator]
        expected = joint(parameters, np.array(row))
        assert model.logDensity(value) == pytest.approx(logsumexp(expected), rel=1e-11)
        assert model.predict(value) == expected.argmax()
        probability = model.predictProbability(value)
        assert isinstance(probability, DenseVector)
        np.testing.assert_allclose(probability.toArray(), np.exp(expected - logsumexp(expected)), rtol=1e-9, atol=1e-12)


def test_a_row_of_another_width_is_refused() -> None:
    model = GaussianMixtureModel(mixture())
    for ask in (model.predict, model.predictProbability, model.logDensity):
        with pytest.raises(GmmSparkError):
            ask([1.0, 2.0, 3.0])


@pytest.mark.parametrize("kind", KINDS)
def test_gaussians_are_pyspark_mls_with_full_covariances(spark: SparkSession, kind: str) -> None:
    parameters = mixture(kind, k=3, d=2)
    model = GaussianMixtureModel(parameters)
    written_out = {
        "full": lambda j: parameters.covariances[j],
        "tied": lambda j: parameters.covariances,
        "diag": lambda j: np.diag(parameters.covariances[j]),
        "spherical": lambda j: parameters.covariances[j] * np.eye(2),
    }[kind]
    full = [written_out(j) for j in range(3)]
    assert len(model.gaussians) == 3
    for gaussian, mean, cov in zip(model.gaussians, parameters.means, full, strict=True):
        assert isinstance(gaussian, MultivariateGaussian)
        np.testing.assert_array_equal(gaussian.mean.toArray(), mean)
        np.testing.assert_array_equal(gaussian.cov.toArray(), cov)
    found = model.gaussiansDF
    assert found.columns == ["mean", "cov"]
    for row, mean, cov in zip(found.collect(), parameters.means, full, strict=True):
        assert isinstance(row["cov"], DenseMatrix)
        np.testing.assert_array_equal(row["mean"].toArray(), mean)
        np.testing.assert_array_equal(row["cov"].toArray(), cov)


def test_a_model_shows_its_parameters() -> None:
    parameters = mixture("diag", k=3, d=2)
    model = GaussianMixtureModel(parameters, ["a", "b"])
    np.testing.assert_array_equal(model.weights, parameters.weights)
    np.testing.assert_array_equal(model.means, parameters.means)
    np.testing.assert_array_equal(model.covariances, parameters.covariances)
    assert (model.getK(), model.getCovarianceType()) == (3, "diag")
    assert (model.numFeatures, model.featureNames) == (2, ["a", "b"])


def test_a_models_arrays_cannot_be_changed_by_accident() -> None:
    model = GaussianMixtureModel(mixture())
    with pytest.raises(ValueError, match="read-only"):
        model.means[0, 0] = 1.0


def test_a_built_model_has_no_summary() -> None:
    model = GaussianMixtureModel(mixture())
    assert not model.hasSummary
    with pytest.raises(RuntimeError, match="no summary"):
        _ = model.summary


def test_the_summary_is_of_the_returned_parameters(fitted: GaussianMixtureModel, table: DataFrame) -> None:
    oracle, summary = sklearn_mixture(fitted.parameters), fitted.summary
    resp = oracle.predict_proba(ROWS)
    entropy = -(resp * np.log(np.maximum(resp, 1e-300))).sum()
    assert fitted.hasSummary
    assert summary.logLikelihood == pytest.approx(oracle.score_samples(ROWS).sum(), rel=1e-10)
    assert summary.lowerBound == pytest.approx(summary.logLikelihood / 300, rel=1e-12)
    assert summary.aic == pytest.approx(oracle.aic(ROWS), rel=1e-10)
    assert summary.bic == pytest.approx(oracle.bic(ROWS), rel=1e-10)
    assert summary.icl == pytest.approx(oracle.bic(ROWS) + 2 * entropy, rel=1e-9)
    assert summary.clusterSizes == np.bincount(oracle.predict(ROWS), minlength=3).tolist()
    assert (summary.numRows, summary.k, summary.numIter, summary.converged) == (300, 3, 5, False)
    assert summary.skipped == {}
    assert (summary.featuresCol, summary.predictionCol, summary.probabilityCol) == (
        "features",
        "prediction",
        "probability",
    )
    assert summary.logLikelihood == pytest.approx(fitted.logLikelihood(table), rel=1e-12)
    assert summary.bic == pytest.approx(fitted.bic(table), rel=1e-12)


def test_the_tables_of_the_summary_are_the_training_rows_with_their_scores(fitted: GaussianMixtureModel) -> None:
    summary, oracle = fitted.summary, sklearn_mixture(fitted.parameters)
    scored = summary.predictions.orderBy("id").collect()
    np.testing.assert_array_equal([r["prediction"] for r in scored], oracle.predict(ROWS))
    np.testing.assert_allclose([r["l"] for r in scored], oracle.score_samples(ROWS), rtol=1e-10)
    assert summary.cluster.columns == ["prediction"]
    assert summary.probability.columns == ["probability"]
    sizes = {r["prediction"]: r["count"] for r in summary.cluster.groupBy("prediction").count().collect()}
    assert [sizes.get(j, 0) for j in range(3)] == summary.clusterSizes


def test_a_copy_has_the_same_parameters_and_its_own_settings(fitted: GaussianMixtureModel) -> None:
    copied = fitted.copy({fitted.predictionCol: "other"})
    assert (copied.getPredictionCol(), fitted.getPredictionCol()) == ("other", "prediction")
    assert copied.uid == fitted.uid
    np.testing.assert_array_equal(copied.means, fitted.means)
    assert copied.hasSummary


def test_a_transform_may_override_parameters(fitted: GaussianMixtureModel, table: DataFrame) -> None:
    scored = fitted.transform(table, {fitted.predictionCol: "cluster", fitted.logDensityCol: ""})
    assert scored.columns == ["id", "features", "probability", "cluster"]


def test_a_wrong_setting_of_a_model_is_refused(fitted: GaussianMixtureModel, table: DataFrame) -> None:
    with pytest.raises(GmmSparkError, match="handleInvalid='ignore'"):
        fitted.copy().setHandleInvalid("ignore").transform(table)
