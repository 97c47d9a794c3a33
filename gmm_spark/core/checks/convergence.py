"""Checks of the search: whether EM has converged, and whether other starts have ended where the best did."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence

# Starts that it takes to speak of few, and the share of them that is few.
_STARTS, _FEW = 5, 0.2


def find_unconverged(evidence: Evidence) -> Iterator[Finding]:
    """EM made `maxIter` passes, and the last changed the lower bound by `tol` or more.

    The means may still move. The figure `remaining` is an estimate of what is left to gain, in nats a row, if the last
    changes allow one (Aitken's, as in Boehning et al. 1994).
    """
    result, settings = evidence.result, evidence.settings
    if result.converged:
        return
    latest = result.history[-1]
    figures = {"iterations": len(result.history), "change": latest.change, "tol": settings.tol}
    left = ""
    if np.isfinite(latest.remaining):
        figures["remaining"] = latest.remaining
        left = f", with about {latest.remaining:.2g} left to gain"
    changed = "nothing to compare with" if np.isnan(latest.change) else f"a change of {latest.change:.2g} nats a row"
    yield Finding(
        f"EM stopped after {len(result.history)} passes with {changed}{left}; tol is {settings.tol:g}.",
        "Raise `maxIter`, or raise `tol` if that change is negligible to you.",
        figures=figures,
    )
