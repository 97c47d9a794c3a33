"""Tables of Parquet files, and everything that a fit could see of one, packed by either road."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from gmm_spark.spark.columns import Features, column_of, resolve_features
from gmm_spark.spark.packing.table import PackedTable

ROWS = 4_000
RNG = np.random.default_rng(20)
NUMBERS: dict[str, NDArray[Any]] = {
    "double": RNG.normal(size=ROWS),
    "float": RNG.normal(size=ROWS).astype(np.float32),
    "byte": RNG.integers(-128, 128, ROWS).astype(np.int8),
    "short": RNG.integers(-1000, 1000, ROWS).astype(np.int16),
    "int": RNG.integers(-(2**31), 2**31, ROWS).astype(np.int32),
    "long": RNG.integers(-(2**62), 2**62, ROWS),
    "few": RNG.integers(0, 5, ROWS).astype(float),
}
HOLES = RNG.random(ROWS) < 0.1


def column(name: str, nulls: bool) -> pa.Array:
    return pa.array(NUMBERS[name], mask=HOLES if nulls else None)


def features_of(table: DataFrame, *columns: str, weight: str | None = None) -> Features:
    scalars = isinstance(table.select(column_of(columns[0])).schema[0].dataType, T.NumericType)
    found = resolve_features(table, columns[0], list(columns) if scalars else None, weight, None)
    assert found is not None
    return found


def pack(table: DataFrame, features: Features, packing: str, streaming: bool = False) -> tuple[Any, ...]:
    """Everything that a fit could see of a packed table, and what read it."""
    with PackedTable(table, features, strict=False, packing=packing, streaming=streaming) as packed:
        handles = [
            (h.partition, h.rows, h.bad, h.rounded, h.checksum, h.dtype, h.weighted)
            for h in packed.blocks.packing.handles
        ]
        rows, weights = packed.sample(1_000, seed=3)
        seen = (handles, packed.moments.vector().tobytes(), packed.bad, packed.rounded, rows.tobytes())
        return *seen, None if weights is None else weights.tobytes(), packed.blocks.record.read_by


def assert_same_rows(table: DataFrame, *columns: str, weight: str | None = None, streaming: bool = False) -> None:
    features = features_of(table, *columns, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"column\(s\) 'long'|overflow|invalid value")  # what both roads tell alike
        *direct, read_by = pack(table, features, "parquet", streaming)
        *by_spark, read_by_spark = pack(table, features, "spark", streaming)
    assert (read_by, read_by_spark) == ("parquet", "spark")
    assert direct == by_spark


def read_back(spark: SparkSession, path: Path, table: pa.Table, **options: Any) -> DataFrame:
    path.mkdir(exist_ok=True)
    pq.write_table(table, path / f"part-{len(list(path.iterdir())):05d}.parquet", **options)
    return spark.read.parquet(str(path))
