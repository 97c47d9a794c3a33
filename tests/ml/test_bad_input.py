"""Bad tables: each is refused in words that a person can act on, or its bad rows are skipped and counted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector, MixtureParameters
from gmm_spark.errors import DataError, GmmSparkError, ParameterError
from gmm_spark.spark.decoding import BAD_WEIGHT, INFINITE, NOT_A_NUMBER, NULL, WIDTH
from tests.tables import array_table, assert_same_mixture, rough_start, scalar_table, three_blobs

ROWS = three_blobs(120, d=2)
NAN, INF = float("nan"), float("inf")


def refusal(estimator: GaussianMixture, table: DataFrame) -> str:
    """Return the message of the error that a fit raises on the driver."""
    with pytest.raises(GmmSparkError) as raised:
        estimator.fit(table)
    assert isinstance(raised.value, ValueError)
    return str(raised.value)


def told(message: str, *words: str) -> None:
    missing = [w for w in words if w not in message]
    assert not missing, f"{missing} not in {message!r}"


# Values


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (f"array(1.0D, {value})", reason)
        for value, reason in [
            ("cast('NaN' as double)", NOT_A_NUMBER),
            ("cast('Infinity' as double)", INFINITE),
            ("cast('-Infinity' as double)", INFINITE),
            ("cast(null as double)", NULL),
        ]
    ]
    + [
        ("cast(null as array<double>)", NULL),
        ("array(1.0D)", WIDTH),
        ("array(1.0D, 2.0D, 3.0D)", WIDTH),
        ("cast(array() as array<double>)", WIDTH),
    ],
)
def test_a_bad_row_is_refused_with_its_reason_and_the_remedy(spark: SparkSession, value: str, reason: str) -> None:
    good = array_table(spark, ROWS).select("features")
    message = refusal(GaussianMixture(), good.union(spark.sql(f"select {value} features")))
    told(message, "features", "1 with a " + reason, "d=2", "handleInvalid", "skip")


@pytest.mark.parametrize("handle", ["skip", "keep"])
def test_bad_rows_are_skipped_and_counted_and_do_not_change_the_fit(spark: SparkSession, handle: str) -> None:
    start = rough_start(ROWS, 2)
    good = array_table(spark, ROWS, partitions=1).select("features")
    bad = spark.sql(
        "select explode(array(array(1.0D, double('NaN')), array(double('NaN'), double('NaN')), "
        "array(double('Infinity'), 1.0D), array(1.0D, null), null, array(1.0D), array(1.0D, 2.0D, 3.0D))) features"
    )
    mixed = good.limit(50).union(bad).union(good.orderBy(F.col("features")[0])).coalesce(1)
    clean = good.limit(50).union(good.orderBy(F.col("features")[0])).coalesce(1)
    estimator = GaussianMixture(maxIter=5, tol=0.0, accelerate=False, handleInvalid=handle).setInitialModel(start)
    with_bad, without = estimator.fit(mixed), estimator.fit(clean)
    assert with_bad.summary.skipped == {
        f"{NOT_A_NUMBER} in features[1]": 1,
        f"{NOT_A_NUMBER} in features[0]": 1,
        f"{INFINITE} in features[0]": 1,
        f"{NULL} in features[1]": 1,
        NULL: 1,
        WIDTH: 2,
    }
    assert with_bad.summary.numRows == without.summary.numRows == 170
    assert without.summary.skipped == {}
    assert_same_mixture(with_bad.parameters, without.parameters, 1e-12)
    assert with_bad.summary.logLikelihood == pytest.approx(without.summary.logLikelihood, rel=1e-12)


def test_nulls_in_scalar_columns_are_skipped_and_counted(spark: SparkSession) -> None:
    table = scalar_table(spark, ROWS, ["x", "y"], partitions=1)
    holed = table.union(spark.sql("select cast(null as double) x, 1.0D y")).union(
        spark.sql("select 1.0D x, double('NaN') y")
    )
    estimator = GaussianMixture(inputCols=["x", "y"], maxIter=2)
    told(refusal(estimator, holed), "x, y", "1 with a", "handleInvalid")
    model = estimator.setHandleInvalid("skip").fit(holed)
    assert model.summary.skipped == {f"{NULL} in x": 1, f"{NOT_A_NUMBER} in y": 1}
    assert model.summary.numRows == len(ROWS)


def test_a_wrong_width_in_row_1000001_is_refused(spark: SparkSession) -> None:
    usual, odd = F.array(F.col("id").cast("double"), (F.col("id") % 97).cast("double")), F.array(F.lit(1.0))
    table = spark.range(0, 1_200_000, 1, 4).select(
        F.when(F.col("id") == 1_000_000, odd).otherwise(usual).alias("features")
    )
    told(refusal(GaussianMixture(), table), "features", "1 with a " + WIDTH, "d=2")


def test_a_first_row_without_elements_is_refused(spark: SparkSession) -> None:
    table = spark.sql("select cast(array() as array<double>) features").coalesce(1)
    told(refusal(GaussianMixture(), table.union(array_table(spark, ROWS).select("features"))), "features")


# Weights


@pytest.mark.parametrize("handle", ["error", "skip", "keep"])
def test_a_negative_weight_is_refused_whatever_handle_invalid_says(spark: SparkSession, handle: str) -> None:
    weight = np.ones(len(ROWS))
    weight[70] = -0.5
    estimator = GaussianMixture(weightCol="w", handleInvalid=handle)
    told(refusal(estimator, array_table(spark, ROWS, weight=weight)), "weightCol='w'", "negative", "1 row", ">= 0")


@pytest.mark.parametrize("value", [None, NAN, INF])
def test_a_weight_that_is_no_number_is_refused_naming_the_weight_column(
    spark: SparkSession, value: float | None
) -> None:
    table = array_table(spark, ROWS, weight=np.ones(len(ROWS)))
    table = table.withColumn("w", F.when(F.col("id") == 9, F.lit(value).cast("double")).otherwise(F.col("w")))
    told(refusal(GaussianMixture(weightCol="w"), table), "1 with a " + BAD_WEIGHT, "handleInvalid", "w")


def test_the_refusal_of_a_bad_weight_names_the_weight_column(spark: SparkSession) -> None:
    weight = np.ones(len(ROWS))
    weight[3] = NAN
    table = array_table(spark, ROWS, weight=weight).withColumnRenamed("w", "importance")
    told(refusal(GaussianMixture(weightCol="importance"), table), "importance")


def test_rows_with_a_weight_that_is_no_number_are_skipped_and_counted(spark: SparkSession) -> None:
    weight = np.ones(len(ROWS))
    weight[[3, 50]] = NAN, INF
    estimator = GaussianMixture(weightCol="w", handleInvalid="skip", maxIter=3, tol=0.0, accelerate=False)
    estimator.setInitialModel(rough_start(ROWS, 2))
    model = estimator.fit(array_table(spark, ROWS, weight=weight))
    kept = np.delete(ROWS, [3, 50], axis=0)
    clean = estimator.fit(array_table(spark, kept, weight=np.ones(len(kept))))
    assert model.summary.skipped == {BAD_WEIGHT: 2}
    assert_same_mixture(model.parameters, clean.parameters, 1e-12)


def test_a_total_weight_of_zero_is_refused(spark: SparkSession) -> None:
    table = array_table(spark, ROWS, weight=np.zeros(len(ROWS)))
    told(refusal(GaussianMixture(weightCol="w"), table), "no usable row", "weightCol='w' above 0", "positive weight")


# How many rows


def test_an_empty_table_of_known_width_is_refused(spark: SparkSession) -> None:
    table = scalar_table(spark, ROWS, ["x", "y"]).where("x < -1e9")
    told(refusal(GaussianMixture(inputCols=["x", "y"]), table), "no usable row", "x, y", "filter")


def test_an_empty_table_of_unknown_width_is_refused(spark: SparkSession) -> None:
    table = array_table(spark, ROWS).where("id < 0")
    told(refusal(GaussianMixture(), table), "featuresCol='features'", "filter")


@pytest.mark.parametrize("handle", ["error", "skip"])
def test_a_column_of_nulls_alone_is_refused(spark: SparkSession, handle: str) -> None:
    estimator = GaussianMixture(handleInvalid=handle)
    table = spark.range(9).select(F.lit(None).cast("array<double>").alias("features"))
    told(refusal(estimator, table), "featuresCol='features'", "null")
    scalars = spark.range(9).select(F.lit(None).cast("double").alias("x"), "id")
    estimator.setInputCols(["x", "id"])
    told(refusal(estimator, scalars), "x", "null")


def test_empty_partitions_change_nothing(spark: SparkSession) -> None:
    estimator = GaussianMixture(maxIter=5, tol=0.0, accelerate=False).setInitialModel(rough_start(ROWS, 2))
    table = array_table(spark, ROWS, partitions=1)
    mostly_empty = table.repartition(11, F.lit(1)).sortWithinPartitions("id")
    assert mostly_empty.select(F.spark_partition_id()).distinct().count() == 1  # of eleven
    expected, found = estimator.fit(table), estimator.fit(mostly_empty)
    assert_same_mixture(found.parameters, expected.parameters, 1e-12)
    assert found.summary.clusterSizes == expected.summary.clusterSizes


def test_k_above_the_rows_is_refused_with_both_numbers(spark: SparkSession) -> None:
    table = array_table(spark, ROWS[:3]).select("features").union(spark.sql("select null features"))
    told(refusal(GaussianMixture(k=4, handleInvalid="skip"), table), "k=4", "3 valid row", "1 with a null", "lower k")


@pytest.mark.parametrize("mode", ["k-means++", "k-means||", "kmeans"])
def test_k_above_the_distinct_rows_is_refused(spark: SparkSession, mode: str) -> None:
    table = array_table(spark, np.repeat(ROWS[:3], 20, axis=0))
    told(refusal(GaussianMixture(k=4, initMode=mode), table), "k=4", "3 distinct", "lower k")


@pytest.mark.parametrize("mode", ["random_from_data", "random"])
def test_k_above_the_distinct_rows_never_gives_nan(spark: SparkSession, mode: str) -> None:
    table = array_table(spark, np.repeat(ROWS[:3], 20, axis=0))
    try:
        model = GaussianMixture(k=4, initMode=mode, maxIter=10).fit(table)
    except GmmSparkError as error:
        told(str(error), "k")
    else:
        assert np.isfinite(model.summary.logLikelihood)
        assert np.isfinite(model.covariances).all()


def test_one_row_has_no_variance_and_is_refused(spark: SparkSession) -> None:
    told(refusal(GaussianMixture(k=1), array_table(spark, ROWS[:1])), "one value", "1 row", "features[0]")


@pytest.mark.parametrize("kind", ["full", "tied", "diag"])
def test_a_constant_column_is_refused_by_name_and_value(spark: SparkSession, kind: str) -> None:
    table = scalar_table(spark, np.column_stack([ROWS, np.full(len(ROWS), 4.25)]), ["x", "y", "always"])
    estimator = GaussianMixture(inputCols=["x", "y", "always"], covarianceType=kind)
    told(refusal(estimator, table), "1 feature", "'always' (4.25)", f"{len(ROWS)} row", "drop")


def test_a_constant_column_among_spherical_components_is_fitted(spark: SparkSession) -> None:
    table = array_table(spark, np.column_stack([ROWS, np.full(len(ROWS), 4.25)]))
    model = GaussianMixture(covarianceType="spherical", maxIter=5).fit(table)
    np.testing.assert_allclose(model.means[:, 2], 4.25, rtol=1e-12)
    assert np.isfinite(model.summary.logLikelihood)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_variance_beyond_float64_is_refused(spark: SparkSession) -> None:
    rows = np.array([[-1e200], [1e200], [3e200], [-2e200]])
    told(refusal(GaussianMixture(k=1), array_table(spark, rows)), "variance", "rescale")


@pytest.mark.parametrize("kind", ["full", "spherical"])
def test_a_variance_below_float64_is_refused_with_the_true_reason(spark: SparkSession, kind: str) -> None:
    rows = np.column_stack([ROWS[:, 0] * (1e-170 if kind == "spherical" else 1.0), ROWS[:, 1] * 1e-170])
    table = scalar_table(spark, rows, ["x", "tiny"])
    message = refusal(GaussianMixture(inputCols=["x", "tiny"], covarianceType=kind), table)
    told(message, "variance", "underflows", "'tiny'", "multiply")
    assert "one value" not in message


def test_a_feature_of_vanishing_variance_is_fitted_by_spherical_components(spark: SparkSession) -> None:
    table = scalar_table(spark, ROWS * [1.0, 1e-170], ["x", "tiny"])
    assert GaussianMixture(inputCols=["x", "tiny"], covarianceType="spherical", maxIter=2).fit(table).getK() == 2


@pytest.mark.parametrize("size", [1e60, 1e-60])
def test_values_beyond_float32_are_refused_by_name_if_products_are_float32(spark: SparkSession, size: float) -> None:
    table = scalar_table(spark, ROWS * [1.0, size], ["x", "far"])
    estimator = GaussianMixture(inputCols=["x", "far"], k=1, maxIter=2)
    model = estimator.fit(table)
    words = ["float32", "'far'", "precision='float64'", "rescale"]
    told(refusal(estimator.setPrecision("float32"), table), *words)
    for score in (model.setPrecision("float32").transform, model.logLikelihood):
        with pytest.raises(DataError) as raised:
            score(table)
        told(str(raised.value), *words)


def test_whole_numbers_that_float64_rounds_are_warned_of_by_name(spark: SparkSession) -> None:
    table = spark.range(50).selectExpr("id % 7 as small", "(1L << 60) + id * (1L << 50) as large", "rand(1) x")
    table = table.withColumn("dec", F.expr("cast(large as decimal(30, 2))"))
    estimator = GaussianMixture(inputCols=["small", "large", "x", "dec"], k=1, maxIter=1, covarianceType="diag")
    with pytest.warns(RuntimeWarning, match=r"'large' \(50 .*, 'dec' \(50 .* hold .*2\*\*53") as caught:
        estimator.fit(table)
    assert len([one for one in caught if "2**53" in str(one.message)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.setInputCols(["small", "x"]).fit(table)
        estimator.setInputCols(["big", "x"]).fit(table.selectExpr("double(large) big", "x"))  # the caller's own cast


# Streams


@pytest.mark.parametrize("columns", [{"inputCols": ["value"]}, {"featuresCol": "array"}, {"featuresCol": "vector"}])
def test_a_stream_is_refused_with_what_to_do_instead(spark: SparkSession, columns: dict[str, object]) -> None:
    array = F.array(F.col("value").cast("double"))
    stream = spark.readStream.format("rate").load().withColumns({"array": array, "vector": array_to_vector(array)})
    start = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    model = GaussianMixtureModel(start)._set(**columns)
    selector = GaussianMixtureSelector(ks=[1], **columns)  # type: ignore[arg-type]
    for attempt in (
        lambda: GaussianMixture(k=1, **columns).fit(stream),  # type: ignore[arg-type]
        lambda: GaussianMixture(**columns).setInitialModel(start).fit(stream),  # type: ignore[arg-type]
        lambda: selector.fit(stream),
        lambda: selector.setCriterion("heldout").setValidationFraction(0.2).fit(stream),
        lambda: model.bic(stream),
        lambda: model.logLikelihood(stream),
    ):
        with pytest.raises(DataError, match=r"stream.*foreachBatch"):
            attempt()


# Names and parameters


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"featuresCol": "missing"}, ["featuresCol", "'missing'", "'features'"]),
        ({"featuresCol": "text"}, ["featuresCol='text'", "string"]),
        ({"inputCols": ["id", "missing"]}, ["inputCols", "'missing'"]),
        ({"inputCols": ["id", "text"]}, ["inputCols", "'text'", "string"]),
        ({"inputCols": ["id", "id"]}, ["inputCols", "'id'", "twice"]),
        ({"weightCol": "missing"}, ["weightCol", "'missing'"]),
        ({"k": 0}, ["k=0", "at least 1"]),
        ({"maxIter": 0}, ["maxIter=0", "at least 1"]),
        ({"tol": -1.0}, ["tol=-1.0", ">= 0"]),
        ({"tol": NAN}, ["tol=nan", ">= 0"]),
        ({"regCovar": INF}, ["regCovar=inf", "finite"]),
        ({"nInit": 0}, ["nInit=0", "at least 1"]),
        ({"covarianceType": "round"}, ["covarianceType='round'", "full, tied, diag, spherical"]),
        ({"initMode": "psychic"}, ["initMode='psychic'", "k-means++"]),
        ({"handleInvalid": "ignore"}, ["handleInvalid='ignore'", "error, skip, keep"]),
        ({"precision": "float16"}, ["precision='float16'", "float64"]),
        ({"probabilityCol": "Prediction"}, ["Prediction", "repeat", "own"]),
        ({"k": 0, "tol": -1.0}, ["k=0", "tol=-1.0"]),
    ],
)
def test_a_wrong_name_or_parameter_is_refused_with_what_it_got_and_what_it_needs(
    spark: SparkSession, arguments: dict[str, object], words: list[str]
) -> None:
    table = spark.sql("select id, cast(id as string) text, array(double(id)) features from range(5)")
    told(refusal(GaussianMixture(**arguments), table), *words)  # type: ignore[arg-type]


def test_an_initial_model_that_disagrees_with_k_is_refused(spark: SparkSession) -> None:
    estimator = GaussianMixture().setInitialModel(rough_start(ROWS, 2)).setK(3)
    told(refusal(estimator, array_table(spark, ROWS)), "k=3", "initial model", "2 full")


def test_an_initial_model_of_another_width_is_refused(spark: SparkSession) -> None:
    estimator = GaussianMixture(handleInvalid="error").setInitialModel(rough_start(three_blobs(60, d=3), 2))
    told(refusal(estimator, array_table(spark, ROWS)), WIDTH, "d=3")
    told(refusal(estimator.setInputCols(["x", "y"]), scalar_table(spark, ROWS, ["x", "y"])), "2 columns", "3 features")


def test_initial_means_of_another_number_or_width_are_refused(spark: SparkSession) -> None:
    estimator = GaussianMixture().setInitialMeans(rough_start(ROWS, 2).means)
    told(refusal(estimator.copy({estimator.k: 3}), array_table(spark, ROWS)), "k=3", "2 initial means", "alike")
    table = scalar_table(spark, ROWS, ["x", "y"])
    wide = GaussianMixture(inputCols=["x", "y"]).setInitialMeans(np.zeros((2, 3)))
    told(refusal(wide, table), "2 columns", "3 features")


def test_precisions_of_another_structure_are_refused_at_once() -> None:
    with pytest.raises(ParameterError, match=r"full precisions have shape|precisions has shape \(2, 2\)"):
        GaussianMixture().setInitialMeans(np.eye(2), precisions=np.ones((2, 2)))
    with pytest.raises(ParameterError, match="without means"):
        GaussianMixture().setInitialMeans(None, weights=[0.5, 0.5])


def test_a_refused_fit_leaves_no_block_files(spark: SparkSession, block_files: Callable[[], list[Path]]) -> None:
    before = set(block_files())
    refusal(GaussianMixture(k=4), array_table(spark, ROWS[:3]))
    refusal(GaussianMixture(), array_table(spark, np.vstack([ROWS, [[NAN, 0.0]]]), partitions=3))
    assert set(block_files()) <= before


def test_parameter_errors_are_not_data_errors(spark: SparkSession) -> None:
    table = array_table(spark, ROWS)
    with pytest.raises(ParameterError):
        GaussianMixture(k=0).fit(table)
    with pytest.raises(DataError):
        GaussianMixture(k=1000).fit(table)
