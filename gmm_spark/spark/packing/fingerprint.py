"""A fingerprint of rows: tells whether a table gave the same rows when it was read again.

It is the sum of a hash of each row, modulo 2**64, so neither the order of the rows nor their division into parts
matters. It is exact: any other bit in any row gives another fingerprint, but for a chance of about 2**-64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block

MODULUS = 1 << 64

# Multipliers and shifts of splitmix64 (Steele, Lea & Flood 2014).
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_SHIFTS = 30, 27, 31
# Rows hashed at a time: two arrays of 64-bit numbers that stay in a core's cache.
_ROWS = 8192


def fingerprint_rows(rows: Block, weight: Array | None = None) -> int:
    """Return the fingerprint of a block (d, m) and its weights (m,): those of parts of a table add up to the table's.

    A row's bits are combined with a multiplier for each feature, then mixed. Without the mixing, values that change
    places within a feature would go unnoticed.
    """
    columns = list(rows) if weight is None else [*rows, weight]
    factors = _mix(np.arange(1, len(columns) + 1, dtype=np.uint64) * np.uint64(_STEP)) | np.uint64(1)
    total = 0
    for start in range(0, rows.shape[1], _ROWS):
        hashes = np.full(min(_ROWS, rows.shape[1] - start), _STEP, np.uint64)  # not zero: rows of zeros count
        product = np.empty_like(hashes)
        for factor, column in zip(factors, columns, strict=True):
            part = column[start : start + _ROWS]
            hashes += np.multiply(part.view(f"u{part.itemsize}"), factor, out=product)
        total += int(_mix(hashes).sum(dtype=np.uint64))
    return total % MODULUS


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each number: splitmix64's last steps."""
    first, second, third = (np.uint64(shift) for shift in _SHIFTS)
    numbers = (numbers ^ (numbers >> first)) * np.uint64(_FIRST)
    numbers = (numbers ^ (numbers >> second)) * np.uint64(_SECOND)
    return numbers ^ (numbers >> third)
