"""A checksum of rows: whether two readings of a table gave the same rows, in whatever order and partitions.

Each row is hashed from the bits of its values, and the hashes are added modulo 2**64. The sum is exact, so it does not
depend on the order, and a row that comes twice counts twice. It tells apart tables whose columns have the same values
in other combinations, which moments do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block

# Odd numbers without a pattern (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators").
_STEP, _FIRST, _SECOND = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SHIFT = np.uint64(31)
# Rows hashed at a time, so that work arrays stay in the cache.
_CHUNK = 1 << 13


def checksum_rows(rows: Block, sample_weight: Array | None = None) -> int:
    """Return the checksum of rows (d, m) with weights (m,); those of disjoint rows add up modulo 2**64.

    Examples
    --------
    >>> rows = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> checksum_rows(rows) == checksum_rows(rows[:, ::-1]) != checksum_rows(np.array([rows[0], rows[1, ::-1]]))
    True
    """
    total = np.uint64(0)
    with np.errstate(over="ignore"):
        for start in range(0, rows.shape[1], _CHUNK):
            chunk = slice(start, start + _CHUNK)
            columns = [_view_bits(column[chunk]) for column in rows]
            if sample_weight is not None:
                columns.append(_view_bits(sample_weight[chunk]))
            mixed = np.zeros(len(columns[0]), np.uint64)
            for column in columns:
                # The shift carries high bits down: a sum of products alone would lose them for round numbers.
                mixed ^= mixed >> _SHIFT
                mixed += _STEP
                mixed *= _FIRST
                mixed += column
            mixed ^= mixed >> _SHIFT
            mixed *= _SECOND
            mixed ^= mixed >> _SHIFT
            total += mixed.sum(dtype=np.uint64)
    return int(total)


def add_checksums(*checksums: int) -> int:
    """Return the checksum of all rows of disjoint parts, from those of the parts."""
    return sum(checksums) % (1 << 64)


def _view_bits(column: NDArray[np.floating]) -> NDArray[np.unsignedinteger]:
    """View the bits of numbers as integers, in a contiguous copy if need be."""
    column = np.ascontiguousarray(column)
    return column.view(np.uint64 if column.itemsize == 8 else np.uint32)
