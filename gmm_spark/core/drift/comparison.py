"""Comparison: how far the rows of a table are from the training rows of a mixture.

Each figure comes with whether it is beyond chance: rows of the same distribution, drawn independently, bring so large a
figure once in a thousand tables. So a small table does not alarm. Rows that depend on each other, such as the readings
of one hour, vary more than that: on large tables nearly every figure is beyond chance, and its size counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, chdtri, ndtri

from gmm_spark.core.arrays import Array
from gmm_spark.core.drift.observation import ObservationSums, Observed
from gmm_spark.core.drift.reference import TrainingProfile

# Share of tables without drift in which a figure is beyond chance.
_RARE = 0.001


class Figure(NamedTuple):
    """A figure, and whether it is larger than chance brings."""

    value: float
    beyond_chance: bool


@dataclass(frozen=True, eq=False)
class Drift:
    """How the rows of a table differ from the training rows.

    Attributes
    ----------
    rows, bad_rows : float
        Rows of the table that were scored, and that were not.
    shares : array (k,)
        Share of the scored rows by most probable component.
    psi : Figure
        Population stability index of these shares: the sum over components of (now - before) ln(now / before). Half a
        row is added to each count, so that an empty component counts and does not make it infinite.
    mean_log_density : float
        Nats.
    log_density_change : Figure
        That mean less the training rows', nats; negative if the rows are less likely.
    log_density_error : float
        Standard error of the change, nats.
    shares_below : array (5,)
        Share of the scored rows that are not more likely than each threshold of the profile.
    below_ratios : list of Figure
        That share as a multiple of the training rows'.
    means, spreads : array (d,)
        Mean and standard deviation of each feature, in its own units; NaN if no row has it.
    mean_shifts : list of Figure
        Mean less the training mean, in training standard deviations; infinite if a constant feature has moved.
    mean_errors : array (d,)
        Standard errors of the shifts.
    spread_ratios : list of Figure
        Standard deviation as a multiple of the training rows'; infinite if the feature was constant and is not now.
    expected_mean, expected_below : float, array (5,)
        Of the training rows: mean log-density, nats, and shares below the thresholds; if values may be missing, of
        training rows that lack the same features as the scored rows.
    compared : float
        Rows whose log-densities are compared: all, or if values may be missing those of which the training rows had
        enough of the same pattern. NaN if there are none: so are then the figures of log-densities, and not beyond
        chance.
    missing : array (d,) or None
        Share of the rows in which each feature is missing; None if no value may be missing.
    missing_changes : list of Figure
        That share less the training rows'; empty if no value may be missing, or the training left such rows out.
    """

    rows: float
    bad_rows: float
    shares: Array
    psi: Figure
    mean_log_density: float
    log_density_change: Figure
    log_density_error: float
    shares_below: Array
    below_ratios: list[Figure]
    means: Array
    spreads: Array
    mean_shifts: list[Figure]
    mean_errors: Array
    spread_ratios: list[Figure]
    expected_mean: float
    expected_below: Array
    compared: float
    missing: Array | None = None
    missing_changes: list[Figure] = field(default_factory=list)


def compare(profile: TrainingProfile, observed: Observed) -> Drift:
    """Compare observed rows with a profile; there must be at least one scored row.

    If values may be missing, a feature is compared over the rows that have it, and a log-density with those of training
    rows of the same pattern.
    """
    sums, expected = ObservationSums(profile), _expect(profile, observed)
    n, m = _count_values(profile, observed)
    mean, variance = observed.log_density * sums.log_density_unit ** np.array([1, 2])
    # The variance of a few rows may be 0 by chance: the training rows' is the least that errors are estimated from.
    square = profile.log_density_spread**2
    error = float(np.sqrt(max(variance, square) / expected.rows + square / expected.training))
    known = profile.spreads > 0
    mean_errors = np.sqrt(np.maximum(observed.variances, known) / n + known / m)
    means = profile.means + observed.means * sums.units
    spreads = np.sqrt(observed.variances) * sums.units
    # A mean of equal values may round.
    moved = np.abs(means - profile.means) > 1e-12 * np.abs(profile.means)
    shifts = np.where(known, observed.means, np.where(moved, np.copysign(np.inf, observed.means), 0.0))
    widened = observed.variances > (1e-12 * profile.means / sums.units) ** 2
    ratios = np.where(known, np.sqrt(observed.variances), np.where(widened, np.inf, 1.0))
    far = _quantile(len(means))
    varied = _vary(ratios, observed, n, m, far)
    if observed.values is not None:  # of a feature without values nothing is known
        there = observed.values > 0
        means, spreads = (np.where(there, one, np.nan) for one in (means, spreads))
        shifts, ratios = np.where(there, shifts, 0.0), np.where(there, ratios, 1.0)
        varied &= there
    return Drift(
        rows=observed.rows,
        bad_rows=observed.bad_rows,
        shares=observed.sizes / observed.rows,
        psi=_compare_shares(profile, observed.sizes),
        mean_log_density=float(expected.mean + mean),
        log_density_change=Figure(float(mean), bool(abs(mean) > _quantile(1) * error)),
        log_density_error=error,
        shares_below=observed.below / expected.rows,
        below_ratios=_compare_tails(expected, observed),
        means=means,
        spreads=spreads,
        mean_shifts=_pair(shifts, np.abs(shifts) > far * mean_errors),
        mean_errors=mean_errors,
        spread_ratios=_pair(ratios, varied),
        expected_mean=expected.mean,
        expected_below=expected.shares_below,
        compared=expected.rows,
        missing=None if observed.values is None else 1 - observed.values / observed.rows,
        missing_changes=_compare_missing(profile, observed),
    )


class _Expected(NamedTuple):
    """What the log-densities of the rows that are compared are compared with.

    Attributes
    ----------
    rows : float
        Rows that are compared; NaN if there are none, and then what is made of it is NaN.
    training : float
        Rows of equal weight that the training's figures are as exact as.
    mean : float
        Mean log-density of training rows that lack what these rows lack, nats.
    shares_below : array (t,)
        Shares of such training rows below the thresholds.
    """

    rows: float
    training: float
    mean: float
    shares_below: Array


def _expect(profile: TrainingProfile, observed: Observed) -> _Expected:
    if observed.compared is None:
        return _Expected(observed.rows, profile.effective_rows, profile.mean_log_density, profile.shares_below)
    levels, rows = profile.levels, float(observed.compared.sum()) or np.nan
    shares = observed.compared / rows
    # Errors of the patterns' means and shares, by how many rows are compared with each.
    error = float(shares**2 @ (1 / (profile.effective_rows * levels.shares)))
    return _Expected(rows, 1 / error, float(shares @ levels.means), shares @ levels.shares_below)


def _count_values(profile: TrainingProfile, observed: Observed) -> tuple[Array | float, Array | float]:
    """Count the values of each feature: scored ones, and training ones by what they say; as if one if there is none."""
    if observed.values is None:
        return observed.rows, profile.effective_rows
    missing = np.zeros(len(profile.means)) if profile.missing is None else profile.missing
    return np.maximum(observed.values, 1.0), np.maximum(profile.effective_rows * (1 - missing), 1.0)


def _compare_missing(profile: TrainingProfile, observed: Observed) -> list[Figure]:
    """Return how much more often each feature is missing than in the training rows."""
    if observed.values is None or not profile.knows_missing:
        return []
    n, m, d = observed.rows, profile.effective_rows, len(profile.means)
    before = np.zeros(d) if profile.missing is None else profile.missing
    counts = n - observed.values
    changes = counts / n - before
    beyond = [
        _is_rare(count, share * m, n, m, d) for count, share in zip(counts.tolist(), before.tolist(), strict=True)
    ]
    return _pair(changes, np.array(beyond, bool))


def _compare_shares(profile: TrainingProfile, sizes: Array) -> Figure:
    """Return the population stability index. Without drift, psi / (1/n + 1/m) is chi-squared with k - 1 degrees."""
    k, n, m = len(sizes), sizes.sum(), profile.rows
    now, before = (sizes + 0.5) / (n + k / 2), (profile.shares * m + 0.5) / (m + k / 2)
    psi = float(((now - before) * np.log(now / before)).sum())
    chance = chdtri(k - 1, _RARE) * (1 / n + 1 / min(m, profile.effective_rows)) if k > 1 else 0.0
    return Figure(psi, bool(psi > chance))


def _compare_tails(expected: _Expected, observed: Observed) -> list[Figure]:
    """Return the shares below each threshold as multiples of the training rows'."""
    n, m = expected.rows, expected.training
    return [
        Figure(float(count / n / share), _is_rare(count, share * m, n, m))
        for count, share in zip(observed.below, expected.shares_below, strict=True)
    ]


