"""Observation of rows with missing values: each feature over the rows that have it, each row beside its own pattern.

A row's log-density is taken from the mean of the training rows of its pattern, and held against their quantiles. Rows
of patterns that the training had few of, or none, are left out of that; not of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.drift.observation import FARTHEST, ObservationAccumulator, ObservationSums, Observed
from gmm_spark.core.kernels.layout import VectorLayout
from gmm_spark.core.missing.marginals import group_rows

# Rows whose deviations are held at a time.
_ROWS = 4096


class IncompleteObservationSums(ObservationSums):
    """What tasks sum of rows with missing values, given the profile of the training rows."""

    @cached_property
    def layout(self) -> VectorLayout:
        """As of complete rows; and the values of each feature, and the rows of each pattern that are compared."""
        more = {"values": self.profile.means.shape, "compared": self.profile.levels.shares.shape}
        return VectorLayout(super().layout.shapes | more)

    def accumulator(self) -> IncompleteObservationAccumulator:
        """Make an accumulator with all sums zero."""
        return IncompleteObservationAccumulator(self)

    def read(self, vectors: Iterable[Array]) -> Observed:
        """Add the vectors of all tasks up. In whichever order they come, the result is the same."""
        found = self.add_up(vectors)
        values, compared = found["values"], found["compared"]
        observed = self.describe(found, np.maximum(values, 1.0), max(float(compared.sum()), 1.0))
        return replace(observed, values=values, compared=compared)


class IncompleteObservationAccumulator(ObservationAccumulator):
    """Adds up what :class:`IncompleteObservationSums` describes."""

    def __init__(self, sums: IncompleteObservationSums) -> None:
        super().__init__(sums)
        self._levels = sums.profile.levels
        self._numbers = {pattern: number for number, pattern in enumerate(self._levels.patterns)}

    def add(self, rows: Block, prediction: NDArray[np.int32], log_density: Array, bad_rows: int) -> None:
        """Add scored rows (d, m) with NaN for missing values, their components and log-densities (m,), and bad rows."""
        found, m = self._found, rows.shape[1]
        found["rows"] += m
        found["bad_rows"] += bad_rows
        found["sizes"] += np.bincount(prediction, minlength=len(self._sums.profile.shares))
        for pattern, at in group_rows(rows, 0).common:
            if pattern in self._numbers and len(at):
                self._compare(self._numbers[pattern], log_density[at])
        for start in range(0, m, _ROWS):
            self._add_powers(rows[:, start : start + _ROWS])

    def _compare(self, number: int, log_density: Array) -> None:
        """Add the log-densities of rows of one pattern."""
        found, levels = self._found, self._levels
        found["compared"][number] += len(log_density)
        found["below"] += [np.count_nonzero(log_density <= at) for at in levels.thresholds[number]]
        deviation = (log_density - levels.means[number]) / self._sums.log_density_unit
        deviation = np.clip(deviation, -FARTHEST, FARTHEST)
        found["log_density"] += [deviation.sum(), deviation @ deviation]

    def _add_powers(self, rows: Block) -> None:
        """Add the first four powers of the deviations of what was observed, in standard units."""
        profile, has = self._sums.profile, ~np.isnan(rows)
        with np.errstate(over="ignore"):
            values = (rows - profile.means[:, None]) / self._sums.units[:, None]
        values = np.where(has, np.clip(values, -FARTHEST, FARTHEST), 0.0)
        squares = values * values
        self._found["values"] += np.count_nonzero(has, axis=1)
        self._found["powers"] += [one.sum(axis=1) for one in (values, squares, squares * values, squares * squares)]
