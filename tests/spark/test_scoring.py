"""Scores of each row: exact, in the order of pyspark.ml, computed from the feature columns alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.ml.clustering import GaussianMixture as PysparkMixture
from pyspark.ml.feature import OneHotEncoder, VectorAssembler
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseVector, Vectors, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from gmm_spark import GaussianMixtureModel, MixtureParameters
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.mixture import density
from gmm_spark.errors import DataError, GmmSparkError, ParameterError
from tests.examples import COVARIANCE_TYPES, random_mixture
from tests.oracles import sklearn_mixture
from tests.tables import array_table, mixture, scalar_table

KINDS = ("full", "tied", "diag", "spherical")
ROWS = np.random.default_rng(1).normal(scale=4.0, size=(200, 2))


def model_of(parameters: MixtureParameters, **params: object) -> GaussianMixtureModel:
    model = GaussianMixtureModel(parameters)
    model._set(**params)
    return model


def collected(scored: DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = scored.orderBy("id").select("probability", "prediction", "logDensity").collect()
    return (
        np.array([r["probability"].toArray() for r in rows]),
        np.array([r["prediction"] for r in rows]),
        np.array([r["logDensity"] for r in rows]),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_direct_formulas_and_of_scikit_learn(spark: SparkSession, kind: str) -> None:
    parameters = mixture(kind)
    model = model_of(parameters, logDensityCol="logDensity")
    probability, prediction, log_density = collected(model.transform(array_table(spark, ROWS, 3)))
    oracle = sklearn_mixture(parameters)
    for resp, logs in (
        (density.responsibilities(parameters, ROWS.T).T, density.log_density(parameters, ROWS.T)),
        (oracle.predict_proba(ROWS), oracle.score_samples(ROWS)),
    ):
        np.testing.assert_allclose(probability, resp, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(log_density, logs, rtol=1e-11)
    np.testing.assert_array_equal(prediction, oracle.predict(ROWS))
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-14)


def test_rows_far_from_every_component_keep_finite_scores(spark: SparkSession) -> None:
    parameters = mixture("full")
    far = np.array([[1e4, 1e4], [-1e6, 0.0]])
    scored = model_of(parameters, logDensityCol="logDensity").transform(array_table(spark, far, 1))
    probability, _, log_density = collected(scored)
    np.testing.assert_allclose(log_density, sklearn_mixture(parameters).score_samples(far), rtol=1e-9)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)


def test_outputs_follow_the_tables_columns_in_pyspark_mls_order(spark: SparkSession) -> None:
    table = array_table(spark, ROWS).withColumn("a.b", F.lit("kept")).withColumn("c`d", F.lit(1))
    scored = model_of(mixture(), logDensityCol="logDensity").transform(table)
    assert scored.columns == ["id", "features", "a.b", "c`d", "probability", "prediction", "logDensity"]
    assert scored.schema["probability"].dataType == VectorUDT()
    assert scored.schema["prediction"].dataType == T.IntegerType()
    assert scored.schema["logDensity"].dataType == T.DoubleType()
    first = scored.first()
    assert isinstance(first["probability"], DenseVector)
    assert (first["a.b"], first["c`d"]) == ("kept", 1)


def test_outputs_carry_the_metadata_of_pyspark_mls_own_model(spark: SparkSession) -> None:
    table = spark.createDataFrame([(Vectors.dense(row),) for row in ROWS[:20].tolist()], ["features"])
    expected = PysparkMixture(k=3, maxIter=1).fit(table).transform(table).schema
    found = model_of(mixture(), logDensityCol="logDensity").transform(table).schema
    for name in ("probability", "prediction"):
        assert found[name].metadata == expected[name].metadata != {}
    assert found["logDensity"].metadata == {}


def test_later_stages_know_the_outputs_sizes_without_a_look_at_the_data(spark: SparkSession) -> None:
    one_row = model_of(mixture()).transform(array_table(spark, ROWS[:1]))
    assembler = VectorAssembler(inputCols=["probability"], outputCol="all", handleInvalid="keep")
    assert len(assembler.transform(one_row).first()["all"]) == 3
    encoder = OneHotEncoder(inputCols=["prediction"], outputCols=["dummies"], dropLast=False)
    assert encoder.fit(one_row).categorySizes == [3]


def test_a_table_with_two_columns_of_one_name_keeps_both(spark: SparkSession) -> None:
    left = array_table(spark, ROWS).withColumn("left", F.lit(1))
    right = spark.range(200).withColumn("right", F.lit(2)).withColumnRenamed("id", "ID")
    joined = left.join(right, left["id"] == right["ID"]).withColumnRenamed("right", "left")
    for handle in ("error", "skip", "keep"):
        scored = model_of(mixture(), handleInvalid=handle).transform(joined)
        assert scored.columns == ["id", "features", "left", "ID", "left", "probability", "prediction"]
        rows = scored.collect()
        assert len(rows) == 200
        assert all((r[0], r[2], r[4]) == (r[3], 1, 2) for r in rows)


def test_an_empty_name_leaves_its_output_out(spark: SparkSession) -> None:
    table = array_table(spark, ROWS)
    assert model_of(mixture(), probabilityCol="").transform(table).columns == ["id", "features", "prediction"]
    only_density = model_of(mixture(), probabilityCol="", predictionCol="", logDensityCol="l").transform(table)
    assert only_density.columns == ["id", "features", "l"]
    values = [r["l"] for r in only_density.orderBy("id").collect()]
    np.testing.assert_allclose(values, density.log_density(mixture(), ROWS.T), rtol=1e-11)
    nothing = model_of(mixture(), probabilityCol="", predictionCol="").transform(table)
    assert nothing.columns == ["id", "features"]


def plan_of(scored: DataFrame, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    scored.explain("formatted")
    return capsys.readouterr().out


def operators(plan: str) -> list[str]:
    """The Python operators of a plan's tree, each once."""
    tree = plan.split("\n\n")[0]
    return re.findall(r"(\w*EvalPython\w*|\w*MapInArrow\w*|\w*InPandas\w*)", tree)


