"""The sums of a pass that takes a portrait: an E step, and counts in the bins of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels import blas
from gmm_spark.core.kernels.evaluation import settle_far
from gmm_spark.core.kernels.histogram import N_BINS as N_DEPTHS
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.kernels.layout import VectorLayout
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.mixture.log_space import exponentiate, find_leaders, subtract_largest
from gmm_spark.core.portrait.frame import N_BINS, N_PAIR_BINS, Frame, merge_bins
from gmm_spark.core.portrait.portrait import CERTAINTY_EDGES, Portrait, list_shapes

# The bin of a responsibility by its whole thousandths: all edges are whole thousandths.
_CERTAINTY_STEPS = 1000
_CERTAINTY_BINS = np.searchsorted(CERTAINTY_EDGES, (np.arange(_CERTAINTY_STEPS) + 0.5) / _CERTAINTY_STEPS) - 1
_CERTAINTY_BINS = np.append(_CERTAINTY_BINS, _CERTAINTY_BINS[-1])
# Rows count as no farther from the centre, in the plan's units: sums of squares stay finite.
_FARTHEST = 1e15


@dataclass(frozen=True, eq=False)
class PortraitSums:
    """What tasks sum for the portrait of a table.

    Attributes
    ----------
    plan : Plan
        Of one candidate.
    frame : Frame
        In the table's own coordinates.
    feature_names : sequence of str, (d,)
    """

    plan: Plan
    frame: Frame
    feature_names: Sequence[str]

    @cached_property
    def layout(self) -> VectorLayout:
        """Rows and weights; counts by bin; the confusion; moments of all rows and of the least likely."""
        d, k = self.plan.n_features, self.plan.n_classes
        shapes = list_shapes(d, k, self.frame)
        counts = {name: shape for name, shape in shapes.items() if len(shape) > 1}
        # The moments' first index: the least likely rows, and the others.
        moments = {"weights": (2,), "first": (2, d), "second": (2, d)}
        return VectorLayout({"rows": (), **moments, **counts, "log_densities": (N_DEPTHS,)})

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        return self.layout.length

    def accumulator(self) -> PortraitAccumulator:
        """Make an accumulator with all sums zero."""
        return PortraitAccumulator(self)

    def rescale(self, vector: Array, factor: float) -> Array:
        """Return a vector of sums as it is if all weights are multiplied by a factor."""
        found = self.layout.unpack(vector)
        return self.layout.pack({name: one if name == "rows" else one * factor for name, one in found.items()})

    def read(self, vector: Array) -> Portrait:
        """Turn the summed vectors of all tasks into a portrait; raises ParameterError if no row has weight."""
        found = self.layout.unpack(vector)
        names = ("weights", "first", "second")
        described = {
            "": self._describe(*(np.asarray(found[name].sum(axis=0)) for name in names)),
            "least_likely_": self._describe(*(found[name][0] for name in names)),
            "other_": self._describe(*(found[name][1] for name in names)),
        }
        moments = {f"{which}means": means for which, (means, _) in described.items()}
        moments |= {f"{which}spreads": spreads for which, (_, spreads) in described.items()}
        counts = {name: found[name].copy() for name in found if found[name].ndim > 1 and name not in names}
        return Portrait(
            feature_names=tuple(self.feature_names),
            frame=self.frame,
            rows=float(found["rows"]),
            weight_sum=float(found["weights"].sum()),
            least_likely=float(found["weights"][0]),
            log_densities=LogDensityHistogram(self.plan.segments[0].ceiling, found["log_densities"].copy()),
            observed=None,
            **counts,
            **moments,
        )

    def _describe(self, weight: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """Turn sums in the plan's coordinates into means and standard deviations of features, (d,) each."""
        if not weight > 0:
            return np.full(len(first), np.nan), np.full(len(first), np.nan)
        mean, scale = first / weight, self.plan.scale
        variance = np.maximum(second / weight - mean**2, 0.0)
        return self.plan.center + mean * scale, np.sqrt(variance) * scale


