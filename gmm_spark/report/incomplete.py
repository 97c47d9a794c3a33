"""Missing values: how many there were in the fitted rows, and what follows for the page's other figures."""

from __future__ import annotations

from gmm_spark.core.formatting import count_of, show_count, show_name, show_share
from gmm_spark.core.missing.thresholds import count_measured
from gmm_spark.report.blocks import Block, Cell, Table, Text, word
from gmm_spark.report.facts import Facts
from gmm_spark.report.subject import Subject

# Columns that are listed at most: those that are missing most often.
_LISTED = 20


def list_missing(facts: Facts) -> list[Block]:
    """List in how many of the rows that were used each column is missing; nothing if none is."""
    missing, used = facts["rows"]["missing"], facts["rows"].number("used")
    rows, patterns = missing.number("rows"), missing.number("patterns")
    if not rows or not used:
        return []
    columns = [(show_name(name), n) for name, count in missing["columns"].items() if (n := count.number())]
    shown = columns[:_LISTED]
    cells = [[word(name), Cell(show_count(n)), Cell(show_share(n / used), min(n / used, 1.0))] for name, n in shown]
    caption = f"Missing values: {show_count(rows)} of the rows used lack {count_of(len(columns), 'column')} in all"
    caption += f", in {count_of(patterns, 'pattern')}" if patterns else ""
    if len(shown) < len(columns):
        caption += f"; the {len(shown)} that are missing most"
    return [
        Table(caption, ["column", "rows that lack it", "share of those used"], cells),
        Text(
            "A row counts by what was observed of it, and nothing was filled in. That is right if values are missing "
            "at random: if whether one is missing depends on observed values at most, and not on itself."
        ),
    ]


def tell_compared(subject: Subject) -> list[Block]:
    """Say what observed and modelled figures are compared of, if values are missing."""
    portrait = subject.portrait
    if portrait is None or portrait.observed is None:
        return []
    return [
        Text(
            f"{show_share(portrait.observed.incomplete)} of the rows have missing values. A log-density is over the "
            "features that a row has, so drawn rows were made to lack the same features as often. In the figures by "
            "feature and by region, the rows are those that have the feature, or both; the mixture has its components "
            "as often as these rows do."
        )
    ]


def tell_thresholds(subject: Subject, fraction: float) -> list[Block]:
    """Say of how many patterns of missing columns the threshold of anomalies is known, and of how many derived."""
    patterns = subject.facts["rows"]["missing"].number("patterns")
    if not patterns:
        return []
    if subject.parameters.noise is not None:
        return [
            Text(
                "Beside noise, rows with missing values have no threshold, since no row is less likely than noise: "
                "take the rows that are predicted to be noise."
            )
        ]
    measured = count_measured(subject.log_densities, subject.log_densities_by_pattern, fraction)
    derived = max(0.0, patterns - measured)
    said = (
        "Rows that lack different features do not compare, so each pattern of missing columns has a threshold of its "
        f"own. With a fraction of {show_share(fraction)} it is the quantile of their own rows for "
        f"{show_count(measured)} of the {count_of(patterns, 'pattern')} in the training rows."
    )
    if derived:
        whose = "complete rows" if subject.log_densities is not None else "the most frequent pattern"
        said += (
            f" For the other {show_count(derived)} rows were too few to measure it: it is derived from the mixture and "
            f"from the tails that {whose} show, and the share that it flags may be a few times smaller or larger."
        )
    return [Text(said)]
