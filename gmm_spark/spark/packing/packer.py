"""Packing: each task reads rows of the table, writes them as blocks, and returns a handle.

Rows cross from the JVM to Python here, once, or tasks read them from Parquet files themselves (:mod:`.parquet_scan`).
By default the blocks go to a file in the executor's local directory, and Spark keeps the handles. Otherwise the blocks
themselves go back to Spark, which keeps them ("streamed").
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.checksum import add_checksums, checksum_rows
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.missing.counts import MAX_PATTERNS, read_counts, write_counts
from gmm_spark.core.missing.patterns import count_incomplete_patterns, order_by_pattern, write_pattern
from gmm_spark.errors import DataError, ResourceError
from gmm_spark.spark.columns import Features, must_refuse
from gmm_spark.spark.packing.blocks import Blocks, Handle, local_directories, rows_per_block
from gmm_spark.spark.packing.carrying import carried_rows
from gmm_spark.spark.packing.cluster import is_local
from gmm_spark.spark.packing.leftovers import take_possession
from gmm_spark.spark.packing.parquet_plan import find_scan
from gmm_spark.spark.packing.parquet_scan import NotPlainError, ParquetScan
from gmm_spark.spark.ranges import count_rounded
from gmm_spark.spark.results import collect, count_parts
from gmm_spark.spark.schema import Schema
from gmm_spark.spark.worker import freeze_loaded_objects, task_number

_logger = logging.getLogger(__name__)

# Packing has at most PACK_TASKS tasks and PACK_TASKS_PER_CORE more for each core; each reads several partitions if
# there are more. A task costs some 20 ms and a handle, however little it reads. With so many tasks, a lost one is a
# small loss, and a large cluster has enough to share out.
PACK_TASKS, PACK_TASKS_PER_CORE = 1_000, 16


def most_tasks(cores: int) -> int:
    """Return how many tasks packing has at most."""
    return PACK_TASKS + PACK_TASKS_PER_CORE * cores


# Column after the features: the partition of the table that a row comes from. Answers must not depend on tasks' own
# numbers: a task may read several partitions, and which ones depends on where Spark finds executors.
SOURCE = "source"
# Id offset for tasks without rows, above the id of every partition; id × pieces of a file fits int32.
_EMPTY = 1 << 23

# Patterns are null unless null and NaN are missing values.
# The content is that of the file, if the task hands it to the driver too, else null.
HANDLES = Schema(
    partition=pa.int32(), handle=pa.string(), moments=pa.binary(), patterns=pa.string(), content=pa.binary()
)
# A row for each block, then one for the partition, with moments and no bytes.
STREAM = Schema(partition=pa.int32(), handle=pa.string(), moments=pa.binary(), patterns=pa.string(), block=pa.binary())
# Bytes of rows that are ordered by pattern together: runs of a pattern are the longer, and products the faster.
ORDERED_BYTES = 1 << 23


@dataclass(frozen=True)
class Packing:
    """A packed table.

    Attributes
    ----------
    blocks : DataFrame
        Persisted rows of :data:`HANDLES`, or of :data:`STREAM`.
    handles : sequence of Handle
        One for each task that packed, in the order of their ids.
    moments : Moments
        Of the usable rows.
    read_by : {"spark", "parquet"}
        What read the rows: Spark, or the tasks themselves from Parquet files.
    reason : str
        Why Spark read them; empty if it did not.
    patterns : mapping of bytes to int
        Usable rows of each pattern of missingness; empty if no value is missing.
    contents : mapping of str to bytes, or None
        The content of each file by its path; None if the driver does not have them all.
    """

    blocks: DataFrame
    handles: Sequence[Handle]
    moments: Moments
    read_by: str = "spark"
    reason: str = ""
    patterns: Mapping[bytes, int] = field(default_factory=dict)
    contents: Mapping[str, bytes] | None = None

    @property
    def rows(self) -> int:
        """Usable rows."""
        return sum(handle.rows for handle in self.handles)

    @property
    def bytes(self) -> int:
        """Bytes of the blocks."""
        return sum(handle.file_bytes for handle in self.handles)

    @property
    def checksum(self) -> int:
        """Checksum of the usable rows, in whatever order and partitions."""
        return add_checksums(*(handle.checksum for handle in self.handles))


class Packer:
    """Packs a table, again if asked to, and removes what it packed.

    Parameters
    ----------
    table : DataFrame
    features : Features
    strict : bool
        Stop packing at a bad row, see :meth:`Features.usable_rows`.
    packing : {"auto", "spark", "parquet"}
        What reads the rows: "auto" reads plain Parquet files directly, and has Spark read all else.

    Raises
    ------
    DataError
        If ``packing`` is "parquet" and the table is not plain Parquet files.
    """

    def __init__(self, table: DataFrame, features: Features, strict: bool, packing: str = "auto") -> None:
        self._columns = features.select(table)
        self._features, self._strict = features, strict
        self._must_be_plain = packing == "parquet"
        self._scan: ParquetScan | None = None
        self._reason = "packing='spark' asks for it"
        if packing != "spark":
            try:
                self._scan, self._reason = find_scan(table, features, self._columns), ""
            except NotPlainError as error:
                self._leave_to_spark(str(error))
        self._run = uuid.uuid4().hex[:12]
        self._by_task = False
        self._has_files = False
        self._paths: list[str] | None = []
        self._persisted: DataFrame | None = None

    def pack(self, cores: int, streaming: bool, *, persistent: bool = True, held_rows: int = 0) -> Packing:
        """Read the table; persist its handles, or its blocks if ``streaming``, in place of an earlier packing's.

        Parameters
        ----------
        cores : int
        streaming : bool
        persistent : bool
            False if no pass will go by the handles that Spark keeps.
        held_rows : int
            Rows of a table up to which the driver gets them with the handles, unless some partitions are much larger
            than others.

        Raises
        ------
        ResourceError
            If a local disk is full.
        DataError
            If Spark alone may not read the table, and a file is not what Spark listed.
        """
        self._unpersist()
        spark, scan = self._columns.sparkSession, self._scan
        if scan is None:
            rows = self._columns.select("*", F.spark_partition_id().alias(SOURCE))
        else:
            rows = spark.range(0, len(scan.partitions), 1, len(scan.partitions))
        # A narrow coalesce: a task reads whole partitions, one after the other, and just one if there are few.
        most = most_tasks(cores)
        rows = rows.coalesce(most)
        if streaming:
            blocks = rows.mapInArrow(StreamBlocks(self._features, self._strict, self._by_task, scan), STREAM.spark)
        else:
            self._has_files = True
            application = str(spark.conf.get("spark.app.id", ""))
            task = WriteBlocks(self._features, self._run, self._strict, self._by_task, application, scan, held_rows)
            blocks = rows.mapInArrow(task, HANDLES.spark)
        paths, self._paths = self._paths, None  # unknown until the tasks have told
        parts = self._count_parts(most)
        if persistent or streaming or parts > 1:
            self._persisted = blocks = blocks.persist(StorageLevel.MEMORY_AND_DISK)
        packed = self._collect_handles(blocks.where("moments is not null") if streaming else blocks, parts)
        handles = [one.handle for one in packed]
        self._paths = None if paths is None else paths + [handle.path for handle in handles if handle.path]
        unreadable = [handle.unreadable for handle in handles if handle.unreadable]
        if unreadable:
            _logger.warning("Spark reads the whole table after all: %s", unreadable[0])
            self._leave_to_spark(unreadable[0])
            self.remove_files()
            return self.pack(cores, streaming, persistent=persistent, held_rows=held_rows)
        failures = [handle.failure for handle in handles if handle.failure]
        if failures:
            raise ResourceError(failures[0])
        if len({handle.partition for handle in handles}) < len(handles):
            # The driver itself holds the rows: Spark then computes partition ids before it splits them, all the same.
            self._by_task = True
            self.remove_files()
            return self.pack(cores, streaming, persistent=persistent, held_rows=held_rows)
        moments = Moments.zero(self._features.width)
        patterns: Counter[bytes] = Counter()
        for one in packed:
            moments += Moments.from_vector(np.frombuffer(one.moments))
            patterns += read_counts(one.patterns) if one.patterns else Counter()
        if patterns:
            complete = int(moments.rows) - patterns.total()
            patterns += Counter({write_pattern(np.zeros(self._features.width, bool)): complete})
        contents = {one.handle.path: one.content for one in packed if one.content is not None}
        held = moments.rows <= held_rows and len(contents) == sum(1 for handle in handles if handle.rows)
        read_by = "parquet" if scan else "spark"
        return Packing(blocks, handles, moments, read_by, self._reason, patterns, contents if held else None)

    def _leave_to_spark(self, reason: str) -> None:
        if self._must_be_plain:
            raise DataError(
                f"packing='parquet', but the table must be read by Spark: {reason}; write the table to Parquet files "
                "that all executors can open and read those, or set packing to 'auto'"
            )
        self._scan, self._reason = None, reason

    def _count_parts(self, handles: int) -> int:
        """Return how many jobs should bring so many handles: moments of many features come in several."""
        length = len(Moments.zero(self._features.width).vector())
        return count_parts(self._columns.sparkSession, 8 * length * handles)

    def _collect_handles(self, rows: DataFrame, parts: int) -> list[_Packed]:
        """Collect what the tasks return, in the order of the partitions, in several jobs if need be."""
        if parts > 1:  # the first job packs, and tells how many there are
            parts = self._count_parts(len(collect(rows.select("partition"))))
        wanted = ["handle", "moments", "patterns"]
        if parts == 1 and "content" in rows.columns:
            wanted.append("content")
        found: list[Row] = []
        for part in range(parts):
            own = rows if parts == 1 else rows.where(F.pmod(F.hash("partition"), F.lit(parts)) == part)
            found += collect(own.select(*wanted))
        packed = (_Packed(Handle.from_json(r["handle"]), *r[1:]) for r in found)
        return sorted(packed, key=lambda one: one.handle.partition)

    def repartition(self, partitions: int) -> None:
        """Spread the table's rows over so many partitions for the packings to come."""
        self.remove_files()
        self._columns = self._columns.repartition(partitions)
        if self._scan is not None:
            partitions = len(self._scan.partitions)
            self._scan, self._reason = None, f"it has {partitions} partitions, too few for all cores"

    def remove_files(self) -> None:
        """Remove the files of all packings so far."""
        if self._has_files and not self._remove_here():
            numbers = self._columns.sparkSession.range(1 << 10)
            collect(numbers.mapInArrow(RemoveFiles(self._run), numbers.schema))

    def _remove_here(self) -> bool:
        """Remove the files without a job if one JVM is all of the cluster and its files are in reach; return whether.

        They are not if a session of Spark Connect is on another host.
        """
        paths = self._paths
        if paths is None or not is_local(self._columns.sparkSession) or not all(map(os.path.exists, paths)):
            return False
        remove_run(self._run, {os.path.dirname(path) for path in paths})
        return not any(map(os.path.exists, paths))

    def close(self) -> None:
        """Free all that was packed."""
        self._unpersist()
        self.remove_files()

    def _unpersist(self) -> None:
        if self._persisted is not None:
            self._persisted.unpersist()
            self._persisted = None


