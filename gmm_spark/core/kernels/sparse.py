"""The M step's sums of a large mixture, from the responsibilities that are not negligible.

With many components in many dimensions, one or two components explain a row and its other responsibilities are
negligible. A full matrix product would multiply by all of them. Here the responsibilities of a few thousand rows are
*sifted*: negligible ones are dropped, the rest are sorted by component, and each component multiplies its own rows.

What is dropped is below rounding: of the component's own sums over the same rows, or of the smallest sums over all rows
that do not count as starved.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.blas import SLICE
from gmm_spark.core.kernels.statistics import STARVED_SHARE

# Rows whose responsibilities are gathered before they are multiplied. With fewer, products are smaller and calls more.
WINDOW = 3000
# Quadratic features of a component whose products cost as much as sifting its responsibilities; and the features of
# all components together, beyond those, from which sifting pays (figures in docs/benchmarks.md).
SIFTING_COST, WORTH_SIFTING = 75, 8_000
# Share of significant responsibilities above which the full product is faster.
FEW = 1 / 8
# A responsibility is negligible below this share of the rounding of the component's largest one in the chunk. Chunks
# have up to 2^13 rows, so all that is dropped from one is below rounding, also in second moments up to 10 deviations.
_NEGLIGIBLE = 2.0**-20
# Responsibilities multiplied at a time, so that work memory does not grow with the number of components.
_BATCH = 16 * SLICE


def find_significant(shares: Block, few: float, weight: float = 1.0) -> NDArray[np.intp] | None:
    """Find the responsibilities that are not negligible in their component's sums.

    Parameters
    ----------
    shares : array (k, m) or (m,)
        Responsibilities times the rows' weights.
    few : float
        Largest share of them to return.
    weight : float
        Mean row weight; sets the threshold below which responsibilities are dropped.

    Returns
    -------
    array of int or None
        Positions in the flattened responsibilities, in order; None if there are more than ``few``.
    """
    eps = np.finfo(shares.dtype).eps
    least = shares.max(axis=-1, keepdims=True)
    least *= eps * _NEGLIGIBLE
    np.maximum(least, eps * STARVED_SHARE * weight, out=least)
    kept = ~(shares <= least)  # NaN is kept, so that sums show it
    if np.count_nonzero(kept) > few * shares.size:
        return None
    return np.flatnonzero(kept)


class SparseSums:
    """The sums over the outer products of ``[1, z]`` of each component of a segment, from gathered responsibilities.

    Parameters
    ----------
    k, d : int
        Components and features.
    """

    def __init__(self, k: int, d: int) -> None:
        self.sums: Array = np.zeros((k, 1 + d, 1 + d))
        self._pending: list[tuple[NDArray[np.intp], NDArray[np.intp], Block]] = []

    def gather(self, shares: Block, found: NDArray[np.intp], first: int) -> None:
        """Keep the responsibilities of (k, m) that are ``found``; their rows begin at the window's row ``first``."""
        component, row = np.divmod(found, shares.shape[1])
        row += first
        self._pending.append((component, row, shares.ravel()[found]))

    def multiply(self, points: Block) -> None:
        """Add the gathered responsibilities' outer products, from the window's rows ``[1, z]``, (rows, 1 + d)."""
        if not self._pending:
            return
        components, rows, shares = (np.concatenate(parts) for parts in zip(*self._pending, strict=True))
        self._pending.clear()
        order = np.argsort(components.astype(np.min_scalar_type(len(self.sums))), kind="stable")  # radix sort
        for first in range(0, len(order), _BATCH):
            part = order[first : first + _BATCH]
            component, picked = components[part], points[rows[part]]
            weighted = picked * shares[part, None]
            ends = [*np.flatnonzero(np.diff(component, prepend=-1)).tolist(), len(part)]
            for start, end in pairwise(ends):
                for at in range(start, end, SLICE):  # longer products are slower, and less exact in float32
                    own = slice(at, min(at + SLICE, end))
                    self.sums[component[start]] += picked[own].T @ weighted[own]


class Sifting:
    """The sums over significant responsibilities, of the candidates of a pass for which sifting pays.

    The rows of a few chunks are kept in a window and multiplied together.

    Parameters
    ----------
    sizes : sequence of int
        Number of components of each candidate; 0 for those that take full products.
    d, chunk : int
        Number of features, and most rows of a chunk.
    dtype : dtype
        Type of the products.
    """

    def __init__(self, sizes: Sequence[int], d: int, chunk: int, dtype: DTypeLike) -> None:
        self._sizes, self._d, self._chunk = sizes, d, chunk
        window = -(-WINDOW // chunk) * chunk if any(sizes) else 0
        self._points = np.empty((window, 1 + d), dtype)
        self.clear()

    def clear(self) -> None:
        """Set all sums to zero."""
        self._sparse = [SparseSums(k, self._d) if k else None for k in self._sizes]
        self._filled, self._taken = 0, False

    def take(self, i: int, shares: Block, weight: float) -> bool:
        """Keep the significant responsibilities of a chunk under candidate i, (k, m), if they are few.

        Returns False if they are not: the chunk then needs the full product. ``weight`` is the mean row weight.
        """
        found, sparse = find_significant(shares, FEW, weight), self._sparse[i]
        if sparse is None or found is None:
            return False
        sparse.gather(shares, found, self._filled)
        self._taken = True
        return True

    def end_chunk(self, points: Block) -> None:
        """Keep the chunk's rows ``[1, z]``, (1 + d, m), if any of their responsibilities were kept."""
        if not self._taken:
            return
        end = self._filled + points.shape[1]
        self._points[self._filled : end] = points.T
        self._filled, self._taken = end, False
        if end + self._chunk > len(self._points):
            self._multiply()

    def sums(self) -> list[Array | None]:
        """Return each candidate's sums over the outer products of ``[1, z]``, (k, 1 + d, 1 + d); None if not sifted."""
        self._multiply()
        return [None if sparse is None else sparse.sums for sparse in self._sparse]

    def _multiply(self) -> None:
        for sparse in filter(None, self._sparse):
            sparse.multiply(self._points[: self._filled])
        self._filled = 0