@pytest.mark.parametrize("handle", ["error", "skip", "keep"])
def test_only_feature_columns_enter_the_one_python_evaluation(
    spark: SparkSession, capsys: pytest.CaptureFixture[str], handle: str
) -> None:
    table = spark.createDataFrame([(1, 2.0, 3.0, "secret", 4.0)], ["id", "x", "y", "private", "z"])
    model = model_of(mixture(), inputCols=["x", "y"], handleInvalid=handle, logDensityCol="l", anomalyCol="odd")
    model.logDensities = LogDensityHistogram(0.0, bin_weights(np.ones(1), np.ones(1)))
    scored = model.transform(table)
    plan = plan_of(scored, capsys)
    assert operators(plan) == ["ArrowEvalPython"], plan
    (arguments,) = set(
        re.findall(r"Arguments: \[(\w+\(.*?\))#\d+\]", plan.split("ArrowEvalPython")[-1].split("\n\n")[0])
    )
    names = set(re.findall(r"(\w+)#\d+", arguments))
    assert names == {"x", "y"}, arguments


@pytest.mark.parametrize("handle", ["skip", "keep"])
def test_one_selected_output_still_costs_one_python_evaluation(
    spark: SparkSession, capsys: pytest.CaptureFixture[str], handle: str
) -> None:
    scored = model_of(mixture(), handleInvalid=handle).transform(array_table(spark, ROWS))
    plan = plan_of(scored.select("prediction", "probability").where("prediction = 1"), capsys)
    assert operators(plan) == ["ArrowEvalPython"], plan


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("handle", ["error", "skip", "keep"])
def test_a_filter_after_transform_reads_only_the_partitions_it_asks_for(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], handle: str, vectors: bool
) -> None:
    table = array_table(spark, ROWS, 1).withColumn("dt", F.col("id") % 3)
    if vectors:
        table = table.withColumn("features", array_to_vector(F.col("features")))
    table.write.partitionBy("dt").parquet(str(tmp_path / "rows"))
    stored = spark.read.parquet(str(tmp_path / "rows"))
    model = model_of(mixture(), handleInvalid=handle, logDensityCol="l")
    common = model.predict(ROWS[1])
    afterwards = model.transform(stored).where(f"dt = 1 and prediction = {common}")
    plan = plan_of(afterwards, capsys)
    assert re.search(r"PartitionFilters: \[.*dt#\d+ = 1", plan), plan
    assert operators(plan) == ["ArrowEvalPython"], plan  # and the filter on an output scores no row twice
    expected = model.transform(stored.where("dt = 1")).where(f"prediction = {common}")
    assert sorted(afterwards.select("id", "l").collect()) == sorted(expected.select("id", "l").collect())
    assert afterwards.count() > 0


def stored_with_vectors(spark: SparkSession, path: Path) -> DataFrame:
    """Rows with a Vector and an array of the same features, in a file that Spark reads by columns."""
    table = array_table(spark, ROWS, 1).withColumn("array", F.col("features"))
    table = table.withColumn("features", array_to_vector(F.col("features")))
    table.write.parquet(str(path))
    return spark.read.parquet(str(path))


