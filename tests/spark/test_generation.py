"""Sampling as a Spark job: rows of the mixture, the same for any number of tasks."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T
from pyspark.sql.utils import is_remote
from scipy import stats

from gmm_spark import GaussianMixtureModel, MixtureParameters
from gmm_spark.core.mixture.sampling import CHUNK_ROWS
from gmm_spark.errors import ParameterError
from tests.tables import mixture

N = 2 * CHUNK_ROWS + 20_000  # three chunks, the last of them short


@pytest.fixture(scope="module")
def parameters() -> MixtureParameters:
    return mixture("full", k=4, d=2)


@pytest.fixture(scope="module")
def drawn(spark: SparkSession, parameters: MixtureParameters) -> np.ndarray:
    """Component, x, y of every row, in the order of the table."""
    model = GaussianMixtureModel(parameters)
    return np.array(model.sample(spark, N, 5, outputCols=["x", "y"], numPartitions=2).toPandas(), dtype=float)


@pytest.mark.parametrize("partitions", [1, 3, 5, None])
def test_the_rows_are_the_same_for_any_number_of_partitions(
    spark: SparkSession, parameters: MixtureParameters, drawn: np.ndarray, partitions: int | None
) -> None:
    sample = GaussianMixtureModel(parameters).sample(spark, N, 5, outputCols=["x", "y"], numPartitions=partitions)
    if partitions is not None and not is_remote():  # a client cannot count them
        assert sample.rdd.getNumPartitions() == partitions
    np.testing.assert_array_equal(np.array(sample.toPandas(), dtype=float), drawn)


@pytest.mark.parametrize("columns", [["x", "y"], None])
def test_single_precision_rounds_the_same_rows(
    spark: SparkSession, parameters: MixtureParameters, drawn: np.ndarray, columns: list[str] | None
) -> None:
    single = GaussianMixtureModel(parameters).sample(spark, N, 5, outputCols=columns, precision="float32")
    assert {kind for _, kind in single.dtypes[1:]} == ({"float"} if columns else {"array<float>"})
    rows = single.collect()
    found = [list(row)[1:] if columns else row["features"] for row in rows]
    np.testing.assert_array_equal(np.array(found, np.float32), drawn[:, 1:].astype(np.float32))


def test_another_seed_gives_other_rows(spark: SparkSession, parameters: MixtureParameters, drawn: np.ndarray) -> None:
    other = GaussianMixtureModel(parameters).sample(spark, 1000, 6, outputCols=["x", "y"]).toPandas()
    assert not np.isin(other["x"].to_numpy(), drawn[:, 1]).any()


def test_rows_are_as_many_as_asked_for_and_ordered_by_component(drawn: np.ndarray) -> None:
    assert drawn.shape == (N, 3)
    assert (np.diff(drawn[:, 0]) >= 0).all()
    assert len(np.unique(drawn[:, 1])) == N  # no chunk repeats another's random numbers


def test_components_come_by_their_weights(parameters: MixtureParameters, drawn: np.ndarray) -> None:
    counts = np.bincount(drawn[:, 0].astype(int), minlength=4)
    assert stats.chisquare(counts, parameters.weights * N).pvalue > 1e-4


def test_each_components_rows_have_its_moments(parameters: MixtureParameters, drawn: np.ndarray) -> None:
    for j in range(4):
        mine = drawn[drawn[:, 0] == j, 1:]
        cov = parameters.covariances[j]
        # Hotelling: n (m - mu)' S^-1 (m - mu) is chi-squared with d degrees of freedom.
        gap = mine.mean(axis=0) - parameters.means[j]
        assert stats.chi2.sf(len(mine) * gap @ np.linalg.solve(cov, gap), 2) > 1e-4
        deviation = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / len(mine))
        assert (np.abs(np.cov(mine.T) - cov) < 5 * deviation).all()
        # And their shape: whitened rows are standard normal.
        whitened = np.linalg.solve(np.linalg.cholesky(cov), (mine - parameters.means[j]).T)
        assert stats.kstest(whitened.ravel(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_every_structure_is_sampled_with_its_covariance(spark: SparkSession, kind: str) -> None:
    parameters = mixture(kind, k=1, d=3)
    rows = GaussianMixtureModel(parameters).sample(spark, 20_000, 1).toPandas()
    values = np.array(rows["features"].tolist())
    expected = parameters.dense_covariances[0]
    deviation = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / len(values))
    assert (np.abs(np.cov(values.T) - expected) < 5 * deviation).all()
    assert (np.abs(values.mean(axis=0) - parameters.means[0]) < 5 * np.sqrt(np.diag(expected) / len(values))).all()


def test_features_come_as_one_array_or_as_named_columns(spark: SparkSession, parameters: MixtureParameters) -> None:
    model = GaussianMixtureModel(parameters)
    array = model.sample(spark, 10, 5, featuresCol="point", componentCol="from")
    named = model.sample(spark, 10, 5, outputCols=["a.b", "X y"])
    assert array.schema == T.StructType(
        [
            T.StructField("from", T.IntegerType(), nullable=False),
            T.StructField("point", T.ArrayType(T.DoubleType(), containsNull=False), nullable=False),
        ]
    )
    assert named.columns == ["component", "a.b", "X y"]
    assert [list(r["point"]) for r in array.collect()] == [[r["a.b"], r["X y"]] for r in named.collect()]


@pytest.mark.parametrize("n", [1, 7, CHUNK_ROWS, CHUNK_ROWS + 1])
def test_any_number_of_rows_can_be_asked_for(spark: SparkSession, parameters: MixtureParameters, n: int) -> None:
    assert GaussianMixtureModel(parameters).sample(spark, n, 0, numPartitions=4).count() == n


@pytest.mark.parametrize("ansi", ["true", "false"])
def test_an_integral_float_counts_as_an_integer(spark: SparkSession, parameters: MixtureParameters, ansi: str) -> None:
    model, before = GaussianMixtureModel(parameters), spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    try:
        found = model.sample(spark, 1e5, 5.0, numPartitions=np.int64(3)).toPandas()  # type: ignore[arg-type]
    finally:
        spark.conf.set("spark.sql.ansi.enabled", before or "true")
    expected = model.sample(spark, 100_000, 5).toPandas()
    np.testing.assert_array_equal(np.array(found["features"].tolist()), np.array(expected["features"].tolist()))


def test_a_component_of_zero_weight_is_never_drawn(spark: SparkSession) -> None:
    parameters = MixtureParameters([0.5, 0.0, 0.5], [[0.0], [5.0], [9.0]], [1.0, 1.0, 1.0], "spherical")
    sample = GaussianMixtureModel(parameters).sample(spark, 1000, 0)
    assert {r["component"] for r in sample.select("component").distinct().collect()} == {0, 2}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "n=0.*at least 1"),
        ({"n": 1.5}, "n=1.5; need an integer"),
        ({"n": float("nan")}, "n=nan; need an integer"),
        ({"n": float("inf")}, "n=inf; need an integer"),
        ({"n": 10**400}, "n=1000.*fewer than 2"),
        ({"n": True}, "n=True; need an integer"),
        ({"n": "5"}, "n='5'; need an integer"),
        ({"n": None}, "n=None; need an integer"),
        ({"n": 2**63}, "n=9223372036854775808; need .*fewer than 2"),
        ({"seed": 0.5}, "seed=0.5; need an integer"),
        ({"numPartitions": 0}, "numPartitions=0.*at least 1"),
        ({"numPartitions": 2.5}, "numPartitions=2.5; need an integer"),
        ({"numPartitions": 2**31}, "numPartitions=2147483648; need at least 1, and fewer"),
        ({"outputCols": "xy"}, "outputCols='xy'; need a list"),
        ({"precision": "half"}, "precision='half'.*float64, float32"),
        ({"outputCols": ["x"]}, "outputCols names 1 columns.*2 features"),
        ({"outputCols": ["x", "X"]}, "'x', 'X'.*repeat a name"),
        ({"outputCols": ["x", "component"]}, "'component'.*repeat a name"),
        ({"featuresCol": "Component"}, "'Component'.*repeat a name"),
    ],
)
def test_what_cannot_be_sampled_is_refused(
    spark: SparkSession, parameters: MixtureParameters, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        GaussianMixtureModel(parameters).sample(spark, **({"n": 5, "seed": 0} | arguments))  # type: ignore[arg-type]
