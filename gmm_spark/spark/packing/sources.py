"""Sources of blocks: where a pass finds the blocks of a packed table.

There are three, behind one interface, :class:`Source`, and :class:`.held.Held` for small tables:

- :class:`Listed`, on one host: any task can read any file, so the driver shares the pieces out over as many tasks as a
  pass should have.
- :class:`Cached`, on several hosts: a pass maps over the persisted handles. Spark runs each task on the executor that
  has its handle cached, and the file is local there.
- :class:`Streamed`: the blocks themselves are persisted in Spark, and cross to Python on every pass. That is slower,
  and never misses.

A source also gives its tasks the reader that turns their Arrow batches into pieces. So a pass's task sees pieces alone,
the same ones in each source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from gmm_spark.spark.packing.blocks import Blocks, Handle, read_file
from gmm_spark.spark.packing.cluster import Cluster
from gmm_spark.spark.packing.packer import Packing
from gmm_spark.spark.packing.pieces import Cut, Piece, share_out
from gmm_spark.spark.schema import Schema
from gmm_spark.spark.worker import freeze_loaded_objects

# Multiplications that a core gets before it gets another task, some three seconds of them: a task costs some 25 ms.
# More tasks even out what else keeps the cores busy.
TASK_PRODUCTS, LISTED_TASKS_PER_CORE = 50e9, 4
# Rows below which a task of its own is not worth its overhead, and bytes above which a task has enough to do.
MIN_TASK_ROWS, TASK_BYTES = 100_000, 1 << 30
# Tasks per core, however small: enough to even out their lengths.
CACHED_TASKS_PER_CORE = 8
# Groups of cached partitions for each host, at least. Spark puts a partition into a group of another host, which misses
# its file, if its own host's groups are larger by a tenth of all partitions. After an executor was lost it also groups
# by where partitions lay before. A task for each partition is surer, and its price is small for so few.
GROUPS_PER_HOST = 40

PieceTask: TypeAlias = Callable[[Iterator[Piece]], Iterator[pa.RecordBatch]]
"""Task of a pass: pieces in, rows of a :class:`Schema` out. Picklable."""

Reader: TypeAlias = Callable[[Iterator[pa.RecordBatch]], Iterator[Piece]]
"""Turns the Arrow batches of a Spark task into pieces. Picklable."""


class Source(Protocol):
    """Blocks of a packed table, piece by piece."""

    @property
    def spark(self) -> SparkSession:
        """The session that runs the tasks."""
        ...

    @property
    def pieces(self) -> Sequence[Handle]:
        """All pieces of the table, in the order of their numbers."""
        ...

    def map_pieces(self, task: PieceTask, schema: Schema, products: int) -> DataFrame:
        """Run a task over all pieces.

        Parameters
        ----------
        task : callable
        schema : Schema
            Of what the task returns.
        products : int
            Multiplications for each row of the table.
        """
        ...


class Listed:
    """Pieces that the driver shares out among tasks; requires one host.

    Parameters
    ----------
    spark : SparkSession
    packing : Packing
        As files.
    cores : int
    unit : float
        Power of two; tasks see weights divided by it.
    """

    def __init__(self, spark: SparkSession, packing: Packing, cores: int, unit: float = 1.0) -> None:
        self._unit = unit
        self.pieces = Cut.of(packing.handles).split_all(packing.handles)
        self.spark, self._rows, self._cores = spark, packing.rows, cores
        # Kept from pass to pass: every step of a query is a call to the driver's JVM.
        self._by_tasks: dict[int, tuple[DataFrame, ReadListed]] = {}

    def map_pieces(self, task: PieceTask, schema: Schema, products: int) -> DataFrame:
        """Run a task over all pieces, in as many Spark tasks as the products are worth."""
        tasks = self.n_tasks(products)
        if tasks not in self._by_tasks:
            texts = tuple("\n".join(piece.to_json() for piece in own) for own in share_out(self.pieces, tasks))
            self._by_tasks[tasks] = self.spark.range(0, tasks, 1, tasks), ReadListed(texts)
        numbers, reader = self._by_tasks[tasks]
        return numbers.mapInArrow(OverPieces(reader, task, self._unit), schema.spark)

    def n_tasks(self, products: int) -> int:
        """Return how many tasks a pass of so many multiplications a row has."""
        waves = np.clip(self._rows * products / (self._cores * TASK_PRODUCTS), 1, LISTED_TASKS_PER_CORE)
        return min(self._cores * int(waves), len(self.pieces))


class Cached:
    """Pieces of files that lie where Spark has cached their handles.

    Parameters
    ----------
    packing : Packing
        As files.
    cluster : Cluster
    grouped : bool
        Whether a task may take the files of several partitions.
    unit : float
        As of :class:`Listed`.
    """

    def __init__(self, packing: Packing, cluster: Cluster, grouped: bool = True, unit: float = 1.0) -> None:
        self._unit = unit
        cut = Cut.of(packing.handles)
        self.pieces = cut.split_all(packing.handles)
        self._reader = ReadCached(cut, checksums(packing))
        self.spark = packing.blocks.sparkSession
        self._handles = packing.blocks.select("handle")
        waves = min(max(packing.rows // (MIN_TASK_ROWS * cluster.cores), 1), CACHED_TASKS_PER_CORE)
        enough = max(
            waves * cluster.cores,
            GROUPS_PER_HOST * cluster.hosts,
            sum(h.rows * h.row_bytes for h in packing.handles) // TASK_BYTES,
        )
        if grouped and len(packing.handles) > 2 * enough:
            # Too many tasks cost more to schedule than they work. A narrow coalesce: Spark groups partitions that are
            # cached on the same host.
            self._handles = self._handles.coalesce(enough)

    def map_pieces(self, task: PieceTask, schema: Schema, products: int) -> DataFrame:
        """Run a task over all pieces; their files, not the products, decide the number of Spark tasks."""
        return self._handles.mapInArrow(OverPieces(self._reader, task, self._unit), schema.spark)


class Streamed:
    """Pieces of blocks that Spark itself keeps.

    Parameters
    ----------
    packing : Packing
        As a stream.
    unit : float
        As of :class:`Listed`.
    """

    def __init__(self, packing: Packing, unit: float = 1.0) -> None:
        self._unit = unit
        cut = Cut.of(packing.handles)
        self.pieces = cut.split_all(packing.handles)
        self._reader = ReadStreamed(cut, checksums(packing))
        self.spark = packing.blocks.sparkSession
        self._blocks = packing.blocks.drop("moments", "patterns")

    def map_pieces(self, task: PieceTask, schema: Schema, products: int) -> DataFrame:
        """Run a task over all pieces, a Spark task for each partition."""
        return self._blocks.mapInArrow(OverPieces(self._reader, task, self._unit), schema.spark)


def checksums(packing: Packing) -> dict[int, int]:
    """Return the checksum of each partition's rows, as they were when the driver learnt of them."""
    return {handle.partition: handle.checksum for handle in packing.handles}


