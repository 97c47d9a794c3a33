"""What row weights mean: how many rows they make up, and where their numbers contradict it.

A frequency weight counts: the row stands for so many rows, and a table has as many as the weights' sum. An importance
weight compares: it says how much a row matters beside the others, as weights of a survey or of a resampling do. Only
ratios of such weights mean anything. A table then has as many rows as Kish's effective number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gmm_spark.core.kernels.weight_sums import WeightSums

FREQUENCY, IMPORTANCE = WEIGHT_KINDS = ("frequency", "importance")

# Codes of doubts.
BELOW_ROWS, FRACTIONAL, EQUAL, FEW_EFFECTIVE_ROWS = (
    "weights-sum-below-rows",
    "weights-not-whole",
    "weights-all-equal",
    "few-effective-rows",
)
# Factor by which the sum of the weights and the effective rows must differ, so that the kind matters to criteria.
_MATTERS = 2.0
# Rows with one and the same count, other than 1, that no table of counts has by chance.
_EQUAL_ROWS = 30
# Effective rows for each of the k d coordinates of the means, below which a mixture rests on few rows.
_ROWS_PER_COORDINATE = 10


@dataclass(frozen=True)
class WeightDoubt:
    """A sign that weights are not what their kind says, or that few rows carry them.

    Attributes
    ----------
    code : str
        "weights-sum-below-rows": frequency weights sum to less than half the rows, but a count is at least 1.
        "weights-not-whole": frequency weights have fractions, and the kind matters.
        "weights-all-equal": all frequency weights are the same number, not 1, and the kind matters.
        "few-effective-rows": importance weights make up fewer than 10 k d effective rows.
    figures : mapping
        Numbers for a message, by name.
    """

    code: str
    figures: Mapping[str, float]


def find_doubts(weights: WeightSums, kind: str, k: int, d: int) -> list[WeightDoubt]:
    """Find where the weights of a table contradict their kind, as far as that is near certain.

    Whole importance weights are no such sign: weights of classes are often whole.

    Parameters
    ----------
    weights : WeightSums
        As the table has them.
    kind : {"frequency", "importance"}
    k, d : int
        Components and features of the mixture.

    Returns
    -------
    list of WeightDoubt
        At most one of those on frequency weights, the gravest first.

    Examples
    --------
    >>> import numpy as np
    >>> [doubt.code for doubt in find_doubts(WeightSums.of(np.full(500, 1 / 500)), "frequency", k=2, d=1)]
    ['weights-sum-below-rows']
    >>> find_doubts(WeightSums.of(np.full(500, 1 / 500)), "importance", k=2, d=1)
    []
    """
    if not weights.total > 0:
        return []
    effective = weights.effective_rows
    if kind == IMPORTANCE:
        least = _ROWS_PER_COORDINATE * k * d
        few = {"rows": weights.positive, "effective_rows": effective, "least": float(least)}
        return [WeightDoubt(FEW_EFFECTIVE_ROWS, few)] if effective < least < weights.positive else []
    figures = {"rows": weights.positive, "weight_sum": weights.weight_sum, "effective_rows": effective}
    if _MATTERS * weights.weight_sum < weights.positive:
        return [WeightDoubt(BELOW_ROWS, figures)]
    if not _MATTERS * effective < weights.weight_sum:
        return []
    if weights.fractional:
        return [WeightDoubt(FRACTIONAL, figures | {"fractional": weights.fractional})]
    if weights.least == weights.largest and weights.positive >= _EQUAL_ROWS:
        return [WeightDoubt(EQUAL, figures | {"weight": weights.largest})]
    return []
