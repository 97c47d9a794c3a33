"""One pass over a packed table: tasks that fold pieces into vectors, and the ordered sum of the vectors.

Each piece has a vector of float64. Vectors are added in the order of the pieces' numbers, so the same partitions give
the same bits, whichever task had which piece. The driver adds small vectors itself. Larger ones are cut into slices,
shuffled by slice and added by tasks, so that the driver receives one vector and not one for each piece. A vector that
no driver could hold is refused before the pass. Samples and draws come in several jobs if one would bring more than
Spark lets it bring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Row

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.accumulators import Sums
from gmm_spark.core.kernels.distance_draw import DrawAccumulator, DrawRequest, DrawResult, merge_draws
from gmm_spark.core.kernels.weighted_draw import WeightedDraw
from gmm_spark.core.randomness import Purpose, draw_quotas, random_stream
from gmm_spark.spark.packing.held import collect_pieces
from gmm_spark.spark.packing.limits import require_vector
from gmm_spark.spark.packing.pieces import Piece
from gmm_spark.spark.packing.sources import PieceTask, Source
from gmm_spark.spark.results import bytes_per_job, collect, count_parts
from gmm_spark.spark.schema import Schema
from gmm_spark.spark.worker import one_blas_thread

# Bytes of all pieces' vectors together that the driver adds up itself.
DRIVER_SUM_BYTES = 16 << 20
# Rows of a cell that a draw by cells is taken to bring: k-means|| asks for 100.
CELL_ROWS = 128
# Numbers in a slice of a larger vector: 1 MiB.
SLICE_LENGTH = 1 << 17

SUMS = Schema(piece=pa.int32(), slice=pa.int32(), sums=pa.binary())
SAMPLES = Schema(piece=pa.int32(), rows=pa.binary(), weights=pa.binary())
WEIGHTED_SAMPLES = Schema(piece=pa.int32(), rows=pa.binary(), weights=pa.binary(), keys=pa.binary())
DRAWS = Schema(
    piece=pa.int32(), rows=pa.binary(), weights=pa.binary(), keys=pa.binary(), cells=pa.binary(), cost=pa.float64()
)

# In place of a slice's number: the blocks of this piece were not found.
_MISS = -1


@dataclass(frozen=True)
class FoldPieces:
    """Task that folds the blocks of each piece into a vector, and returns it slice by slice."""

    sums: Sums[object]
    slice_length: int

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[pa.RecordBatch]:
        """Fold the pieces of one task."""
        fold = self.sums.accumulator()
        for piece, blocks in pieces:
            if blocks is None:
                yield SUMS.row(piece=piece, slice=_MISS, sums=b"")
                continue
            fold.clear()
            with one_blas_thread():
                for rows, weight in blocks:
                    fold.add(rows, weight)
            vector = fold.vector()
            for number, start in enumerate(range(0, len(vector), self.slice_length)):
                part = vector[start : start + self.slice_length]
                yield SUMS.row(piece=piece, slice=number, sums=part.tobytes())


@dataclass(frozen=True)
class SamplePieces:
    """Task that draws rows without replacement.

    Attributes
    ----------
    shares : mapping
        For each piece's number, how many rows to draw and how many it has.
    seed : int
    """

    shares: Mapping[int, tuple[int, int]]
    seed: int

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[pa.RecordBatch]:
        """Draw from the pieces of one task."""
        for piece, blocks in pieces:
            if blocks is None or piece not in self.shares:
                yield SAMPLES.row(piece=piece, rows=None, weights=None)
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
                    yield SAMPLES.row(piece=piece, rows=drawn.tobytes(), weights=weights)


@dataclass(frozen=True)
class SampleWeightedPieces:
    """Task that draws the rows that may be in a weighted sample: one row for each piece."""

    draw: WeightedDraw
    seed: int

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[pa.RecordBatch]:
        """Draw from the pieces of one task."""
        bound = self.draw.bound
        for piece, blocks in pieces:
            if blocks is None:
                yield WEIGHTED_SAMPLES.row(piece=piece, rows=None, weights=None, keys=None)
                continue
            rng = random_stream(self.seed, Purpose.TABLE_SAMPLE, 1 + piece)
            # A block's rows are copied as bytes, features in columns: bytes of blocks can be joined.
            found: dict[str, list[bytes]] = {"rows": [], "weights": [], "keys": []}
            for rows, weight in blocks:
                assert weight is not None  # a table without weights is sampled by SamplePieces
                keys = self.draw.keys(weight, rng)
                drawn = np.flatnonzero(keys < bound)
                found["rows"].append(rows[:, drawn].T.astype(np.float64).tobytes())
                found["weights"].append(weight[drawn].tobytes())
                found["keys"].append(keys[drawn].tobytes())
            yield WEIGHTED_SAMPLES.row(piece=piece, **{name: b"".join(parts) for name, parts in found.items()})


@dataclass(frozen=True)
class DrawFromPieces:
    """Task that draws rows by their distance from sites, and sums up the sites' cells: one row for each piece."""

    draw: DrawRequest

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[pa.RecordBatch]:
        """Draw from the pieces of one task."""
        for piece, blocks in pieces:
            if blocks is None:
                yield DRAWS.row(piece=piece, rows=None, weights=None, keys=None, cells=None, cost=None)
                continue
            drawing = DrawAccumulator(self.draw, piece)
            with one_blas_thread():
                for rows, weight in blocks:
                    drawing.add(rows, weight)
            drawn = drawing.result()
            yield DRAWS.row(
                piece=piece,
                rows=drawn.rows.tobytes(),
                weights=drawn.weight.tobytes(),
                keys=drawn.keys.tobytes(),
                cells=drawn.cells.tobytes(),
                cost=drawn.cost,
            )


