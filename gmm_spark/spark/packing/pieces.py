"""Pieces of packed files: what tasks share out, and what is summed up by itself.

A partition's file may be far longer than others, or a table have fewer files than there are cores. Pieces are much of
one size. On several hosts each task takes those of the files that Spark has cached the handles of; on one, where any
task can read any file, the driver shares them out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from gmm_spark.spark.packing.blocks import Handle

# Pieces that a table is cut into if it has fewer files, and rows that a piece has at least: more pieces share out more
# evenly, and each brings its sums to the driver.
PIECES, PIECE_ROWS = 128, 1 << 16


@dataclass(frozen=True)
class Cut:
    """How files are cut into pieces, which any tasks may share out, each to be summed by itself.

    It depends on the files alone: what is added to what, and in which order, is the same whoever works on it.

    Attributes
    ----------
    blocks : int
        Blocks of a piece.
    most : int
        Pieces of the longest file. Those of partition p go by ``p * most`` and what follows.
    """

    blocks: int
    most: int

    @classmethod
    def of(cls, handles: Sequence[Handle]) -> Cut:
        """Cut files into about :data:`PIECES`, and none into pieces of less than :data:`PIECE_ROWS`."""
        sizes = [-(-h.rows // h.block_rows) for h in handles]
        least = -(-PIECE_ROWS // handles[0].block_rows)
        blocks = max(-(-sum(sizes) // PIECES), least)
        return cls(blocks, max(1, -(-max(sizes) // blocks)))

    def pieces(self, handle: Handle) -> list[Handle]:
        """List the pieces of a file, one of no rows where it has none."""
        step, end = self.blocks * handle.block_rows, handle.rows
        return [
            replace(
                handle,
                partition=self.number(handle.partition, i),
                rows=min(step, end - first),
                first=first,
                of_rows=end,
            )
            for i, first in enumerate(range(0, max(end, 1), step))
        ]

    def number(self, partition: int, i: int) -> int:
        """What the i-th piece of a partition's file goes by."""
        return partition * self.most + i


@dataclass(frozen=True)
class Listed:
    """Pieces for as many tasks as there are lists; in place of a DataFrame of handles, any task being able to read any.

    The lists travel with what is mapped over them, since Spark keeps the text of every plan, literals and all.
    """

    numbers: DataFrame
    texts: tuple[str, ...]

    @classmethod
    def evenly(cls, spark: SparkSession, pieces: Sequence[Handle], tasks: int) -> Listed:
        """Share pieces out, in their order, so that tasks have as many rows as whole pieces allow."""
        lists: list[list[Handle]] = [[] for _ in range(tasks)]
        before, rows = 0, sum(piece.rows for piece in pieces)
        for piece in pieces:
            middle = before + piece.rows // 2
            lists[min(middle * tasks // rows, tasks - 1)].append(piece)
            before += piece.rows
        texts = tuple("\n".join(piece.to_json() for piece in own) for own in lists)
        return cls(spark.range(0, len(texts), 1, len(texts)), texts)

    def mapInArrow(
        self, task: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: StructType | str
    ) -> DataFrame:
        """Run a task over the pieces of each list."""
        return self.numbers.mapInArrow(_OverList(task, self.texts), schema)


@dataclass(frozen=True)
class _OverList:
    task: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
    texts: tuple[str, ...]

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        numbers = [number for batch in stream for number in batch.column("id").to_pylist()]
        return self.task(pa.RecordBatch.from_pydict({"handle": [self.texts[number]]}) for number in numbers)
