"""The cases of Spark's GaussianMixtureSuite and of pyspark.ml's own test, put to ours.

What only a Spark session can show is asked of the estimator; figures are asked of the core, in every structure that has
them. What is decided otherwise here is in test_differences.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import SparseVector, Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, lit

from gmm_spark import GaussianMixture, GaussianMixtureModel, MixtureParameters
from gmm_spark.core.mixture.covariance import structure
from gmm_spark.core.mixture.quadratic import quadratic_order
from gmm_spark.errors import ParameterError
from tests.examples import matched, spark_bivariate, spark_univariate
from tests.public.adapter import Mixture

K = 5
# Fifty rows of three equal features, whole numbers from 0 to 4 in turn.
KMEANS_ROWS = np.repeat(np.arange(1, 51)[:, None] % K, 3, axis=1).astype(float)
COLUMNS: dict[str, Any] = {"predictionCol": "gm_prediction", "probabilityCol": "gm_probability"}


def vectors(spark: SparkSession, rows: np.ndarray, element: pa.DataType | None = None) -> DataFrame:
    """Rows (n, d) as a column of arrays."""
    array = pa.array(list(rows), pa.list_(element or pa.float64()))
    return spark.createDataFrame(pa.table({"features": array})).coalesce(2)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return vectors(spark, KMEANS_ROWS).select(array_to_vector(col("features")).alias("features"))


def slow(kind: str) -> object:
    return pytest.param(kind, marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["full", slow("tied"), slow("diag"), slow("spherical")])
def fitted(request: pytest.FixtureRequest, table: DataFrame) -> GaussianMixtureModel:
    """Two passes, as in the suite, with names of columns that are not the defaults."""
    kind = request.param
    return GaussianMixture(k=K, maxIter=2, tol=0.0, seed=1, covarianceType=kind, **COLUMNS).fit(table)


def three_gaussians() -> MixtureParameters:
    return MixtureParameters([0.5, 0.2, 0.3], [[1.0], [2.0], [3.0]], np.ones((3, 1, 1)))


# Parameters


def test_defaults_are_sparks_where_they_are_not_listed_as_different():
    estimator = GaussianMixture()
    assert estimator.getK() == 2
    assert estimator.getFeaturesCol() == "features"
    assert estimator.getPredictionCol() == "prediction"
    assert estimator.getProbabilityCol() == "probability"
    assert estimator.getMaxIter() == 100
    assert estimator.getAggregationDepth() == 2
    assert not estimator.isDefined("weightCol") or not estimator.getWeightCol()


def test_every_parameter_that_the_suite_sets_can_be_set_and_got():
    estimator = GaussianMixture().setK(9).setFeaturesCol("f").setPredictionCol("p").setProbabilityCol("q")
    estimator = estimator.setMaxIter(33).setSeed(123).setTol(1e-3).setWeightCol("w").setAggregationDepth(3)
    names = ("k", "featuresCol", "predictionCol", "probabilityCol", "maxIter", "seed", "tol", "weightCol")
    values = [estimator.getOrDefault(name) for name in names]
    assert values == [9, "f", "p", "q", 33, 123, 1e-3, "w"]
    assert estimator.getAggregationDepth() == 3


def test_an_initial_model_of_another_k_is_refused(table):
    estimator = GaussianMixture().setInitialModel(three_gaussians()).setK(9)
    with pytest.raises(ParameterError, match=r"k=9 .* initial model has 3 full components"):
        estimator.fit(table)


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(table, k):
    with pytest.raises(ParameterError, match=f"k={k}"):
        GaussianMixture(k=k).fit(table)


# Fit, transform and summary


def test_predictions_are_the_most_probable_components(fitted, table):
    scored = fitted.transform(table)
    assert scored.columns == ["features", "gm_probability", "gm_prediction"]
    rows = scored.collect()
    assert len(rows) == 50
    for _, probability, prediction in rows:
        assert prediction == int(np.argmax(probability.toArray()))
        assert probability.toArray().sum() == pytest.approx(1.0, abs=1e-12)


def test_outputs_say_how_many_values_and_elements_they_have(fitted, table):
    scored = fitted.transform(table)
    assert scored.schema["gm_prediction"].metadata["ml_attr"]["num_vals"] == K
    assert scored.schema["gm_probability"].metadata["ml_attr"]["num_attrs"] == K


def test_a_model_has_the_sizes_and_the_uid_of_its_fit(fitted, table):
    assert len(fitted.weights) == len(fitted.gaussians) == K
    assert fitted.numFeatures == 3
    assert fitted.gaussiansDF.columns == ["mean", "cov"]
    assert fitted.gaussiansDF.count() == K
    estimator = GaussianMixture(maxIter=1, nInit=1)
    assert estimator.fit(table).uid == estimator.uid


def test_the_summary_is_sparks(fitted):
    summary = fitted.summary
    assert (summary.featuresCol, summary.predictionCol, summary.probabilityCol) == ("features", *COLUMNS.values())
    assert summary.predictions.columns == ["features", "gm_probability", "gm_prediction"]
    assert summary.predictions.count() == 50
    assert summary.cluster.columns == ["gm_prediction"]
    assert summary.probability.columns == ["gm_probability"]
    assert len(summary.clusterSizes) == summary.k == K
    assert sum(summary.clusterSizes) == 50
    assert min(summary.clusterSizes) >= 0
    assert summary.numIter == 2
    assert fitted.hasSummary
    assert fitted.copy().hasSummary


def test_one_row_is_predicted_as_in_a_table(fitted, table):
    for features, probability, prediction in fitted.transform(table).limit(10).collect():
        assert fitted.predict(features) == prediction
        np.testing.assert_allclose(fitted.predictProbability(features).toArray(), probability.toArray(), atol=1e-12)


def test_what_is_saved_comes_back(fitted, spark, tmp_path: Path):
    fitted.write().overwrite().save(str(tmp_path / "model"))
    again = GaussianMixtureModel.load(str(tmp_path / "model"))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted, name))
    assert str(again) == str(fitted)
    assert again.getPredictionCol() == "gm_prediction"
    estimator = GaussianMixture(k=3, maxIter=2, tol=0.01, predictionCol="p", probabilityCol="q")
    estimator.write().overwrite().save(str(tmp_path / "estimator"))
    loaded = GaussianMixture.load(str(tmp_path / "estimator"))
    assert str(loaded) == str(estimator)
    for name in ("k", "maxIter", "tol", "predictionCol", "probabilityCol"):
        assert loaded.getOrDefault(name) == estimator.getOrDefault(name)


@pytest.mark.parametrize("fitted", ["full"], indirect=True)
@pytest.mark.parametrize("element", [pa.float64(), pa.float32()], ids=str)
def test_arrays_of_double_or_float_fit_as_vectors_do(fitted, spark, element):
    estimator = GaussianMixture(k=K, maxIter=2, tol=0.0, seed=1)
    found = estimator.fit(vectors(spark, KMEANS_ROWS, element)).summary.logLikelihood
    assert found == pytest.approx(fitted.summary.logLikelihood, abs=1e-6)


@pytest.mark.parametrize("fitted", ["full"], indirect=True)
def test_a_constant_weight_changes_no_fit(fitted, table):
    weighted = table.select("features", lit(10.0).alias("weight"))
    # Ten times as many rows would have another floor: these are whole numbers.
    estimator = GaussianMixture(k=K, maxIter=2, tol=0.0, seed=1, weightCol="weight", weightKind="importance")
    found = estimator.fit(weighted)
    order = matched(found.parameters, fitted.means)
    np.testing.assert_allclose(found.means[order], fitted.means, atol=1e-3)
    np.testing.assert_allclose(found.weights[order], fitted.weights, atol=1e-3)
    assert found.summary.clusterSizes == np.array(fitted.summary.clusterSizes)[np.argsort(order)].tolist()


def test_a_weighted_table_of_pyspark_mls_test_has_its_columns_and_summary(spark):
    rows = [
        (1.0, Vectors.dense([-0.1, -0.05])),
        (2.0, Vectors.dense([-0.01, -0.1])),
        (3.0, Vectors.dense([0.9, 0.8])),
        (1.0, Vectors.dense([0.75, 0.935])),
        (1.0, Vectors.dense([-0.83, -0.68])),
        (1.0, Vectors.dense([-0.91, -0.76])),
    ]
    table = spark.createDataFrame(rows, ["weight", "features"]).coalesce(1)
    estimator = GaussianMixture(k=2, maxIter=2, weightCol="weight", seed=1)
    model = estimator.fit(table)
    assert (estimator.getK(), estimator.getMaxIter(), estimator.getWeightCol(), estimator.getSeed()) == (
        2,
        2,
        "weight",
        1,
    )
    assert model.transform(table).columns == ["weight", "features", "probability", "prediction"]
    assert model.summary.numIter <= 2
    assert sum(model.summary.clusterSizes) == 6
    # Maximum likelihood keeps the weighted mean of the rows.
    mean = np.average([features.toArray() for _, features in rows], axis=0, weights=[w for w, _ in rows])
    np.testing.assert_allclose(model.weights @ model.means, mean, atol=1e-9)
    # Rows that lie together are predicted alike.
    found = [row.prediction for row in model.transform(table).collect()]
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert found[4] == found[5]


# Figures


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_two_clusters_in_one_dimension_are_found_from_an_initial_model(spark, form):
    values = spark_univariate().ravel()
    make = Vectors.dense if form == "dense" else (lambda x: SparseVector(1, [0], x))
    table = spark.createDataFrame([(make([x]),) for x in values], ["features"]).coalesce(2)
    initial = MixtureParameters([0.5, 0.5], [[5.0], [-3.0]], [[[1.0]], [[1.0]]])
    model = GaussianMixture(k=2).setInitialModel(initial).fit(table)
    np.testing.assert_allclose(model.weights, [2 / 3, 1 / 3], atol=1e-3)
    np.testing.assert_allclose(model.means.ravel(), [5.1604, -4.3673], atol=1e-3)
    np.testing.assert_allclose(model.covariances.ravel(), [0.86644, 1.1098], atol=1e-3)


@pytest.mark.parametrize("given", [True, False])
def test_two_clusters_in_one_dimension_are_found_in_every_structure(covariance_type, given):
    rows = spark_univariate().T
    start: dict[str, Any] = {"means_init": [[5.0], [-3.0]]} if given else {}
    found = Mixture(2, covariance_type, **start).fit(rows)
    order = matched(found.parameters, np.array([[5.1604], [-4.3673]]))
    np.testing.assert_allclose(found.weights_[order], [2 / 3, 1 / 3], atol=1e-3)
    np.testing.assert_allclose(found.means_[order].ravel(), [5.1604, -4.3673], atol=1e-3)
    variances = found.parameters.dense_covariances[order].ravel()
    pooled = (2 * 0.86644 + 1.1098) / 3
    np.testing.assert_allclose(variances, pooled if covariance_type == "tied" else [0.86644, 1.1098], atol=1e-3)


def test_two_clusters_in_two_dimensions_have_the_parameters_of_rs_mixtools():
    rows = spark_bivariate().T
    found = Mixture(2, "full", tol=1e-8).fit(rows)
    means = np.array([[10.363673, 9.897081], [0.11731091, -0.06192351]])
    order = matched(found.parameters, means)
    np.testing.assert_allclose(found.weights_[order], [0.5333333, 0.4666667], atol=1e-3)
    np.testing.assert_allclose(found.means_[order], means, atol=1e-3)
    covariances = [
        [[0.2961543, 0.160783], [0.160783, 1.008878]],
        [[0.62049934, 0.06880802], [0.06880802, 1.27431874]],
    ]
    np.testing.assert_allclose(found.covariances_[order], covariances, atol=1e-3)
    assert found.score_samples(rows).sum() == pytest.approx(-46.89499, abs=1e-5)


@pytest.mark.parametrize("weight", [1.0, 10.0, 100.0])
def test_a_constant_weight_changes_nothing_in_any_structure(covariance_type, weight):
    rows = spark_bivariate().T
    plain, weighted = (Mixture(2, covariance_type).fit(rows, w) for w in (None, np.full(len(rows), weight)))
    order = matched(weighted.parameters, plain.means_)
    np.testing.assert_allclose(weighted.weights_[order], plain.weights_, rtol=1e-6)
    np.testing.assert_allclose(weighted.means_[order], plain.means_, rtol=1e-6)


def test_sums_over_products_unpack_to_a_symmetric_matrix():
    symmetric = np.array([[1.0, 2.5, 3.8, 0.9], [2.5, 2.0, 7.2, 3.8], [3.8, 7.2, 3.0, 1.0], [0.9, 3.8, 1.0, 4.0]])
    packed = symmetric[quadratic_order(4)]
    assert packed.shape == (10,)
    np.testing.assert_array_equal(structure("full").second_moments(packed[None], np.ones(4))[0], symmetric)


def test_more_collinear_features_than_rows_are_fitted(covariance_type):
    rows = np.arange(25.0)[:, None] + np.arange(50.0)
    found = Mixture(5, covariance_type).fit(rows)
    assert np.isfinite(found.score(rows))
    np.testing.assert_allclose(found.weights_ @ found.means_, rows.mean(axis=0), rtol=1e-9)


def test_a_column_that_is_no_vector_is_refused(table):
    with pytest.raises(ValueError, match="features"):
        GaussianMixture().fit(table.select(col("features").cast("string").alias("features")))
