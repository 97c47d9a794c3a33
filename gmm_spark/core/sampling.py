"""Draw rows from a mixture, ordered by component, the same rows for the same seed however the work is split.

The components' counts are drawn once. Rows then belong to fixed chunks of consecutive rows, and each chunk
has a random stream of its own, keyed by (seed, purpose, chunk): who draws which chunk makes no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from gmm_spark.core.covariance import Array
from gmm_spark.core.parameters import MixtureParameters

# Rows that share one random stream. Part of what a seed means: another figure gives other rows.
CHUNK_ROWS = 1 << 16


class Purpose(IntEnum):
    """What a random stream is for; part of its key, so that no two purposes share numbers."""

    START = 0
    TABLE_SAMPLE = 1
    COMPONENT_COUNTS = 2
    ROWS = 3
    OVERSAMPLING = 4
    RESEEDING = 5
    RANKING = 6
    LOOKING_AHEAD = 7
    RELOCATION = 8


def random_stream(seed: int, purpose: Purpose, index: int = 0, *more: int) -> np.random.Generator:
    """Make a generator keyed by (seed, purpose, index, ...); equal keys give equal numbers on every machine."""
    # SeedSequence takes non-negative words; a Spark seed is a signed 64-bit integer.
    key = np.random.SeedSequence((seed % (1 << 64), int(purpose), index, *more))
    return np.random.Generator(np.random.PCG64DXSM(key))


def component_counts(parameters: MixtureParameters, n: int, seed: int) -> NDArray[np.int64]:
    """Draw how many of n rows each component makes, (k,): a multinomial of the weights."""
    weights = parameters.weights / parameters.weights.sum()
    return np.asarray(random_stream(seed, Purpose.COMPONENT_COUNTS).multinomial(n, weights), dtype=np.int64)


def draw_chunk(
    parameters: MixtureParameters, counts: NDArray[np.int64], seed: int, chunk: int
) -> tuple[Array, NDArray[np.int32]]:
    """Draw the rows of one chunk.

    Parameters
    ----------
    parameters : MixtureParameters
    counts : array (k,)
        From :func:`component_counts`.
    seed : int
    chunk : int
        Its rows are ``chunk * CHUNK_ROWS`` and following, as many as are left.

    Returns
    -------
    rows : array (d, m)
    components : array (m,)
        Which component made each row; never falling.
    """
    ends = np.cumsum(counts)
    first = min(chunk * CHUNK_ROWS, int(ends[-1]))
    last = min(first + CHUNK_ROWS, int(ends[-1]))
    rows = random_stream(seed, Purpose.ROWS, chunk).standard_normal((parameters.n_features, last - first))
    bounds = np.concatenate([[0], np.clip(ends, first, last) - first])  # of each component's rows within the chunk
    sizes = np.diff(bounds)
    components = np.repeat(np.arange(len(ends), dtype=np.int32), sizes)
    for j in np.flatnonzero(sizes):
        mine = rows[:, bounds[j] : bounds[j + 1]]
        factor = parameters.component_cholesky[j]
        # x = mu + U^-T z has covariance (U U^T)^-1.
        if factor.ndim == 1:
            moved = mine / factor[:, None]
        else:
            moved = solve_triangular(factor, np.eye(len(factor)), trans="T", lower=False) @ mine
        np.add(moved, parameters.means[j][:, None], out=mine)
    return rows, components


def shares_of(sizes: Sequence[int], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many of n rows, drawn without replacement from all, fall to each piece; all rows where n is no less.

    Counted from drawn positions: numpy's multivariate hypergeometric ends at 10^9 rows.
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    if ends[-1] <= n:
        return np.array(sizes, dtype=np.int64)
    drawn = rng.choice(int(ends[-1]), n, replace=False, shuffle=False)
    return np.bincount(np.searchsorted(ends, drawn, side="right"), minlength=len(ends))