@pytest.mark.parametrize("column", ["features", "array"])
def test_a_stored_table_with_a_vector_column_is_scored_in_one_python_evaluation(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    table = stored_with_vectors(spark, tmp_path / "rows")
    scored = model_of(mixture(), featuresCol=column, logDensityCol="logDensity").transform(table)
    assert operators(plan_of(scored, capsys)) == ["ArrowEvalPython"]
    assert scored.columns == ["id", "features", "array", "probability", "prediction", "logDensity"]
    _, _, log_density = collected(scored)
    np.testing.assert_allclose(log_density, density.log_density(mixture(), ROWS.T), rtol=1e-11)


@pytest.mark.parametrize("column", ["features", "array"])
def test_a_stream_with_a_vector_column_is_scored(spark: SparkSession, tmp_path: Path, column: str) -> None:
    schema = stored_with_vectors(spark, tmp_path / "rows").schema
    stream = spark.readStream.schema(schema).parquet(str(tmp_path / "rows"))
    scored = model_of(mixture(), featuresCol=column, logDensityCol="logDensity").transform(stream)
    query = scored.writeStream.format("memory").queryName(f"scored_{column}").trigger(availableNow=True).start()
    assert query.awaitTermination(120)
    _, _, log_density = collected(spark.table(f"scored_{column}"))
    np.testing.assert_allclose(log_density, density.log_density(mixture(), ROWS.T), rtol=1e-11)


# Bad rows

HOLED = "select * from values (0, array(1.0D, 2.0D)), (1, null), (2, array(3.0D, double('NaN'))), (3, array(1.0D)), \
(4, array(1.0D, null)), (5, array(double('-Infinity'), 0.0D)), (6, array(-2.0D, 0.5D)) t(id, features)"
GOOD = np.array([[1.0, 2.0], [-2.0, 0.5]])


def test_skip_drops_bad_rows_and_scores_the_others(spark: SparkSession, small_batches: int) -> None:
    model = model_of(mixture(), handleInvalid="skip", logDensityCol="logDensity")
    scored = model.transform(spark.sql(HOLED).coalesce(1))
    assert [r["id"] for r in scored.orderBy("id").collect()] == [0, 6]
    probability, _, log_density = collected(scored)
    np.testing.assert_allclose(probability, density.responsibilities(mixture(), GOOD.T).T, rtol=1e-9)
    np.testing.assert_allclose(log_density, density.log_density(mixture(), GOOD.T), rtol=1e-11)


def test_keep_leaves_bad_rows_in_with_null_outputs(spark: SparkSession) -> None:
    model = model_of(mixture(), handleInvalid="keep", logDensityCol="logDensity")
    rows = model.transform(spark.sql(HOLED).coalesce(1)).orderBy("id").collect()
    assert [r["id"] for r in rows] == list(range(7))
    for r in rows[1:6]:
        assert (r["probability"], r["prediction"], r["logDensity"]) == (None, None, None)
    good = [rows[0], rows[6]]
    np.testing.assert_allclose([r["logDensity"] for r in good], density.log_density(mixture(), GOOD.T), rtol=1e-11)
    np.testing.assert_allclose(
        [r["probability"].toArray() for r in good], density.responsibilities(mixture(), GOOD.T).T, rtol=1e-9
    )


def test_error_fails_the_job_with_the_reason_and_the_way_out(spark: SparkSession) -> None:
    scored = model_of(mixture()).transform(spark.sql(HOLED).where("id in (0, 3)").coalesce(1))
    with pytest.raises(PySparkException, match=r"features.*1 with a wrong width.*d=2.*handleInvalid"):
        scored.collect()


@pytest.mark.parametrize("handle", ["skip", "keep"])
def test_vectors_sparse_dense_and_null_are_scored(spark: SparkSession, handle: str) -> None:
    rows = [(0, Vectors.dense(1.0, 0.0)), (1, None), (2, Vectors.sparse(2, [0], [1.0])), (3, Vectors.sparse(5, [], []))]
    schema = T.StructType([T.StructField("id", T.IntegerType()), T.StructField("features", VectorUDT())])
    model = model_of(mixture(), handleInvalid=handle, logDensityCol="l")
    found = {r["id"]: r["l"] for r in model.transform(spark.createDataFrame(rows, schema)).collect()}
    assert found[0] == found[2] == pytest.approx(model.logDensity([1.0, 0.0]), rel=1e-12)
    assert [i for i, value in found.items() if value is None] == ([1, 3] if handle == "keep" else [])
    assert len(found) == (4 if handle == "keep" else 2)


def test_a_table_of_bad_rows_alone_is_kept_or_skipped(spark: SparkSession) -> None:
    table = spark.range(5).select("id", F.lit(None).cast("array<double>").alias("features"))
    assert model_of(mixture(), handleInvalid="skip").transform(table).count() == 0
    assert model_of(mixture(), handleInvalid="keep").transform(table).where("prediction is null").count() == 5


def test_an_empty_table_is_scored_to_an_empty_table(spark: SparkSession) -> None:
    scored = model_of(mixture()).transform(array_table(spark, ROWS).where("id < 0"))
    assert scored.collect() == []
    assert scored.columns[-2:] == ["probability", "prediction"]


# Names


@pytest.mark.parametrize("name", ["probability", "PREDICTION", "logdensity"])
def test_an_output_that_the_table_already_has_is_refused_by_name(spark: SparkSession, name: str) -> None:
    table = array_table(spark, ROWS).withColumn(name, F.lit(1))
    with pytest.raises(DataError, match=rf"(?i)already has '{name}'.*output columns"):
        model_of(mixture(), logDensityCol="logDensity").transform(table)


def test_a_name_in_another_case_is_another_if_case_matters(spark: SparkSession) -> None:
    table = array_table(spark, ROWS).withColumn("Prediction", F.lit(7))
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        row = model_of(mixture()).transform(table).first()
    finally:
        spark.conf.set("spark.sql.caseSensitive", "false")
    assert row["Prediction"] == 7
    assert row["prediction"] in range(3)


def test_outputs_whose_names_differ_in_case_are_two_if_case_matters(spark: SparkSession) -> None:
    model = model_of(mixture(), predictionCol="p", probabilityCol="P")
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        assert model.transform(array_table(spark, ROWS)).columns == ["id", "features", "P", "p"]
        assert model.sample(spark, 2, outputCols=["x", "X"]).columns == ["component", "x", "X"]
    finally:
        spark.conf.set("spark.sql.caseSensitive", "false")


def test_outputs_of_one_name_are_refused(spark: SparkSession) -> None:
    with pytest.raises(ParameterError, match="repeat"):
        model_of(mixture(), predictionCol="p", probabilityCol="P").transform(array_table(spark, ROWS))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda t: t.drop("features"), ["featuresCol", "'features'", "'id'"]),
        (lambda t: t.withColumn("features", F.lit("a")), ["featuresCol='features'", "string"]),
    ],
)
def test_a_table_without_the_features_is_refused(
    spark: SparkSession, prepare: Callable[[DataFrame], DataFrame], words: list[str]
) -> None:
    with pytest.raises(DataError) as raised:
        model_of(mixture()).transform(prepare(array_table(spark, ROWS)))
    assert all(word in str(raised.value) for word in words)