class _Packed(NamedTuple):
    """What a task returns of what it packed."""

    handle: Handle
    moments: bytes
    patterns: str | None
    content: bytes | None = None


@dataclass(frozen=True)
class WriteBlocks:
    """Task that packs rows into one file and returns its handle, with the rows themselves if they are few.

    They are few if a table of ``held_rows`` may have so many in this task (:func:`.carrying.carried_rows`).
    """

    features: Features
    run: str
    strict: bool
    by_task: bool
    application: str = ""
    scan: ParquetScan | None = None
    held_rows: int = 0

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pack what one task reads."""
        freeze_loaded_objects()
        directories = local_directories()
        take_possession(directories, self.application)
        faults: list[str] = []
        stream = stream if self.scan is None else self.scan.read(stream, SOURCE, faults)
        partition, stream = identify(stream, self.by_task)
        directory = directories[task_number() % len(directories)]  # partition ids may have gaps of one length
        # A random name: one task may pack two partitions if Spark had lost both their handles.
        path = os.path.join(directory, f"gmm-{self.run}-{partition}-{uuid.uuid4().hex[:12]}.blocks")
        bad: Counter[str] = Counter()
        rounded: Counter[str] = Counter()
        moments, rows, checksum, failure = Moments.zero(self.features.width), 0, 0, ""
        most = carried_rows(self.held_rows, task_number()) if self.held_rows else 0
        content: list[bytes] = []
        patterns: Counter[bytes] = Counter()
        try:
            with _new_private_file(path + ".writing") as file:
                for block, weight in gather_blocks(stream, self.features, bad, self.strict):
                    moments += Moments.of(block, weight)
                    if self.features.missing:
                        patterns += count_incomplete_patterns(block)
                    checksum = add_checksums(checksum, checksum_rows(block, weight))
                    rounded += count_rounded(self.features, block)
                    rows += block.shape[1]
                    file.write(block.data)
                    if weight is not None:
                        file.write(weight.data)
                    if rows <= most:
                        content += [block.tobytes(), b"" if weight is None else weight.tobytes()]
                    else:
                        content.clear()
                    if len(patterns) > MAX_PATTERNS:
                        break  # the driver refuses the table
            if rows:
                os.rename(path + ".writing", path)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            written = Handle.of(self.features, partition, rows).file_bytes
            failure = (
                f"the local disk is full: {directory} took {written:,} bytes of partition {partition} and "
                "needs more; point spark.local.dir at a larger disk or read the table in more partitions"
            )
            rows = 0
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ".writing")
        handle = Handle.of(
            self.features,
            partition,
            rows,
            path=path if rows else "",
            bad=bad,
            rounded=rounded,
            failure=failure,
            unreadable="".join(faults),
            checksum=checksum,
        )
        vector, counts = moments.vector().tobytes(), write_counts(patterns) if patterns else None
        carried = b"".join(content) if 0 < rows <= most else None
        yield HANDLES.row(
            partition=partition, handle=handle.to_json(), moments=vector, patterns=counts, content=carried
        )


@dataclass(frozen=True)
class StreamBlocks:
    """Task that packs rows into blocks that Spark keeps: a row for each block, then the partition's handle."""

    features: Features
    strict: bool
    by_task: bool
    scan: ParquetScan | None = None

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pack what one task reads."""
        freeze_loaded_objects()
        faults: list[str] = []
        stream = stream if self.scan is None else self.scan.read(stream, SOURCE, faults)
        partition, stream = identify(stream, self.by_task)
        bad: Counter[str] = Counter()
        rounded: Counter[str] = Counter()
        moments, rows, checksum = Moments.zero(self.features.width), 0, 0
        patterns: Counter[bytes] = Counter()
        for block, weight in gather_blocks(stream, self.features, bad, self.strict):
            moments += Moments.of(block, weight)
            if self.features.missing:
                patterns += count_incomplete_patterns(block)
            checksum = add_checksums(checksum, checksum_rows(block, weight))
            rounded += count_rounded(self.features, block)
            rows += block.shape[1]
            packed = block.tobytes() + (b"" if weight is None else weight.tobytes())
            head = Handle.of(self.features, partition, block.shape[1])
            yield STREAM.row(partition=partition, handle=head.to_json(), moments=None, patterns=None, block=packed)
            if len(patterns) > MAX_PATTERNS:
                break  # the driver refuses the table
        handle = Handle.of(
            self.features,
            partition,
            rows,
            bad=bad,
            rounded=rounded,
            unreadable="".join(faults),
            checksum=checksum,
        )
        vector, counts = moments.vector().tobytes(), write_counts(patterns) if patterns else None
        yield STREAM.row(partition=partition, handle=handle.to_json(), moments=vector, patterns=counts, block=b"")


@dataclass(frozen=True)
class RemoveFiles:
    """Task that removes all files of a run from its executor's local directories.

    It looks for names, not for handles: Spark would first compute a lost handle again.
    """

    run: str

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Remove what is there; Spark removes the files of executors that no task reaches, with the application."""
        remove_run(self.run, local_directories())
        for batch in stream:
            yield batch.slice(0, 0)


def remove_run(run: str, directories: Iterable[str]) -> None:
    """Remove all files of a run from directories, as far as possible."""
    for directory in directories:
        for path in Path(directory).glob(f"gmm-{run}-*"):
            with contextlib.suppress(OSError):
                path.unlink()


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
        rows, weights = order_by_pattern(rows, weights)
    for start in range(0, rows.shape[1], size):
        own = slice(start, start + size)
        yield np.ascontiguousarray(rows[:, own]), None if weights is None else weights[own]


def _new_private_file(path: str) -> Any:
    """Open a file that did not exist, readable by its owner alone."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb", buffering=0)
