"""Checks of rows: those that were skipped."""

from __future__ import annotations

from collections.abc import Iterator

from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence

# Share of the rows that may be skipped without a word.
_SKIPPED = 0.05


def find_skipped(evidence: Evidence) -> Iterator[Finding]:
    """More than 5 % of the rows were skipped: they have a null, NaN or infinite value, or no weight that can be used.

    If values are missing for a reason, the rest stands for the rest alone.
    """
    skipped = sum(evidence.skipped.values())
    used = evidence.evaluation.rows + (evidence.held_out.rows if evidence.held_out else 0)
    if skipped > _SKIPPED * (skipped + used):
        reasons = ", ".join(f"{count:,} with a {reason}" for reason, count in sorted(evidence.skipped.items()))
        yield Finding(
            f"{skipped:,} rows, {skipped / (skipped + used):.1%} of all, were skipped: {reasons}.",
            "Clean the table or replace the missing values; `handleInvalid` says what a fit does with such rows.",
            figures={"skipped": skipped, "share": skipped / (skipped + used)},
        )
