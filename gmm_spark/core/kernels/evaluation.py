"""The sums of a pass that evaluates candidates: likelihood, entropy, cluster sizes, histograms of log-densities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels import blas
from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram, bin_weights
from gmm_spark.core.kernels.layout import VectorLayout
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.plan import Plan, Segment
from gmm_spark.core.kernels.weight_kinds import IMPORTANCE
from gmm_spark.core.mixture.criteria import count_effective_rows
from gmm_spark.core.mixture.log_space import count_leaders, exponentiate, subtract_largest


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well one mixture explains a table.

    Attributes
    ----------
    rows, weight_sum, weight_squares : float
        Number of rows; sums of their weights and of the squares.
    log_likelihood : float
        Weighted sum of log p(row), nats.
    entropy : float
        Weighted sum of the responsibilities' entropy, nats.
    cluster_sizes : array (k,)
        Rows by most probable component; if there is noise, (k + 1,), and its rows are last.
    log_densities : LogDensityHistogram or None
        Distribution of log p(row), if it was asked for. Of a table with missing values, that of the complete rows.
    log_densities_by_pattern : mapping of bytes to LogDensityHistogram
        Of a table with missing values: the same by pattern of missingness (:mod:`gmm_spark.core.missing.patterns`), of
        the patterns that have rows enough. Densities of different patterns do not compare.
    incomplete : bool
        Whether values are missing.
    """

    rows: float
    weight_sum: float
    weight_squares: float
    log_likelihood: float
    entropy: float
    cluster_sizes: NDArray[np.int64]
    log_densities: LogDensityHistogram | None = None
    log_densities_by_pattern: Mapping[bytes, LogDensityHistogram] = field(default_factory=dict)
    incomplete: bool = False

    def counted(self, weight_kind: str) -> Evaluation:
        """Return the sums as criteria read them: ``weight_sum`` is the number of rows, n, that the weights make up.

        Frequency weights count rows already. Importance weights make up Kish's effective rows: their other sums become
        those of so many rows, so that a constant factor of the weights changes nothing. The histogram stays. Weights
        whose squares leave the range of floats have to be divided by a power of two before.
        """
        if weight_kind != IMPORTANCE or not self.weight_sum > 0:
            return self
        n = count_effective_rows(self.weight_sum, self.weight_squares)
        return replace(
            self,
            weight_sum=n,
            weight_squares=n,
            log_likelihood=self.log_likelihood / self.weight_sum * n,
            entropy=self.entropy / self.weight_sum * n,
        )


@dataclass(frozen=True, eq=False)
class EvaluationSums:
    """Likelihood, entropy and cluster sizes of all candidates of a plan; histograms of log-densities if asked for."""

    plan: Plan
    log_densities: bool = False

    @cached_property
    def layout(self) -> VectorLayout:
        """Rows, weights and their squares; log-likelihood and entropy of each segment; cluster sizes; histograms."""
        n = len(self.plan.segments)
        return VectorLayout(
            {
                "rows": (),
                "weight_sum": (),
                "weight_squares": (),
                "log_likelihood": (n,),
                "entropy": (n,),
                "cluster_sizes": (self.plan.n_classes,),
                "histograms": (n if self.log_densities else 0, N_BINS),
            }
        )

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        return self.layout.length

    def accumulator(self) -> EvaluationAccumulator:
        """Make an accumulator with all sums zero."""
        return EvaluationAccumulator(self)

    def rescale(self, vector: Array, factor: float) -> Array:
        """Return a vector of sums as it is if all weights are multiplied by a factor."""
        scaled = self.layout.unpack(vector)
        with np.errstate(over="ignore"):
            for name in ("weight_sum", "weight_squares", "weight_squares", "log_likelihood", "entropy", "histograms"):
                scaled[name] = scaled[name] * factor
        return self.layout.pack(scaled)

    def read(self, vector: Array) -> list[Evaluation]:
        """Turn the summed vectors of all tasks into evaluations, in the order of the candidates."""
        found = self.layout.unpack(vector)
        return [
            Evaluation(
                float(found["rows"]),
                float(found["weight_sum"]),
                float(found["weight_squares"]),
                float(found["log_likelihood"][i]),
                float(found["entropy"][i]),
                found["cluster_sizes"][segment.classes].astype(np.int64),
                LogDensityHistogram(segment.ceiling, found["histograms"][i]) if self.log_densities else None,
            )
            for i, segment in enumerate(self.plan.segments)
        ]


