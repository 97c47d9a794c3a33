"""Imputation: missing values, given the observed ones of their row, by the conditional mean under a mixture.

Each component's regression on the observed features, weighted by its responsibility for them. Of all values the mean
has the least expected square error. It says nothing of the spread: an imputed column varies less than a complete one.

Noise does not count: it says of a missing value no more than that it lies in the box. The middle of a box that reaches
to a code of 1e9 would be half of that, and a thousandth of it still far from every row.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array, Block, has_missing
from gmm_spark.core.missing.few_rows import look_at_few
from gmm_spark.core.missing.marginals import group_rows, iterate_patterns
from gmm_spark.core.missing.scorer import IncompleteScorer


def impute(scorer: IncompleteScorer, rows: Block) -> Array:
    """Return rows (d, m) with missing values replaced by their conditional means; a copy in float64.

    Parameters
    ----------
    scorer : IncompleteScorer
    rows : array (d, m)
        With NaN for missing values, none infinite; each row must have a value.
    """
    filled = np.array(rows, dtype=np.float64, order="C")
    if not has_missing(rows):
        return filled
    scorer, groups = scorer.of_gaussians, group_rows(rows)
    for part in look_at_few(scorer.marginals.parameters, rows[:, groups.few], expected=True):
        assert part.expected is not None
        at = groups.few[part.at]
        some = rows[:, at]
        shares = scorer.score(some, prediction=False, log_density=False, probability=True).probability
        assert shares is not None
        guess = np.einsum("nk,kdn->dn", shares, part.expected)
        filled[:, at] = np.where(np.isnan(some), guess, some)
    for marginal, at, values in iterate_patterns(scorer.marginals, rows, groups.common):
        if marginal.is_whole:
            continue
        shares = scorer.score_pattern(marginal, values).probability
        assert shares is not None
        filled[marginal.missing[:, None], at] = marginal.expect(values, shares)
    return filled
