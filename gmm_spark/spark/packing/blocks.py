"""Blocks on executors' local disks: how a task writes them, finds them again, and knows that it cannot.

``pack`` reads the table once. Each task reads one of its partitions, or several where there are very many, writes
the rows to one file in the executor's local directory, as blocks of shape (d, m), and yields one *handle*: where
the file is, how it is laid out, how many rows it holds and what they look like. Handles are persisted; on several
hosts Spark schedules later tasks where their handle is cached, so the file is local. A file that is not there, or whose
size is not the handle's, is a *miss*: see :mod:`gmm_spark.spark.packing.table`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import TaskContext

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.spark.columns import Features, refused
from gmm_spark.spark.worker import spare_what_is_loaded

# Bytes of a block on disk: enough for sequential reads, little enough that a task's memory stays flat.
BLOCK_BYTES = 1 << 20
_MIN_BLOCK_ROWS, _MAX_BLOCK_ROWS = 256, 1 << 16

# The column after the features: which of the table's partitions a row comes from. Tasks read several where there are
# very many, and which ones, and so the tasks' own numbers, depend on where Spark finds executors: answers must not.
SOURCE = "source"
# Above every partition's number: what a task that read no row goes by. Times the pieces of a file it is an int still.
_EMPTY = 1 << 23

HANDLE_SCHEMA = "partition int, handle string, moments binary"
STREAM_SCHEMA = "partition int, handle string, moments binary, block binary"


@dataclass(frozen=True)
class Handle:
    """What a task says of the rows it packed.

    Attributes
    ----------
    partition : int
        What it goes by among the table's: see :func:`numbered`; of a piece, see :class:`.pieces.Cut`.
    path : str
        File of the blocks; empty where there are no rows, or where the blocks stream through Spark.
    rows, block_rows : int
        Rows that are meant, and in every block but the file's last.
    width : int
        d.
    dtype : str
        numpy name of the features' type; weights are float64.
    weighted : bool
    bad : dict
        Bad rows by reason.
    failure : str
        Why the task gave up; empty where it did not.
    first, of_rows : int
        Of a piece, the number of its first row in the file, and how many rows the file has.
    """

    partition: int
    path: str
    rows: int
    block_rows: int
    width: int
    dtype: str
    weighted: bool
    bad: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    first: int = 0
    of_rows: int | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * np.dtype(self.dtype).itemsize + 8 * self.weighted

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return self.row_bytes * (self.rows if self.of_rows is None else self.of_rows)

    def split(self, block: NDArray[np.uint8] | pa.Buffer, rows: int) -> tuple[Block, Array | None]:
        """View the bytes of a block of ``rows`` rows as features (d, m) and weights (m,)."""
        dtype = np.dtype(self.dtype)
        features = np.frombuffer(block, dtype, count=self.width * rows).reshape(self.width, rows)
        if not self.weighted:
            return features, None
        return features, np.frombuffer(block, np.float64, offset=self.width * rows * dtype.itemsize, count=rows)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Handle:
        """Read what :meth:`to_json` wrote."""
        return cls(**json.loads(text))


def block_rows(features: Features) -> int:
    """Rows of a block: by bytes, a multiple of 64."""
    per_row = features.width * np.dtype(features.dtype).itemsize
    return int(np.clip(BLOCK_BYTES // per_row, _MIN_BLOCK_ROWS, _MAX_BLOCK_ROWS)) // 64 * 64


def gather_blocks(
    stream: Iterator[pa.RecordBatch], features: Features, bad: Counter[str], strict: bool
) -> Iterator[tuple[Block, Array | None]]:
    """Regroup a task's Arrow batches into blocks; a block is valid until the next is asked for.

    Parameters
    ----------
    stream : iterator of RecordBatch
        As :meth:`Features.select` projects them.
    features : Features
    bad : Counter
        Bad rows by reason, counted here as they are met.
    strict : bool
        Stop at the first batch with a bad row. A negative weight stops in any case.
    """
    size = block_rows(features)
    buffer = np.empty((features.width, size), features.dtype)
    weights = np.empty(size) if features.weight else None
    filled = 0
    for batch in stream:
        decoded = features.decode(batch.columns)
        bad.update(decoded.bad)
        if refused(bad, strict):
            return
        rows, weight = decoded.usable()
        at = 0
        while at < rows.shape[1]:
            take = min(size - filled, rows.shape[1] - at)
            buffer[:, filled : filled + take] = rows[:, at : at + take]
            if weights is not None and weight is not None:
                weights[filled : filled + take] = weight[at : at + take]
            filled, at = filled + take, at + take
            if filled == size:
                yield buffer, weights
                filled = 0
    if filled:
        yield np.ascontiguousarray(buffer[:, :filled]), None if weights is None else weights[:filled]


def numbered(stream: Iterator[pa.RecordBatch], by_task: bool) -> tuple[int, Iterator[pa.RecordBatch]]:
    """Return the number that a task goes by, and its batches without the column of partitions.

    It is that of the first partition that the task reads a row of, or its own ``by_task``.
    """
    for first in stream:
        if first.num_rows:
            columns = range(first.num_columns - 1)
            number = _task() if by_task else first.column(SOURCE)[0].as_py()
            return number, (batch.select(columns) for batch in chain([first], stream))
    return _EMPTY + _task(), iter(())


@dataclass(frozen=True)
class WriteBlocks:
    """Task of ``pack``: Arrow batches in, one file written, one handle out."""

    features: Features
    run: str
    strict: bool
    by_task: bool

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pack what one task reads."""
        spare_what_is_loaded()
        partition, stream = numbered(stream, self.by_task)
        directories = _local_directories()
        directory = directories[_task() % len(directories)]  # partitions' numbers may have gaps of one length
        # Not named by attempt: one task may come to pack two partitions, where Spark had lost both their handles.
        path = os.path.join(directory, f"gmm-{self.run}-{partition}-{uuid.uuid4().hex[:12]}.blocks")
        bad: Counter[str] = Counter()
        moments, rows, failure = Moments.zero(self.features.width), 0, ""
        try:
            with _new_private_file(path + ".writing") as file:
                for block, weight in gather_blocks(stream, self.features, bad, self.strict):
                    moments += Moments.of(block, weight)
                    rows += block.shape[1]
                    file.write(block.data)
                    if weight is not None:
                        file.write(weight.data)
            if rows:
                os.rename(path + ".writing", path)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            row_bytes = self.features.width * np.dtype(self.features.dtype).itemsize + 8 * bool(self.features.weight)
            failure = (
                f"the local disk is full: {directory} took {rows * row_bytes:,} bytes of partition {partition} and "
                "needs more; point spark.local.dir at a larger disk or read the table in more partitions"
            )
            rows = 0
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ".writing")
        yield _handle_batch(self.features, partition, path if rows else "", rows, bad, failure, moments)


