"""The two matrix products of a chunk, in the shapes that BLAS is fastest at.

The products are long and thin: a few components by thousands of rows. BLAS libraries copy their operands into packed
form first, which does not pay for such shapes. For small products they have kernels that pack nothing. numpy multiplies
a stack of matrices by one BLAS call each, without Python in between. So chunks are cut into slices of columns, which
are views, and multiplied as a stack. Products too large for the small kernels are left whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from gmm_spark.core.arrays import Block

# Bytes.
_CACHE_LINE = 64
# Columns of a slice. Not a multiple of a power of two times 8, or the rows of a slice share cache sets.
SLICE = 376
# Multiplications of a slice up to which OpenBLAS packs nothing (100 cubed).
SMALL_PRODUCT = 10**6
# Multiplications of a slice from which it pays to transpose the responsibilities first.
WORTH_TRANSPOSING = 400_000


def allocate(size: int, dtype: DTypeLike) -> Block:
    """Allocate an array of this many elements that begins at a cache line.

    numpy's own arrays begin 16 bytes after one, and every wide store then touches two lines.
    """
    dtype = np.dtype(dtype)
    memory = np.empty(size * dtype.itemsize + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


class Workspace:
    """Work buffers by name. Kernels that are used in turn share them, each as large as the largest kernel needs."""

    def __init__(self) -> None:
        self._buffers: dict[str, Block] = {}

    def take(self, name: str, size: int, dtype: DTypeLike) -> Block:
        """Return a buffer of this many elements, whose contents are undefined."""
        found = self._buffers.get(name)
        if found is None or found.size < size or found.dtype != dtype:
            found = self._buffers[name] = allocate(size, dtype)
        return found[:size]


def evaluate(coefficients: Block, features: Block, out: Block) -> None:
    """Write ``coefficients @ features``: (k, D) times (D, m) into (k, m)."""
    m = features.shape[1]
    whole = _count_sliced(coefficients.size, m)
    if whole:
        np.matmul(coefficients, _view_slices(features[:, :whole]), out=_view_slices(out[:, :whole]))
    if whole < m:
        np.matmul(coefficients, features[:, whole:], out=out[:, whole:])


def accumulate(features: Block, shares: Block, sums: Block, work: Block) -> None:
    """Add ``features @ shares.T``, (D, m) times (m, k), to sums (D, k) of float64; work has at least k * m elements."""
    (k, m), size = shares.shape, len(features) * len(shares)
    whole = _count_sliced(size, m)
    transposed, stack = shares.T, _view_slices(shares[:, :whole]).transpose(0, 2, 1)
    if WORTH_TRANSPOSING <= size * SLICE <= SMALL_PRODUCT:
        transposed = work[: m * k].reshape(m, k)
        np.copyto(transposed, shares.T)
        stack = transposed[:whole].reshape(-1, SLICE, k)
    if whole:
        sums += np.matmul(_view_slices(features[:, :whole]), stack).sum(axis=0, dtype=np.float64)
    if whole < m:
        sums += np.matmul(features[:, whole:], transposed[whole:])


def _count_sliced(size: int, m: int) -> int:
    """Count the columns, of m, to multiply in slices by a matrix of this size."""
    return m // SLICE * SLICE if size * SLICE <= SMALL_PRODUCT else 0


def _view_slices(matrix: Block) -> Block:
    """View a matrix (n, b * SLICE) as b matrices (n, SLICE)."""
    return matrix.reshape(len(matrix), -1, SLICE).transpose(1, 0, 2)
