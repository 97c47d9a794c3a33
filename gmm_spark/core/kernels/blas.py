"""The two matrix products of a chunk, in the shapes that BLAS is fastest at.

A mixture's products are long and thin: a few components by thousands of rows. BLAS libraries pack their
operands first, which such shapes do not repay, and have kernels that pack nothing for small products.
numpy multiplies a stack of matrices by one BLAS call each, without Python in between, so chunks are cut
into slices of columns and given to it as a stack; views do that, nothing is copied. Products that are packed
anyway are left whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from gmm_spark.core.arrays import Block

# Bytes.
_CACHE_LINE = 64
# Columns of a slice. Not a multiple of a power of two times 8, or the rows of a slice share cache sets.
SLICE = 376
# Multiplications of a slice up to which OpenBLAS packs nothing (its 100 cubed).
SMALL_PRODUCT = 10**6
# Multiplications of a slice from which its small kernels repay that responsibilities are first laid out row by row:
# 1.5 times faster for 153 features by 16 components, while turning costs as much as the whole product of 15 by 8.
WORTH_TURNING = 400_000


def buffer(size: int, dtype: DTypeLike) -> Block:
    """Make room for so many elements, from a cache line's beginning on.

    numpy's own begin 16 bytes beyond one, and every wide store then touches two: products of features took twice as
    long.
    """
    dtype = np.dtype(dtype)
    room = np.empty(size * dtype.itemsize + _CACHE_LINE, np.uint8)
    start = -room.ctypes.data % _CACHE_LINE
    return room[start : start + size * dtype.itemsize].view(dtype)


def evaluate(coefficients: Block, features: Block, out: Block) -> None:
    """Write ``coefficients @ features``: (k, D) times (D, m) into (k, m)."""
    m = features.shape[1]
    whole = _sliced(coefficients.size, m)
    if whole:
        np.matmul(coefficients, _slices(features[:, :whole]), out=_slices(out[:, :whole]))
    if whole < m:
        np.matmul(coefficients, features[:, whole:], out=out[:, whole:])


def accumulate(features: Block, shares: Block, sums: Block, work: Block) -> None:
    """Add ``features @ shares.T``, (D, m) times (m, k), to sums (D, k) of float64; work holds k * m at least."""
    (k, m), size = shares.shape, len(features) * len(shares)
    whole = _sliced(size, m)
    turned, stack = shares.T, _slices(shares[:, :whole]).transpose(0, 2, 1)
    if WORTH_TURNING <= size * SLICE <= SMALL_PRODUCT:
        turned = work[: m * k].reshape(m, k)
        np.copyto(turned, shares.T)
        stack = turned[:whole].reshape(-1, SLICE, k)
    if whole:
        sums += np.matmul(_slices(features[:, :whole]), stack).sum(axis=0, dtype=np.float64)
    if whole < m:
        sums += np.matmul(features[:, whole:], turned[whole:])


def _sliced(size: int, m: int) -> int:
    """How many of m columns to multiply in slices, by a matrix of so many elements."""
    return m // SLICE * SLICE if size * SLICE <= SMALL_PRODUCT else 0


def _slices(matrix: Block) -> Block:
    """View (n, b * SLICE) as b matrices (n, SLICE)."""
    return matrix.reshape(len(matrix), -1, SLICE).transpose(1, 0, 2)
