"""One pass over packed blocks: tasks that fold pieces of the table into vectors, and the ordered sum of the vectors.

Every piece, see :class:`.pieces.Cut`, has a vector of float64, cut into slices. Vectors are added in the
order of their pieces, so that the same partitions give the same bits, whoever works on which. Small sums are added on
the driver. Larger ones are shuffled by slice and added there, so that the driver receives one vector and not one a
piece; what no driver could hold is refused before the pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import TypeVar

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import BinaryType, IntegerType, StructType

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.accumulators import Sums
from gmm_spark.core.kernels.distance_draw import DrawAccumulator, DrawRequest, DrawResult, merge_draws
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.errors import ResourceError
from gmm_spark.spark.packing.blocks import Handle, read_file
from gmm_spark.spark.packing.pieces import Cut, Listed
from gmm_spark.spark.worker import one_blas_thread, spare_what_is_loaded

# Bytes of all pieces' vectors together that the driver adds up itself.
DRIVER_SUM_BYTES = 16 << 20
# Numbers in a slice of a larger vector: 1 MiB.
SLICE_LENGTH = 1 << 17
# Bytes of one vector that a driver is trusted to hold a few times over.
MAX_VECTOR_BYTES = 2 << 30

# Not as text, which the driver's JVM would have to parse on every pass.
SUM_SCHEMA = StructType().add("piece", IntegerType()).add("slice", IntegerType()).add("sums", BinaryType())
SAMPLE_SCHEMA = StructType().add("piece", IntegerType()).add("rows", BinaryType()).add("weights", BinaryType())
DRAW_SCHEMA = "piece int, rows binary, weights binary, keys binary, cells binary, cost double"
_SUMS = pa.schema([("piece", pa.int32()), ("slice", pa.int32()), ("sums", pa.binary())])
_SAMPLES = pa.schema([("piece", pa.int32()), ("rows", pa.binary()), ("weights", pa.binary())])

_DRAWN = pa.schema(
    [("piece", pa.int32())]
    + [(name, pa.binary()) for name in ("rows", "weights", "keys", "cells")]
    + [("cost", pa.float64())]
)

Answer = TypeVar("Answer")

Blocks = Iterator[tuple[Block, Array | None]]

# In place of a slice's number: this task's file was not there.
_MISS = -1


@dataclass(frozen=True)
class SamplePass:
    """Rows drawn without replacement: from each piece, how many of how many."""

    shares: dict[int, tuple[int, int]]
    seed: int

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Draw from the pieces of one task."""
        for piece, blocks in _pieces(stream):
            if blocks is None or piece not in self.shares:
                yield _row(_SAMPLES, piece, None, None)
                continue
            rng = random_stream(self.seed, Purpose.TABLE_SAMPLE, 1 + piece)
            quota, size = self.shares[piece]
            wanted = np.sort(rng.choice(size, quota, replace=False, shuffle=False)) if quota < size else np.arange(size)
            at = 0
            for rows, weight in blocks:
                low, high = np.searchsorted(wanted, [at, at + rows.shape[1]])
                mine = wanted[low:high] - at
                at += rows.shape[1]
                if len(mine):
                    drawn = np.ascontiguousarray(rows[:, mine], dtype=np.float64)
                    weights = None if weight is None else weight[mine].tobytes()
                    yield _row(_SAMPLES, piece, drawn.tobytes(), weights)


