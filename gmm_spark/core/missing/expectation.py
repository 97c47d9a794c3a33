"""The E step of rows with missing values, and the sums of the M step: a pass's sums, completed pattern by pattern.

The rows of a pattern are a table of the observed features, and the marginals of the candidates are mixtures of these:
the same kernels sum them. What they have summed is completed (:mod:`.completion`) before it leaves the task, so a
vector is as long as it is for complete rows, whatever the number of patterns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.accumulators import StatisticsAccumulator, StatisticsSums
from gmm_spark.core.kernels.blas import Workspace
from gmm_spark.core.kernels.layout import VectorLayout
from gmm_spark.core.kernels.plan import Plan, plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.missing.by_pattern import PatternAccumulator, choose_kept
from gmm_spark.core.missing.completion import Completion
from gmm_spark.core.missing.patterns import observed_features
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.quadratic import quadratic_order


@dataclass(frozen=True, eq=False)
class IncompleteStatisticsSums:
    """The E step and the sums that the M step needs, for all candidates of a plan, from rows with missing values.

    Attributes
    ----------
    plan : Plan
        Of the candidates, for complete rows.
    candidates : sequence of MixtureParameters
        In centred coordinates.
    kept : set of bytes
        Patterns whose accumulators are kept.
    apart : bool
        A candidate's sums are the same bits whichever others share the pass, if no patterns are kept.
    """

    plan: Plan
    candidates: Sequence[MixtureParameters]
    kept: frozenset[bytes]
    apart: bool = False

    @classmethod
    def of(
        cls, plan: Plan, candidates: Sequence[MixtureParameters], counts: Mapping[bytes, int]
    ) -> IncompleteStatisticsSums:
        """Make the sums of a pass over a table whose patterns have these numbers of rows."""
        return cls(plan, candidates, choose_kept(counts, bytes_of_pattern(plan)))

    @cached_property
    def layout(self) -> VectorLayout:
        """Rows, weight sum, log-likelihoods; of each candidate the sums about its means, second moments by pairs."""
        shapes: dict[Any, tuple[int, ...]] = {"rows": (), "weight_sum": (), "log_likelihood": (len(self.candidates),)}
        for i, candidate in enumerate(self.candidates):
            k, d = candidate.means.shape
            second = candidate.structure.shape(k, d)
            if not candidate.structure.axis_aligned:
                second = (*second[:-2], d * (d + 1) // 2)
            shapes |= {("resp_sum", i): (k,), ("first", i): (k, d), ("second", i): second}
            if candidate.noise is not None:
                shapes["noise_sum", i] = ()
        return VectorLayout(shapes)

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        return self.layout.length

    @property
    def n_held(self) -> int:
        """Numbers that a task holds while it sums: the vector, and what it holds for patterns."""
        return self.length + len(self.kept) * bytes_of_pattern(self.plan) // 8

    def accumulator(self) -> PatternAccumulator:
        """Make an accumulator with all sums zero."""
        workspace = Workspace()
        return PatternAccumulator(lambda pattern: _PatternSums(self, pattern, workspace), self.length, self.kept)

    def write(self, statistics: Sequence[SufficientStatistics]) -> Array:
        """Write statistics about the candidates' means as one vector."""
        one = statistics[0]
        arrays: dict[Any, Any] = {"rows": one.rows, "weight_sum": one.weight_sum}
        arrays["log_likelihood"] = [found.log_likelihood for found in statistics]
        for i, (candidate, found) in enumerate(zip(self.candidates, statistics, strict=True)):
            second = found.second
            if not candidate.structure.axis_aligned:
                first, then = quadratic_order(candidate.n_features)
                second = second[..., first, then]
            arrays |= {("resp_sum", i): found.resp_sum, ("first", i): found.first, ("second", i): second}
            if candidate.noise is not None:
                arrays["noise_sum", i] = found.noise_sum
        return self.layout.pack(arrays)

    def read(self, vector: Array) -> list[SufficientStatistics]:
        """Turn the summed vectors of all tasks into statistics, in centred coordinates."""
        found = self.layout.unpack(vector)
        statistics = []
        for i, candidate in enumerate(self.candidates):
            k, d = candidate.means.shape
            second = found["second", i]
            if not candidate.structure.axis_aligned:
                first, then = quadratic_order(d)
                whole = np.empty(candidate.structure.shape(k, d))
                whole[..., first, then] = whole[..., then, first] = second
                second = whole
            statistics.append(
                SufficientStatistics(
                    covariance_type=candidate.covariance_type,
                    reference=candidate.means,
                    rows=float(found["rows"]),
                    weight_sum=float(found["weight_sum"]),
                    log_likelihood=float(found["log_likelihood"][i]),
                    resp_sum=found["resp_sum", i].copy(),
                    first=found["first", i].copy(),
                    second=np.array(second),
                    noise_sum=0.0 if candidate.noise is None else float(found["noise_sum", i]),
                )
            )
        return statistics


class _PatternSums:
    """Adds up the rows of one pattern by the kernels for complete rows, and completes the sums."""

    def __init__(self, sums: IncompleteStatisticsSums, pattern: bytes, workspace: Workspace) -> None:
        self._whole = sums
        self._completions = [Completion.of(candidate, pattern) for candidate in sums.candidates]
        plan = plan_observed(sums.plan, self._completions, pattern)
        groups = plan.independent if sums.apart else [list(range(len(self._completions)))]
        parts = [StatisticsSums(plan if len(groups) == 1 else plan.part(group)) for group in groups]
        self._parts = [
            (group, part, StatisticsAccumulator(part, workspace)) for group, part in zip(groups, parts, strict=True)
        ]

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        for _, _, accumulator in self._parts:
            accumulator.add(rows, sample_weight)

    def clear(self) -> None:
        for _, _, accumulator in self._parts:
            accumulator.clear()

    def vector(self) -> Array:
        found: dict[int, SufficientStatistics] = {}
        for group, part, accumulator in self._parts:
            found.update(zip(group, part.read(accumulator.vector()), strict=True))
        return self._whole.write([one.complete(found[i]) for i, one in enumerate(self._completions)])


def plan_observed(plan: Plan, completions: Sequence[Completion], pattern: bytes) -> Plan:
    """Plan a pass over the rows of a pattern: that of the marginals, in the coordinates of the plan of all features."""
    observed = observed_features(pattern, plan.n_features)
    if len(observed) == plan.n_features:
        return plan
    marginals = [completion.marginal for completion in completions]
    return plan_pass(marginals, plan.center[observed], plan.scale[observed], plan.precision)


def bytes_of_pattern(plan: Plan) -> int:
    """Bound the bytes that the accumulator of a pattern holds: coefficients, sums, factors, slopes, covariances."""
    d, matrices = plan.n_features, 0
    for segment in plan.segments:
        square = d if segment.structure.axis_aligned else d * d
        matrices += segment.n_components * (9 * square + 16 * d + 200)
    return 8 * matrices
