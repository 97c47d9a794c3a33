"""Observation: the sums over scored rows that are compared with a training profile.

Tasks fold their rows while they score them, a few numbers a task. Features and log-densities are taken in units of the
training rows' standard deviations from their means, so that the sums keep their digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.kernels.layout import VectorLayout

# A value counts as no farther from the training mean, in standard deviations: sums of fourth powers stay finite.
FARTHEST = 1e9
# Values that are standardized at a time: they stay in the processor's cache.
_VALUES = 1 << 15


@dataclass(frozen=True, eq=False)
class Observed:
    """What the rows of a table were like under a mixture.

    Attributes
    ----------
    rows : float
        Rows that were scored.
    bad_rows : float
        Rows that were not, because a value was missing or not finite.
    sizes : array (k,)
        Scored rows by most probable component.
    below : array (5,)
        Scored rows that are not more likely than each threshold of the profile.
    log_density : array (2,)
        Mean and variance of the log-densities, from the training mean and in units of the training spread.
    means, variances : array (d,)
        Of the features, in the same way.
    fourth : array (d,)
        Mean fourth power of the features' deviations from their means, in the same units.
    values : array (d,) or None
        Scored rows that have each feature; None if no value may be missing.
    compared : array (q,) or None
        Rows of each pattern of the profile, whose log-densities ``below`` and ``log_density`` are of; likewise.
    """

    rows: float
    bad_rows: float
    sizes: Array
    below: Array
    log_density: Array
    means: Array
    variances: Array
    fourth: Array
    values: Array | None = None
    compared: Array | None = None


@dataclass(frozen=True, eq=False)
class ObservationSums:
    """What tasks sum, given the profile of the training rows."""

    profile: TrainingProfile

    @cached_property
    def layout(self) -> VectorLayout:
        """Numbers of rows; rows by component and below thresholds; sums of powers of log-densities and features."""
        profile = self.profile
        return VectorLayout(
            {
                "rows": (),
                "bad_rows": (),
                "sizes": profile.shares.shape,
                "below": profile.thresholds.shape,
                "log_density": (2,),
                "powers": (4, len(profile.means)),
            }
        )

    @cached_property
    def units(self) -> Array:
        """What features are divided by, (d,): their spreads, or 1 if they were constant."""
        return np.where(self.profile.spreads > 0, self.profile.spreads, 1.0)

    @cached_property
    def log_density_unit(self) -> float:
        """What log-densities are divided by, nats."""
        return self.profile.log_density_spread or 1.0

    def accumulator(self) -> ObservationAccumulator:
        """Make an accumulator with all sums zero."""
        return ObservationAccumulator(self)

    def read(self, vectors: Iterable[Array]) -> Observed:
        """Add the vectors of all tasks up. In whichever order they come, the result is the same."""
        found = self.add_up(vectors)
        rows = max(float(found["rows"]), 1.0)
        return self.describe(found, rows, rows)

    def add_up(self, vectors: Iterable[Array]) -> dict[Any, Array]:
        """Add the vectors of all tasks up, and take the sums apart."""
        ordered = sorted(vectors, key=lambda vector: vector.tobytes())
        return self.layout.unpack(np.sum(ordered, axis=0) if ordered else np.zeros(self.layout.length))

    def describe(self, found: Mapping[Any, Array], values: Array | float, compared: float) -> Observed:
        """Turn sums over so many values of the features, and so many log-densities, into means and variances."""
        first, second, third, fourth = found["powers"] / values
        mean, square = found["log_density"] / compared
        central = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
        return Observed(
            rows=float(found["rows"]),
            bad_rows=float(found["bad_rows"]),
            sizes=found["sizes"],
            below=found["below"],
            log_density=np.array([mean, max(square - mean**2, 0.0)]),
            means=first,
            variances=np.maximum(second - first**2, 0.0),
            fourth=np.maximum(central, 0.0),
        )


class ObservationAccumulator:
    """Adds up what :class:`ObservationSums` describes."""

    def __init__(self, sums: ObservationSums) -> None:
        self._sums = sums
        self._found = {name: np.zeros(shape) for name, shape in sums.layout.shapes.items()}

    def add(self, rows: Block, prediction: NDArray[np.int32], log_density: Array, bad_rows: int) -> None:
        """Add scored rows (d, m) with their components and log-densities (m,), and a number of bad rows."""
        sums, found, profile = self._sums, self._found, self._sums.profile
        d, m = rows.shape
        found["rows"] += m
        found["bad_rows"] += bad_rows
        found["sizes"] += np.bincount(prediction, minlength=len(profile.shares))
        found["below"] += [np.count_nonzero(log_density <= threshold) for threshold in profile.thresholds]
        deviation = (log_density - profile.mean_log_density) / sums.log_density_unit
        deviation = np.clip(deviation, -FARTHEST, FARTHEST)
        found["log_density"] += [deviation.sum(), deviation @ deviation]
        step = max(_VALUES // d, 1)
        for start in range(0, m, step):
            found["powers"] += self._sum_powers(rows[:, start : start + step])

    def vector(self) -> Array:
        """Write the sums as one vector."""
        return self._sums.layout.pack(self._found)

    def _sum_powers(self, rows: Block) -> Array:
        """Sum the first four powers of the features' deviations in standard units, (4, d)."""
        # Rows lie in memory as they came, each row's features together: the sums run along memory if it is transposed.
        ones = np.ones(rows.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            values = (rows.T - self._sums.profile.means) / self._sums.units  # (m, d)
            squares = values * values
            second = ones @ squares
            if not (second <= FARTHEST**2).all():  # so no value was farther
                np.clip(values, -FARTHEST, FARTHEST, out=values)
                np.multiply(values, values, out=squares)
                second = ones @ squares
        third = np.einsum("ij,ij->j", squares, values)
        fourth = np.einsum("ij,ij->j", squares, squares)
        return np.stack([ones @ values, second, third, fourth])