def settle_far(segment: Segment, terms: Block, largest: Block, far: NDArray[np.intp]) -> None:
    """Settle rows too far off for a density, in what :func:`subtract_largest` left and returned.

    Their density is zero; if there is noise, they are noise.
    """
    if segment.noise is None:
        terms[:, far], largest[far] = 0.0, -np.inf
    else:
        terms[:, far], largest[far] = -np.inf, segment.noise
        terms[-1, far] = 0.0


class EvaluationAccumulator:
    """Adds up what :class:`EvaluationSums` describes.

    Parameters
    ----------
    sums : EvaluationSums
    workspace : Workspace, optional
        Buffers that it shares with others; by default its own.
    """

    def __init__(self, sums: EvaluationSums, workspace: blas.Workspace | None = None) -> None:
        self.layout = sums.layout
        self.plan = plan = sums.plan
        workspace = workspace or blas.Workspace()
        self.kernel = Kernel(plan, workspace)
        self._n_histograms = len(plan.segments) if sums.log_densities else 0
        self._shares = workspace.take("shares", plan.most_classes * self.kernel.chunk, plan.dtype)
        self._ones = np.ones(plan.most_classes, plan.dtype)
        self.clear()

    def clear(self) -> None:
        """Set all sums to zero; the work buffers stay."""
        self._totals = np.zeros(3)  # rows, weights, their squares
        self._log_likelihood = np.zeros(len(self.plan.segments))
        self._entropy = np.zeros(len(self.plan.segments))
        self._cluster_sizes = np.zeros(self.plan.n_classes)
        self._histograms = np.zeros((self._n_histograms, N_BINS))

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Add rows (d, m), with weights (m,) if the table has them."""
        for start in self.kernel.chunks(rows):
            part = rows[:, start : start + self.kernel.chunk]
            weight = np.ones(part.shape[1])
            if sample_weight is not None:
                weight = sample_weight[start : start + self.kernel.chunk]
            with np.errstate(over="ignore"):  # of squares, which only importance weights need: those are near 1
                self._totals += [part.shape[1], weight.sum(), weight @ weight]
            features = self.kernel.expand(part)
            for i, segment in enumerate(self.plan.segments):
                terms = self.kernel.weighted_log_prob(features, i)
                largest = subtract_largest(terms)
                far = np.flatnonzero(~np.isfinite(largest))
                if len(far):  # too far off for a density: minus infinity, and not NaN, or noise alone
                    settle_far(segment, terms, largest, far)
                self._cluster_sizes[segment.classes] += count_leaders(terms)
                shares = self._shares[: terms.size].reshape(terms.shape)
                # A share of 0 comes from a finite term: shares times terms is never 0 times infinity.
                exponentiate(terms, shares)
                total = self._ones[: len(terms)] @ shares
                log_total = np.log(total)
                log_density = log_total + largest + segment.peak
                self._log_likelihood[i] += log_density @ weight
                # Entropy of shares / total: no term is negative, so nothing cancels.
                self._entropy[i] += (log_total - np.einsum("ij,ij->j", shares, terms) / total) @ weight
                if len(self._histograms):
                    self._histograms[i] += bin_weights(segment.ceiling - log_density, weight)

    def vector(self) -> Array:
        """Return all sums so far, in the layout of :class:`EvaluationSums`."""
        rows, weight_sum, weight_squares = self._totals
        return self.layout.pack(
            {
                "rows": rows,
                "weight_sum": weight_sum,
                "weight_squares": weight_squares,
                "log_likelihood": self._log_likelihood,
                "entropy": self._entropy,
                "cluster_sizes": self._cluster_sizes,
                "histograms": self._histograms,
            }
        )