@dataclass(frozen=True)
class StreamBlocks:
    """Task of the streaming fallback: Arrow batches in, packed blocks out through Spark, then the handle."""

    features: Features
    strict: bool
    by_task: bool

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pack what one task reads."""
        spare_what_is_loaded()
        partition, stream = numbered(stream, self.by_task)
        bad: Counter[str] = Counter()
        moments, rows = Moments.zero(self.features.width), 0
        for block, weight in gather_blocks(stream, self.features, bad, self.strict):
            moments += Moments.of(block, weight)
            rows += block.shape[1]
            packed = block.tobytes() + (b"" if weight is None else weight.tobytes())
            head = Handle(partition, "", block.shape[1], block.shape[1], *_layout(self.features))
            yield _batch(partition, head, None, packed)
        handle = Handle(partition, "", rows, block_rows(self.features), *_layout(self.features), dict(bad))
        yield _batch(partition, handle, moments, b"")


def read_file(handle: Handle) -> Iterator[tuple[Block, Array | None]] | None:
    """Memory-map a handle's file and yield its blocks; None where that is a miss."""
    if handle.rows == 0:
        return iter(())
    try:
        if os.path.getsize(handle.path) != handle.file_bytes:
            return None
        mapped = np.memmap(handle.path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):
        return None
    return _blocks_of(handle, mapped)


def _blocks_of(handle: Handle, mapped: NDArray[np.uint8]) -> Iterator[tuple[Block, Array | None]]:
    end = handle.first + handle.rows
    for start in range(handle.first, end, handle.block_rows):
        rows = min(handle.block_rows, end - start)
        begin = start * handle.row_bytes
        yield handle.split(mapped[begin : begin + rows * handle.row_bytes], rows)


@dataclass(frozen=True)
class RemoveFiles:
    """Task that removes every file of a run from its executor's local directories.

    It looks for names, not for handles: a handle that Spark has lost would be made again only to be removed.
    """

    run: str

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Remove what is there; files on an executor that no task reaches go with the application."""
        for directory in _local_directories():
            for path in Path(directory).glob(f"gmm-{self.run}-*"):
                with contextlib.suppress(OSError):
                    path.unlink()
        for batch in stream:
            yield batch.slice(0, 0)


def name_host(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Task that forgets its rows and tells its number and its host's name."""
    for _ in stream:
        pass
    columns = [pa.array([_task()], pa.int32()), pa.array([socket.gethostname()])]
    yield pa.RecordBatch.from_arrays(columns, names=["task", "host"])


def _layout(features: Features) -> tuple[int, str, bool]:
    return features.width, np.dtype(features.dtype).name, features.weight is not None


def _handle_batch(
    features: Features, partition: int, path: str, rows: int, bad: Counter[str], failure: str, moments: Moments
) -> pa.RecordBatch:
    handle = Handle(partition, path, rows, block_rows(features), *_layout(features), dict(bad), failure)
    return _batch(partition, handle, moments)


def _batch(partition: int, handle: Handle, moments: Moments | None, block: bytes | None = None) -> pa.RecordBatch:
    columns: dict[str, pa.Array] = {
        "partition": pa.array([partition], pa.int32()),
        "handle": pa.array([handle.to_json()]),
        "moments": pa.array([None if moments is None else moments.vector().tobytes()], pa.binary()),
    }
    if block is not None:
        columns["block"] = pa.array([block], pa.binary())
    return pa.RecordBatch.from_pydict(columns)


def _task() -> int:
    context = TaskContext.get()
    if context is None:
        raise RuntimeError("blocks are packed inside Spark tasks only")
    return context.partitionId()


def _local_directories() -> list[str]:
    """The directories Spark gave this executor; Spark removes them with the application."""
    given = [d for d in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if d]
    return given or [tempfile.gettempdir()]


def _new_private_file(path: str) -> Any:
    """Open a file that did not exist, readable by its owner alone."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb", buffering=0)