def test_columns_of_other_numeric_types_are_scored_at_their_value(spark: SparkSession) -> None:
    table = spark.createDataFrame([(1, 2.5)], "x int, y float").withColumn("id", F.lit(0))
    scored = model_of(mixture(), inputCols=["y", "X"], logDensityCol="l").transform(table)
    assert scored.first()["l"] == pytest.approx(model_of(mixture()).logDensity([2.5, 1.0]), rel=1e-12)


# Evaluating a mixture on a table


@pytest.mark.parametrize("kind", KINDS)
def test_likelihood_and_criteria_are_scikit_learns(spark: SparkSession, kind: str) -> None:
    parameters = mixture(kind)
    model, oracle, table = model_of(parameters), sklearn_mixture(parameters), array_table(spark, ROWS, 3)
    resp = oracle.predict_proba(ROWS)
    entropy = -np.where(resp > 0, resp * np.log(np.maximum(resp, 1e-300)), 0).sum()
    assert model.logLikelihood(table) == pytest.approx(oracle.score_samples(ROWS).sum(), rel=1e-11)
    assert model.aic(table) == pytest.approx(oracle.aic(ROWS), rel=1e-11)
    assert model.bic(table) == pytest.approx(oracle.bic(ROWS), rel=1e-11)
    assert model.icl(table) == pytest.approx(oracle.bic(ROWS) + 2 * entropy, rel=1e-10)


def test_likelihood_counts_a_row_by_its_weight(spark: SparkSession) -> None:
    weight = np.arange(200) % 3
    model = model_of(mixture(), weightCol="w")
    expected = sklearn_mixture(mixture()).score_samples(ROWS) @ weight
    assert model.logLikelihood(array_table(spark, ROWS, weight=weight)) == pytest.approx(expected, rel=1e-11)


