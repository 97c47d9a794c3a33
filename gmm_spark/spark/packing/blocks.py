"""Blocks and the files they lie in: how a file is laid out, and how it is read.

A packed partition is one file in a local directory of its executor. It holds the rows as blocks of shape (d, m), one
after the other, each followed by its weights (m,) if the table has any. A *handle* describes the file. If the file is
missing or may not be read, or its size is not the handle's, that is a *miss*: see :mod:`.recovery`. A lack of memory is
an error.
"""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.errors import ResourceError
from gmm_spark.spark.columns import Features
from gmm_spark.spark.results import lack_of_memory

# Bytes of a block on disk: enough for sequential reads, and a task's memory stays flat.
BLOCK_BYTES = 1 << 20
_MIN_BLOCK_ROWS, _MAX_BLOCK_ROWS = 256, 1 << 16
# Bytes of a file that are mapped at a time.
MAPPED_BYTES = 1 << 26
# A file that cannot be opened for one of these reasons is not lost.
_LACKING = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)
# Bytes of a block at most: blocks of very many features have fewer rows.
MAX_BLOCK_BYTES = 1 << 25

Blocks: TypeAlias = Iterator[tuple[Block, Array | None]]
"""Features (d, m) and weights (m,) of block after block; a block may be valid only until the next is asked for."""


@dataclass(frozen=True)
class Handle:
    """Description of a packed partition, or of a piece of one (:class:`.pieces.Cut`).

    Attributes
    ----------
    partition : int
        Id of the partition within the table; of a piece, the piece's number.
    path : str
        File of the blocks; empty if there are no rows, or if the blocks stream through Spark.
    rows, block_rows : int
        Rows of the partition or piece; rows of every block but the file's last.
    width : int
        d.
    dtype : str
        numpy name of the features' type; weights are float64.
    weighted : bool
    bad : dict
        Bad rows by reason.
    rounded : dict
        Values that float64 may have rounded, by feature.
    checksum : int
        Of the partition's rows (:func:`.checksum_rows`); 0 of a piece or a block.
    failure : str
        Why the task gave up; empty if it did not.
    unreadable : str
        Why the task could not read Parquet files itself; empty if it could, or did not try.
    first, of_rows : int
        Of a piece: the index of its first row in the file, and the rows of the whole file.
    """

    partition: int
    path: str
    rows: int
    block_rows: int
    width: int
    dtype: str
    weighted: bool
    bad: dict[str, int] = field(default_factory=dict)
    rounded: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    unreadable: str = ""
    checksum: int = 0
    first: int = 0
    of_rows: int | None = None

    @classmethod
    def of(
        cls,
        features: Features,
        partition: int,
        rows: int,
        *,
        path: str = "",
        bad: Mapping[str, int] | None = None,
        rounded: Mapping[str, int] | None = None,
        failure: str = "",
        unreadable: str = "",
        checksum: int = 0,
    ) -> Handle:
        """Describe rows of a table's features, in blocks of :func:`rows_per_block`."""
        dtype, weighted = np.dtype(features.dtype).name, features.weight is not None
        counts = dict(bad or {}), dict(rounded or {})
        size, width = rows_per_block(features), features.width
        return cls(partition, path, rows, size, width, dtype, weighted, *counts, failure, unreadable, checksum)

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


def rows_per_block(features: Features) -> int:
    """Rows of a block: as many as :data:`BLOCK_BYTES` holds, a multiple of 64.

    Of very many features, as many as :data:`MAX_BLOCK_BYTES` holds, an even number, so that weights stay aligned.
    """
    per_row = features.width * np.dtype(features.dtype).itemsize
    rows = int(np.clip(BLOCK_BYTES // per_row, _MIN_BLOCK_ROWS, _MAX_BLOCK_ROWS)) // 64 * 64
    return min(rows, max(MAX_BLOCK_BYTES // per_row // 2 * 2, 2))


def read_file(handle: Handle) -> Blocks | None:
    """Yield the blocks of a handle from memory maps of a part of its file each; None if the file is a miss.

    Raises
    ------
    ResourceError
        If the file is there but cannot be opened, or later mapped, for lack of memory or of open files.
    """
    if handle.rows == 0:
        return iter(())
    try:
        file = open(handle.path, "rb", buffering=0)  # noqa: SIM115 - the iterator closes it
    except OSError as error:
        if error.errno in _LACKING:
            raise _lack(handle, error) from error
        return None
    if os.fstat(file.fileno()).st_size != handle.file_bytes:
        file.close()
        return None
    return _map_blocks(handle, file)


def read_bytes(handle: Handle, content: bytes) -> Blocks:
    """Yield the blocks of a handle from the bytes of its whole file."""
    begin = handle.first * handle.row_bytes
    end = begin + handle.rows * handle.row_bytes
    return _split_blocks(handle, np.frombuffer(content, np.uint8)[begin:end], handle.rows)


def _map_blocks(handle: Handle, file: io.FileIO) -> Blocks:
    """Map some blocks at a time: workers may have less address space than the file is long."""
    step = handle.block_rows * max(MAPPED_BYTES // (handle.block_rows * handle.row_bytes), 1)
    end = handle.first + handle.rows
    with file:
        for start in range(handle.first, end, step):
            last = min(start + step, end)
            begin, size = start * handle.row_bytes, (last - start) * handle.row_bytes
            try:
                mapped = np.memmap(file, np.uint8, mode="r", offset=begin, shape=size)
            except OSError as error:
                raise _lack(handle, error) from error
            yield from _split_blocks(handle, mapped, last - start)


def _split_blocks(handle: Handle, mapped: NDArray[np.uint8], rows: int) -> Blocks:
    for start in range(0, rows, handle.block_rows):
        taken = min(handle.block_rows, rows - start)
        begin = start * handle.row_bytes
        yield handle.split(mapped[begin : begin + taken * handle.row_bytes], taken)


def _lack(handle: Handle, error: OSError) -> ResourceError:
    return ResourceError(lack_of_memory(f"{handle.path} is there but cannot be read: {error.strerror}"))


def local_directories() -> list[str]:
    """Directories that Spark gave this executor; Spark removes them with the application."""
    given = [d for d in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if d]
    return given or [tempfile.gettempdir()]
