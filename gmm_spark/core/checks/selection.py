"""Checks of a selection: the grid of k, and the rows held out."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence

# Standard errors by which a share or a likelihood must differ, and what share of the share asked for.
_ERRORS, _OFF = 4.0, 0.1


def find_uneven_split(evidence: Evidence) -> Iterator[Finding]:
    """The share of the rows that was held out is not the share asked for.

    Rows of equal features are all fitted or all held out, so that no row is judged by its twin. If a few rows repeat
    very often, their side decides the share. It is off by more than a tenth, and by more than 4 standard errors.
    """
    if evidence.held_out is None:
        return
    asked, rows = evidence.held_out.asked, evidence.held_out.rows
    total = rows + evidence.evaluation.rows
    share = rows / total
    if abs(share - asked) > max(_OFF * asked, _ERRORS * sqrt(asked * (1 - asked) / total)):
        yield Finding(
            f"{share:.1%} of the rows were held out, not {asked:.1%}: rows of equal features stay together, and some "
            "features repeat very often.",
            "Change `seed` or `validationFraction`, or fit one of equal rows, with their number in `weightCol`.",
            figures={"share": share, "asked": asked, "rows": rows},
        )


def find_unexplained_rows(evidence: Evidence) -> Iterator[Finding]:
    """The rows held out are less likely than the training rows, by more than fitting and chance explain.

    A fit of p free parameters to n rows makes training rows likelier than others by about p / n nats a row: half of it
    training rows gain, half the others lose (Akaike 1974). The rest is compared with 4 standard errors of the
    difference of the means, from the spread of the log-densities of the training rows. Rows are counted as criteria
    count them. The mixture describes its training rows rather than the table they come from, or a few rows held out
    are far off. Not looked for if values are missing: the spread is then not that of one density.
    """
    log_densities = evidence.evaluation.log_densities
    if evidence.held_out is None or log_densities is None or evidence.evaluation.incomplete:
        return
    inside, outside = evidence.evaluation, evidence.held_out
    gap = inside.log_likelihood / inside.weight_sum - outside.lower_bound
    expected = evidence.parameters.n_parameters / inside.weight_sum
    error = log_densities.deviation * sqrt(1 / inside.weight_sum + 1 / outside.effective_rows)
    if gap > expected + _ERRORS * error:
        yield Finding(
            f"rows held out are less likely than training rows by {gap:.3g} nats a row; fitting explains "
            f"{expected:.2g}, and the standard error is {error:.2g}.",
            f"To change that, {evidence.fewer_components}, {evidence.fewer_parameters}, or look for outliers.",
            figures={"gap": gap, "expected": expected, "standard_error": error},
        )


def find_edge(evidence: Evidence) -> Iterator[Finding]:
    """The number of components that was chosen is the largest that was tried, or the smallest if that is above 1.

    A value beyond the grid may be better.
    """
    if evidence.grid is None:
        return
    ks, k = evidence.grid.ks, evidence.parameters.n_components
    if edge := evidence.grid.find_edge(k):
        end, direction = ("largest", "larger") if edge == "highest" else ("smallest", "smaller")
        yield Finding(
            f"k={k} has the best {evidence.grid.criterion}, and is the {end} of {len(ks)} that could be fitted.",
            f"Add {direction} numbers to `ks`.",
            figures={"k": k, "smallest": min(ks), "largest": max(ks)},
        )
