"""Draw rows from a mixture, ordered by component, the same rows for the same seed however the work is split.

The components' counts are drawn once. Rows then belong to fixed chunks of consecutive rows, and each chunk
has a random stream of its own, keyed by (seed, purpose, chunk): who draws which chunk makes no difference.
"""

from __future__ import annotations

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
    first, last = chunk * CHUNK_ROWS, min((chunk + 1) * CHUNK_ROWS, int(ends[-1]))
    rows = random_stream(seed, Purpose.ROWS, chunk).standard_normal((parameters.n_features, max(last - first, 0)))
    components = np.searchsorted(ends, np.arange(first, last), side="right").astype(np.int32)
    for j in np.unique(components):
        mine = slice(*np.searchsorted(components, [j, j + 1]))
        factor = parameters.component_cholesky[j]
        # x = mu + U^-T z has covariance (U U^T)^-1.
        if factor.ndim == 1:
            rows[:, mine] /= factor[:, None]
        else:
            lower = solve_triangular(factor, np.eye(len(factor)), trans="T", lower=False)
            rows[:, mine] = lower @ rows[:, mine]
        rows[:, mine] += parameters.means[j][:, None]
    return rows, components
