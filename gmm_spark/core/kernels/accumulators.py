"""The sums of a pass: blocks of rows in, what the M step or a judgement of the candidates needs out.

The E step is the kernel's (:mod:`.log_prob`). A second matrix product, ``T = Phi @ R``, gives all sums of
the M step; the accurate kernel's land in the same layout. Where a mixture is large and a row's responsibilities are
few, those that add nothing are left out (:mod:`gmm_spark.core.kernels.sparse`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels import blas
from gmm_spark.core.kernels.layout import VectorLayout
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.sparse import Sifting
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.log_space import FAR, exponentiate, normalise
from gmm_spark.core.mixture.quadratic import quadratic_order

Answer = TypeVar("Answer", covariant=True)

# Share of a chunk's rows from which it is worked again as a whole.
_MANY_FAR = 1 / 16


class Accumulator(Protocol):
    """Folds blocks into one vector of float64 that adds up over disjoint blocks."""

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
        ...

    def vector(self) -> Array:
        """Return all sums so far."""
        ...

    def clear(self) -> None:
        """Begin anew with sums of nothing; the work buffers stay."""
        ...


class Sums(Protocol[Answer]):
    """What a pass adds up over the rows: how a task folds them, and what the driver reads in the added vectors."""

    @property
    def plan(self) -> Plan:
        """The candidates, a segment each."""
        ...

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        ...

    def accumulator(self) -> Accumulator:
        """Make a new fold."""
        ...

    def read(self, vector: Array) -> Answer:
        """Read the added vectors of all tasks."""
        ...


@dataclass(frozen=True, eq=False)
class StatisticsSums:
    """E step and the sums of the M step, for all candidates of a plan."""

    plan: Plan

    @cached_property
    def layout(self) -> VectorLayout:
        """Rows, weight sum, log-likelihoods; each segment's sums over features; of tied ones the second moment."""
        plan = self.plan
        shapes: dict[Any, tuple[int, ...]] = {"rows": (), "weight_sum": (), "log_likelihood": (len(plan.segments),)}
        shapes |= {("sums", i): segment.coefficients.shape for i, segment in enumerate(plan.segments)}
        for i, segment in enumerate(plan.segments):
            if segment.structure.shares_scatter:
                shapes["scatter", i] = (plan.n_features, plan.n_features)
        return VectorLayout(shapes)

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        return self.layout.length

    @property
    def n_held(self) -> int:
        """Numbers that a task holds while it sums: those it returns, and of segments that are sifted their own sums."""
        d = self.plan.n_features
        return self.length + sum(s.n_components * (1 + d) ** 2 for s in self.plan.segments if s.worth_sifting)

    def accumulator(self) -> StatisticsAccumulator:
        """Make a new fold."""
        return StatisticsAccumulator(self)

    def read(self, vector: Array) -> list[SufficientStatistics]:
        """Read the added vectors of all tasks, in centred coordinates."""
        found, d, scale = self.layout.unpack(vector), self.plan.n_features, self.plan.scale
        statistics = []
        for index, segment in enumerate(self.plan.segments):
            table = found["sums", index]
            structure = segment.structure
            sums = found["scatter", index] if structure.shares_scatter else table[:, 1 + d :]
            statistics.append(
                SufficientStatistics(
                    covariance_type=structure.name,
                    reference=np.where(segment.accurate[:, None], segment.means * scale, 0.0),
                    rows=float(found["rows"]),
                    weight_sum=float(found["weight_sum"]),
                    log_likelihood=float(found["log_likelihood"][index]),
                    resp_sum=table[:, 0].copy(),
                    first=table[:, 1 : 1 + d] * scale,
                    second=structure.second_moments(sums, scale),
                )
            )
        return statistics


