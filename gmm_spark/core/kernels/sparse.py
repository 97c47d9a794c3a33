"""The M step's sums of a large mixture, from those rows alone that matter to each component.

With many components in many dimensions most responsibilities of a row are nothing: rows explained by one or two of
sixty-four components are multiplied by zero for the others. Here the responsibilities of a few thousand rows are
sifted, what is left is sorted by component, and each component multiplies its own rows.

What is sifted out is below rounding: either of the component's own sums over the same rows, or of the least sums over
all rows with which a component does not count as starved.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.blas import SLICE
from gmm_spark.core.kernels.statistics import STARVED_SHARE

# Rows whose responsibilities are gathered before they are multiplied. Fewer make smaller products and more calls.
WINDOW = 3000
# Features of a component whose full products cost as much as to sift its responsibilities, and the features of all
# components together, less those, from which the rest is repaid too: 32 components of 24 dimensions gain a tenth, 64 of
# 32 a third of the whole pass, 100 of 16 nothing.
SIFTING_COST, WORTH_SIFTING = 75, 8_000
# Share of responsibilities that matter from which the full product is faster.
FEW = 1 / 8
# Of the rounding of a component's largest responsibility in a chunk, what another may be to be left out. Chunks have up
# to 2^13 rows: all that is left out of one is below rounding, and so are its second moments within 10 deviations.
_NOTHING = 2.0**-20
# Responsibilities multiplied at a time, so that work memory does not grow with the components.
_BATCH = 16 * SLICE


def matters(shares: Block, few: float, weight: float = 1.0) -> NDArray[np.intp] | None:
    """Where responsibilities are more than nothing to the component's sums.

    Parameters
    ----------
    shares : array (k, m) or (m,)
        Responsibilities times the rows' weights.
    few : float
        Share of the responsibilities; where more of them matter, None is returned.
    weight : float
        Mean weight of the rows.

    Returns
    -------
    array of int
        Positions in the flattened responsibilities, in order.
    """
    eps = np.finfo(shares.dtype).eps
    least = shares.max(axis=-1, keepdims=True)
    least *= eps * _NOTHING
    np.maximum(least, eps * STARVED_SHARE * weight, out=least)
    kept = ~(shares <= least)  # NaN matters: a sum has to show it
    if np.count_nonzero(kept) > few * shares.size:
        return None
    return np.flatnonzero(kept)


class SparseSums:
    """Sums over the outer products of ``[1, z]`` of few responsibilities each, for the components of a segment.

    Parameters
    ----------
    k, d : int
    """

    def __init__(self, k: int, d: int) -> None:
        self.sums: Array = np.zeros((k, 1 + d, 1 + d))
        self._pending: list[tuple[NDArray[np.intp], NDArray[np.intp], Block]] = []

    def gather(self, shares: Block, found: NDArray[np.intp], first: int) -> None:
        """Keep those responsibilities (k, m) that :func:`matters` found, of rows from the window's ``first`` on."""
        component, row = np.divmod(found, shares.shape[1])
        row += first
        self._pending.append((component, row, shares.ravel()[found]))

    def multiply(self, points: Block) -> None:
        """Add up what was gathered, of the window's rows ``[1, z]``, (rows, 1 + d)."""
        if not self._pending:
            return
        components, rows, shares = (np.concatenate(parts) for parts in zip(*self._pending, strict=True))
        self._pending.clear()
        order = np.argsort(components.astype(np.min_scalar_type(len(self.sums))), kind="stable")  # sorts by digits
        for first in range(0, len(order), _BATCH):
            part = order[first : first + _BATCH]
            component, picked = components[part], points[rows[part]]
            weighted = picked * shares[part, None]
            ends = [*np.flatnonzero(np.diff(component, prepend=-1)).tolist(), len(part)]
            for start, end in pairwise(ends):
                for at in range(start, end, SLICE):  # more are slower for BLAS, and less exact in float32
                    own = slice(at, min(at + SLICE, end))
                    self.sums[component[start]] += picked[own].T @ weighted[own]


class Sifting:
    """Sums over the responsibilities that matter, of those candidates of a pass that it pays for.

    The rows of a few chunks wait for each other, in a window, and are multiplied together.

    Parameters
    ----------
    sizes : sequence of int
        Components of each candidate, 0 for those that take full products.
    d, chunk : int
        Features, and rows of a chunk at most.
    dtype : dtype
    """

    def __init__(self, sizes: Sequence[int], d: int, chunk: int, dtype: DTypeLike) -> None:
        self._sizes, self._d, self._chunk = sizes, d, chunk
        window = -(-WINDOW // chunk) * chunk if any(sizes) else 0
        self._points = np.empty((window, 1 + d), dtype)
        self.clear()

    def clear(self) -> None:
        """Begin anew with sums of nothing."""
        self._sparse = [SparseSums(k, self._d) if k else None for k in self._sizes]
        self._filled, self._taken = 0, False

    def take(self, i: int, shares: Block, weight: float) -> bool:
        """Keep the responsibilities (k, m) of a chunk's rows under candidate i that matter, if they are few.

        The rows' mean weight, of which responsibilities are shares, says which of them are too small to matter.
        """
        found, sparse = matters(shares, FEW, weight), self._sparse[i]
        if sparse is None or found is None:
            return False
        sparse.gather(shares, found, self._filled)
        self._taken = True
        return True

    def end_chunk(self, points: Block) -> None:
        """Keep the chunk's rows ``[1, z]``, (1 + d, m), if any of their responsibilities was taken."""
        if not self._taken:
            return
        end = self._filled + points.shape[1]
        self._points[self._filled : end] = points.T
        self._filled, self._taken = end, False
        if end + self._chunk > len(self._points):
            self._multiply()

    def sums(self) -> list[Array | None]:
        """Return each candidate's sums over the outer products of ``[1, z]``, (k, 1 + d, 1 + d), if it is sifted."""
        self._multiply()
        return [None if sparse is None else sparse.sums for sparse in self._sparse]

    def _multiply(self) -> None:
        for sparse in filter(None, self._sparse):
            sparse.multiply(self._points[: self._filled])
        self._filled = 0
