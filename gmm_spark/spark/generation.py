"""Sampling from a mixture as a Spark job.

Tasks draw chunks of rows; each chunk has a random stream of its own, so the rows do not depend on the number of tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from gmm_spark.core.arrays import Block
from gmm_spark.core.kernels.plan import PRECISIONS
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk, rows_per_chunk, to_int
from gmm_spark.errors import ParameterError
from gmm_spark.spark.columns import require_distinct
from gmm_spark.spark.worker import one_blas_thread

# Rows of an Arrow batch that a task returns, and bytes of their features at most.
_BATCH_ROWS, _BATCH_BYTES = 1 << 14, 1 << 26


@dataclass(frozen=True)
class DrawRows:
    """Task that draws the chunks whose numbers it receives, in order."""

    parameters: MixtureParameters
    counts: NDArray[np.int64]
    seed: int
    names: tuple[str, ...]
    as_array: bool
    single: bool

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Draw the chunks of one task."""
        for batch in stream:
            for chunk in batch.column(0).to_pylist():
                with one_blas_thread():
                    drawn, components = draw_chunk(self.parameters, self.counts, self.seed, chunk)
                rows = drawn.astype(np.float32) if self.single else drawn
                step = min(_BATCH_ROWS, max(_BATCH_BYTES // (8 * len(rows)), 1))
                for start in range(0, len(components), step):
                    part = slice(start, start + step)
                    columns = [pa.array(components[part]), *self._features(rows[:, part])]
                    yield pa.RecordBatch.from_arrays(columns, names=list(self.names))

    def _features(self, rows: Block) -> list[pa.Array]:
        d, m = rows.shape
        if not self.as_array:
            return [pa.array(row) for row in rows]
        offsets = pa.array(np.arange(0, (m + 1) * d, d, dtype=np.int32))
        return [pa.ListArray.from_arrays(offsets, pa.array(rows.T.ravel()))]


def sample_rows(
    spark: SparkSession,
    parameters: MixtureParameters,
    n: int,
    seed: int,
    *,
    output_cols: Sequence[str] | None = None,
    features_col: str = "features",
    component_col: str = "component",
    partitions: int | None = None,
    precision: str = "float64",
) -> DataFrame:
    """Sample n rows from a mixture, ordered by component.

    Parameters
    ----------
    spark : SparkSession
    parameters : MixtureParameters
    n : int
        Rows, at least 1.
    seed : int
        The same seed gives the same rows, for any number of partitions.
    output_cols : sequence of str, optional
        A name for each feature; without it the features come as one array<double> column ``features_col``.
    features_col, component_col : str
    partitions : int, optional
        Tasks; by default Spark's default parallelism.
    precision : {"float64", "float32"}
        Type of the features' columns: double or float. The rows are equal up to rounding.

    Returns
    -------
    DataFrame
        The component (int), then the features.

    Raises
    ------
    ParameterError
        If n, the seed or the number of partitions is not an integer or out of range, the precision is unknown, or the
        names do not fit the features or repeat one another.
    """
    n, seed = to_int("n", n), to_int("seed", seed)
    if not 1 <= n < 1 << 63:
        raise ParameterError(f"n={n}; need at least 1 row to sample, and fewer than 2**63")
    if partitions is not None:
        partitions = to_int("numPartitions", partitions)
        if not 1 <= partitions < 1 << 31:
            raise ParameterError(f"numPartitions={partitions}; need at least 1, and fewer than 2**31")
    if isinstance(output_cols, str):
        raise ParameterError(f"outputCols={output_cols!r}; need a list of names, one for each feature")
    if precision not in PRECISIONS:
        raise ParameterError(f"precision={precision!r}; use one of {', '.join(PRECISIONS)}")
    if output_cols is not None and len(output_cols) != parameters.n_features:
        raise ParameterError(
            f"outputCols names {len(output_cols)} columns but the model has {parameters.n_features} features"
        )
    names = (component_col, *(output_cols if output_cols is not None else [features_col]))
    require_distinct(spark, names)
    as_array = output_cols is None
    number = T.FloatType() if precision == "float32" else T.DoubleType()
    feature_type: T.DataType = T.ArrayType(number, containsNull=False) if as_array else number
    types = [T.StructField(component_col, T.IntegerType(), nullable=False)]
    types += [T.StructField(name, feature_type, nullable=False) for name in names[1:]]
    task = DrawRows(parameters, component_counts(parameters, n, seed), seed, names, as_array, precision == "float32")
    chunks = -(-n // rows_per_chunk(parameters))
    return spark.range(0, chunks, 1, partitions).mapInArrow(task, T.StructType(types))
