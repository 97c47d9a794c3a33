"""Draw rows from a mixture, ordered by component. The same seed gives the same rows, however the work is split.

The components' counts are drawn once. Rows then belong to fixed chunks of consecutive rows. Each chunk has its own
random stream, keyed by (seed, purpose, chunk), so that it does not matter which task draws it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtr

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.errors import ParameterError

# Rows that share one random stream, and numbers of a chunk at most. Others would give other rows for the same seed.
CHUNK_ROWS, CHUNK_NUMBERS = 1 << 16, 1 << 25


def rows_per_chunk(parameters: MixtureParameters) -> int:
    """Rows of a chunk: :data:`CHUNK_ROWS`, or fewer, a power of two, if rows have more than 512 features."""
    rows = CHUNK_ROWS
    while rows > 1 and rows * parameters.n_features > CHUNK_NUMBERS:
        rows //= 2
    return rows


def component_counts(parameters: MixtureParameters, n: int, seed: int) -> NDArray[np.int64]:
    """Draw the number of rows of each component, noise last if there is any, of n rows: multinomial."""
    weights = parameters.class_weights / parameters.class_weights.sum()
    return np.asarray(random_stream(seed, Purpose.COMPONENT_COUNTS).multinomial(n, weights), dtype=np.int64)


def draw_chunk(
    parameters: MixtureParameters, counts: NDArray[np.int64], seed: int, chunk: int
) -> tuple[Array, NDArray[np.int32]]:
    """Draw the rows of one chunk.

    Parameters
    ----------
    parameters : MixtureParameters
    counts : array (k,) or, with noise, (k + 1,)
        From :func:`component_counts`.
    seed : int
    chunk : int
        Number of the chunk, from 0; its rows begin at ``chunk`` times :func:`rows_per_chunk`.

    Returns
    -------
    rows : array (d, m)
    components : array (m,)
        Component of each row, ascending; k is noise, whose rows are uniform over its box.
    """
    ends = np.cumsum(counts)
    size = rows_per_chunk(parameters)
    first = min(chunk * size, int(ends[-1]))
    last = min(first + size, int(ends[-1]))
    rows = random_stream(seed, Purpose.ROWS, chunk).standard_normal((parameters.n_features, last - first))
    bounds = np.concatenate([[0], np.clip(ends, first, last) - first])  # of each component, within the chunk
    sizes = np.diff(bounds)
    components = np.repeat(np.arange(len(ends), dtype=np.int32), sizes)
    for j in np.flatnonzero(sizes):
        mine = rows[:, bounds[j] : bounds[j + 1]]
        if j == parameters.n_components:
            mine[:] = _draw_noise(parameters.noise, mine)
            continue
        factor = parameters.component_cholesky[j]
        # x = mu + U^-T z has covariance (U U^T)^-1.
        if factor.ndim == 1:
            moved = mine / factor[:, None]
        else:
            moved = solve_triangular(factor, np.eye(len(factor)), trans="T", lower=False) @ mine
        np.add(moved, parameters.means[j][:, None], out=mine)
    return rows, components


def _draw_noise(noise: Noise | None, normal: Array) -> Array:
    """Turn standard normal numbers (d, m) into rows that are uniform over the box of noise."""
    assert noise is not None
    low, high = noise.low[:, None], noise.high[:, None]
    return np.asarray(low + ndtr(normal) * (high - low))


def to_int(name: str, value: Any) -> int:
    """Convert an integer, or a float that is one such as 1e6; raise ParameterError for anything else."""
    if not isinstance(value, bool | str):
        with suppress(TypeError, ValueError, OverflowError):  # int() of what is no number, NaN and infinity
            found = int(value)
            if found == value:
                return found
    raise ParameterError(f"{name}={value!r}; need an integer")
