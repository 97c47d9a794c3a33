"""Blocks and the files they lie in: how a file is laid out, and how it is read.

A packed partition is one file in a local directory of its executor. It holds the rows as blocks of shape (d, m), one
after the other, each followed by its weights (m,) if the table has any. A *handle* describes the file. If the file is
missing, or its size is not the handle's, that is a *miss*: see :mod:`gmm_spark.spark.packing.table`.
"""

from __future__ import annotations

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
from gmm_spark.spark.columns import Features

# Bytes of a block on disk: enough for sequential reads, and a task's memory stays flat.
BLOCK_BYTES = 1 << 20
_MIN_BLOCK_ROWS, _MAX_BLOCK_ROWS = 256, 1 << 16
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
    failure : str
        Why the task gave up; empty if it did not.
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
    ) -> Handle:
        """Describe rows of a table's features, in blocks of :func:`rows_per_block`."""
        dtype, weighted = np.dtype(features.dtype).name, features.weight is not None
        counts = dict(bad or {}), dict(rounded or {})
        return cls(partition, path, rows, rows_per_block(features), features.width, dtype, weighted, *counts, failure)

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
    """Memory-map the file of a handle and yield its blocks; None if that is a miss."""
    if handle.rows == 0:
        return iter(())
    try:
        if os.path.getsize(handle.path) != handle.file_bytes:
            return None
        mapped = np.memmap(handle.path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):
        return None
    return _split_file(handle, mapped)


def _split_file(handle: Handle, mapped: NDArray[np.uint8]) -> Blocks:
    end = handle.first + handle.rows
    for start in range(handle.first, end, handle.block_rows):
        rows = min(handle.block_rows, end - start)
        begin = start * handle.row_bytes
        yield handle.split(mapped[begin : begin + rows * handle.row_bytes], rows)


def local_directories() -> list[str]:
    """Directories that Spark gave this executor; Spark removes them with the application."""
    given = [d for d in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if d]
    return given or [tempfile.gettempdir()]