def test_likelihood_of_a_table_with_bad_rows_follows_handle_invalid(spark: SparkSession) -> None:
    table = spark.sql(HOLED)
    expected = density.log_density(mixture(), GOOD.T).sum()
    assert model_of(mixture(), handleInvalid="skip").logLikelihood(table) == pytest.approx(expected, rel=1e-11)
    with pytest.raises((GmmSparkError, PySparkException), match=r"bad rows in features.*handleInvalid"):
        model_of(mixture()).logLikelihood(table)


def test_a_bad_row_in_an_evaluated_table_is_a_data_error(spark: SparkSession) -> None:
    with pytest.raises(DataError, match="bad rows in features"):
        model_of(mixture()).logLikelihood(spark.sql(HOLED))


def test_no_usable_row_has_no_likelihood(spark: SparkSession) -> None:
    with pytest.raises(DataError, match=r"no usable row in features"):
        model_of(mixture()).logLikelihood(array_table(spark, ROWS).where("id < 0"))


def test_scalars_are_scored_as_arrays_are(spark: SparkSession) -> None:
    model = model_of(mixture(), inputCols=["x", "y"])
    assert model.logLikelihood(scalar_table(spark, ROWS, ["x", "y"])) == pytest.approx(
        model_of(mixture()).logLikelihood(array_table(spark, ROWS)), rel=1e-12
    )


def test_numeric_columns_of_any_type_append_what_an_array_does(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1, 2.5), (None, 0.5), (-3, None), (7, -1.0)], "x int, y float")
    named = model_of(mixture(), inputCols=["x", "y"]).setHandleInvalid("keep").setLogDensityCol("log_density")
    array = model_of(mixture()).setHandleInvalid("keep").setLogDensityCol("log_density")
    found = named.transform(frame.withColumn("y", F.col("y").cast("decimal(4, 1)"))).toPandas()
    arrays = frame.select("x", "y", F.expr("array(double(x), double(y))").alias("features"))
    expected = array.transform(arrays).toPandas()
    assert found["prediction"].isna().tolist() == [False, True, True, False]
    np.testing.assert_array_equal(found["log_density"], expected["log_density"])
    np.testing.assert_array_equal(found["prediction"].dropna(), expected["prediction"].dropna())


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_row_too_far_off_for_a_density_belongs_to_the_nearest_component(
    spark: SparkSession, covariance_type: str, precision: str
) -> None:
    parameters = random_mixture(covariance_type, 3, 3, np.random.default_rng(2))
    rows = np.concatenate([1e200 * np.random.default_rng(3).uniform(-1, 1, (20, 3)), parameters.means])
    model = GaussianMixtureModel(parameters).setPrecision(precision).setLogDensityCol("l")
    scored = model.transform(array_table(spark, rows)).orderBy("id").toPandas()
    expected = density.responsibilities(parameters, rows.T)
    np.testing.assert_array_equal(scored["prediction"], expected.argmax(axis=0))
    np.testing.assert_array_equal(scored["l"] == -np.inf, np.arange(23) < 20)
    found = np.stack([vector.toArray() for vector in scored["probability"]])
    np.testing.assert_allclose(found, expected.T, atol=1e-5)
    assert [model.predict(row) for row in rows] == scored["prediction"].tolist()


@pytest.mark.parametrize("covariance_type", KINDS)
def test_far_rows_that_float64_can_score_have_their_densities_in_float32_too(
    spark: SparkSession, covariance_type: str
) -> None:
    parameters = random_mixture(covariance_type, 3, 3, np.random.default_rng(2))
    rows = np.concatenate([1e30 * np.random.default_rng(3).uniform(-1, 1, (20, 3)), parameters.means])
    model = GaussianMixtureModel(parameters).setPrecision("float32").setLogDensityCol("l")
    scored = model.transform(array_table(spark, rows)).orderBy("id").toPandas()
    np.testing.assert_allclose(scored["l"], density.log_density(parameters, rows.T), rtol=1e-3)
    expected = density.responsibilities(parameters, rows.T)
    np.testing.assert_array_equal(scored["prediction"], expected.argmax(axis=0))
    found = np.stack([vector.toArray() for vector in scored["probability"]])
    np.testing.assert_allclose(found, expected.T, atol=1e-3)


@pytest.mark.parametrize("name", ["__gmm_spark_scores", "__GMM_spark_features"])
def test_a_column_with_a_name_that_scoring_needs_is_refused_and_not_dropped(spark: SparkSession, name: str) -> None:
    table = array_table(spark, ROWS, 1).withColumnRenamed("id", name)
    with pytest.raises(DataError, match=f"{name.lower()}', a name that scoring needs; rename it"):
        GaussianMixtureModel(mixture(d=ROWS.shape[1])).transform(table)
