"""What is known of a table's row weights: their sums, their range, and whether they can be counts.

Weights may span twelve decades, or be 1e300 or 1e-300. Sums of them, and of their squares, are kept in units of a power
of two near the largest weight: then nothing overflows, what underflows is negligible, and no digit changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.criteria import count_effective_rows

# The unit of no weights: any other is larger, or as large.
_LEAST_UNIT = float(np.finfo(np.float64).smallest_subnormal)
# A weight this near a whole number, as a share of itself, is one: counts that were added up or multiplied may round.
_ROUNDED = 1e-9


@dataclass(frozen=True)
class WeightSums:
    """Sums and range of the weights of rows; ``+`` merges disjoint rows.

    Attributes
    ----------
    positive : float
        Rows of positive weight.
    unit : float
        Power of two, at most the largest weight and more than half of it.
    total, squares : float
        Sum of the weights, in units, and of their squares, in squared units.
    least, largest : float
        Of the positive weights; infinity and 0 if there are none.
    fractional : float
        Rows whose weight is not a whole number.

    Examples
    --------
    >>> sums = WeightSums.of(np.array([1.0, 1.0, 2.5]))
    >>> sums.weight_sum, sums.fractional, round(sums.effective_rows, 3)
    (4.5, 1.0, 2.455)
    """

    positive: float = 0.0
    unit: float = _LEAST_UNIT
    total: float = 0.0
    squares: float = 0.0
    least: float = np.inf
    largest: float = 0.0
    fractional: float = 0.0

    @classmethod
    def of(cls, sample_weight: Array) -> WeightSums:
        """Sum up weights (m,), none negative."""
        weight = sample_weight[sample_weight > 0]
        if not len(weight):
            return cls()
        least, largest = float(weight.min()), float(weight.max())
        unit = find_unit(largest)
        scaled = weight / unit  # exact
        fractional = float(np.count_nonzero(np.abs(weight - np.rint(weight)) > _ROUNDED * weight))
        # The sum over all rows, in their order, as where no weight is zero.
        total = float((sample_weight / unit).sum())
        return cls(float(len(weight)), unit, total, float(scaled @ scaled), least, largest, fractional)

    @classmethod
    def of_equal(cls, rows: float) -> WeightSums:
        """Sum up so many weights of 1."""
        return cls(rows, 1.0, rows, rows, 1.0, 1.0) if rows else cls()

    def __add__(self, other: WeightSums) -> WeightSums:
        """Merge the sums of disjoint rows."""
        unit = max(self.unit, other.unit)
        mine, theirs = self.unit / unit, other.unit / unit  # powers of two, or 0 if negligible
        return WeightSums(
            self.positive + other.positive,
            unit,
            self.total * mine + other.total * theirs,
            self.squares * mine**2 + other.squares * theirs**2,
            min(self.least, other.least),
            max(self.largest, other.largest),
            self.fractional + other.fractional,
        )

    def in_units(self, unit: float) -> WeightSums:
        """Return the sums of the same weights divided by a power of two."""
        return replace(self, unit=self.unit / unit, least=self.least / unit, largest=self.largest / unit)

    @property
    def weight_sum(self) -> float:
        """Sum of the weights; infinite if it overflows."""
        return self.total * self.unit

    @property
    def effective_rows(self) -> float:
        """Rows of equal weight that would say as much, see :func:`.count_effective_rows`."""
        return count_effective_rows(self.total, self.squares)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> WeightSums:
        """Read the attributes of one from a mapping of numbers, or of arrays of no dimension."""
        return cls(**{name: float(value) for name, value in values.items()})


def find_unit(weight: float) -> float:
    """Return the largest power of two that is not above a positive weight.

    Examples
    --------
    >>> find_unit(5.0), find_unit(0.25)
    (4.0, 0.25)
    """
    return float(np.ldexp(1.0, int(np.frexp(weight)[1]) - 1))
