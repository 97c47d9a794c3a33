"""Fill missing values by what a mixture expects of them: for places and seeds, never for the sums of EM."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array, Block, has_missing
from gmm_spark.core.missing.patterns import Indices, find_runs, observed_features, sort_by_pattern
from gmm_spark.core.mixture.conditioning import regress
from gmm_spark.core.mixture.parameters import MixtureParameters


def fill(parameters: MixtureParameters, rows: Block) -> tuple[Array, Array]:
    """Fill the missing values of rows by their conditional means.

    Parameters
    ----------
    parameters : MixtureParameters
    rows : array (d, m)

    Returns
    -------
    filled : array (d, m)
        The rows themselves if nothing is missing.
    variance : array (d, m)
        Of each value about what stands there: 0 if it was observed.

    Examples
    --------
    >>> mixture = MixtureParameters([1.0], [[0.0, 5.0]], [[[1.0, 0.5], [0.5, 1.0]]])
    >>> filled, variance = fill(mixture, np.array([[2.0], [np.nan]]))
    >>> filled.tolist(), variance.round(9).tolist()
    ([[2.0], [6.0]], [[0.0], [0.75]])
    """
    filled, variance = np.array(rows, np.float64), np.zeros(rows.shape)
    if not has_missing(rows):
        return filled, variance
    order = sort_by_pattern(np.isnan(rows))
    ordered = filled[:, order]
    mean, spread = parameters.moments()
    with np.errstate(over="ignore", invalid="ignore"):
        _fill_runs(parameters, ordered, order, filled, variance)
    unknown = ~(np.isfinite(filled) & np.isfinite(variance))  # nothing observed, or covariances near the end of floats
    filled[unknown] = np.broadcast_to(mean[:, None], rows.shape)[unknown]
    variance[unknown] = np.broadcast_to(spread[:, None], rows.shape)[unknown]
    return filled, variance


def _fill_runs(parameters: MixtureParameters, ordered: Array, order: Indices, filled: Array, variance: Array) -> None:
    for run in find_runs(ordered):
        own, observed = order[run.rows], observed_features(run.pattern, len(ordered))
        rest = np.delete(np.arange(len(ordered)), observed)
        if len(observed) and len(rest):
            expected, deviations = regress(parameters, observed.tolist(), ordered[observed, run.rows])
            filled[np.ix_(rest, own)], variance[np.ix_(rest, own)] = expected, deviations**2