def _is_rare(count: float, others: float, n: float, m: float, figures: int = 1) -> bool:
    """Tell whether so many of n rows are of a kind that so many others of m rows are of, more or fewer than by chance.

    If there is no drift, of all rows of the kind as many are new, in proportion, as of all rows.
    """
    # The binomial law of the count, given the sum: as large or larger, and as small or smaller.
    larger = betainc(count, others + 1, n / (n + m)) if count else 1.0
    smaller = betaincc(count + 1, others, n / (n + m)) if others else 1.0
    return bool(min(larger, smaller) < _RARE / 2 / figures)


def _vary(ratios: Array, observed: Observed, n: Array | float, m: Array | float, far: float) -> NDArray[np.bool_]:
    """Tell which spreads differ by more than chance: the variance of a variance follows from the fourth moment.

    The kurtosis of a few rows may be small by chance: that of a Gaussian, 3, is the least that is taken.
    """
    square = observed.variances**2
    kurtosis = np.maximum(np.divide(observed.fourth, square, out=np.zeros_like(square), where=square > 0), 3.0)
    error = np.sqrt((kurtosis - 1) * (1 / n + 1 / m))  # of a variance, relative
    smaller = np.minimum(ratios, 1 / np.maximum(ratios, np.finfo(float).tiny))
    return np.asarray((1 - smaller**2 > far * error) | np.isinf(ratios))


def _quantile(figures: int) -> float:
    """Return how many standard errors the largest of so many figures exceeds in one of a thousand tables."""
    return float(-ndtri(_RARE / 2 / figures))


def _pair(values: Array, beyond: NDArray[np.bool_]) -> list[Figure]:
    return [Figure(float(value), bool(one)) for value, one in zip(values, beyond, strict=True)]
