"""Which rows of hostile tables are bad, and why: what the packing counts, row by row."""

from __future__ import annotations

from collections import Counter

import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession

from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.decoding import REASONS
from gmm_spark.spark.verdicts import COLUMN, REASON, count_bad, select_bad

NAN, INF = float("nan"), float("inf")


def hostile_numbers(spark: SparkSession) -> DataFrame:
    """Numeric columns, one of them decimal, and weights; a row's name says what is wrong with it."""
    rows = [
        ("good", 1.0, 1, 2.0),
        ("null feature|x", None, 1, NAN),
        ("null feature|y", NAN, None, 1.0),
        ("NaN feature|x", NAN, 1, 1.0),
        ("infinite feature|x", -INF, 1, -1.0),
        ("null, NaN or infinite weight|w", 1.0, 1, None),
        ("null, NaN or infinite weight|w", 1.0, 1, INF),
        ("negative weight|w", 1.0, 1, -1.0),
        ("good", 1.0, 1, 0.0),
    ]
    return spark.createDataFrame(rows, "name string, x double, y int, w double").selectExpr(
        "name", "x", "cast(y as decimal(20, 2)) y", "w"
    )


def hostile_arrays(spark: SparkSession) -> DataFrame:
    rows = [
        ("good", [1.0, 2.0]),
        ("good", [1.0, 2.0]),
        ("null feature|features", None),
        ("null feature|features[1]", [NAN, None]),
        ("wrong width|features", [1.0]),
        ("wrong width|features", [NAN, 1.0, 2.0]),
        ("wrong width|features", []),
        ("NaN feature|features[1]", [INF, NAN]),
        ("infinite feature|features[0]", [INF, INF]),
        ("good", [1.0, 2.0]),
    ]
    return spark.createDataFrame(rows, "name string, features array<double>")


def hostile_vectors(spark: SparkSession) -> DataFrame:
    rows = [
        ("good", Vectors.dense(1.0, 2.0)),
        ("good", Vectors.sparse(2, [1], [3.0])),
        ("good", Vectors.sparse(2, [], [])),
        ("null feature|features", None),
        ("wrong width|features", Vectors.dense(1.0)),
        ("wrong width|features", Vectors.sparse(3, [1], [3.0])),
        ("NaN feature|features[1]", Vectors.sparse(2, [1], [NAN])),
        ("infinite feature|features[0]", Vectors.dense(INF, 2.0)),
    ]
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.types import StringType, StructField, StructType

    schema = StructType([StructField("name", StringType()), StructField("features", VectorUDT())])
    return spark.createDataFrame(rows, schema)


@pytest.mark.parametrize("table", [hostile_numbers, hostile_arrays, hostile_vectors])
def test_each_bad_row_is_given_the_reason_and_the_column_it_is_counted_under(spark: SparkSession, table) -> None:
    rows = table(spark)
    scalars = table is hostile_numbers
    features = resolve_features(rows, "features", ["x", "y"] if scalars else None, "w" if scalars else None, 2)
    assert features is not None
    bad = select_bad(rows, features)
    assert bad.columns == [*rows.columns, REASON, COLUMN]
    found = bad.collect()
    assert sorted(f"{row[REASON]}|{row[COLUMN]}" for row in found) == sorted(row["name"] for row in found)
    assert len(found) == rows.where("name != 'good'").count()
    counts = count_bad(rows, features)
    by_reason = Counter(row[REASON] for row in found)
    assert {r: sum(n for key, n in counts.items() if key.partition(" in ")[0] == r) for r in REASONS} == {
        r: by_reason[r] for r in REASONS
    }
