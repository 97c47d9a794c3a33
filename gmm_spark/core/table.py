"""The seam between EM and the data: what EM asks of a table, and a table in memory that answers.

Above it is what is done with sums over rows, below it how they are made. Spark implements the same protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.accumulators import StatisticsSums, Sums
from gmm_spark.core.kernels.distance_draw import DrawAccumulator, DrawRequest, DrawResult, merge_draws
from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationSums
from gmm_spark.core.kernels.extent import find_extent
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.kernels.plan import Plan, plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.kernels.weight_sums import WeightSums
from gmm_spark.core.kernels.weighted_draw import WeightedDraw
from gmm_spark.core.missing.evaluation import IncompleteEvaluationSums
from gmm_spark.core.missing.expectation import IncompleteStatisticsSums
from gmm_spark.core.missing.patterns import count_patterns, order_by_pattern
from gmm_spark.core.mixture.parameters import MixtureParameters

Answer = TypeVar("Answer")

Sample: TypeAlias = tuple[Block, Array | None]
"""Rows (d, m) of a table, in its own coordinates, and their weights (m,) or None."""

SampleTask: TypeAlias = Callable[[Sample], bytes]
"""A picklable function of the sample."""


class Table(Protocol):
    """Rows that candidates can be evaluated on. Candidates are in coordinates centred at ``moments.mean``."""

    moments: Moments

    def expect(self, candidates: Sequence[MixtureParameters]) -> list[SufficientStatistics]:
        """Make one pass: the sufficient statistics of each candidate."""
        ...

    def evaluate(self, candidate: MixtureParameters) -> Evaluation:
        """Make one pass: likelihood, entropy, cluster sizes and histogram of log-densities of a candidate."""
        ...

    def evaluate_all(self, candidates: Sequence[MixtureParameters], log_densities: bool = False) -> list[Evaluation]:
        """Make one pass: the same of several candidates; histograms only if ``log_densities``."""
        ...

    def draw(self, draw: DrawRequest) -> DrawResult:
        """Make one pass: draw rows at random, far from the given sites, and count the rows nearest to each site."""
        ...

    def extent(self) -> Array:
        """Make one pass: least and greatest value of each feature in rows that have weight, (2, d), not centred."""
        ...

    def run_on_sample(self, sample: Sample, tasks: Sequence[SampleTask]) -> list[bytes]:
        """Run independent tasks on a sample of the table, in parallel if possible."""
        ...


class ArrayTable:
    """A table in memory.

    Parameters
    ----------
    rows : array (d, m)
        float32 or float64, NaN if missing, none infinite; no row is missing altogether. Rows with missing values are
        put in order, pattern by pattern.
    sample_weight : array (m,), optional
        Non-negative.
    moments : Moments, optional
        Of the larger table that these rows are a sample of; by default the rows' own.
    precision : {"float64", "float32"}
        Type that kernels compute in.
    """

    def __init__(
        self,
        rows: Block,
        sample_weight: Array | None = None,
        moments: Moments | None = None,
        precision: str = "float64",
    ) -> None:
        self.rows, self.sample_weight = order_by_pattern(rows, sample_weight)
        self.patterns = count_patterns(self.rows)
        self.moments = Moments.of(self.rows, self.sample_weight) if moments is None else moments
        self.precision = precision

    def part(self, most: int, rng: np.random.Generator) -> ArrayTable:
        """Draw up to ``most`` of the rows that have weight, without replacement; the moments stay those of all rows.

        Rows of different weights are drawn as :class:`.WeightedDraw` says, and weigh what they stand for.
        """
        if self.sample_weight is None:
            drawn, weight = np.arange(self.rows.shape[1]), None
            if len(drawn) > most:
                drawn = np.sort(rng.choice(drawn, most, replace=False))
        else:
            drawn = np.flatnonzero(self.sample_weight > 0)
            weight = self.sample_weight[drawn]
            if len(drawn) > most:
                draw = WeightedDraw(most, WeightSums.of(weight))
                chosen, weight = draw.choose(draw.keys(weight, rng), weight)
                drawn = drawn[chosen]
        return ArrayTable(np.ascontiguousarray(self.rows[:, drawn]), weight, self.moments, self.precision)

    def expect(self, candidates: Sequence[MixtureParameters]) -> list[SufficientStatistics]:
        """Make one pass: the sufficient statistics of each candidate, the same bits whichever others share the pass."""
        plan = self._plan(candidates)
        if self.patterns:
            # Each pattern's rows lie together, so there is nothing to keep an accumulator for.
            return self._sum(IncompleteStatisticsSums(plan, candidates, kept=frozenset(), apart=True))
        groups = plan.independent
        if len(groups) == 1:
            return self._sum(StatisticsSums(plan))
        found: dict[int, SufficientStatistics] = {}
        for group in groups:
            found.update(zip(group, self._sum(StatisticsSums(plan.part(group))), strict=True))
        return [found[i] for i in range(len(candidates))]

    def evaluate(self, candidate: MixtureParameters) -> Evaluation:
        """Make one pass: likelihood, entropy, cluster sizes and histogram of log-densities of a candidate."""
        return self.evaluate_all([candidate], log_densities=True)[0]

    def evaluate_all(self, candidates: Sequence[MixtureParameters], log_densities: bool = False) -> list[Evaluation]:
        """Make one pass: the same of several candidates; histograms only if ``log_densities``."""
        plan = self._plan(candidates)
        if self.patterns:
            return self._sum(IncompleteEvaluationSums.of(plan, candidates, self.patterns, log_densities))
        return self._sum(EvaluationSums(plan, log_densities))

    def draw(self, draw: DrawRequest) -> DrawResult:
        """Make one pass: draw rows at random, far from the given sites, and count the rows nearest to each site."""
        drawing = DrawAccumulator(draw, partition=0)
        drawing.add(self.rows, self.sample_weight)
        return merge_draws(draw, [drawing.result()])

    def extent(self) -> Array:
        """Make one pass: least and greatest value of each feature in rows that have weight, (2, d), not centred."""
        return find_extent(self.rows, self.sample_weight)

    def run_on_sample(self, sample: Sample, tasks: Sequence[SampleTask]) -> list[bytes]:
        """Run tasks on a sample of the table, one after the other."""
        return [task(sample) for task in tasks]

    def _plan(self, candidates: Sequence[MixtureParameters]) -> Plan:
        return plan_pass(candidates, self.moments.mean, self.moments.scale, self.precision)

    def _sum(self, sums: Sums[Answer]) -> Answer:
        accumulator = sums.accumulator()
        accumulator.add(self.rows, self.sample_weight)
        return sums.read(accumulator.vector())
