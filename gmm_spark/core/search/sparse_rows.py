"""Rows where a table is sparser than noise would be: starts of a fit with noise are drawn from the others.

Seeds far apart are outliers sooner than clusters, and a start whose components sit on outliers ends in an optimum that
describes these. Noise is there to describe them, so they are left out before seeds are drawn. (mclust asks its user
for a first guess, and its authors take it from distances to near rows too: Byers & Raftery 1998.)

The density at a row follows from the distance to its near neighbours among a few rows. A row is left out if it is less
than that of noise with all the weight there is. So a cluster stays, unless it is sparser than rows spread over the
whole box.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.randomness import Purpose, random_stream

# Rows that neighbours are looked for among, and the neighbour whose distance counts.
_COMPARED, _NEIGHBOUR = 1_000, 4
# Rows looked at together.
_CHUNK = 1 << 12
# Share of the rows that have to be where the table is dense: else all are kept.
_LEAST_DENSE = 0.2


def keep_dense(
    rows: Array, weight: Array | None, variance: Array, noise: Noise, seed: int
) -> tuple[Array, Array | None]:
    """Keep the rows where the table is denser than noise would be, and their weights; all rows if those are too few.

    Parameters
    ----------
    rows : array (d, m)
    weight : array (m,), optional
    variance : array (d,)
        Of the table's features, robust against far values.
    noise : Noise
        With the box of the table, in the rows' coordinates.
    seed : int
    """
    present = np.ones(rows.shape[1], dtype=bool) if weight is None else weight > 0
    rng = random_stream(seed, Purpose.DENSE_ROWS)
    dense = find_dense(rows, np.sqrt(variance), noise, present, rng)
    if np.count_nonzero(dense & present) < _LEAST_DENSE * np.count_nonzero(present):
        return rows, weight
    return rows[:, dense], None if weight is None else weight[dense]


def find_dense(
    rows: Array, deviation: Array, noise: Noise, present: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Tell which rows are where the table is denser than noise would be, (m,).

    Parameters
    ----------
    rows : array (d, m)
    deviation : array (d,)
        Units of distances, positive.
    noise : Noise
        With the box of the table, in the rows' coordinates.
    present : array (m,) of bool
        Which rows have weight: neighbours are looked for among these.
    rng : numpy Generator
    """
    d, m = rows.shape
    drawn = np.flatnonzero(present)
    if len(drawn) > _COMPARED:
        drawn = np.sort(rng.choice(drawn, _COMPARED, replace=False))
    if len(drawn) <= _NEIGHBOUR:
        return np.ones(m, dtype=bool)
    scaled = rows / deviation[:, None]
    others = scaled[:, drawn]
    lengths = np.einsum("ij,ij->j", others, others)
    compared = np.zeros(m, dtype=bool)
    compared[drawn] = True
    square = np.empty(m)
    for start in range(0, m, _CHUNK):
        part = scaled[:, start : start + _CHUNK]
        distances = lengths - 2 * part.T @ others + np.einsum("ij,ij->j", part, part)[:, None]
        # A row that is among those compared is its own nearest.
        near = np.partition(distances, (_NEIGHBOUR - 1, _NEIGHBOUR), axis=1)
        own = compared[start : start + _CHUNK]
        square[start : start + _CHUNK] = np.where(own, near[:, _NEIGHBOUR], near[:, _NEIGHBOUR - 1])
    log_volume = -noise.log_density - float(np.log(deviation).sum())
    log_ball = 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d + 1)
    with np.errstate(divide="ignore"):
        log_expected = log_ball + 0.5 * d * np.log(np.maximum(square, 0.0)) - log_volume + math.log(len(drawn))
    return np.asarray(log_expected <= math.log(_NEIGHBOUR))
