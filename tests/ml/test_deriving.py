"""Models that follow from a model, and regression of a table's rows by Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel, Mixture
from gmm_spark.errors import DataError, ParameterError
from tests.examples import random_mixture

NAMES = ["a", "b", "c", "d"]
ROWS = np.random.default_rng(1).normal(0, 3, (200, 2))


def build(kind: str = "full", **params: Any) -> GaussianMixtureModel:
    model = GaussianMixtureModel(random_mixture(kind, 3, 4, np.random.default_rng(5)), NAMES)
    return model._set(inputCols=NAMES, **params)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    frame = pd.DataFrame(ROWS, columns=["c", "a"]).assign(key=range(len(ROWS)))
    return spark.createDataFrame(frame).repartition(2)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_spark_predicts_what_the_mixture_in_memory_does(table: DataFrame, kind: str) -> None:
    model = build(kind)
    found = model.regress(table, given=["c", "a"], withDeviations=True).orderBy("key").toPandas()
    assert list(found.columns) == ["c", "a", "key", "predicted_b", "predicted_d", "predicted_b_sd", "predicted_d_sd"]
    expected = model.local().regress(ROWS, given=["c", "a"])
    np.testing.assert_allclose(found[["predicted_b", "predicted_d"]], expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found[["predicted_b_sd", "predicted_d_sd"]], expected.sd, rtol=1e-12)


def test_targets_prefix_and_columns_are_the_callers(table: DataFrame) -> None:
    other = table.select(F.col("c").alias("from"), "a", "key")
    found = build().regress(other, {"c": "from", 0: "a"}, targets=["d"], outputPrefix="is_").orderBy("key")
    assert found.columns == ["from", "a", "key", "is_d"]
    expected = build().local().regress(ROWS, given=["c", "a"], targets=["d"]).mean
    np.testing.assert_allclose(found.toPandas()[["is_d"]], expected, rtol=1e-12)
    numbered = GaussianMixtureModel(build().parameters)
    assert numbered.regress(other, {2: "from", 0: "a"}).columns[3:] == ["predicted_1", "predicted_3"]
    with pytest.raises(ParameterError, match=r"reads the one column 'features'; .* pass a mapping"):
        numbered.regress(other, given=[0])


def test_bad_rows_are_treated_as_the_model_says(spark: SparkSession) -> None:
    table = spark.createDataFrame([(1.0, 0), (None, 1), (float("nan"), 2)], "a double, key int").coalesce(1)
    kept = build(handleInvalid="keep").regress(table, given=["a"], withDeviations=True).orderBy("key").collect()
    assert [row["predicted_b"] is None for row in kept] == [row["predicted_b_sd"] is None for row in kept]
    assert [row["predicted_b"] is None for row in kept] == [False, True, True]
    assert [row["key"] for row in build(handleInvalid="skip").regress(table, given=["a"]).collect()] == [0]
    with pytest.raises(Exception, match="bad rows in a: at least 1 "):
        build().regress(table, given=["a"]).collect()


def test_rows_of_a_stream_are_predicted_as_those_of_a_table(table: DataFrame, tmp_path: Path) -> None:
    table.write.parquet(str(tmp_path / "rows"))
    stream = table.sparkSession.readStream.schema(table.schema).parquet(str(tmp_path / "rows"))
    found = build().regress(stream, given=["c", "a"])
    query = found.writeStream.format("memory").queryName("regressed").trigger(availableNow=True).start()
    assert query.awaitTermination(120)
    assert query.exception() is None
    of_stream = table.sparkSession.table("regressed").orderBy("key").toPandas()
    pd.testing.assert_frame_equal(of_stream, build().regress(table, given=["c", "a"]).orderBy("key").toPandas())


def test_float32_columns_and_vectors_beside_them_are_read(spark: SparkSession) -> None:
    from pyspark.ml.linalg import Vectors

    rows = [(float(np.float32(a)), Vectors.dense([1.0])) for a in (0.1, 2.5)]
    table = spark.createDataFrame(rows, ["a", "vector"]).withColumn("a", F.col("a").cast("float")).coalesce(1)
    found = build(precision="float32").regress(table, given=["a"]).toPandas()
    expected = build().local().regress([[row[0]] for row in rows], given=["a"]).mean
    np.testing.assert_allclose(found[["predicted_b", "predicted_c", "predicted_d"]], expected, rtol=1e-5)


def test_what_cannot_be_predicted_is_refused_before_any_job(table: DataFrame) -> None:
    model = build()
    for given, targets, message in (
        (["z"], None, "given: got feature 'z'; need one of 'a', 'b'"),
        (NAMES, None, "given names all 4"),
        (["a"], ["a"], "targets has 'a', which is given"),
        ({"a": 1.0}, None, "need the name of a column"),
    ):
        with pytest.raises(ParameterError, match=message):
            model.regress(table, given, targets)
    with pytest.raises(ParameterError, match="handleInvalid='marginal', but regress needs all values"):
        build(handleInvalid="marginal").regress(table, given=["a"])
    with pytest.raises(DataError, match="no column 'b'"):
        model.regress(table, given=["b"])
    with pytest.raises(DataError, match="already has 'key'; set another outputPrefix"):
        model.marginal(["a", "b"])._set(inputCols=["a", "key"]).regress(table, given=["a"], outputPrefix="")
    frame: Any = ROWS
    with pytest.raises(DataError, match="need a Spark DataFrame"):
        model.regress(frame, given=["a"])


def test_a_fitted_models_marginal_scores_rows_and_has_no_threshold(spark: SparkSession, tmp_path: Path) -> None:
    rows = np.random.default_rng(2).normal(size=(300, 3)) + np.repeat([[0, 0, 0], [9, 9, 9]], 150, axis=0)
    table = spark.createDataFrame(pd.DataFrame(rows, columns=["x", "y", "z"])).coalesce(1)
    model = GaussianMixture(inputCols=["x", "y", "z"], k=2, seed=3, nInit=1, logDensityCol="log_density").fit(table)
    model.setComponentNames(["one", None])
    marginal = model.marginal(["z", "x"])
    assert marginal.getInputCols() == marginal.featureNames == ["z", "x"]
    assert (marginal.componentNames, marginal.getSeed(), marginal.hasSummary) == (["one", None], 3, False)
    scored = marginal.transform(table.drop("y")).toPandas()
    means, covariances = model.means[:, [2, 0]], model.covariances[:, [2, 0]][:, :, [2, 0]]
    from scipy.stats import multivariate_normal

    densities = [multivariate_normal(*one).pdf(rows[:, [2, 0]]) for one in zip(means, covariances, strict=True)]
    np.testing.assert_allclose(scored["log_density"], np.log(model.weights @ densities), rtol=1e-9)
    marginal.setAnomalyCol("odd")
    with pytest.raises(ParameterError, match="is a marginal or conditional of another"):
        marginal.transform(table)
    conditional = model.conditional(given={"y": 9.0})
    conditional.write().save(str(tmp_path / "model"))
    loaded = GaussianMixtureModel.load(str(tmp_path / "model"))
    assert loaded.getInputCols() == ["x", "z"]
    assert loaded.componentNames == ["one", None]
    np.testing.assert_array_equal(loaded.means, conditional.means)
    np.testing.assert_array_equal(Mixture.load(tmp_path / "model").parameters.covariances, conditional.covariances)
    assert model.hasSummary  # the model itself is as it was
    assert model.getInputCols() == ["x", "y", "z"]