@dataclass(frozen=True)
class DrawPass:
    """Rows drawn by chance, and the cells of the sites: one row out for each piece."""

    draw: DrawRequest

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Draw from the pieces of one task."""
        for piece, blocks in _pieces(stream):
            if blocks is None:
                yield _row(_DRAWN, piece, None, None, None, None, None)
                continue
            drawing = DrawAccumulator(self.draw, piece)
            with one_blas_thread():
                for rows, weight in blocks:
                    drawing.add(rows, weight)
            drawn = drawing.result()
            arrays = (drawn.rows, drawn.weight, drawn.keys, drawn.cells)
            yield _row(_DRAWN, piece, *(a.tobytes() for a in arrays), drawn.cost)


@dataclass(frozen=True)
class Fold:
    """Task of a pass: a piece's blocks in, its vector out, slice by slice."""

    sums: Sums[object]
    slice_length: int

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Fold the pieces of one task."""
        fold = self.sums.accumulator()
        for piece, blocks in _pieces(stream):
            if blocks is None:
                yield _row(_SUMS, piece, _MISS, b"")
                continue
            fold.clear()
            with one_blas_thread():
                for rows, weight in blocks:
                    fold.add(rows, weight)
            vector = fold.vector()
            for number, start in enumerate(range(0, len(vector), self.slice_length)):
                yield _row(_SUMS, piece, number, vector[start : start + self.slice_length].tobytes())


def added_up(blocks: DataFrame | Listed, sums: Sums[Answer], pieces: Collection[int]) -> Answer | None:
    """Run a pass, add its vectors up in piece order, and read what they say.

    None where a task missed its file, or the vectors are not one of each piece: the handle of no rows that Spark
    lost and made again inside a task of several partitions bears that task's number.

    Raises
    ------
    ResourceError
        Where the vector is larger than a driver can be trusted to hold.
    """
    length = sums.length
    if 8 * length > MAX_VECTOR_BYTES:
        raise ResourceError(
            f"one pass would bring {8 * length:,} bytes of sums to the driver (limit {MAX_VECTOR_BYTES:,}); "
            "lower k, or use covarianceType diag or tied"
        )
    on_driver = 8 * length * len(pieces) <= DRIVER_SUM_BYTES
    vectors = blocks.mapInArrow(Fold(sums, length if on_driver else SLICE_LENGTH), SUM_SCHEMA)
    if not on_driver:
        slices = -(-length // SLICE_LENGTH)
        by_slice = vectors.repartition(slices, "slice").sortWithinPartitions("slice", "piece")
        vectors = by_slice.mapInArrow(add_slices, SUM_SCHEMA)
    rows = sorted(vectors.collect(), key=lambda r: (r["slice"], r["piece"]))
    if any(r["slice"] == _MISS for r in rows):
        return None
    if on_driver and [r["piece"] for r in rows] != sorted(pieces):
        return None
    if not on_driver and any(r["piece"] != len(pieces) for r in rows):
        return None
    total = np.zeros(length)
    for r in rows:
        start = r["slice"] * SLICE_LENGTH if not on_driver else 0
        part = np.frombuffer(r["sums"])
        total[start : start + len(part)] += part
    return sums.read(total)


def add_slices(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Task that adds up the rows of each slice, in the order they come; piece is how many different ones."""
    current, pieces, total = None, [-1], np.zeros(0)
    for batch in stream:
        columns = batch.column("piece").to_pylist(), batch.column("slice").to_pylist(), batch.column("sums")
        for piece, number, sums in zip(*columns, strict=True):
            part = np.frombuffer(sums.as_buffer())
            if number == current:
                total += part
                pieces.append(piece)
                continue
            if current is not None:
                yield _row(_SUMS, len(set(pieces)), current, total.tobytes())
            current, pieces, total = number, [piece], part.copy()
    if current is not None:
        yield _row(_SUMS, len(set(pieces)), current, total.tobytes())


def sampled(blocks: DataFrame | Listed, task: SamplePass, width: int) -> tuple[Block, Array | None] | None:
    """Run a sampling pass: rows (width, m) and weights (m,) in table order; None where a task missed its file."""
    drawn = sorted(blocks.mapInArrow(task, SAMPLE_SCHEMA).collect(), key=lambda r: r["piece"])
    if any(r["rows"] is None for r in drawn):
        return None
    rows = np.concatenate([np.frombuffer(r["rows"]).reshape(width, -1) for r in drawn], axis=1)
    weights = [np.frombuffer(r["weights"]) for r in drawn if r["weights"] is not None]
    if rows.shape[1] != sum(quota for quota, _ in task.shares.values()):
        return None
    return rows, np.concatenate(weights) if weights else None


def drawn(blocks: DataFrame | Listed, draw: DrawRequest, pieces: Collection[int]) -> DrawResult | None:
    """Run a drawing pass, in piece order; None where :func:`added_up` would give None."""
    found = sorted(blocks.mapInArrow(DrawPass(draw), DRAW_SCHEMA).collect(), key=lambda r: r["piece"])
    if any(r["rows"] is None for r in found) or [r["piece"] for r in found] != sorted(pieces):
        return None
    d, c = draw.sites.shape
    parts = [
        DrawResult(
            rows=np.frombuffer(r["rows"]).reshape(d, -1),
            weight=np.frombuffer(r["weights"]),
            keys=np.frombuffer(r["keys"]),
            cells=np.frombuffer(r["cells"]).reshape(2, c),
            cost=r["cost"],
        )
        for r in found
    ]
    return merge_draws(draw, parts)


def _pieces(stream: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, Blocks | None]]:
    """Each piece of the table that a task was given, and its blocks; None for the blocks of a miss."""
    spare_what_is_loaded()
    for batch in stream:
        names = batch.schema.names
        if "block" in names:  # the fallback: all of the stream is one partition
            yield from _streamed(chain([batch], stream))
            return
        for text in batch.column("handle").to_pylist():
            handles = [Handle.from_json(line) for line in text.splitlines()]
            if "cut" in names:
                cut = Cut(*batch.column("cut")[0].as_py())
                handles = [piece for handle in handles for piece in cut.pieces(handle)]
            for handle in handles:
                yield handle.partition, read_file(handle)


def _streamed(stream: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, Blocks]]:
    first = next(stream)
    cut, partition = Cut(*first.column("cut")[0].as_py()), first.column("partition")[0].as_py()
    blocks = _blocks_streamed(chain([first], stream))
    i = -1
    for i, piece in groupby(enumerate(blocks), key=lambda numbered: numbered[0] // cut.blocks):
        yield cut.number(partition, i), (block for _, block in piece)
    if i < 0:
        yield cut.number(partition, 0), iter(())


def _blocks_streamed(stream: Iterator[pa.RecordBatch]) -> Blocks:
    for batch in stream:
        for text, block in zip(batch.column("handle").to_pylist(), batch.column("block"), strict=True):
            packed = block.as_buffer()
            if packed.size:
                handle = Handle.from_json(text)
                yield handle.split(packed, handle.rows)


def _row(schema: pa.Schema, *values: object) -> pa.RecordBatch:
    columns = [pa.array([v], f.type) for v, f in zip(values, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
