"""Gathering: the usable rows that one task reads, as blocks, and what is told of them to the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.checksum import add_checksums, checksum_rows
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.missing.counts import MAX_PATTERNS, write_counts
from gmm_spark.core.missing.patterns import count_incomplete_patterns, order_by_pattern
from gmm_spark.spark.columns import Features, must_refuse
from gmm_spark.spark.packing.blocks import Blocks, Handle, rows_per_block
from gmm_spark.spark.ranges import count_rounded
from gmm_spark.spark.worker import task_number

# Column after the features: the partition of the table that a row comes from. Answers must not depend on tasks' own
# numbers: a task may read several partitions, and which ones depends on where Spark finds executors.
SOURCE = "source"
# Id offset for tasks without rows, above the id of every partition; id × pieces of a file fits int32.
_EMPTY = 1 << 23
# Bytes of rows that are ordered by pattern together: runs of a pattern are the longer, and products the faster.
ORDERED_BYTES = 1 << 23


class Gathered:
    """The usable rows of a task, as blocks, and the sums of those that have been asked for.

    Parameters
    ----------
    features : Features
    strict : bool
        Stop at a bad row, see :meth:`Features.usable_rows`.

    Attributes
    ----------
    rows : int
        So far.
    """

    def __init__(self, features: Features, strict: bool) -> None:
        self.rows = 0
        self._features, self._strict = features, strict
        self._moments, self._checksum = Moments.zero(features.width), 0
        self._bad: Counter[str] = Counter()
        self._rounded: Counter[str] = Counter()
        self._patterns: Counter[bytes] = Counter()

    def blocks(self, stream: Iterator[pa.RecordBatch]) -> Blocks:
        """Gather the rows; a block is valid until the next is asked for.

        They end early if there are more patterns of missing values than the driver takes: it refuses the table.
        """
        for block, weight in gather_blocks(stream, self._features, self._bad, self._strict):
            self.rows += block.shape[1]
            self._moments += Moments.of(block, weight)
            if self._features.missing:
                self._patterns += count_incomplete_patterns(block)
            self._checksum = add_checksums(self._checksum, checksum_rows(block, weight))
            self._rounded += count_rounded(self._features, block)
            yield block, weight
            if len(self._patterns) > MAX_PATTERNS:
                return

    def describe(self, partition: int, *, path: str = "", failure: str = "", faults: list[str]) -> dict[str, Any]:
        """Return what the driver is told: partition, handle, moments and patterns.

        Parameters
        ----------
        partition : int
        path : str
            Of the file.
        failure : str
            Why there is no file; the rows that were gathered are not counted then.
        faults : list of str
            Why Parquet files could not be read.
        """
        handle = Handle.of(
            self._features,
            partition,
            0 if failure else self.rows,
            path=path,
            bad=self._bad,
            rounded=self._rounded,
            failure=failure,
            unreadable="".join(faults),
            checksum=self._checksum,
        )
        return {
            "partition": partition,
            "handle": handle.to_json(),
            "moments": self._moments.vector().tobytes(),
            "patterns": write_counts(self._patterns) if self._patterns else None,
        }


def identify(stream: Iterator[pa.RecordBatch], by_task: bool) -> tuple[int, Iterator[pa.RecordBatch]]:
    """Return the partition id of a task's rows, and its batches without the column of partitions.

    The id is the partition of the first row that the task reads; if ``by_task``, the task's own number.
    """
    for first in stream:
        if first.num_rows:
            columns = range(first.num_columns - 1)
            partition = task_number() if by_task else first.column(SOURCE)[0].as_py()
            return partition, (batch.select(columns) for batch in chain([first], stream))
    return _EMPTY + task_number(), iter(())


def gather_blocks(stream: Iterator[pa.RecordBatch], features: Features, bad: Counter[str], strict: bool) -> Blocks:
    """Regroup the usable rows of a task into blocks; a block is valid until the next is asked for.

    If null and NaN are missing values, the rows of some blocks together are ordered by pattern.

    The parameters are those of :meth:`Features.usable_rows`.
    """
    size = rows_per_block(features)
    row_bytes = features.width * np.dtype(features.dtype).itemsize
    # Rows that are ordered together: several blocks if there are patterns.
    most = size * (max(ORDERED_BYTES // (size * row_bytes), 1) if features.missing else 1)
    buffer = np.empty((features.width, most), features.dtype)
    weights = np.empty(most) if features.weight else None
    filled = 0
    for rows, weight in features.usable_rows(stream, bad, strict):
        at = 0
        while at < rows.shape[1]:
            take = min(most - filled, rows.shape[1] - at)
            buffer[:, filled : filled + take] = rows[:, at : at + take]
            if weights is not None and weight is not None:
                weights[filled : filled + take] = weight[at : at + take]
            filled, at = filled + take, at + take
            if filled == most:
                yield from _cut_blocks(buffer, weights, size, features.missing)
                filled = 0
    if filled and not must_refuse(bad, strict):
        yield from _cut_blocks(
            buffer[:, :filled], None if weights is None else weights[:filled], size, features.missing
        )


def _cut_blocks(rows: Block, weights: Array | None, size: int, ordered: bool) -> Blocks:
    """Cut rows into blocks, ordered by pattern before if asked to."""
    if ordered:
        # A signalling NaN, such as R's NA, becomes a quiet one: it would cause a warning at each use.
        with np.errstate(invalid="ignore"):
            np.multiply(rows, 1.0, out=rows)
        rows, weights = order_by_pattern(rows, weights)
    for start in range(0, rows.shape[1], size):
        own = slice(start, start + size)
        yield np.ascontiguousarray(rows[:, own]), None if weights is None else weights[own]
