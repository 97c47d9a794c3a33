"""Sums over rows of several patterns, each pattern summed by an accumulator of its own.

An accumulator of a pattern costs memory, and a few factorisations to make. Those of the frequent patterns are kept from
run to run and from piece to piece; for others one is made for each run of rows, and its sums are added up at once.
Which patterns are kept is decided beforehand, from the table alone, so that sums are added in the same order whatever
a task has seen before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.accumulators import Accumulator
from gmm_spark.core.missing.patterns import find_runs, observed_features

# Bytes that a task may hold for the patterns that are kept.
KEPT_BYTES = 1 << 26


def choose_kept(counts: Mapping[bytes, int], bytes_each: int) -> frozenset[bytes]:
    """Choose the patterns whose accumulators are kept: the most frequent, as many as :data:`KEPT_BYTES` holds.

    Parameters
    ----------
    counts : mapping of bytes to int
        Rows of each pattern in the table.
    bytes_each : int
        Of one accumulator.
    """
    by_count = sorted(counts, key=lambda pattern: (-counts[pattern], pattern))
    return frozenset(by_count[: max(KEPT_BYTES // bytes_each, 1)])


class PatternAccumulator:
    """Adds up rows pattern by pattern; all vectors have one layout, and that of a block is their sum.

    Parameters
    ----------
    make : callable
        Makes the accumulator of a pattern, which takes rows of its observed features (g, m).
    length : int
        Of the vectors.
    kept : set of bytes
        Patterns whose accumulators are kept.
    """

    def __init__(self, make: Callable[[bytes], Accumulator], length: int, kept: frozenset[bytes]) -> None:
        self._make = make
        self._kept = kept
        self._made: dict[bytes, Accumulator] = {}
        self._filled: set[bytes] = set()
        self._others = np.zeros(length)

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Add rows (d, m), with weights (m,) if the table has them; rows of which nothing was observed say nothing."""
        d = len(rows)
        for pattern, span in find_runs(rows):
            observed = observed_features(pattern, d)
            if not len(observed):
                continue
            part = rows[:, span] if len(observed) == d else rows[observed, span]
            weight = None if sample_weight is None else sample_weight[span]
            if pattern not in self._kept:
                accumulator = self._make(pattern)
                accumulator.add(part, weight)
                self._others += accumulator.vector()
                continue
            if pattern not in self._made:
                self._made[pattern] = self._make(pattern)
            self._made[pattern].add(part, weight)
            self._filled.add(pattern)

    def vector(self) -> Array:
        """Return all sums so far."""
        total = self._others.copy()
        for pattern in sorted(self._filled):
            total += self._made[pattern].vector()
        return total

    def clear(self) -> None:
        """Set all sums to zero; accumulators that are kept stay."""
        for pattern in self._filled:
            self._made[pattern].clear()
        self._filled.clear()
        self._others[:] = 0.0
