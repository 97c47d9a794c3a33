"""Schemas of what tasks return: one description, in Arrow's form and in Spark's."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql import types as T

from gmm_spark.spark.schema import Schema

SCHEMA = Schema(piece=pa.int32(), sums=pa.binary(), cost=pa.float64(), id=pa.int64(), bad=pa.string())


def test_both_forms_have_the_same_columns_in_order() -> None:
    expected = T.StructType()
    for name, kind in (
        ("piece", T.IntegerType()),
        ("sums", T.BinaryType()),
        ("cost", T.DoubleType()),
        ("id", T.LongType()),
        ("bad", T.StringType()),
    ):
        expected = expected.add(name, kind)
    assert SCHEMA.spark == expected
    assert SCHEMA.arrow.names == expected.names


def test_a_row_has_the_values_in_the_schemas_order_and_may_have_nulls() -> None:
    row = SCHEMA.row(bad="", id=1 << 40, cost=None, sums=b"\0", piece=3)
    assert row.schema == SCHEMA.arrow
    assert row.to_pylist() == [{"piece": 3, "sums": b"\0", "cost": None, "id": 1 << 40, "bad": ""}]


@pytest.mark.parametrize(
    "values", [{"piece": 3}, {"piece": 3, "sums": b"", "cost": 0.0, "id": 1, "bad": "", "more": 1}]
)
def test_a_row_of_other_columns_is_refused_by_name(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"piece.*need piece, sums, cost, id, bad"):
        SCHEMA.row(**values)
