"""The sums of a pass that evaluates candidates, from rows with missing values.

Likelihood, entropy and cluster sizes add up over patterns. Log-densities do not compare across patterns, so there is a
histogram for each: of complete rows, and of the most frequent other patterns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.blas import Workspace
from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationAccumulator, EvaluationSums
from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram
from gmm_spark.core.kernels.layout import VectorLayout
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.missing.by_pattern import PatternAccumulator, choose_kept
from gmm_spark.core.missing.completion import Completion
from gmm_spark.core.missing.expectation import bytes_of_pattern, plan_observed
from gmm_spark.core.mixture.parameters import MixtureParameters

# Patterns that have a histogram of their own, and rows of each at least: of fewer no quantile is worth its name.
MOST_HISTOGRAMS, HISTOGRAM_ROWS = 32, 500


@dataclass(frozen=True, eq=False)
class IncompleteEvaluationSums:
    """Likelihood, entropy and cluster sizes of all candidates of a plan, from rows with missing values.

    Attributes
    ----------
    plan : Plan
        Of the candidates, for complete rows.
    candidates : sequence of MixtureParameters
        In centred coordinates.
    kept : set of bytes
        Patterns whose accumulators are kept.
    shown : tuple of bytes
        Patterns that have histograms of log-densities.
    """

    plan: Plan
    candidates: Sequence[MixtureParameters]
    kept: frozenset[bytes]
    shown: tuple[bytes, ...]

    @classmethod
    def of(
        cls,
        plan: Plan,
        candidates: Sequence[MixtureParameters],
        counts: Mapping[bytes, int],
        log_densities: bool = False,
    ) -> IncompleteEvaluationSums:
        """Make the sums of a pass over a table whose patterns have these numbers of rows."""
        kept = choose_kept(counts, bytes_of_pattern(plan) + 8 * N_BINS * len(plan.segments) * log_densities)
        return cls(plan, candidates, kept, choose_shown(counts) if log_densities else ())

    @cached_property
    def layout(self) -> VectorLayout:
        """The sums of an evaluation of complete rows; then the histograms of each pattern that has them."""
        plain = EvaluationSums(self.plan).layout.shapes
        return VectorLayout(plain | {"histograms": (len(self.shown), len(self.candidates), N_BINS)})

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        return self.layout.length

    def accumulator(self) -> PatternAccumulator:
        """Make an accumulator with all sums zero."""
        workspace = Workspace()
        return PatternAccumulator(lambda pattern: _PatternEvaluation(self, pattern, workspace), self.length, self.kept)

    def rescale(self, vector: Array, factor: float) -> Array:
        """Return a vector of sums as it is if all weights are multiplied by a factor."""
        scaled = self.layout.unpack(vector)
        with np.errstate(over="ignore"):
            for name in ("weight_sum", "weight_squares", "weight_squares", "log_likelihood", "entropy", "histograms"):
                scaled[name] = scaled[name] * factor
        return self.layout.pack(scaled)

    def read(self, vector: Array) -> list[Evaluation]:
        """Turn the summed vectors of all tasks into evaluations, in the order of the candidates.

        Histograms are by pattern; that of complete rows, if there are enough, is the evaluation's own.
        """
        found = self.layout.unpack(vector)
        plain = EvaluationSums(self.plan)
        evaluations = plain.read(plain.layout.pack({**found, "histograms": np.empty((0, N_BINS))}))
        plans = {pattern: _plan_pattern(self, pattern) for pattern in self.shown}
        for i, evaluation in enumerate(evaluations):
            histograms = {
                pattern: LogDensityHistogram(plans[pattern].segments[i].ceiling, weights[i])
                for pattern, weights in zip(self.shown, found["histograms"], strict=True)
                if weights[i].any()
            }
            complete = next((one for pattern, one in histograms.items() if not any(pattern)), None)
            evaluations[i] = replace(
                evaluation, log_densities=complete, log_densities_by_pattern=histograms, incomplete=True
            )
        return evaluations


def choose_shown(counts: Mapping[bytes, int]) -> tuple[bytes, ...]:
    r"""Choose the patterns that have histograms: that of complete rows, and the most frequent that have rows enough.

    Examples
    --------
    >>> choose_shown({b"@": 900, b"\x80": 7, b"\x00": 3})
    (b'\x00', b'@')
    """
    enough = [pattern for pattern, rows in counts.items() if rows >= HISTOGRAM_ROWS or not any(pattern)]
    return tuple(sorted(enough, key=lambda pattern: (any(pattern), -counts[pattern], pattern))[:MOST_HISTOGRAMS])


class _PatternEvaluation:
    """Evaluates the rows of one pattern under the marginals."""

    def __init__(self, sums: IncompleteEvaluationSums, pattern: bytes, workspace: Workspace) -> None:
        self._whole, self._pattern = sums, pattern
        shown = pattern in sums.shown
        self._sums = EvaluationSums(_plan_pattern(sums, pattern), log_densities=shown)
        self._accumulator = EvaluationAccumulator(self._sums, workspace)

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        self._accumulator.add(rows, sample_weight)

    def clear(self) -> None:
        self._accumulator.clear()

    def vector(self) -> Array:
        found = self._sums.layout.unpack(self._accumulator.vector())
        histograms = np.zeros(self._whole.layout.shapes["histograms"])
        if self._sums.log_densities:
            histograms[self._whole.shown.index(self._pattern)] = found["histograms"]
        return self._whole.layout.pack({**found, "histograms": histograms})


def _plan_pattern(sums: IncompleteEvaluationSums, pattern: bytes) -> Plan:
    completions = [Completion.of(candidate, pattern) for candidate in sums.candidates]
    return plan_observed(sums.plan, completions, pattern)
