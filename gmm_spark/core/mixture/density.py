"""Log-densities by the direct formula: accurate and slow, for small inputs and as a reference for the kernels.

Rows are blocks (d, m). One component at a time, the mean is subtracted and the difference multiplied by the precision
factor, so that no digits cancel.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.mixture.log_space import normalise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import DataError


def weighted_log_prob(parameters: MixtureParameters, rows: Block) -> Array:
    """Log of weight times density of each component at each row, (k, m), nats (Bishop 2006, eq. 2.43).

    Raises
    ------
    DataError
        If the rows have another number of features than the parameters.
    """
    if rows.ndim != 2 or rows.shape[0] != parameters.n_features:
        raise DataError(f"rows have shape {rows.shape}; need ({parameters.n_features}, m), one row per feature")
    result = np.empty((parameters.n_components, rows.shape[1]))
    for j, factor in enumerate(parameters.component_cholesky):
        centred = rows - parameters.means[j][:, None]
        whitened = factor[:, None] * centred if factor.ndim == 1 else factor.T @ centred
        result[j] = parameters.log_normalisers[j] - 0.5 * np.einsum("ij,ij->j", whitened, whitened)
    return result


def log_density(parameters: MixtureParameters, rows: Block) -> Array:
    """Log p(row), (m,), nats.

    Examples
    --------
    >>> p = MixtureParameters([1.0], [[0.0]], [[1.0]], "diag")
    >>> float(log_density(p, np.array([[0.0]]))[0].round(6))
    -0.918939
    """
    return np.asarray(normalise(weighted_log_prob(parameters, rows)))


def responsibilities(parameters: MixtureParameters, rows: Block) -> Array:
    """Probability that each component made each row, (k, m); columns sum to 1 (Bishop 2006, eq. 9.23)."""
    log_prob = weighted_log_prob(parameters, rows)
    normalise(log_prob)
    return log_prob