class StatisticsAccumulator:
    """The sums of one pass: E step, then everything the M step needs, for all candidates of a plan."""

    def __init__(self, sums: StatisticsSums) -> None:
        self.layout = sums.layout
        self.plan = plan = sums.plan
        self.kernel = Kernel(plan)
        k = plan.most_components
        self._total = blas.buffer(self.kernel.chunk, plan.dtype)
        self._ones = np.ones(k, plan.dtype)
        self._turned = blas.buffer(k * self.kernel.chunk, plan.dtype)
        sizes = [s.n_components if s.worth_sifting else 0 for s in plan.segments]
        self._sifting = Sifting(sizes, plan.n_features, self.kernel.chunk, plan.dtype)
        self.clear()

    def clear(self) -> None:
        """Begin anew with sums of nothing; the work buffers stay."""
        d, segments = self.plan.n_features, self.plan.segments
        self._rows = 0.0
        self._weight_sum = 0.0
        self._log_likelihood = np.zeros(len(segments))
        self._sums = [np.zeros(s.coefficients.shape[::-1]) for s in segments]
        self._sifting.clear()
        # The quadratic sums that do not come out of the shared product.
        self._row_scatter = np.zeros((d, d)) if any(s.uses_row_scatter for s in segments) else None
        # What the accurate kernel sums for its components: weight and first moment, (1 + d,), and the second.
        self._own: list[dict[int, tuple[Array, Array]]] = [
            {
                j: (np.zeros(1 + d), np.zeros(d if segment.structure.axis_aligned else (d, d)))
                for j in np.flatnonzero(segment.accurate).tolist()
            }
            for segment in segments
        ]

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
        for start in self.kernel.chunks(rows):
            chunk = slice(start, start + self.kernel.chunk)
            self._add_chunk(rows[:, chunk], None if sample_weight is None else sample_weight[chunk])

    def _add_chunk(self, rows: Block, sample_weight: Array | None) -> None:
        features = self.kernel.expand(rows)
        z = features[1 : 1 + self.plan.n_features]
        self._rows += rows.shape[1]
        weight_sum = rows.shape[1] if sample_weight is None else float(sample_weight.sum())
        self._weight_sum += weight_sum
        weight = weight_sum / max(rows.shape[1], 1)
        if self._row_scatter is not None:
            weighted = z if sample_weight is None else z * sample_weight.astype(z.dtype)
            self._row_scatter += weighted @ z.T
        for i, (segment, sums) in enumerate(zip(self.plan.segments, self._sums, strict=True)):
            shares = self._expect(features, i, sample_weight)
            for j, (first, second) in self._own[i].items():
                own_first, own_second = self.kernel.centred_moments(z, i, j, shares[j], weight)
                first[0] += shares[j].sum(dtype=np.float64)
                first[1:] += own_first
                second += own_second
            if segment.worth_sifting:
                shares[segment.accurate] = 0.0  # theirs are summed up already
                if self._sifting.take(i, shares, weight):
                    continue
            if segment.expanded:
                blas.accumulate(features[: len(sums)], shares, sums, self._turned)
        self._sifting.end_chunk(features[: 1 + self.plan.n_features])

    def _expect(self, features: Block, i: int, sample_weight: Array | None) -> Block:
        """Weighted responsibilities (k, m) of segment i; the log-likelihood is added up on the way.

        No log-density exceeds the segment's peak, so that exp() cannot overflow and no largest term need be looked for.
        Where all terms of a row nearly vanish, that row is worked again about its largest.
        """
        segment, far_below = self.plan.segments[i], FAR[features.dtype]
        terms = self.kernel.weighted_log_prob(features, i)
        (k, m), total = terms.shape, self._total[: features.shape[1]]
        exponentiate(terms)
        np.matmul(self._ones[:k], terms, out=total)
        if total.min() >= far_below:
            log_density = np.log(total)
        else:
            found = np.flatnonzero(total < far_below)
            far = found if len(found) < _MANY_FAR * m else slice(None)  # picking many would cost more
            again = np.empty((k, len(total[far])), terms.dtype)
            far_density = normalise(self.kernel.weighted_log_prob(features[:, far], i, again))
            terms[:, far], total[far] = again, 1.0
            log_density = np.log(total)
            log_density[far] = far_density
        if sample_weight is None:
            self._log_likelihood[i] += log_density.sum(dtype=np.float64) + m * segment.peak
            terms *= np.reciprocal(total, out=total)
        else:
            self._log_likelihood[i] += (log_density.astype(np.float64) + segment.peak) @ sample_weight
            terms *= np.divide(sample_weight, total, out=total, casting="same_kind")
        return terms

    def vector(self) -> Array:
        """Return all sums so far, laid out as :class:`StatisticsSums` says."""
        d = self.plan.n_features
        i, j = quadratic_order(d)
        arrays: dict[Any, ArrayLike] = {
            "rows": self._rows,
            "weight_sum": self._weight_sum,
            "log_likelihood": self._log_likelihood,
        }
        sums = [s.T.copy() for s in self._sums]
        for table, sifted in zip(sums, self._sifting.sums(), strict=True):
            if sifted is not None:
                table[:, : 1 + d] += sifted[:, 0]
                table[:, 1 + d :] += sifted[:, 1 + i, 1 + j]
        for index, (segment, table, own) in enumerate(zip(self.plan.segments, sums, self._own, strict=True)):
            if segment.structure.shares_scatter:
                whole = self._row_scatter if segment.uses_row_scatter else sum(second for _, second in own.values())
                arrays["scatter", index] = np.asarray(whole)
            for component, (first, second) in own.items():
                row = table[component]
                row[:] = 0.0  # the shared product has columns for these components too
                row[: 1 + d] = first
                if not segment.structure.shares_scatter:
                    row[1 + d :] = second if segment.structure.axis_aligned else second[i, j]
            arrays["sums", index] = table
        return self.layout.pack(arrays)
