"""Likeness: whether rows are as likely under a mixture as rows of its own would be.

Log-densities of rows with different features missing do not compare. So rows are drawn for each pattern of missing
values, as many of them as the table has, and what is compared is how far below the greatest density of its pattern each
row lies. A table without missing values has one pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.description.densities import compare_cumulatively, draw_densities
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram
from gmm_spark.core.missing.patterns import observed_features, write_pattern
from gmm_spark.core.mixture.conditioning import marginal
from gmm_spark.core.mixture.parameters import MixtureParameters

# Rows that are drawn for all patterns together, and for each at least.
_DRAWN, _FEWEST = 50_000, 1000


@dataclass(frozen=True)
class Likeness:
    """How rows compare with rows of a mixture's own.

    Attributes
    ----------
    shortfall : float
        What the rows are less likely on average, nats.
    deviation : float
        Standard deviation of a row's log-density below the greatest of its pattern, nats; of the rows or of the drawn,
        whichever is larger.
    gap : float
        Largest difference of the two cumulative distributions (Kolmogorov-Smirnov).
    below : float
        Share of the rows that are less likely than all but one in a hundred of the drawn.
    """

    shortfall: float
    deviation: float
    gap: float
    below: float


def list_by_pattern(evaluation: Evaluation, d: int) -> dict[bytes, LogDensityHistogram]:
    """List the log-densities of an evaluation by pattern of missing values; of few rows there may be none."""
    return join_patterns(evaluation.log_densities, evaluation.log_densities_by_pattern, d)


def join_patterns(
    complete: LogDensityHistogram | None, others: Mapping[bytes, LogDensityHistogram], d: int
) -> dict[bytes, LogDensityHistogram]:
    """Join the log-densities of complete rows, if there are any, with those of other patterns of d features."""
    whole = {} if complete is None else {write_pattern(np.zeros(d, bool)): complete}
    return {**whole, **others}


def compare_with_own(parameters: MixtureParameters, seen: Mapping[bytes, LogDensityHistogram]) -> Likeness | None:
    """Compare rows with rows of a mixture's own that have the same values missing; None if there are none.

    Parameters
    ----------
    parameters : MixtureParameters
    seen : mapping of bytes to LogDensityHistogram
        Log-densities of the rows under this mixture, by pattern.
    """
    if not seen:
        return None
    d = parameters.n_features
    total = sum(float(one.weights.sum()) for one in seen.values())
    rows, drawn = np.zeros(N_BINS), np.zeros(N_BINS)  # by the depth below the ceiling of their pattern
    for pattern, histogram in seen.items():
        share, observed = float(histogram.weights.sum()) / total, observed_features(pattern, d).tolist()
        some = parameters if len(observed) == d else marginal(parameters, observed)
        own = draw_densities(some, histogram.ceiling, rows=max(int(share * _DRAWN), _FEWEST))
        rows += histogram.weights / total
        drawn += own.weights * (share / own.weights.sum())
    pooled = LogDensityHistogram(0.0, rows), LogDensityHistogram(0.0, drawn)
    gap, below = compare_cumulatively(*pooled)
    return Likeness(
        shortfall=pooled[1].mean - pooled[0].mean,
        deviation=max(one.deviation for one in pooled),
        gap=gap,
        below=below,
    )
