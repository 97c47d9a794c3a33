"""The two matrix products of a chunk, in the shapes that BLAS is fastest at.

A mixture's products are long and thin: a few components by thousands of rows. BLAS libraries pack their
operands first, which such shapes do not repay, and have kernels that pack nothing for small products.
numpy multiplies a stack of matrices by one BLAS call each, without Python in between, so chunks are cut
into slices of columns and given to it as a stack; views do that, nothing is copied.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.covariance import Block

# Columns of a slice. Not a multiple of a power of two times 8, or the rows of a slice share cache sets.
SLICE = 376
# Multiplications of a product up to which OpenBLAS packs nothing (its 100 cubed).
SMALL_PRODUCT = 10**6


def evaluate(coefficients: Block, features: Block, out: Block) -> None:
    """Write ``coefficients @ features``: (k, D) times (D, m) into (k, m)."""
    whole = features.shape[1] // SLICE * SLICE
    if whole:
        np.matmul(coefficients, _slices(features[:, :whole]), out=_slices(out[:, :whole]))
    if whole < features.shape[1]:
        np.matmul(coefficients, features[:, whole:], out=out[:, whole:])


def accumulate(features: Block, resp: Block, sums: Block) -> None:
    """Add ``features @ resp``, (D, m) times (m, k), to sums (D, k) of float64."""
    (length, m), k = features.shape, resp.shape[1]
    whole = m // SLICE * SLICE if length * k * SLICE <= SMALL_PRODUCT else 0
    if whole:
        stack = resp[:whole].reshape(-1, SLICE, k)
        sums += np.matmul(_slices(features[:, :whole]), stack).sum(axis=0, dtype=np.float64)
    if whole < m:
        sums += np.matmul(features[:, whole:], resp[whole:])


def _slices(matrix: Block) -> Block:
    """View (n, b * SLICE) as b matrices (n, SLICE)."""
    return matrix.reshape(len(matrix), -1, SLICE).transpose(1, 0, 2)
