"""Tables and starting points that several Spark tests share. Driver side only: tasks cannot import it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from pyspark.sql import DataFrame, SparkSession

from gmm_spark import MixtureParameters
from gmm_spark.spark.columns import Features, resolve_features
from gmm_spark.spark.packing.table import PackedTable

Rows = NDArray[np.floating[Any]]
Weights = NDArray[np.floating[Any]]


# What Spark cuts a small local table into on the two cores of the tests' session; more needs a shuffle.
LOCAL_PARTITIONS = 2


def array_table(spark: SparkSession, rows: Rows, partitions: int = 2, weight: ArrayLike | None = None) -> DataFrame:
    """Rows (n, d) as a table of ``id`` and ``features`` (array<double>), evenly spread in the order given."""
    columns = {"id": pa.array(np.arange(len(rows))), "features": pa.array(list(rows), pa.list_(pa.float64()))}
    if weight is not None:
        columns["w"] = pa.array(np.asarray(weight, dtype=float))
    table = spark.createDataFrame(pa.table(columns))
    if partitions <= LOCAL_PARTITIONS:
        return table.coalesce(partitions)
    return table.repartitionByRange(partitions, "id").sortWithinPartitions("id")


def scalar_table(spark: SparkSession, rows: Rows, names: list[str], partitions: int = 2) -> DataFrame:
    """Rows (n, d) as a table of double columns."""
    return spark.createDataFrame(pa.table(dict(zip(names, rows.T, strict=True)))).repartition(partitions)


def three_blobs(n: int = 900, d: int = 3, seed: int = 7) -> Rows:
    """Three overlapping Gaussians of unequal shapes, away from the origin."""
    rng = np.random.default_rng(seed)
    parts = []
    for share, centre in ((0.5, 0.0), (0.3, 4.0), (0.2, -5.0)):
        mixing = rng.normal(size=(d, d)) * 0.5 + np.eye(d)
        offset = centre * np.cos(np.arange(d))
        parts.append(rng.normal(size=(int(n * share), d)) @ mixing + offset + 20.0)
    rows = np.concatenate(parts)
    return rows[rng.permutation(len(rows))]


def rough_start(rows: Rows, k: int = 3, covariance_type: str = "full") -> MixtureParameters:
    """A start that is far from any fixed point: k evenly spaced rows, the table's variances."""
    d = rows.shape[1]
    means = rows[np.linspace(0, len(rows) - 1, k).astype(int)]
    variance = rows.var(axis=0)
    covariances = {
        "full": np.stack([np.diag(variance)] * k),
        "tied": np.diag(variance),
        "diag": np.stack([variance] * k),
        "spherical": np.full(k, variance.mean()),
    }[covariance_type]
    assert means.shape == (k, d)
    return MixtureParameters(np.full(k, 1 / k), means, covariances, covariance_type)


def mixture(covariance_type: str = "full", k: int = 3, d: int = 2, seed: int = 3) -> MixtureParameters:
    """A mixture with nothing special about it."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 5.0))
    means = rng.normal(scale=3.0, size=(k, d))
    factors = rng.normal(size=(k, d, d))
    full = factors @ factors.transpose(0, 2, 1) + np.eye(d)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }[covariance_type]
    return MixtureParameters(weights, means, covariances, covariance_type)


def read_back(
    table: DataFrame,
    features_col: str = "features",
    input_cols: list[str] | None = None,
    weight_col: str | None = None,
    *,
    strict: bool = True,
    streaming: bool | None = None,
) -> tuple[Rows, Weights | None, Counter[str]]:
    """Pack a table and fetch all of it: rows (n, d) in no particular order across partitions, weights, bad rows."""
    features = found_features(table, features_col, input_cols, weight_col)
    with PackedTable(table, features, strict=strict, streaming=streaming) as packed:
        rows, weight = packed.sample(1 << 40, 0)
        return rows.T, weight, packed.bad


def found_features(
    table: DataFrame,
    features_col: str = "features",
    input_cols: list[str] | None = None,
    weight_col: str | None = None,
) -> Features:
    """Resolve features that are known to be there."""
    features = resolve_features(table, features_col, input_cols, weight_col, None)
    assert features is not None
    return features


def in_order(rows: Rows) -> Rows:
    """Rows sorted, so that tables can be compared whatever order they were read in."""
    return rows[np.lexsort(rows.T[::-1])]


def assert_same_mixture(left: MixtureParameters, right: MixtureParameters, rtol: float) -> None:
    """Equal parameters, component by component, relative to each array's largest value."""
    for name in ("weights", "means", "covariances"):
        a, b = getattr(left, name), getattr(right, name)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(), err_msg=name)