def spread_over(rows: int, cores: int) -> int:
    """Return how many partitions keep all cores busy on every pass, if passes do not share out pieces."""
    return min(cores, rows // MIN_TASK_ROWS)


@dataclass(frozen=True)
class OverPieces:
    """Spark task that reads pieces and runs a pass's task on them."""

    reader: Reader
    task: PieceTask
    unit: float = 1.0

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Run the task on the pieces of one Spark task."""
        freeze_loaded_objects()
        pieces = self.reader(stream)
        return self.task(pieces if self.unit == 1.0 else divide_weights(pieces, self.unit))


@dataclass(frozen=True)
class ReadListed:
    """Reader of numbers of lists.

    The lists travel with the task, not as literals of the query: Spark keeps the text of every plan.
    """

    texts: tuple[str, ...]

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[Piece]:
        """Read the files of the pieces on each list."""
        for batch in stream:
            for number in batch.column("id").to_pylist():
                for line in self.texts[number].splitlines():
                    yield _open(Handle.from_json(line))


@dataclass(frozen=True)
class ReadCached:
    """Reader of handles.

    If an executor is lost, Spark itself packs its partitions again, in the midst of a pass, and nobody compares what
    it reads with what was read first. So a handle of other rows than the driver knows of is a miss.
    """

    cut: Cut
    checksums: Mapping[int, int]

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[Piece]:
        """Read the files of all handles, piece by piece."""
        for batch in stream:
            for text in batch.column("handle").to_pylist():
                handle = Handle.from_json(text)
                if self.checksums.get(handle.partition) != handle.checksum:
                    yield Piece(self.cut.number(handle.partition, 0), None)
                    continue
                for piece in self.cut.split(handle):
                    yield _open(piece)


@dataclass(frozen=True)
class ReadStreamed:
    """Reader of one partition's blocks.

    Their checksum comes after them. If it is not the one that the driver knows, as in :class:`ReadCached`, a miss
    follows the pieces.
    """

    cut: Cut
    checksums: Mapping[int, int]

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[Piece]:
        """Group the blocks into pieces; a partition without rows is one piece without blocks."""
        first = next(stream, None)
        if first is None:
            return
        partition, i = first.column("partition")[0].as_py(), -1
        found: list[int] = []
        blocks = enumerate(_split_stream(chain([first], stream), found))
        for i, piece in groupby(blocks, key=lambda numbered: numbered[0] // self.cut.blocks):
            yield Piece(self.cut.number(partition, i), (block for _, block in piece))
        if found != [self.checksums.get(partition)]:
            yield Piece(self.cut.number(partition, 0), None)
        elif i < 0:
            yield Piece(self.cut.number(partition, 0), iter(()))


def divide_weights(pieces: Iterator[Piece], unit: float) -> Iterator[Piece]:
    """Divide the weights of all blocks by a power of two, which is exact."""

    def divide(blocks: Blocks) -> Blocks:
        return ((rows, None if weight is None else weight / unit) for rows, weight in blocks)

    for number, blocks in pieces:
        yield Piece(number, None if blocks is None else divide(blocks))


def _open(piece: Handle) -> Piece:
    return Piece(piece.partition, read_file(piece))


def _split_stream(stream: Iterator[pa.RecordBatch], checksums: list[int]) -> Blocks:
    """Yield the blocks of a partition, and add the checksum that ends them to a list."""
    for batch in stream:
        for text, block in zip(batch.column("handle").to_pylist(), batch.column("block"), strict=True):
            packed = block.as_buffer()
            handle = Handle.from_json(text)
            if packed.size:
                yield handle.split(packed, handle.rows)
            else:
                checksums.append(handle.checksum)
