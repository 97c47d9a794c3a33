"""The M step's sums of a large mixture, from those rows alone that matter to each component.

With many components in many dimensions most responsibilities of a row are nothing: rows explained by one or two of
sixty-four components are multiplied by zero for the others. Here the responsibilities of a few thousand rows are
sifted, what is left is sorted by component, and each component multiplies its own rows.

What is sifted out is below rounding: either of the component's own sums over the same rows, or of the least sums over
all rows with which a component does not count as starved.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.covariance import Array, Block
from gmm_spark.core.maximization import STARVED_SHARE
from gmm_spark.core.products import SLICE

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
