"""Comparison: how far the rows of a table are from the training rows of a mixture.

Each figure comes with whether it is beyond chance: rows of the same distribution, drawn independently, bring so large a
figure once in a thousand tables. So a small table does not alarm. Rows that depend on each other, such as the readings
of one hour, vary more than that: on large tables nearly every figure is beyond chance, and its size counts.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        Mean and standard deviation of each feature, in its own units.
    mean_shifts : list of Figure
        Mean less the training mean, in training standard deviations; infinite if a constant feature has moved.
    mean_errors : array (d,)
        Standard errors of the shifts.
    spread_ratios : list of Figure
        Standard deviation as a multiple of the training rows'; infinite if the feature was constant and is not now.
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


def compare(profile: TrainingProfile, observed: Observed) -> Drift:
    """Compare observed rows with a profile; there must be at least one scored row."""
    n = observed.rows
    sums = ObservationSums(profile)
    mean, variance = observed.log_density * sums.log_density_unit ** np.array([1, 2])
    # The variance of a few rows may be 0 by chance: the training rows' is the least that errors are estimated from.
    square = profile.log_density_spread**2
    error = float(np.sqrt(max(variance, square) / n + square / profile.effective_rows))
    known = profile.spreads > 0
    mean_errors = np.sqrt(np.maximum(observed.variances, known) / n + known / profile.effective_rows)
    means = profile.means + observed.means * sums.units
    spreads = np.sqrt(observed.variances) * sums.units
    # A mean of equal values may round.
    moved = np.abs(means - profile.means) > 1e-12 * np.abs(profile.means)
    shifts = np.where(known, observed.means, np.where(moved, np.copysign(np.inf, observed.means), 0.0))
    widened = observed.variances > (1e-12 * profile.means / sums.units) ** 2
    ratios = np.where(known, np.sqrt(observed.variances), np.where(widened, np.inf, 1.0))
    far = _quantile(len(means))
    return Drift(
        rows=n,
        bad_rows=observed.bad_rows,
        shares=observed.sizes / n,
        psi=_compare_shares(profile, observed.sizes),
        mean_log_density=float(profile.mean_log_density + mean),
        log_density_change=Figure(float(mean), bool(abs(mean) > _quantile(1) * error)),
        log_density_error=error,
        shares_below=observed.below / n,
        below_ratios=_compare_tails(profile, observed),
        means=means,
        spreads=spreads,
        mean_shifts=_pair(shifts, np.abs(shifts) > far * mean_errors),
        mean_errors=mean_errors,
        spread_ratios=_pair(ratios, _vary(ratios, observed, profile, far)),
    )


def _compare_shares(profile: TrainingProfile, sizes: Array) -> Figure:
    """Return the population stability index. Without drift, psi / (1/n + 1/m) is chi-squared with k - 1 degrees."""
    k, n, m = len(sizes), sizes.sum(), profile.rows
    now, before = (sizes + 0.5) / (n + k / 2), (profile.shares * m + 0.5) / (m + k / 2)
    psi = float(((now - before) * np.log(now / before)).sum())
    chance = chdtri(k - 1, _RARE) * (1 / n + 1 / min(m, profile.effective_rows)) if k > 1 else 0.0
    return Figure(psi, bool(psi > chance))


def _compare_tails(profile: TrainingProfile, observed: Observed) -> list[Figure]:
    """Return the shares below each threshold as multiples of the training rows'.

    If there is no drift, of all rows below a threshold as many are new, in proportion, as of all rows.
    """
    n, m = observed.rows, profile.effective_rows
    found = []
    for count, share in zip(observed.below, profile.shares_below, strict=True):
        others = share * m
        # The binomial law of the count, given the sum: as large or larger, and as small or smaller.
        larger = betainc(count, others + 1, n / (n + m)) if count else 1.0
        smaller = betaincc(count + 1, others, n / (n + m)) if others else 1.0
        beyond = min(larger, smaller) < _RARE / 2
        found.append(Figure(float(count / n / share), bool(beyond)))
    return found


def _vary(ratios: Array, observed: Observed, profile: TrainingProfile, far: float) -> NDArray[np.bool_]:
    """Tell which spreads differ by more than chance: the variance of a variance follows from the fourth moment.

    The kurtosis of a few rows may be small by chance: that of a Gaussian, 3, is the least that is taken.
    """
    square = observed.variances**2
    kurtosis = np.maximum(np.divide(observed.fourth, square, out=np.zeros_like(square), where=square > 0), 3.0)
    error = np.sqrt((kurtosis - 1) * (1 / observed.rows + 1 / profile.effective_rows))  # of a variance, relative
    smaller = np.minimum(ratios, 1 / np.maximum(ratios, np.finfo(float).tiny))
    return np.asarray((1 - smaller**2 > far * error) | np.isinf(ratios))


def _quantile(figures: int) -> float:
    """Return how many standard errors the largest of so many figures exceeds in one of a thousand tables."""
    return float(-ndtri(_RARE / 2 / figures))


def _pair(values: Array, beyond: NDArray[np.bool_]) -> list[Figure]:
    return [Figure(float(value), bool(one)) for value, one in zip(values, beyond, strict=True)]