def collect_sums(source: Source, sums: Sums[object]) -> Array | None:
    """Run a pass, and add up its vectors in the order of the pieces.

    None if a piece is missing or duplicated. That also happens without a lost file: if Spark computes the handle of a
    partition without rows again, in a task of several partitions, the handle has another id.

    Raises
    ------
    ResourceError
        If the vector is larger than the driver can be trusted to hold, or than Spark lets it receive.
    """
    length, pieces = sums.length, len(source.pieces)
    require_vector(source.spark, length)
    on_driver = 8 * length * pieces <= min(DRIVER_SUM_BYTES, bytes_per_job(source.spark))
    slice_length = length if on_driver else SLICE_LENGTH
    fold, products = FoldPieces(sums, slice_length), sums.plan.n_products
    if on_driver:
        found = collect_pieces(source, fold, SUMS, products)
    else:
        slices = -(-length // SLICE_LENGTH)
        vectors = source.map_pieces(fold, SUMS, products)
        by_slice = vectors.repartition(slices, "slice").sortWithinPartitions("slice", "piece")
        found = collect(by_slice.mapInArrow(add_slices, SUMS.spark))
    rows = sorted(found, key=lambda r: (r["slice"], r["piece"]))
    if any(r["slice"] == _MISS for r in rows):
        return None
    if on_driver and [r["piece"] for r in rows] != _numbers(source):
        return None
    if not on_driver and any(r["piece"] != pieces for r in rows):
        return None
    total = np.zeros(length)
    for r in rows:
        start = r["slice"] * slice_length
        part = np.frombuffer(r["sums"])
        total[start : start + len(part)] += part
    return total


def add_slices(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Task that adds up the rows of each slice, in the order they come; ``piece`` becomes the number of pieces."""
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
                yield SUMS.row(piece=len(set(pieces)), slice=current, sums=total.tobytes())
            current, pieces, total = number, [piece], part.copy()
    if current is not None:
        yield SUMS.row(piece=len(set(pieces)), slice=current, sums=total.tobytes())


def collect_sample(source: Source, n: int, seed: int, width: int) -> tuple[Block, Array | None] | None:
    """Draw n rows without replacement, or all if there are no more: rows (width, m) and weights (m,) in table order.

    The driver draws each piece's share, so the sample is uniform whatever the sizes of the pieces. None after a miss.
    """
    sizes = [piece.rows for piece in source.pieces]
    quotas = draw_quotas(sizes, n, random_stream(seed, Purpose.TABLE_SAMPLE)).tolist()
    shares = {p.partition: (quota, p.rows) for p, quota in zip(source.pieces, quotas, strict=True)}
    n_bytes = 8 * sum(quotas) * (width + source.pieces[0].weighted)
    found = collect_in_parts(source, SamplePieces(shares, seed), SAMPLES, width, n_bytes)
    if any(r["rows"] is None for r in found):
        return None
    rows = np.concatenate([np.frombuffer(r["rows"]).reshape(width, -1) for r in found], axis=1)
    weights = [np.frombuffer(r["weights"]) for r in found if r["weights"] is not None]
    if rows.shape[1] != sum(quotas):
        return None
    return rows, np.concatenate(weights) if weights else None


def collect_weighted_sample(source: Source, draw: WeightedDraw, seed: int, width: int) -> tuple[Block, Array] | None:
    """Draw a weighted sample from a table of more rows: rows (width, m) and weights (m,) in table order.

    The tasks send up to about twice as many rows. None as in :func:`collect_sums`.
    """
    n_bytes = 8 * int(draw.bound) * (width + 2)
    found = collect_in_parts(source, SampleWeightedPieces(draw, seed), WEIGHTED_SAMPLES, width, n_bytes)
    if any(r["rows"] is None for r in found) or [r["piece"] for r in found] != _numbers(source):
        return None
    keys, weight = (np.concatenate([np.frombuffer(r[name]) for r in found]) for name in ("keys", "weights"))
    chosen, weight = draw.choose(keys, weight)
    rows = np.concatenate([np.frombuffer(r["rows"]).reshape(-1, width) for r in found])
    return np.ascontiguousarray(rows[chosen].T), weight


def collect_draw(source: Source, draw: DrawRequest) -> DrawResult | None:
    """Run a drawing pass and merge what the pieces give, in order; None as in :func:`collect_sums`."""
    if draw.shares is None:  # each piece draws as if it were the table
        n_rows = int(draw.expected + 4 * np.sqrt(draw.expected)) * len(source.pieces)
    else:
        n_rows = CELL_ROWS * int(np.count_nonzero(draw.shares))
    n_bytes = 8 * n_rows * (len(draw.sites) + 2)
    found = collect_in_parts(source, DrawFromPieces(draw), DRAWS, draw.sites.size, n_bytes)
    if any(r["rows"] is None for r in found) or [r["piece"] for r in found] != _numbers(source):
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


def collect_in_parts(source: Source, task: PieceTask, schema: Schema, products: int, n_bytes: int) -> list[Row]:
    """Collect what a task gives for each piece, in the order of the pieces, in as many jobs as so many bytes need.

    The jobs do the same work, and each returns its share of the rows.
    """
    parts = count_parts(source.spark, n_bytes)
    found: list[tuple[tuple[int, int], Row]] = []
    for part in range(parts):
        own = task if parts == 1 else TakePart(task, part, parts)
        taken: Counter[int] = Counter()
        for row in collect_pieces(source, own, schema, products):
            piece = row["piece"]
            found.append(((piece, taken[piece] * parts + (part - spread(piece)) % parts), row))
            taken[piece] += 1
    return [row for _, row in sorted(found, key=lambda one: one[0])]


@dataclass(frozen=True)
class TakePart:
    """Task that runs another, and returns some of its rows: each ``parts``-th of a piece."""

    task: PieceTask
    part: int
    parts: int

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[pa.RecordBatch]:
        """Run the task on the pieces of one task."""
        made: Counter[int] = Counter()
        for batch in self.task(pieces):
            piece = batch.column("piece")[0].as_py()
            if (made[piece] + spread(piece)) % self.parts == self.part:
                yield batch
            made[piece] += 1


def spread(piece: int) -> int:
    """Return a number by which pieces are spread over parts evenly, whatever gaps there are among their numbers."""
    return piece * 2_654_435_761 % (1 << 32) >> 16  # Knuth's multiplicative hash


def _numbers(source: Source) -> list[int]:
    return sorted(piece.partition for piece in source.pieces)
