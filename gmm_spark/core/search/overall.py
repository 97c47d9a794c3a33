"""The overall Gaussian of rows with missing values: what seeds expect in their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.run import Run
from gmm_spark.core.mixture.covariance import structure
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable

# Rows that it is estimated from, steps of EM at most, and the change of the mean log-likelihood that ends them.
_ROWS, _STEPS, _TOLERANCE = 10_000, 20, 1e-2
# Features up to which correlations are estimated: what a step costs grows with the cube of the features.
_CORRELATED = 100
# Least variance along each feature, as a share of the table's.
_FLOOR = 1e-6


def find_overall_gaussian(sample: ArrayTable) -> MixtureParameters:
    """Estimate one Gaussian from rows with missing values, in the coordinates of EM; a rough one is enough."""
    part = sample.part(_ROWS, np.random.default_rng(0))
    variance = np.where(sample.moments.variance > 0, sample.moments.variance, 1.0)
    kind = "full" if len(variance) <= _CORRELATED else "diag"
    start = MixtureParameters(
        [1.0], np.zeros((1, len(variance))), structure(kind).initial_covariances(variance, 1), kind
    )
    if kind == "diag":
        return start
    rule = replace(Rule(_STEPS, _TOLERANCE), floor=_FLOOR * variance)
    return best(fit(part, [Run(start, rule)])).parameters
