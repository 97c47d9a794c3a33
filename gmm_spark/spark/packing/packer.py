"""Packing: the table's rows become blocks, in tasks, and the driver has a handle of each file.

Rows cross from the JVM to Python here, once, or tasks read them from Parquet files themselves (:mod:`.parquet_scan`).
By default the blocks go to a file in the executor's local directory, and Spark keeps the handles. Otherwise the blocks
themselves go back to Spark, which keeps them ("streamed").
"""

from __future__ import annotations

import logging
import os
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from gmm_spark.core.kernels.checksum import add_checksums
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.missing.counts import read_counts
from gmm_spark.core.missing.patterns import write_pattern
from gmm_spark.errors import DataError, ResourceError
from gmm_spark.spark.columns import Features
from gmm_spark.spark.packing.blocks import Handle
from gmm_spark.spark.packing.cluster import is_local
from gmm_spark.spark.packing.gathering import SOURCE
from gmm_spark.spark.packing.parquet_plan import find_scan
from gmm_spark.spark.packing.parquet_scan import NotPlainError, ParquetScan
from gmm_spark.spark.packing.tasks import HANDLES, STREAM, RemoveFiles, StreamBlocks, WriteBlocks, remove_run
from gmm_spark.spark.results import collect, count_parts

_logger = logging.getLogger(__name__)

# Packing has at most PACK_TASKS tasks and PACK_TASKS_PER_CORE more for each core; each reads several partitions if
# there are more. A task costs some 20 ms and a handle, however little it reads. With so many tasks, a lost one is a
# small loss, and a large cluster has enough to share out.
PACK_TASKS, PACK_TASKS_PER_CORE = 1_000, 16


def most_tasks(cores: int) -> int:
    """Return how many tasks packing has at most."""
    return PACK_TASKS + PACK_TASKS_PER_CORE * cores


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
