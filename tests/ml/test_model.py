"""GaussianMixtureModel and its summary, without and with a table."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.linalg import DenseMatrix, DenseVector, Vectors
from pyspark.ml.stat import MultivariateGaussian
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector, MixtureParameters
from gmm_spark.errors import DataError, GmmSparkError, ParameterError
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


# What one row cannot be

SINGLE = ("predict", "predictProbability", "logDensity")
D4 = GaussianMixtureModel(mixture("diag", k=3, d=4), ["a", "b", "c", "e"])


@pytest.mark.parametrize("method", SINGLE)
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([np.nan] * 4, r"value\[0\], feature 'a', is nan; .*handleInvalid"),
        ([0, 1, np.inf, 3], r"value\[2\], feature 'c', is inf"),
        (Vectors.dense(0, 1, 2, -np.inf), r"value\[3\], feature 'e', is -inf"),
        (Vectors.sparse(4, [1], [np.nan]), r"value\[1\], feature 'b', is nan"),
        ([0, None, 2, 3], r"value\[1\], feature 'b', is nan"),
        (pd.Series([0.0, 1.0, np.nan, 3.0]), r"value\[2\], feature 'c', is nan"),
    ],
)
def test_a_bad_value_in_one_row_is_refused_by_name(method: str, row: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        getattr(D4, method)(row)


def test_a_bad_value_of_a_model_without_names_is_refused_by_position() -> None:
    with pytest.raises(DataError, match=r"value\[1\] is nan"):
        GaussianMixtureModel(mixture()).predict([0.0, np.nan])


@pytest.mark.parametrize("handle", ["skip", "keep"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, None])
def test_one_row_with_a_bad_value_has_no_result_if_bad_rows_are_allowed(handle: str, bad: float | None) -> None:
    model = D4.copy().setHandleInvalid(handle)
    row = [0.0, bad, 0.0, 0.0]
    assert model.predict(row) is None
    np.testing.assert_array_equal(model.predictProbability(row).toArray(), [np.nan] * 3)
    assert np.isnan(model.logDensity(row))
    assert model.predict([0.0] * 4) is not None


def test_an_unknown_way_to_handle_a_bad_value_is_refused() -> None:
    with pytest.raises(ParameterError, match="handleInvalid='ignore'"):
        D4.copy().setHandleInvalid("ignore").predict([np.nan] * 4)


@pytest.mark.parametrize("method", SINGLE)
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([1.0, 2.0, 3.0], "3 number.*need 4"),
        (Vectors.sparse(5, [1], [1.0]), "5 number.*need 4"),
        ([], "0 number.*need 4"),
        (1.0, "1 number.*need 4"),
        (np.zeros((2, 2)), r"numpy ndarray of shape \(2, 2\); need one row of 4.*transform"),
        (np.zeros((1, 4)), r"shape \(1, 4\).*one at a time"),
        (np.zeros((4, 1)), r"shape \(4, 1\).*one at a time"),
        (pd.DataFrame(np.zeros((2, 2))), r"pandas DataFrame of shape \(2, 2\).*transform"),
        ([[1.0, 2.0], [3.0, 4.0]], "a list; need one row of 4.*transform"),
        ([Vectors.dense(1, 2, 3, 4)] * 2, "a list; need one row.*transform"),
        (DenseMatrix(2, 2, [0.0] * 4), "pyspark DenseMatrix.*transform"),
        ([[1.0], [2.0, 3.0]], "a list; need one row of 4"),
        (["1", "2", "3", "4"], "need one row of 4 numbers"),
        ({"a": 1}, "a dict; need one row of 4 numbers"),
    ],
)
def test_anything_but_one_row_of_d_numbers_is_refused(method: str, rows: object, words: str) -> None:
    for model in (D4, D4.copy().setHandleInvalid("keep")):
        with pytest.raises(DataError, match=words):
            getattr(model, method)(rows)


@pytest.mark.parametrize("data", [ROWS, ROWS.tolist(), pd.DataFrame(ROWS, columns=["x", "y", "z"])])
def test_what_is_not_a_spark_table_is_refused_with_the_way_to_make_one(data: Any) -> None:
    model = GaussianMixtureModel(mixture(d=3)).setInputCols(["x", "y", "z"])
    uses: list[Callable[[Any], Any]] = [
        GaussianMixture(inputCols=["x", "y", "z"]).fit,
        GaussianMixtureSelector(ks=[1]).fit,
    ]
    uses += [model.transform, model.logLikelihood, model.aic, model.bic, model.icl]
    uses += [lambda table: GaussianMixture().fit(table, [{GaussianMixture.k: 1}, {GaussianMixture.k: 2}])]
    for use in uses:
        with pytest.raises(DataError, match=r"dataset is a .*; need a Spark DataFrame.*spark\.createDataFrame"):
            use(data)


def test_a_table_of_pandas_on_spark_is_refused_with_its_own_remedy(spark: SparkSession) -> None:
    table: Any = spark.range(2).pandas_api()
    with pytest.raises(DataError, match=r"dataset is a pyspark DataFrame.*dataset\.to_spark\(\)"):
        GaussianMixture().fit(table)


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


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_pickled_fitted_model_scores_alike_and_has_no_summary(
    fitted: GaussianMixtureModel, table: DataFrame, duplicate: Callable[[GaussianMixtureModel], GaussianMixtureModel]
) -> None:
    twin = duplicate(fitted)
    assert (twin.uid, twin.hasSummary, fitted.hasSummary) == (fitted.uid, False, True)
    assert twin.extractParamMap() == fitted.extractParamMap()
    np.testing.assert_array_equal(twin.logDensities.weights, fitted.logDensities.weights)
    assert twin.transform(table).orderBy("id").collect() == fitted.transform(table).orderBy("id").collect()
    twin.setPredictionCol("other")
    assert fitted.getPredictionCol() == "prediction"


def test_a_pickled_pipeline_scores_alike(fitted: GaussianMixtureModel, table: DataFrame) -> None:
    twin = pickle.loads(pickle.dumps(PipelineModel([fitted])))
    assert twin.transform(table).orderBy("id").collect() == fitted.transform(table).orderBy("id").collect()


def test_a_fitted_model_can_be_used_in_a_udf(fitted: GaussianMixtureModel, table: DataFrame) -> None:
    score = F.udf(lambda row: fitted.predict(row), "int")
    found = table.select("id", score("features").alias("p")).orderBy("id").collect()
    np.testing.assert_array_equal([r["p"] for r in found], sklearn_mixture(fitted.parameters).predict(ROWS))


def test_a_shallow_copy_keeps_the_summary(fitted: GaussianMixtureModel) -> None:
    assert copy.copy(fitted).summary is fitted.summary
    assert fitted.copy().summary is fitted.summary


def test_a_model_shows_itself_as_pyspark_mls_does() -> None:
    assert re.fullmatch(r"GaussianMixtureModel: uid=GaussianMixtureModel_\w+, k=3, numFeatures=4", repr(D4))


def test_a_transform_may_override_parameters(fitted: GaussianMixtureModel, table: DataFrame) -> None:
    scored = fitted.transform(table, {fitted.predictionCol: "cluster", fitted.logDensityCol: ""})
    assert scored.columns == ["id", "features", "probability", "cluster"]


def test_a_wrong_setting_of_a_model_is_refused(fitted: GaussianMixtureModel, table: DataFrame) -> None:
    with pytest.raises(GmmSparkError, match="handleInvalid='ignore'"):
        fitted.copy().setHandleInvalid("ignore").transform(table)


# Sampling


def column_model(names: list[str]) -> GaussianMixtureModel:
    return GaussianMixtureModel(mixture("full", k=3, d=len(names)), names).setInputCols(names)


def test_a_sample_has_the_columns_that_transform_reads(spark: SparkSession) -> None:
    for model, columns in (
        (column_model(["a.b", "y"]), ["component", "a.b", "y"]),
        (GaussianMixtureModel(mixture(), ["x", "y"]).setFeaturesCol("point"), ["component", "point"]),
    ):
        sample = model.sample(spark, 200, 3)
        assert sample.columns == columns
        scored = model.setLogDensityCol("l").transform(sample).collect()
        rows = np.array([np.ravel(row[1 : len(columns)]) for row in scored])
        oracle = sklearn_mixture(model.parameters)
        np.testing.assert_allclose([row["l"] for row in scored], oracle.score_samples(rows), rtol=1e-9)
        np.testing.assert_array_equal([row["prediction"] for row in scored], oracle.predict(rows))


def test_the_columns_of_a_sample_can_be_named(spark: SparkSession) -> None:
    model = column_model(["x", "y"])
    assert model.sample(spark, 5, outputCols=["a", "b"]).columns == ["component", "a", "b"]
    assert model.sample(spark, 5, featuresCol="point").columns == ["component", "point"]
    assert model.sample(spark, 5, outputCols=["a", "b"], featuresCol="point").columns == ["component", "a", "b"]


def test_a_sample_without_a_seed_takes_that_of_the_model(spark: SparkSession) -> None:
    model = GaussianMixtureModel(mixture())
    assert model.sample(spark, 50).collect() == model.sample(spark, 50, 0).collect()
    model._set(seed=11)
    assert model.sample(spark, 50).collect() == model.sample(spark, 50, 11).collect()
    assert model.sample(spark, 50).collect() != model.sample(spark, 50, 0).collect()


def test_a_fitted_model_scores_its_own_sample(fitted: GaussianMixtureModel, spark: SparkSession) -> None:
    sample = fitted.sample(spark, 2000)
    assert sample.columns == ["component", "features"]
    scored = fitted.transform(sample).select("component", "prediction").toPandas()
    assert (scored["component"] == scored["prediction"]).mean() > 0.8
