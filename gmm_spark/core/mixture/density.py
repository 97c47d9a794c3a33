"""Log-densities by the direct formula: accurate and slow, for small inputs and as a reference for the kernels.

Rows are blocks (d, m). One component at a time, the mean is subtracted and the difference multiplied by the precision
factor, so that no digits cancel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.mixture.log_space import normalise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import DataError

# Relative difference of squared lengths up to which they may be equal but for rounding.
SAME_WIDTH = 1e-12


def weighted_log_prob(parameters: MixtureParameters, rows: Block) -> Array:
    """Log of weight times density of each component at each row, (k, m), nats (Bishop 2006, eq. 2.43).

    If there is noise, it is the last row, (k + 1, m): the same value everywhere.

    Raises
    ------
    DataError
        If the rows have another number of features than the parameters.
    """
    if rows.ndim != 2 or rows.shape[0] != parameters.n_features:
        raise DataError(f"rows have shape {rows.shape}; need ({parameters.n_features}, m), one row per feature")
    found = subtract_distances(parameters.log_normalisers, parameters.means, parameters.component_cholesky, rows)
    if parameters.noise is None:
        return found
    found[np.isnan(found)] = -np.inf  # of a row too far off for float64: noise has it
    return np.concatenate([found, np.full((1, rows.shape[1]), parameters.noise.log_height)])


def subtract_distances(log_normalisers: Array, means: Array, factors: Array, rows: Block) -> Array:
    """Subtract half the squared Mahalanobis distance of each row from each component's normaliser, (k, m).

    Parameters
    ----------
    log_normalisers : array (k,)
        Log of weight times normalising constant.
    means : array (k, d)
    factors : array (k, d) or (k, d, d)
        Of the precisions.
    rows : array (d, m)
    """
    result = np.empty((len(means), rows.shape[1]))
    for j, factor in enumerate(factors):
        centred = rows - means[j][:, None]
        whitened = factor[:, None] * centred if factor.ndim == 1 else factor.T @ centred
        result[j] = log_normalisers[j] - 0.5 * np.einsum("ij,ij->j", whitened, whitened)
    return result


def log_density(parameters: MixtureParameters, rows: Block) -> Array:
    """Log p(row), (m,), nats; minus infinity for a row so far off that float64 cannot hold it, unless there is noise.

    Examples
    --------
    >>> p = MixtureParameters([1.0], [[0.0]], [[1.0]], "diag")
    >>> float(log_density(p, np.array([[0.0]]))[0].round(6))
    -0.918939
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.asarray(normalise(weighted_log_prob(parameters, rows)), np.float64)
    found[find_too_far(found, rows)] = -np.inf
    return found


def responsibilities(parameters: MixtureParameters, rows: Block) -> Array:
    """Probability that each component made each row, (k, m); columns sum to 1 (Bishop 2006, eq. 9.23).

    If there is noise, its probability is the last row, (k + 1, m).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        log_prob = weighted_log_prob(parameters, rows)
        far = find_too_far(normalise(log_prob), rows)
    if len(far):
        present = parameters.weights > 0
        nearest = find_nearest(parameters.means, parameters.component_cholesky, present, rows[:, far])
        log_prob[:, far] = 0.0
        log_prob[nearest, far] = 1.0
    return log_prob


def find_nearest(means: Array, factors: Array, present: NDArray[np.bool_], rows: Block) -> NDArray[np.intp]:
    """Find the component of least Mahalanobis distance from each row, (m,), for rows too far off for a density.

    Such a row belongs to that component: the density of any other is less by a factor beyond float64.

    Parameters
    ----------
    means : array (k, d)
    factors : array (k, d) or (k, d, d)
        Of the precisions.
    present : array (k,) of bool
        Which components have weight.
    rows : array (d, m)
        Finite.
    """
    direction = rows / np.maximum(np.abs(rows).max(axis=0), 1.0).astype(np.float64)  # squares do not overflow
    squares = np.full((len(means), rows.shape[1]), np.inf)
    projections = np.zeros_like(squares)
    largest = np.abs(factors).max()
    for j in np.flatnonzero(present).tolist():
        factor = factors[j] / largest
        whitened = factor[:, None] * direction if factor.ndim == 1 else factor.T @ direction
        squares[j] = np.einsum("ij,ij->j", whitened, whitened)
        projections[j] = (factor * means[j] if factor.ndim == 1 else factor.T @ means[j]) @ whitened
    # Of components that are equally wide in the row's direction, the one whose mean lies farther that way is nearer.
    widest = squares <= squares.min(axis=0) * (1 + SAME_WIDTH)
    nearest: NDArray[np.intp] = np.where(widest, projections, -np.inf).argmax(axis=0)
    return nearest


def find_too_far(log_density: Block, rows: Block) -> NDArray[np.intp]:
    """Find the finite rows (d, m) whose log-densities (m,) are not a number or minus infinity, by their positions."""
    return np.flatnonzero(~np.isfinite(log_density) & np.isfinite(rows).all(axis=0))
