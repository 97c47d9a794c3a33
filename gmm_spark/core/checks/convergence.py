"""Checks of the search: whether EM has converged, and whether other starts have ended where the best did."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence

# Share of the starts that is few. With fewer than five, the best alone is more.
_FEW = 0.2


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


def find_rare_optimum(evidence: Evidence) -> Iterator[Finding]:
    """The best start was reached by few: of 5 starts or more, a fifth at most ended where the best did.

    Starts are compared on the sample. They ended alike if their mean log-likelihoods differ by no more than chance
    explains, half a nat for each free parameter, in all rows together, or by less than 20 `tol`. If few find the best
    optimum, there may be a better one that none has found. The fit may be right all the same: after the starts it also
    tries components elsewhere.
    """
    starts, alike = evidence.result.starts, evidence.result.starts_alike
    if 0 < alike <= _FEW * starts:
        yield Finding(
            f"{alike} of {starts} starts ended where the best did, on the sample.",
            "Raise `nInit`, or try another `initMode`, and see whether the likelihood rises.",
            figures={"starts": starts, "alike": alike},
        )