class PortraitAccumulator:
    """Adds up what :class:`PortraitSums` describes."""

    def __init__(self, sums: PortraitSums) -> None:
        self.layout = sums.layout
        self.frame = sums.frame
        self.kernel = Kernel(sums.plan)
        self._ceiling = sums.plan.segments[0].ceiling
        k = sums.plan.n_classes
        self._shares = blas.allocate(k * self.kernel.chunk, sums.plan.dtype)
        self._ones = np.ones(k, sums.plan.dtype)
        self._transposed = blas.allocate(k * self.kernel.chunk, sums.plan.dtype)
        self.clear()

    def clear(self) -> None:
        """Set all sums to zero; the work buffers stay."""
        self._found: dict[str, Array] = {name: np.zeros(shape) for name, shape in self.layout.shapes.items()}

    def vector(self) -> Array:
        """Return all sums so far, in the layout of :class:`PortraitSums`."""
        found = dict(self._found)
        # Shown features are counted by component; of all components together it is the sum.
        found["histograms"] = found["histograms"].copy()
        found["histograms"][list(self.frame.shown)] = found["component_histograms"].sum(axis=1)
        return self.layout.pack(found)

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Add rows (d, m), with weights (m,) if the table has them."""
        for start in self.kernel.chunks(rows):
            chunk = slice(start, start + self.kernel.chunk)
            self._add_chunk(rows[:, chunk], None if sample_weight is None else sample_weight[chunk])

    def _add_chunk(self, rows: Block, weight: Array | None) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            features = self.kernel.expand(rows)
            leaders, log_density = self._expect(features, weight)
            self._add_moments(features[1 : 1 + len(rows)], weight, log_density < self.frame.threshold)
        self._found["rows"] += rows.shape[1]
        ones = np.ones(len(leaders)) if weight is None else weight
        self._found["log_densities"] += bin_weights(self._ceiling - log_density, ones)
        self._count(self.frame.find_bins(rows), leaders, weight)

    def _expect(self, features: Block, weight: Array | None) -> tuple[NDArray[np.int32], Array]:
        """Add to the confusion and the certainty; return the most probable components and the log-densities, (m,)."""
        terms = self.kernel.weighted_log_prob(features)
        largest = subtract_largest(terms).astype(np.float64)
        far = np.flatnonzero(~np.isfinite(largest))
        if len(far):  # as in an evaluation: too far off for a density
            settle_far(self.kernel.plan.segments[0], terms, largest, far)
        leaders = find_leaders(terms)
        shares = self._shares[: terms.size].reshape(terms.shape)
        exponentiate(terms, shares)
        total = self._ones @ shares
        shares /= total
        weighted = shares if weight is None else shares * weight.astype(shares.dtype)
        blas.accumulate(shares, weighted, self._found["confusion"], self._transposed)
        certainty = self._found["certainty"]
        # The largest term is exp(0), so its share is 1 / total.
        steps = (_CERTAINTY_STEPS / total.astype(np.float64)).astype(np.intp)
        _count(leaders * certainty.shape[1] + _CERTAINTY_BINS[steps], weight, certainty)
        return leaders, np.log(total) + largest + self.kernel.plan.segments[0].peak

    def _add_moments(self, z: Block, weight: Array | None, unlikely: NDArray[np.bool_]) -> None:
        """Add the moments of the least likely rows, and of the others; sets the former to zero in z (d, m).

        They are summed apart: the least likely may be so far off that in a sum of all nothing is left of the others.
        """
        own = np.ones(z.shape[1]) if weight is None else weight.copy()
        rare = np.flatnonzero(unlikely)
        parts = np.clip(z[:, rare], -_FARTHEST, _FARTHEST), own[rare]
        z[:, rare], own[rare] = 0.0, 0.0
        for i, (rows, share) in enumerate([parts, (z, own)]):
            self._found["weights"][i] += share.sum()
            self._found["first"][i] += rows @ share
            self._found["second"][i] += (rows * rows) @ share

    def _count(self, bins: NDArray[np.intp], leaders: NDArray[np.int32], weight: Array | None) -> None:
        """Count rows by their bins (d, m) and most probable components (m,)."""
        found, shown = self._found, self.frame.shown
        by_component = leaders.astype(np.intp) * N_BINS
        for i in sorted(set(range(len(bins))) - set(shown)):
            _count(bins[i], weight, found["histograms"][i])
        for number, i in enumerate(shown):
            _count(by_component + bins[i], weight, found["component_histograms"][number])
        merged = {i: merge_bins(bins[i]) for i in shown}
        along = {i: merged[i] * N_PAIR_BINS for i in shown}
        for number, (i, j) in enumerate(self.frame.pairs):
            _count(along[i] + merged[j], weight, found["pair_histograms"][number])


def _count(cells: NDArray[np.intp], weight: Array | None, table: Array) -> None:
    """Add rows (m,) to the cells of a table that they are in."""
    table += np.bincount(cells, weight, table.size).reshape(table.shape)
