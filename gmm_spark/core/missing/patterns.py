"""Patterns of missingness: which features of a row are missing. In every block of core NaN is a missing value.

Rows of one pattern share everything but their values, so a block keeps them together: it is ordered by pattern, and
what works on a block takes it run by run. A block needs no list of its runs: its NaNs tell them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block, has_missing

Indices = NDArray[np.intp]

# Bytes of a word by which patterns are compared.
_WORD = 8


class Run(NamedTuple):
    """Rows of one pattern that lie together in a block.

    Attributes
    ----------
    pattern : bytes
        The missing features, see :func:`write_pattern`. Without a bit that is 1 nothing is missing.
    rows : slice
        Of the block's columns.
    """

    pattern: bytes
    rows: slice


def write_pattern(missing: NDArray[np.bool_]) -> bytes:
    """Write a pattern, (d,), as bits: bit 7 of the first byte is the first feature, and 1 if it is missing.

    Examples
    --------
    >>> write_pattern(np.array([False, True, False]))
    b'@'
    """
    return np.packbits(missing).tobytes()


def read_pattern(pattern: bytes, d: int) -> NDArray[np.bool_]:
    """Read which of d features a pattern says are missing, (d,).

    Examples
    --------
    >>> read_pattern(b"@", 3).tolist()
    [False, True, False]
    """
    return np.unpackbits(np.frombuffer(pattern, np.uint8), count=d).astype(bool)


def observed_features(pattern: bytes, d: int) -> Indices:
    """List the features that are observed under a pattern, (g,)."""
    return np.flatnonzero(~read_pattern(pattern, d))


def order_by_pattern(rows: Block, sample_weight: Array | None = None) -> tuple[Block, Array | None]:
    """Order rows (d, m) and weights (m,) by pattern, complete rows first; rows of one pattern keep their order.

    Rows that are in order already, such as those without a missing value, are returned as they are.
    """
    if not has_missing(rows):
        return rows, sample_weight
    order = sort_by_pattern(np.isnan(rows))
    if np.array_equal(order, np.arange(len(order))):
        return rows, sample_weight
    return np.ascontiguousarray(rows[:, order]), None if sample_weight is None else sample_weight[order]


def sort_by_pattern(missing: NDArray[np.bool_]) -> Indices:
    """Return the stable order of rows, (m,), by their missing features (d, m)."""
    words = _pack(missing)
    if len(words) == 1:
        return np.argsort(words[0], kind="stable")
    return np.lexsort(words[::-1])


def find_runs(rows: Block) -> Iterator[Run]:
    """Yield the runs of rows (d, m), in their order."""
    m = rows.shape[1]
    missing = np.isnan(rows)
    changes = np.flatnonzero((missing[:, 1:] != missing[:, :-1]).any(axis=0)) + 1
    if not m:
        return
    starts = [0, *changes.tolist()]
    for start, end in zip(starts, [*starts[1:], m], strict=True):
        yield Run(write_pattern(missing[:, start]), slice(start, end))


def count_patterns(rows: Block) -> Counter[bytes]:
    """Count the rows (d, m) of each pattern; rows in order are counted fastest. Empty if nothing is missing."""
    found: Counter[bytes] = Counter()
    if has_missing(rows):
        for run in find_runs(rows):
            found[run.pattern] += run.rows.stop - run.rows.start
    return found


def count_incomplete_patterns(rows: Block) -> Counter[bytes]:
    """Count the rows (d, m) of each pattern under which something is missing."""
    return Counter({pattern: n for pattern, n in count_patterns(rows).items() if any(pattern)})


def _pack(missing: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack the missing features (d, m) into words that sort as the patterns' bytes do, (words, m)."""
    d, m = missing.shape
    size = -(-d // (8 * _WORD)) * _WORD
    packed = np.zeros((m, size), np.uint8)
    packed[:, : -(-d // 8)] = np.packbits(missing, axis=0).T
    return np.ascontiguousarray(packed.view(">u8").T).astype(np.uint64)
