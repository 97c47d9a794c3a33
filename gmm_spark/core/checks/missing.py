"""Check of missing values: whether a column is missing more often in some components than in others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.scorer import IncompleteScorer

# A component's share of missing values differs from that of all rows by so much, and by so many standard errors.
_DIFFERENCE, _ERRORS = 0.1, 5.0
# Columns that are told of.
_TOLD = 5


def find_missing_by_component(evidence: Evidence) -> Iterator[Finding]:
    """A column is missing more often, or less often, in one component than in all rows, by 10 points or more.

    Then that a value is missing says something of the row. The fit is right all the same if it depends on values that
    were observed, and on no others (Rubin 1976). It is not if values are missing because of what they are, as incomes
    that are not told since they are high: nothing in the table can show which of these it is.
    """
    missing = np.isnan(evidence.columns)  # (d, m)
    some = ~missing.all(axis=0)
    missing = missing[:, some]
    if not missing.any():
        return
    rows = evidence.columns[:, some] - evidence.moments.mean[:, None]
    shares = IncompleteScorer(Marginals(evidence.parameters)).score(rows, probability=True).probability
    assert shares is not None
    shares = shares[:, : evidence.parameters.n_components]  # without those of noise
    held = np.maximum(shares.sum(axis=0), np.finfo(float).tiny)  # (k,)
    rates, overall = missing @ shares / held, missing.mean(axis=1)[:, None]  # (d, k)
    error = np.sqrt(overall * (1 - overall) / held)
    differences = np.where(np.abs(rates - overall) > _ERRORS * error, np.abs(rates - overall), 0.0)
    order = np.argsort(-differences.max(axis=1), kind="stable")[:_TOLD]
    for i in order.tolist():
        j = int(differences[i].argmax())
        if differences[i, j] < _DIFFERENCE:
            return
        yield Finding(
            f"column {evidence.names[i]!r} is missing in {rates[i, j]:.0%} of the rows of component {j}, and in "
            f"{overall[i, 0]:.0%} of all.",
            "Find out why it is missing: if because of its own value, what the mixture says of the column is biased.",
            component=j,
            column=evidence.names[i],
            figures={"share": rates[i, j], "overall": overall[i, 0]},
        )
