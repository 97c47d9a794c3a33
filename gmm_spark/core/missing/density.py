"""Log-densities of what was observed, by the direct formula: accurate, slow, and the reference for faster kernels.

A row's density is that of the marginal of its observed features. Rows of different patterns have densities over
different features, and of different units: they cannot be compared.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array, Block, has_missing
from gmm_spark.core.missing.patterns import find_runs, observed_features, sort_by_pattern
from gmm_spark.core.mixture import density
from gmm_spark.core.mixture.conditioning import marginal
from gmm_spark.core.mixture.log_space import normalise
from gmm_spark.core.mixture.parameters import MixtureParameters


def weighted_log_prob(parameters: MixtureParameters, rows: Block) -> Array:
    """Log of weight times marginal density of each component at each row (d, m), (k, m), nats.

    If nothing is missing it is :func:`gmm_spark.core.mixture.density.weighted_log_prob`. A row of which nothing was
    observed has the density 1.
    """
    if not has_missing(rows):
        return density.weighted_log_prob(parameters, rows)
    found = np.empty((parameters.n_classes, rows.shape[1]))
    order = sort_by_pattern(np.isnan(rows))
    ordered = rows[:, order]
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.class_weights)
    for run in find_runs(ordered):
        observed = observed_features(run.pattern, len(rows))
        if len(observed):
            some = marginal(parameters, observed.tolist())
            found[:, order[run.rows]] = density.weighted_log_prob(some, ordered[observed, run.rows])
        else:
            found[:, order[run.rows]] = log_weights[:, None]
    return found


def log_density(parameters: MixtureParameters, rows: Block) -> Array:
    """Log density of what was observed of each row (d, m), (m,), nats; minus infinity if it is too far off for floats.

    Examples
    --------
    >>> p = MixtureParameters([1.0], [[0.0, 5.0]], [[1.0, 1.0]], "diag")
    >>> log_density(p, np.array([[0.0, 0.0], [5.0, np.nan]])).round(6).tolist()
    [-1.837877, -0.918939]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.asarray(normalise(weighted_log_prob(parameters, rows)), np.float64)
    found[~np.isfinite(found)] = -np.inf
    return found


def responsibilities(parameters: MixtureParameters, rows: Block) -> Array:
    """Probability that each component made what was observed of each row (d, m), (k, m); columns sum to 1."""
    if not has_missing(rows):
        return density.responsibilities(parameters, rows)
    found = np.empty((parameters.n_classes, rows.shape[1]))
    order = sort_by_pattern(np.isnan(rows))
    ordered = rows[:, order]
    for run in find_runs(ordered):
        observed = observed_features(run.pattern, len(rows))
        if len(observed):
            some = marginal(parameters, observed.tolist())
            found[:, order[run.rows]] = density.responsibilities(some, ordered[observed, run.rows])
        else:
            found[:, order[run.rows]] = parameters.class_weights[:, None]
    return found


def measure_units(parameters: MixtureParameters, rows: Block) -> tuple[Array, Array]:
    """Measure by what densities of rows (d, m) of different patterns differ, so that they roughly compare.

    Returns
    -------
    log_units, features : array (m,)
        The sum of the logarithms of the observed features' standard deviations, and their number. A log-density plus
        the first, divided by the second, is that of one feature in units of its own, on average. If nothing is missing
        they are 0 and 1.
    """
    m = rows.shape[1]
    if not has_missing(rows):
        return np.zeros(m), np.ones(m)
    observed = ~np.isnan(rows)
    log_deviations = 0.5 * np.log(parameters.moments()[1])
    return np.asarray(log_deviations @ observed), np.maximum(observed.sum(axis=0), 1).astype(np.float64)
