"""The sums that a pass takes for the M step: blocks of rows in, sufficient statistics out.

The kernel (:mod:`gmm_spark.core.kernels.log_prob`) makes the log-densities. They become responsibilities R here, and a
second matrix product, ``Phi @ R'`` with the quadratic features Phi, gives all sums of the M step. The structures turn
these into second moments (``second_moments`` in :mod:`gmm_spark.core.mixture.structures`). Sums of the accurate kernel
are written into the same layout. In large mixtures, negligible responsibilities are left out
(:mod:`gmm_spark.core.kernels.sparse`).
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

# Share of far rows in a chunk from which all its rows are computed again: picking many costs more.
_MANY_FAR = 1 / 16


class Accumulator(Protocol):
    """Adds blocks up to one vector of float64. Vectors of disjoint blocks add up to that of all of them."""

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Add rows (d, m), with weights (m,) if the table has them."""
        ...

    def vector(self) -> Array:
        """Return all sums so far."""
        ...

    def clear(self) -> None:
        """Set all sums to zero; the work buffers stay."""
        ...


class Sums(Protocol[Answer]):
    """What a pass sums over the rows: how a task adds blocks up, and what the driver reads from the summed vectors."""

    @property
    def plan(self) -> Plan:
        """The plan of the candidates."""
        ...

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        ...

    def accumulator(self) -> Accumulator:
        """Make an accumulator with all sums zero."""
        ...

    def read(self, vector: Array) -> Answer:
        """Read the added vectors of all tasks."""
        ...


@dataclass(frozen=True, eq=False)
class StatisticsSums:
    """The E step and the sums that the M step needs, for all candidates of a plan."""

    plan: Plan

    @cached_property
    def layout(self) -> VectorLayout:
        """Rows, weight sum, log-likelihoods; each segment's sums over features, and its scatter if it shares one."""
        plan = self.plan
        shapes: dict[Any, tuple[int, ...]] = {"rows": (), "weight_sum": (), "log_likelihood": (len(plan.segments),)}
        shapes |= {("sums", i): segment.coefficients.shape for i, segment in enumerate(plan.segments)}
        shapes |= {("noise", i): () for i, segment in enumerate(plan.segments) if segment.noise is not None}
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
        """Numbers that a task holds while it sums: the vector, and the separate sums of sifted segments."""
        d = self.plan.n_features
        return self.length + sum(s.n_components * (1 + d) ** 2 for s in self.plan.segments if s.worth_sifting)

    def accumulator(self) -> StatisticsAccumulator:
        """Make an accumulator with all sums zero."""
        return StatisticsAccumulator(self)

    def read(self, vector: Array) -> list[SufficientStatistics]:
        """Turn the summed vectors of all tasks into statistics, in centred coordinates."""
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
                    noise_sum=float(found["noise", index]) if segment.noise is not None else 0.0,
                )
            )
        return statistics


class StatisticsAccumulator:
    """Adds up what :class:`StatisticsSums` describes: E step, then everything that the M step needs.

    Parameters
    ----------
    sums : StatisticsSums
    workspace : Workspace, optional
        Buffers that it shares with others; by default its own.
    """

    def __init__(self, sums: StatisticsSums, workspace: blas.Workspace | None = None) -> None:
        self.layout = sums.layout
        self.plan = plan = sums.plan
        workspace = workspace or blas.Workspace()
        self.kernel = Kernel(plan, workspace)
        k = plan.most_classes
        self._total = workspace.take("total", self.kernel.chunk, plan.dtype)
        self._ones = np.ones(k, plan.dtype)
        self._transposed = workspace.take("transposed", k * self.kernel.chunk, plan.dtype)
        sizes = [s.n_components if s.worth_sifting else 0 for s in plan.segments]
        self._sifting = Sifting(sizes, plan.n_features, self.kernel.chunk, plan.dtype)
        self.clear()

    def clear(self) -> None:
        """Set all sums to zero; the work buffers stay."""
        d, segments = self.plan.n_features, self.plan.segments
        self._rows = 0.0
        self._weight_sum = 0.0
        self._log_likelihood = np.zeros(len(segments))
        self._sums = [np.zeros(s.coefficients.shape[::-1]) for s in segments]
        self._noise = np.zeros(len(segments))
        self._sifting.clear()
        # Second moments of the structures that share one scatter: that of all rows, or of what noise leaves of them.
        sharing = {i: s.noise is not None for i, s in enumerate(segments) if s.uses_row_scatter}
        self._row_scatter = None if all(sharing.values()) else np.zeros((d, d))
        self._left_scatter = {i: np.zeros((d, d)) for i, beside_noise in sharing.items() if beside_noise}
        # Sums of the accurate kernel's components: weight and first moment, (1 + d,), and the second moment.
        self._own: list[dict[int, tuple[Array, Array]]] = [
            {
                j: (np.zeros(1 + d), np.zeros(d if segment.structure.axis_aligned else (d, d)))
                for j in np.flatnonzero(segment.accurate).tolist()
            }
            for segment in segments
        ]

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Add rows (d, m), with weights (m,) if the table has them."""
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
            if segment.noise is not None:
                self._noise[i] += shares[-1].sum(dtype=np.float64)
                shares = shares[:-1]
            if i in self._left_scatter:
                self._left_scatter[i] += (z * shares.sum(axis=0)) @ z.T
            for j, (first, second) in self._own[i].items():
                own_first, own_second = self.kernel.centred_moments(z, i, j, shares[j], weight)
                first[0] += shares[j].sum(dtype=np.float64)
                first[1:] += own_first
                second += own_second
            if segment.worth_sifting:
                shares[segment.accurate] = 0.0  # summed above
                if self._sifting.take(i, shares, weight):
                    continue
            if segment.expanded:
                blas.accumulate(features[: len(sums)], shares, sums, self._transposed)
        self._sifting.end_chunk(features[: 1 + self.plan.n_features])

    def _expect(self, features: Block, i: int, sample_weight: Array | None) -> Block:
        """Compute weighted responsibilities of segment i, (k, m) and perhaps those of noise, and add to its likelihood.

        No log-density exceeds the segment's peak, so exp() cannot overflow and the largest term need not be found.
        Rows whose terms all nearly vanish are computed again relative to their largest term.
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
            far = found if len(found) < _MANY_FAR * m else slice(None)
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
        """Return all sums so far, in the layout of :class:`StatisticsSums`."""
        d = self.plan.n_features
        crossed = any(segment.needs_cross_products for segment in self.plan.segments)
        i, j = quadratic_order(d if crossed else 1)  # all pairs of many features would not fit into memory
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
                of_rows = self._left_scatter.get(index, self._row_scatter)
                whole = of_rows if segment.uses_row_scatter else sum(second for _, second in own.values())
                arrays["scatter", index] = np.asarray(whole)
            for component, (first, second) in own.items():
                row = table[component]
                row[:] = 0.0  # the matrix product wrote these components' rows too
                row[: 1 + d] = first
                if not segment.structure.shares_scatter:
                    row[1 + d :] = second if segment.structure.axis_aligned else second[i, j]
            arrays["sums", index] = table
            if segment.noise is not None:
                arrays["noise", index] = self._noise[index]
        return self.layout.pack(arrays)
