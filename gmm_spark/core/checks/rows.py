"""Checks of rows: those that were skipped, and what their weights say."""

from __future__ import annotations

from collections.abc import Iterator

from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence
from gmm_spark.core.kernels.weight_kinds import BELOW_ROWS, EQUAL, FEW_EFFECTIVE_ROWS, FRACTIONAL, find_doubts

# Share of the rows that may be skipped without a word.
_SKIPPED = 0.05
# Reasons that are written out.
_TOLD = 8
# What is odd about frequency weights, by the code of the doubt.
_CONTRADICTIONS = {
    BELOW_ROWS: "the frequency weights of {rows:,.0f} rows sum to {weight_sum:.4g}, but a count is at least 1",
    FRACTIONAL: "{fractional:,.0f} of {rows:,.0f} rows have frequency weights that are no whole numbers",
    EQUAL: "all {rows:,.0f} rows have the frequency weight {weight:g}",
}


def find_skipped(evidence: Evidence) -> Iterator[Finding]:
    """More than 5 % of the rows were skipped: they have a null, NaN or infinite value, or no weight that can be used.

    If values are missing for a reason, the rest stands for the rest alone.
    """
    skipped = sum(evidence.skipped.values())
    used = evidence.evaluation.rows + (evidence.held_out.rows if evidence.held_out else 0)
    if skipped > _SKIPPED * (skipped + used):
        ordered = sorted(evidence.skipped.items(), key=lambda one: (-one[1], one[0]))
        reasons = ", ".join(f"{count:,} with a {reason}" for reason, count in ordered[:_TOLD])
        reasons += ", and others" * (len(ordered) > _TOLD)
        yield Finding(
            f"{skipped:,} rows, {skipped / (skipped + used):.1%} of all, were skipped: {reasons}.",
            "Clean the table or replace the missing values; `handleInvalid` says what a fit does with such rows.",
            figures={"skipped": skipped, "share": skipped / (skipped + used)},
        )


def find_wrong_kind(evidence: Evidence) -> Iterator[Finding]:
    """The numbers of `weightCol` contradict that they are frequencies: rows counted so many times each.

    They sum to less than half the rows, or have fractions, or are all one number other than 1, and by their sum there
    are twice as many rows as by Kish's effective number (sum w)^2 / sum w^2. BIC and ICL take the sum for the number of
    rows: if the weights only compare rows, as those of a survey do, another constant factor makes another k the best.
    """
    for code, figures in _doubts(evidence):
        if code in _CONTRADICTIONS:
            yield Finding(
                f"{_CONTRADICTIONS[code].format(**figures)}; by Kish's count they say as much as "
                f"{figures['effective_rows']:,.1f} rows of equal weight.",
                'If they only compare rows, set `weightKind` to "importance".',
                figures=figures,
            )


def find_few_effective_rows(evidence: Evidence) -> Iterator[Finding]:
    """A few rows carry most of the importance weight: fewer than 10 effective rows for each coordinate of the means.

    Effective rows are (sum w)^2 / sum w^2 (Kish 1965): so many rows of equal weight say as much.
    """
    for code, figures in _doubts(evidence):
        if code == FEW_EFFECTIVE_ROWS:
            yield Finding(
                f"the weights of {figures['rows']:,.0f} rows say as much as {figures['effective_rows']:,.1f} rows of "
                f"equal weight; {figures['least']:,.0f} would do.",
                f"Bound the largest weights in `weightCol`; or, for fewer parameters, {evidence.fewer_components}.",
                figures=figures,
            )


def _doubts(evidence: Evidence) -> list[tuple[str, dict[str, float]]]:
    """List what is odd about the weights, with its figures."""
    k, d = evidence.parameters.means.shape
    doubts = find_doubts(evidence.moments.weights, evidence.settings.weight_kind, k, d)
    return [(doubt.code, dict(doubt.figures)) for doubt in doubts]
