"""Models from scikit-learn and pyspark.ml, and models for scikit-learn and ONNX: scores stay what they were."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from pyspark.ml.clustering import GaussianMixture as PysparkMixture
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_spark import GaussianMixture, GaussianMixtureModel, MixtureParameters
from gmm_spark.errors import ParameterError
from tests.tables import mixture, three_blobs

NAMES = ["a", "b", "c"]
ROWS = three_blobs(400) + 1e8  # far from zero, where naive formulas fail


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(pd.DataFrame(ROWS, columns=NAMES)).coalesce(1)


@pytest.fixture(scope="module")
def model(table: DataFrame) -> GaussianMixtureModel:
    return GaussianMixture(inputCols=NAMES, k=3, nInit=1, seed=5, maxIter=9, tol=1e-3, logDensityCol="log_density").fit(
        table
    )


@pytest.fixture(scope="module")
def scored(model: GaussianMixtureModel, table: DataFrame) -> pd.DataFrame:
    return model.transform(table).withColumn("probability", vector_to_array(F.col("probability"))).toPandas()


def test_scikit_learn_and_onnx_score_as_transform_does(model: GaussianMixtureModel, scored: pd.DataFrame) -> None:
    theirs, rows = model.to_sklearn(), scored[NAMES]
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    label, probabilities, log_density = session.run(None, {"features": rows.to_numpy()})
    for found in (theirs.predict(rows), label):
        np.testing.assert_array_equal(found, scored["prediction"])
    for found in (theirs.predict_proba(rows), probabilities):
        np.testing.assert_allclose(found, np.stack(scored["probability"].tolist()), rtol=0, atol=1e-12)
    for found in (theirs.score_samples(rows), log_density):
        np.testing.assert_allclose(found, scored["log_density"], rtol=1e-12)


def test_criteria_of_scikit_learn_are_those_of_the_fit(model: GaussianMixtureModel, scored: pd.DataFrame) -> None:
    theirs, rows, summary = model.to_sklearn(), scored[NAMES], model.summary
    assert theirs.aic(rows) == pytest.approx(summary.aic, rel=1e-12)
    assert theirs.bic(rows) == pytest.approx(summary.bic, rel=1e-12)
    assert theirs.lower_bound_ == pytest.approx(summary.lowerBound, rel=1e-12)
    assert (theirs.converged_, theirs.n_iter_) == (summary.converged, summary.numIter)
    assert (theirs.tol, theirs.max_iter, theirs.random_state) == (1e-3, 9, 5)
    assert list(theirs.feature_names_in_) == NAMES


def test_a_model_without_a_summary_says_that_nothing_is_known_of_its_fit() -> None:
    theirs = GaussianMixtureModel(mixture()).to_sklearn()
    assert (theirs.converged_, theirs.n_iter_, theirs.lower_bounds_) == (False, 0, [])
    assert np.isnan(theirs.lower_bound_)
    assert not hasattr(theirs, "feature_names_in_")


def test_a_mixture_of_scikit_learn_becomes_a_model_of_its_columns(table: DataFrame) -> None:
    rows = pd.DataFrame(ROWS, columns=NAMES)
    theirs = SklearnMixture(3, random_state=0).fit(rows - 1e8)
    model = GaussianMixtureModel.from_sklearn(theirs)
    assert (model.getInputCols(), model.featureNames, model.getK()) == (NAMES, NAMES, 3)
    moved = table.select(*((F.col(name) - 1e8).alias(name) for name in NAMES))
    found = model.setLogDensityCol("log_density").transform(moved).toPandas()
    np.testing.assert_array_equal(found["prediction"], theirs.predict(found[NAMES]))
    np.testing.assert_allclose(found["log_density"], theirs.score_samples(found[NAMES]), rtol=1e-12)
    assert GaussianMixtureModel.from_sklearn(SklearnMixture(2, random_state=0).fit(ROWS)).featureNames is None


def test_a_model_of_pyspark_scores_the_same_and_keeps_its_columns(spark: SparkSession) -> None:
    rows = three_blobs(400)
    vectors = (
        spark.createDataFrame(pd.DataFrame({"v": rows.tolist()}))
        .select(array_to_vector(F.col("v")).alias("v"))
        .coalesce(1)
    )
    theirs = PysparkMixture(k=3, seed=5, maxIter=9, featuresCol="v", predictionCol="cluster").fit(vectors)
    ours = GaussianMixtureModel.from_pyspark(theirs)
    assert (ours.getFeaturesCol(), ours.getPredictionCol(), ours.getProbabilityCol()) == ("v", "cluster", "probability")
    expected, found = theirs.transform(vectors).toPandas(), ours.transform(vectors).toPandas()
    np.testing.assert_array_equal(found["cluster"], expected["cluster"])
    # pyspark.ml adds 2.2e-16 to each density. Of these rows the least likely has one of about 1e-6.
    np.testing.assert_allclose(
        np.stack([one.toArray() for one in found["probability"]]),
        np.stack([one.toArray() for one in expected["probability"]]),
        rtol=0,
        atol=1e-9,
    )


def test_far_from_every_component_pyspark_knows_no_difference_and_this_package_does(spark: SparkSession) -> None:
    vectors = spark.createDataFrame(pd.DataFrame({"v": [[0.0], [0.5], [20.0], [20.5]] * 5}))
    theirs = PysparkMixture(k=2, seed=1).fit(vectors.select(array_to_vector(F.col("v")).alias("features")))
    ours = GaussianMixtureModel.from_pyspark(theirs)
    np.testing.assert_allclose(theirs.predictProbability(Vectors.dense([100.0])).toArray(), 0.5, atol=1e-6)
    assert ours.predictProbability([100.0]).toArray().max() == pytest.approx(1.0)


def test_a_singular_covariance_of_pyspark_is_refused(spark: SparkSession) -> None:
    vectors = spark.createDataFrame(pd.DataFrame({"v": [[x, x] for x in (0.0, 1.0, 2.0, 10.0, 11.0, 12.0)]}))
    theirs = PysparkMixture(k=2, seed=1).fit(vectors.select(array_to_vector(F.col("v")).alias("features")))
    with pytest.raises(
        ParameterError, match=r"model of pyspark.ml cannot be used: .* not positive definite; .* pseudo-inverse"
    ):
        GaussianMixtureModel.from_pyspark(theirs)


def test_a_graph_is_written_to_a_file_with_the_threshold_of_anomalies(
    model: GaussianMixtureModel, tmp_path: Path
) -> None:
    path = tmp_path / "mixture.onnx"
    written = model.copy().setAnomalyFraction(0.02).to_onnx(path)
    assert onnx.load(path) == written
    kept = {entry.key: entry.value for entry in written.metadata_props}
    assert float(kept["anomaly_threshold"]) == model.logDensityQuantile(0.02)
    assert kept["anomaly_fraction"] == "0.02"
    assert kept["covariance_type"] == "full"
    unknown = GaussianMixtureModel(MixtureParameters([1.0], [[0.0]], [1.0], "spherical")).to_onnx()
    assert {entry.key for entry in unknown.metadata_props} == {"covariance_type", "anomaly_fraction"}


@pytest.mark.parametrize(
    ("call", "package", "extra"), [("to_sklearn()", "sklearn", "sklearn"), ("to_onnx()", "onnx", "onnx")]
)
def test_a_missing_package_is_named_with_its_extra(call: str, package: str, extra: str) -> None:
    # In a process of its own: here these packages are imported already.
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from gmm_spark import GaussianMixtureModel, MixtureParameters\n"
        "model = GaussianMixtureModel(MixtureParameters([1.0], [[0.0]], [1.0], 'spherical'))\n"
        "assert not {'sklearn.mixture', 'onnx.helper'} & sys.modules.keys()\n"
        f"try:\n    model.{call}\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.startswith(f"MissingExtraError {call} needs {package}, which cannot be imported (")
    assert said.endswith(f"): run pip install 'gmm-spark[{extra}]'\n")
