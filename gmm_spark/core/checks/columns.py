"""Checks of columns: codes for missing values, one value in most rows, relations, skewness, values beyond the rows'."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence
from gmm_spark.core.mixture.density import responsibilities
from gmm_spark.core.mixture.overreach import find_overreach, tell_overreach

# A column with one value in so large a share of the rows is nearly constant, and one in the other share has an atom.
_CONSTANT, _ATOM = 0.99, 0.3
# A column that is missing in such a share of the rows is mostly missing.
_MOSTLY_MISSING = 0.5
# Share of a column's variance within components that the other columns leave unexplained, below which it is collinear.
_UNEXPLAINED = 1e-3
# Columns compared at most, and rows, at most and for each column at least.
_WIDEST, _COMPARED, _ROWS_PER_COLUMN = 200, 5_000, 10
# Skewness of the quantiles 0.05, 0.5 and 0.95 above which a column is skewed, and below which its logarithm is not.
_SKEWED, _STRAIGHT = 0.6, 0.25


def find_missing_codes(evidence: Evidence) -> Iterator[Finding]:
    """A column has a value that probably stands for a missing one, such as -999, 9999 or 0.

    In the sample the value is exact (in 4 rows and 0.01 % of them), far from the rest (more than 8 robust standard
    deviations from the median), and apart (a gap of 5 such deviations, and twice as far from the median as the nearest
    other value). Rows with the code form a component of their own or stretch another, and the other clusters suffer.
    """
    m = evidence.columns.shape[1]
    found = [(code, name) for codes, name in zip(evidence.codes, evidence.names, strict=True) for code in codes]
    for code, name in sorted(found, key=lambda one: -one[0].rows):
        yield Finding(
            f"column {name!r} is exactly {code.value:.15g} in {code.rows:,} of {m:,} sample rows, "
            f"{code.distance:,.0f} robust standard deviations from the median; the nearest other value is "
            f"{code.nearest:g}.",
            'If it stands for a missing value, make it null and set `handleInvalid` to "marginal" or "skip", or '
            "replace it.",
            column=name,
            figures={"value": code.value, "rows": code.rows, "sample": m, "deviations": code.distance},
        )


def find_mostly_missing(evidence: Evidence) -> Iterator[Finding]:
    """A column is missing in half of the rows, by weight, or in more.

    What the mixture says of it rests on the others, and on the assumption that it is missing at random: that whether a
    value is missing depends on observed values alone, and not on itself (Rubin 1976).
    """
    moments = evidence.moments
    if not moments.weights.total > 0:
        return
    missing = 1 - moments.observed / moments.weights.total
    for i in np.argsort(-missing, kind="stable").tolist():
        if missing[i] >= _MOSTLY_MISSING:
            yield Finding(
                f"column {evidence.names[i]!r} is missing in {missing[i]:.0%} of the rows.",
                "Drop the column from `inputCols`, unless you know why it is missing, and that its value is not why.",
                column=evidence.names[i],
                figures={"share": missing[i]},
            )


def find_constant(evidence: Evidence) -> Iterator[Finding]:
    """A column has one value in at least 99 % of the rows of the sample.

    It says next to nothing of the other rows, and its variance is that of a few of them.
    """
    profile = evidence.profile
    for i in np.argsort(-profile.mode_share, kind="stable").tolist():
        if profile.mode_share[i] >= _CONSTANT:
            yield Finding(
                f"column {evidence.names[i]!r} is exactly {profile.mode[i]:.15g} in {profile.mode_share[i]:.2%} of "
                f"{profile.rows:,} sample rows.",
                "Drop the column from `inputCols`.",
                column=evidence.names[i],
                figures={"value": profile.mode[i], "share": profile.mode_share[i], "sample": profile.rows},
            )


def find_atoms(evidence: Evidence) -> Iterator[Finding]:
    """A column has one value in 30 % of the rows of the sample or more, but less than 99 %.

    Such a value is an atom of the distribution, often 0, and a Gaussian has none: a component becomes as narrow there
    as the floor lets it, and likelihoods and criteria say more of the floor than of the rest.
    """
    profile = evidence.profile
    for i in np.argsort(-profile.mode_share, kind="stable").tolist():
        if _ATOM <= profile.mode_share[i] < _CONSTANT:
            yield Finding(
                f"column {evidence.names[i]!r} is exactly {profile.mode[i]:.15g} in {profile.mode_share[i]:.0%} of "
                f"{profile.rows:,} sample rows.",
                "Fit the rows without that value alone, or drop the column from `inputCols`.",
                column=evidence.names[i],
                figures={"value": profile.mode[i], "share": profile.mode_share[i], "sample": profile.rows},
            )


def find_collinear(evidence: Evidence) -> Iterator[Finding]:
    """A column follows from the others: within components they explain 99.9 % of its variance or more.

    Rows of the sample are taken less the mean of their component, so that clusters far apart are not mistaken for a
    linear relation. The unexplained share of a column's variance is the inverse of its variance inflation factor, from
    the inverse of the correlation matrix (Belsley, Kuh & Welsch 1980). The worst column is named, left out, and the
    rest looked at again. Not looked for among more than 200 columns, or in fewer than 10 sample rows a column.
    """
    d = len(evidence.names)
    correlation = _correlate_within(evidence) if 2 <= d <= _WIDEST else None
    if correlation is None:
        return
    left = np.flatnonzero(np.diagonal(correlation) > 0)  # not those that are constant within components
    while len(left) > 1:
        inverse = _invert(correlation[np.ix_(left, left)])
        worst = int(np.argmax(np.diagonal(inverse)))
        unexplained = 1 / inverse[worst, worst]
        if unexplained > _UNEXPLAINED:
            return
        slopes = np.abs(inverse[worst]) * unexplained
        slopes[worst] = 0.0
        partners = left[slopes > 0.1 * slopes.max()].tolist()
        named = ", ".join(repr(evidence.names[i]) for i in partners[:5]) + (", ..." if len(partners) > 5 else "")
        name = evidence.names[left[worst]]
        yield Finding(
            f"column {name!r} follows from {named}: within components they explain all but {unexplained:.1g} of its "
            "variance.",
            f"Drop {name!r} from `inputCols`.",
            column=name,
            figures={"unexplained": unexplained, "columns": len(partners)},
        )
        left = np.delete(left, worst)


def find_skewed(evidence: Evidence) -> Iterator[Finding]:
    """A column without negative values is skewed, and its logarithm is not.

    Skewness is that of the quantiles: (q95 + q05 - 2 q50) / (q95 - q05), from -1 to 1 and 0 if symmetric (Hinkley
    1975). The column's is above 0.6, that of its logarithm within 0.25 of 0. Zeros and codes for missing values are
    left out. A mixture can describe a skewed column, by more components than there are clusters.
    """
    for name, column, codes in zip(evidence.names, evidence.columns, evidence.codes, strict=True):
        values = column[~np.isnan(column)]
        positive = values[(values != 0) & ~np.isin(values, [code.value for code in codes])]
        if len(positive) < max(_ROWS_PER_COLUMN, values.size / 10) or positive.min() < 0:
            continue
        skewness, of_logarithm = measure_skewness(positive), measure_skewness(np.log(positive))
        if skewness > _SKEWED and abs(of_logarithm) < _STRAIGHT:
            zeros = bool((values == 0).any())
            yield Finding(
                f"column {name!r} is skewed: {skewness:.2f} of at most 1, and its logarithm is not, "
                f"{of_logarithm:.2f}.",
                f"Put {'log1p' if zeros else 'ln'}({name}) in its place in `inputCols`.",
                column=name,
                figures={"skewness": skewness, "of_logarithm": of_logarithm},
            )


def find_mass_out_of_range(evidence: Evidence) -> Iterator[Finding]:
    """A part of the mixture lies beyond the least or greatest value that a column has in any row.

    Gaussians have no ends: if a column has, such as 0 for a distance, the mixture gives a density to values that cannot
    be, and rows drawn from it have them. Told if it is more than 0.5 % of the mixture, and if by the mixture more than
    10 rows should lie there. The shares are those of the components' normal distributions, beyond half a step of the
    column's rounding and a hundredth of its standard deviation. The column that is named is that with the largest.
    """
    moments = evidence.moments
    if not moments.weights.effective_rows > 0:
        return
    spreads, mean = np.sqrt(moments.variance), moments.mean
    found = find_overreach(
        evidence.parameters.shifted(mean),
        moments.low,
        moments.high,
        spreads,
        evidence.profile.step,
        moments.weights.effective_rows,
    )
    if found:
        yield Finding(
            f"the mixture reaches where no row is: {tell_overreach(found, evidence.names)}.",
            "It does no harm to clusters. Of rows that are drawn from it, drop those that are impossible; if the "
            "density there matters, fit a function of the column that has no such end, as the logarithm of a length.",
            column=evidence.names[found[0].feature],
            figures={"share": found[0].share, "bound": found[0].bound, "ends": len(found)},
        )


def measure_skewness(values: Array) -> float:
    """Skewness of the quantiles 0.05, 0.5 and 0.95 of values (m,), in [-1, 1]; 0 if these are equal.

    Examples
    --------
    >>> measure_skewness(np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    0.0
    """
    low, center, high = np.quantile(values, [0.05, 0.5, 0.95])
    return float((high + low - 2 * center) / (high - low)) if high > low else 0.0


def _correlate_within(evidence: Evidence) -> Array | None:
    """Correlations of the columns (d, d) within components; a column without variance there has zeros. None if too few.

    Rows with a missing value are left out, and those with a code for one: they would make any two columns with codes
    alike.
    """
    rows = evidence.columns
    coded = np.isnan(rows).any(axis=0)
    for column, codes in zip(rows, evidence.codes, strict=True):
        coded |= np.isin(column, [code.value for code in codes])
    rows = rows[:, ~coded] - evidence.moments.mean[:, None]
    d, m = rows.shape
    if m < _ROWS_PER_COLUMN * d:
        return None
    rows = rows[:, np.linspace(0, m - 1, min(m, max(_COMPARED, _ROWS_PER_COLUMN * d))).astype(np.intp)]
    component = responsibilities(evidence.parameters, rows).argmax(axis=0)
    for j in np.unique(component):
        rows[:, component == j] -= rows[:, component == j].mean(axis=1, keepdims=True)
    deviations = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    varies = deviations > 1e-10 * np.sqrt(evidence.moments.variance * rows.shape[1])
    scaled = np.where(varies[:, None], rows, 0.0) / np.where(varies, deviations, 1.0)[:, None]
    return np.asarray(scaled @ scaled.T)


def _invert(correlation: Array) -> Array:
    """Invert a correlation matrix, with eigenvalues no smaller than rounding leaves them."""
    values, vectors = np.linalg.eigh(correlation)
    return np.asarray(vectors / np.maximum(values, 1e-14) @ vectors.T)
