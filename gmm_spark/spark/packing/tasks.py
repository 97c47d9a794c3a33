"""Tasks that pack: rows into blocks, in a file on the executor's disk or back to Spark; and that remove such files."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gmm_spark.spark.columns import Features
from gmm_spark.spark.packing.blocks import Handle, local_directories
from gmm_spark.spark.packing.carrying import carried_rows
from gmm_spark.spark.packing.gathering import SOURCE, Gathered, identify
from gmm_spark.spark.packing.leftovers import take_possession
from gmm_spark.spark.packing.parquet_scan import ParquetScan
from gmm_spark.spark.schema import Schema
from gmm_spark.spark.worker import freeze_loaded_objects, task_number

# Patterns are null unless null and NaN are missing values.
# The content is that of the file, if the task hands it to the driver too, else null.
HANDLES = Schema(
    partition=pa.int32(), handle=pa.string(), moments=pa.binary(), patterns=pa.string(), content=pa.binary()
)
# A row for each block, then one for the partition, with moments and no bytes.
STREAM = Schema(partition=pa.int32(), handle=pa.string(), moments=pa.binary(), patterns=pa.string(), block=pa.binary())


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
        gathered, failure = Gathered(self.features, self.strict), ""
        most = carried_rows(self.held_rows, task_number()) if self.held_rows else 0
        content: list[bytes] = []
        try:
            with _new_private_file(path + ".writing") as file:
                for block, weight in gathered.blocks(stream):
                    file.write(block.data)
                    if weight is not None:
                        file.write(weight.data)
                    if gathered.rows <= most:
                        content += [block.tobytes(), b"" if weight is None else weight.tobytes()]
                    else:
                        content.clear()
            if gathered.rows:
                os.rename(path + ".writing", path)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            written = Handle.of(self.features, partition, gathered.rows).file_bytes
            failure = (
                f"the local disk is full: {directory} took {written:,} bytes of partition {partition} and "
                "needs more; point spark.local.dir at a larger disk or read the table in more partitions"
            )
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ".writing")
        has_file = gathered.rows > 0 and not failure
        told = gathered.describe(partition, path=path if has_file else "", failure=failure, faults=faults)
        yield HANDLES.row(**told, content=b"".join(content) if has_file and gathered.rows <= most else None)


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
        gathered = Gathered(self.features, self.strict)
        for block, weight in gathered.blocks(stream):
            packed = block.tobytes() + (b"" if weight is None else weight.tobytes())
            head = Handle.of(self.features, partition, block.shape[1])
            yield STREAM.row(partition=partition, handle=head.to_json(), moments=None, patterns=None, block=packed)
        yield STREAM.row(**gathered.describe(partition, faults=faults), block=b"")


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


def _new_private_file(path: str) -> Any:
    """Open a file that did not exist, readable by its owner alone."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb", buffering=0)
