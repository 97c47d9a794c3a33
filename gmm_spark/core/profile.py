"""A profile of a table's columns, made from a sample: what moments do not show.

Tables hold codes for missing values, rounded numbers and columns that are mostly zero. A mean and a variance say
nothing of these. The profile has the most common value of each column, a scale that a few per cent of codes cannot
move, and the step that values are rounded to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block, has_missing

# Rows that are looked at: enough for a step that matters, at a hundred microseconds or so a column.
_ROWS = 20_000
# Values that are looked at; if there are thousands of columns, fewer rows of each, but so many at least.
_VALUES, _LEAST_ROWS = 20_000_000, 1_000
# Share of the rows that has to lie on a lattice: a few imputed values are none of its points.
_ON_LATTICE = 0.95
# The most common values, each of which may be an imputed one.
_SUSPECTS = 5
# Rows that share a value, from which on the value repeats not by chance.
_REPEATED = 5
# Rounding of values, as a share of each: of float64, and of values that once were float32.
_ROUNDINGS = (4 * 2.0**-52, 2.0**-22)
# Steps finer than this share of the column's scale matter to nobody.
_FINEST = 1e-4
# Interquartile range of a Gaussian, in standard deviations.
_NORMAL_RANGE = 1.3489795003921634

Counts: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """What a sample shows of each of d columns. Rows that have weight count alike, whatever it is.

    Of a column with missing values it is what the observed ones show; if none is observed, all figures are 0.

    Attributes
    ----------
    rows : int
        Rows of the sample that were looked at.
    mode, mode_share : array (d,)
        The most common value, and the share of the rows that have it.
    quartiles : array (3, d)
        Lower quartile, median and upper quartile of the values other than the mode; of all values if those are one
        value, or none.
    step : array (d,)
        The step of the lattice that at least 95 % of the values lie on, such as 1 for whole numbers and 0.01 for cents.
        If there is none, but values repeat all the same, the typical gap between neighbours. 0 if values do not repeat,
        or if the step is negligible.
    extent : array (2, d) or None
        Least and greatest value of each column in all rows of the table that have weight, and not in the sample; None
        unless it was asked for.
    """

    rows: int
    mode: Array
    mode_share: Array
    quartiles: Array
    step: Array
    extent: Array | None = None

    @classmethod
    def of(cls, rows: Block, sample_weight: Array | None = None) -> ColumnProfile:
        """Profile the columns of rows (d, m), none infinite, with weights (m,); at least one row has weight."""
        if sample_weight is not None and not sample_weight.all():
            rows = rows[:, sample_weight > 0]
        d, m = rows.shape
        most = max(min(_ROWS, _VALUES // d), _LEAST_ROWS)
        if has_missing(rows):
            # A column that is mostly missing keeps all of its values, if they are no more than others have.
            observed = [_choose_evenly(column[~np.isnan(column)], most) for column in rows]
            columns = [_profile_column(column.astype(np.float64)) for column in observed]
            mode, share, quartiles, step = zip(*columns, strict=True)
            return cls(min(m, most), np.array(mode), np.array(share), np.stack(quartiles, axis=1), np.array(step))
        if m > most:
            rows, m = rows[:, np.linspace(0, m - 1, most).astype(np.intp)], most
        columns = [_profile_column(np.asarray(column, dtype=np.float64)) for column in rows]
        mode, share, quartiles, step = zip(*columns, strict=True)
        return cls(m, np.array(mode), np.array(share), np.stack(quartiles, axis=1), np.array(step))

    @property
    def spread(self) -> Array:
        """Robust standard deviations (d,): the interquartile range over that of a standard Gaussian; may be 0."""
        return np.asarray((self.quartiles[2] - self.quartiles[0]) / _NORMAL_RANGE)


def _choose_evenly(values: Block, most: int) -> Block:
    """Choose up to ``most`` of the values (m,), evenly over their order."""
    m = len(values)
    return values if m <= most else values[np.linspace(0, m - 1, most).astype(np.intp)]


def _profile_column(values: Array) -> tuple[float, float, Array, float]:
    """Find the mode, its share, the quartiles and the step of one column (m,)."""
    if not len(values):
        return 0.0, 0.0, np.zeros(3), 0.0
    distinct, counts = np.unique(values, return_counts=True)
    at = int(np.argmax(counts))
    mode, share = float(distinct[at]), float(counts[at] / len(values))
    others = values[values != mode]
    quartiles = np.quantile(others, [0.25, 0.5, 0.75]) if len(others) else np.full(3, mode)
    if quartiles[0] == quartiles[2]:
        quartiles = np.quantile(values, [0.25, 0.5, 0.75])
    scale = quartiles[2] - quartiles[0] or distinct[-1] - distinct[0]
    return mode, share, quartiles, _find_step(distinct, counts, _FINEST * scale)


def _find_step(distinct: Array, counts: Counts, finest: float) -> float:
    """Find the largest step of at least ``finest`` whose lattice holds nearly all values; 0 if there is none.

    If values repeat and there is no lattice, as with logarithms of counts, the step is the gap to the nearest other
    value that is typical of a row.
    """
    if len(distinct) < 2:
        return 0.0
    everything = np.arange(len(distinct))
    by_count = np.argsort(-counts, kind="stable")
    # An imputed value is among the most common, and seldom a point of the lattice.
    suspects = by_count[:_SUSPECTS] if counts[by_count[0]] > 1 else by_count[:0]
    covering = int(np.searchsorted(np.cumsum(counts[by_count]), _ON_LATTICE * counts.sum())) + 1
    best = 0.0
    for chosen in (everything, *(np.delete(everything, one) for one in suspects), np.sort(by_count[:covering])):
        for rounding in _ROUNDINGS:
            step = _common_divisor(distinct[chosen], rounding, finest)
            if step > best and _share_on_lattice(distinct, counts, chosen, step, rounding) >= _ON_LATTICE:
                best = step
    return best or _typical_gap(distinct, _without_mode(counts), finest)


def _without_mode(counts: Counts) -> Array:
    """Count only the values other than the most common."""
    others = counts.astype(np.float64)
    others[int(np.argmax(counts))] = 0.0
    return others


def _typical_gap(distinct: Array, counts: Array, finest: float) -> float:
    """Median over rows of the gap to the nearest other value; 0 unless nearly all rows share their value."""
    if not counts[counts >= _REPEATED].sum() >= _ON_LATTICE * counts.sum() > 0:
        return 0.0
    gaps = np.diff(distinct)
    nearest = np.minimum(np.append(gaps, np.inf), np.append(np.inf, gaps))
    order = np.argsort(nearest)
    gap = float(nearest[order][np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2)])
    return gap if gap >= finest else 0.0


def _common_divisor(distinct: Array, rounding: float, finest: float) -> float:
    """Greatest common divisor of the gaps between ascending values, up to their rounding; 0 if below ``finest``.

    Euclid's algorithm on all gaps at once: the smallest remainder is the next divisor.
    """
    gaps = np.diff(distinct)
    tolerance = rounding * (np.abs(distinct[1:]) + np.abs(distinct[:-1]))
    telling = gaps > 8 * tolerance
    gaps, tolerance = gaps[telling], tolerance[telling]
    if not len(gaps):
        return 0.0
    step = float(gaps.min())
    while step >= finest:
        times = np.rint(gaps / step)
        # Every gap of so many steps says how long one is: its rounding is divided by their number.
        near = np.abs(gaps - times * step) <= tolerance + times * 1e-9 * step
        if near.all():
            return float(gaps.sum() / times.sum())
        step = float(np.abs(gaps - times * step)[~near].min())
    return 0.0


def _share_on_lattice(distinct: Array, counts: Counts, chosen: NDArray[np.intp], step: float, rounding: float) -> float:
    """Share of the rows on the lattice through the most common of the chosen values.

    The smaller of two shares: of all rows, and of those that do not have the most common value of all, since any
    lattice through it has its rows.
    """
    origin = distinct[chosen[int(np.argmax(counts[chosen]))]]
    offset = distinct - origin
    tolerance = rounding * (np.abs(distinct) + abs(origin)) + 1e-6 * step
    on = np.abs(offset - np.rint(offset / step) * step) <= tolerance
    telling = _without_mode(counts)
    return float(min(telling[on].sum() / telling.sum(), counts[on].sum() / counts.sum()))
