"""Rows straight from Parquet: a table that is a plain scan of files is read by pyarrow, without crossing the JVM.

The driver asks Spark's own plan which files and which byte ranges each partition reads (:mod:`.parquet_plan`). Tasks
read just those, in that order, and hand on Arrow batches as Spark would (:meth:`ParquetScan.read`). So the rows, their
partitions and their order are the same, and so is every sum to the bit. What cannot be shown to be the same rows is
read by Spark: the driver refuses what its plan tells, tasks what they find in the files.

A row group belongs to the range that holds its middle, as in Spark. The ranges of a file tile it, so each row group is
read once.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gmm_spark.spark.columns import Features

# Rows of a batch at most, and bytes of their features: few calls, and a batch stays in the processor's cache.
_BATCH_ROWS, _BATCH_BYTES = 1 << 14, 1 << 23
# Bytes that are read of a column at a time; without it a task holds whole row groups.
_BUFFER_BYTES = 1 << 20


class NotPlainError(Exception):
    """Why a table must be read by Spark. Its text completes the sentence "the table was read by Spark, since ..."."""


class Range(NamedTuple):
    """Part of a file: its bytes from ``start`` up to ``end``, and the file's size and time of change (ms)."""

    path: str
    start: int
    end: int
    size: int
    modified: int


@dataclass(frozen=True)
class ParquetScan:
    """Which parts of which files each partition of a table is, and which of their columns hold the features.

    Attributes
    ----------
    partitions : tuple of tuple of Range
        In Spark's order.
    columns : tuple of str
        Columns of the files: those of the features, then that of the weight if there is one.
    types : tuple of pyarrow.DataType
        Types that the files must have.
    features : Features
    fold : callable
        Makes two names equal if Spark takes them for one.
    """

    partitions: tuple[tuple[Range, ...], ...]
    columns: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    features: Features
    fold: Callable[[str], str]

    def read(self, numbers: Iterator[pa.RecordBatch], source: str, faults: list[str]) -> Iterator[pa.RecordBatch]:
        """Read the partitions of a task's numbers; yield batches as :meth:`Features.select` projects them.

        Their last column, ``source``, is the number of the partition. If a file is not what Spark listed, cannot be
        read here, or has other columns, the reason is added to ``faults``, and the batches end: they are not all rows.
        """
        try:
            for batch in numbers:
                for number in batch.column("id").to_pylist():
                    for part in self.partitions[number]:
                        for found in self._read_range(part):
                            columns = [*found, pa.array(np.full(len(found[0]), number, np.int32))]
                            names = [*(f"c{i}" for i in range(len(found))), source]
                            yield pa.RecordBatch.from_arrays(columns, names)
        except NotPlainError as error:
            faults.append(str(error))

    def _read_range(self, part: Range) -> Iterator[list[pa.Array]]:
        try:
            import pyarrow.parquet as pq  # what reads no Parquet need not load it

            with open(part.path, "rb", buffering=0) as opened:
                _require_unchanged(opened.fileno(), part)
                file = pq.ParquetFile(
                    opened, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True
                )
                _require_clear(opened.fileno(), part, file.metadata)
                names = self._find_columns(part.path, file.schema_arrow)
                groups = _groups_within(file.metadata, part)
                rows = sum(file.metadata.row_group(group).num_rows for group in groups)
                size = max(min(_BATCH_ROWS, _BATCH_BYTES // (8 * self.features.width)), 1)
                batches = file.iter_batches(size, groups, names, use_threads=False)
                for batch in batches if groups else ():
                    rows -= batch.num_rows
                    yield self._project([batch.column(batch.schema.get_field_index(name)) for name in names])
                if rows:
                    raise NotPlainError(f"{part.path} has not the rows that its footer names")
                _require_unchanged(opened.fileno(), part)
        except (OSError, ImportError, pa.ArrowException) as error:
            raise NotPlainError(f"{part.path} cannot be read here: {error}") from error

    def _find_columns(self, path: str, schema: pa.Schema) -> list[str]:
        """Return what a file calls the columns, by Spark's rule of the case of letters.

        Raises NotPlainError if a column is not in the file, is there twice, or has another type than the table's.
        """
        places = defaultdict(list)
        for i, name in enumerate(schema.names):
            places[self.fold(name)].append(i)
        found = []
        for name, wanted in zip(self.columns, self.types, strict=True):
            own = places[self.fold(name)]
            if len(own) != 1:
                raise NotPlainError(f"{path} has {'no column' if not own else f'{len(own)} columns'} {name!r}")
            field = schema.field(own[0])
            if not _same_type(field.type, wanted):
                raise NotPlainError(f"{path} has {field.name!r} as {field.type}, and the table as {wanted}")
            found.append(field.name)
        return found

    def _project(self, columns: list[pa.Array]) -> list[pa.Array]:
        """Put numeric columns into one column of lists, as Spark is asked to."""
        if self.features.form != "scalars":
            return columns
        width, rows = self.features.width, len(columns[0])
        values = np.empty((rows, width), self.features.dtype)
        nulls = None
        for i, column in enumerate(columns[:width]):
            values[:, i] = column.to_numpy(zero_copy_only=False)
            if column.null_count:
                nulls = np.zeros((rows, width), bool) if nulls is None else nulls
                nulls[:, i] = column.is_null()
        offsets = pa.array(np.arange(0, (rows + 1) * width, width, dtype=np.int32))
        flat = pa.array(values.ravel(), mask=None if nulls is None else nulls.ravel(), from_pandas=False)
        return [pa.ListArray.from_arrays(offsets, flat), *columns[width:]]


def _require_unchanged(file: int, part: Range) -> None:
    """Raise NotPlainError unless an open file is the one that Spark listed."""
    status = os.fstat(file)
    if (status.st_size, status.st_mtime_ns // 1_000_000) != (part.size, part.modified):
        raise NotPlainError(f"{part.path} has changed since Spark listed it, or is another file on this host")


def _require_clear(file: int, part: Range, footer: Any) -> None:
    """Raise NotPlainError if columns may be encrypted: pyarrow ends the process if it is asked for one of them.

    The footer itself may be in clear. Its signature comes after it then, so that it is longer than what it holds.
    """
    length = int.from_bytes(os.pread(file, 4, part.size - 8), "little")
    if length != footer.serialized_size:
        raise NotPlainError(f"{part.path} has a signed footer: columns may be encrypted")


def _groups_within(footer: Any, part: Range) -> list[int]:
    """List the row groups whose middle lies in a range, by the rule of Parquet's own reader in Java."""
    found = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        first = group.column(0)
        start = first.data_page_offset
        if first.has_dictionary_page and first.dictionary_page_offset is not None:
            start = min(start, first.dictionary_page_offset)
        size = sum(group.column(i).total_compressed_size for i in range(group.num_columns))
        middle = start + size // 2
        if not 0 <= middle < part.size:
            raise NotPlainError(f"{part.path} has a footer that places its row groups outside of the file")
        if part.start <= middle < part.end:
            found.append(number)
    return found


def _same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether two types are the same, whatever the fields of lists are called."""
    if pa.types.is_list(wanted):
        return pa.types.is_list(found) and _same_type(found.value_type, wanted.value_type)
    if pa.types.is_struct(wanted):
        return (
            pa.types.is_struct(found)
            and [field.name for field in found] == [field.name for field in wanted]
            and all(_same_type(a.type, b.type) for a, b in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)
