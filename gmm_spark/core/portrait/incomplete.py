"""The sums of a pass that takes a portrait of rows with missing values, of known patterns.

Each row is scored by the marginal of what was observed of it, and counts in the bins of the features that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.histogram import N_BINS as N_DEPTHS
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.kernels.layout import VectorLayout
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.missing.marginals import Marginals, group_rows
from gmm_spark.core.missing.scorer import IncompleteScorer
from gmm_spark.core.portrait.frame import N_BINS, N_PAIR_BINS, Frame, merge_bins
from gmm_spark.core.portrait.observed import Observed, find_ceiling
from gmm_spark.core.portrait.portrait import CERTAINTY_EDGES, Portrait, list_shapes
from gmm_spark.errors import DataError

# Rows that are scored and counted at a time.
_CHUNK = 8192
# Rows count as no farther from the mixture's mean, in its standard deviations: sums of squares stay finite.
_FARTHEST = 1e15
# Kinds of rows whose moments are summed apart: the least likely of the complete rows, the others, and the rest.
_RARE, _OTHER, _INCOMPLETE = range(3)


@dataclass(frozen=True, eq=False)
class IncompletePortraitSums:
    """What tasks sum for the portrait of a table with missing values.

    Attributes
    ----------
    marginals : Marginals
        Of the mixture, in the table's own coordinates.
    frame : Frame
    feature_names : sequence of str, (d,)
    patterns : tuple of bytes
        All that the table has.
    """

    marginals: Marginals
    frame: Frame
    feature_names: Sequence[str]
    patterns: tuple[bytes, ...]

    @property
    def plan(self) -> Plan:
        """How complete rows are scored."""
        return self.marginals.of(self.marginals.whole).plan

    @cached_property
    def layout(self) -> VectorLayout:
        """Rows; counts by bin; the confusion; moments by kind of row; responsibilities by pattern; log-densities."""
        d, k = self.marginals.parameters.n_features, self.marginals.parameters.n_classes
        counts = {name: shape for name, shape in list_shapes(d, k, self.frame).items() if len(shape) > 1}
        moments = dict.fromkeys(("weights", "first", "second"), (3, d))
        shares = {"shares": (len(self.patterns), k)}
        return VectorLayout({"rows": (), "weight_sum": (), **moments, **counts, **shares, "log_densities": (N_DEPTHS,)})

    @cached_property
    def ceiling(self) -> float:
        """What no log-density exceeds, nats."""
        return find_ceiling(self.marginals.parameters, self.patterns)

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        return self.layout.length

    def accumulator(self) -> IncompletePortraitAccumulator:
        """Make an accumulator with all sums zero."""
        return IncompletePortraitAccumulator(self)

    def rescale(self, vector: Array, factor: float) -> Array:
        """Return a vector of sums as it is if all weights are multiplied by a factor."""
        found = self.layout.unpack(vector)
        return self.layout.pack({name: one if name == "rows" else one * factor for name, one in found.items()})

    def read(self, vector: Array) -> Portrait:
        """Turn the summed vectors of all tasks into a portrait; raises ParameterError if no row has weight."""
        found = self.layout.unpack(vector)
        moments = {}
        for which, kinds in (("", [_RARE, _OTHER, _INCOMPLETE]), ("least_likely_", [_RARE]), ("other_", [_OTHER])):
            sums = (found[name][kinds].sum(axis=0) for name in ("weights", "first", "second"))
            moments[f"{which}means"], moments[f"{which}spreads"] = self._describe(*sums)
        shapes = list_shapes(len(self.feature_names), self.marginals.parameters.n_classes, self.frame)
        shares = found["shares"].copy()
        there = np.asarray(shares.any(axis=1))
        patterns = tuple(one for one, is_there in zip(self.patterns, there, strict=True) if is_there)
        return Portrait(
            feature_names=tuple(self.feature_names),
            frame=self.frame,
            rows=float(found["rows"]),
            weight_sum=float(found["weight_sum"]),
            least_likely=float(found["weights"][_RARE].max(initial=0.0)),
            log_densities=LogDensityHistogram(self.ceiling, found["log_densities"].copy()),
            observed=Observed(patterns, shares[there], len(self.feature_names)),
            **{name: found[name].copy() for name, shape in shapes.items() if len(shape) > 1},
            **moments,
        )

    def _describe(self, weight: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """Turn sums in the plan's coordinates into means and standard deviations of features, (d,) each."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = first / weight
            variance = np.maximum(second / weight - mean**2, 0.0)
        return self.plan.center + mean * self.plan.scale, np.sqrt(variance) * self.plan.scale


class IncompletePortraitAccumulator:
    """Adds up what :class:`IncompletePortraitSums` describes."""

    def __init__(self, sums: IncompletePortraitSums) -> None:
        self._sums, self._frame = sums, sums.frame
        self._scorer = IncompleteScorer(sums.marginals)
        self._numbers = {pattern: number for number, pattern in enumerate(sums.patterns)}
        self.clear()

    def clear(self) -> None:
        """Set all sums to zero."""
        self._found: dict[str, Array] = {name: np.zeros(shape) for name, shape in self._sums.layout.shapes.items()}

    def vector(self) -> Array:
        """Return all sums so far, in the layout of :class:`IncompletePortraitSums`."""
        return self._sums.layout.pack(self._found)

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Add rows (d, m) with NaN for missing values, with weights (m,) if the table has them."""
        for start in range(0, rows.shape[1], _CHUNK):
            part = rows[:, start : start + _CHUNK]
            weight = np.ones(part.shape[1]) if sample_weight is None else sample_weight[start : start + _CHUNK]
            self._add_chunk(part, np.asarray(weight, np.float64))

    def _add_chunk(self, rows: Block, weight: Array) -> None:
        found, has = self._found, ~np.isnan(rows)
        scores = self._scorer.score(rows, probability=True)
        assert scores.probability is not None
        shares = scores.probability * weight[:, None]
        found["rows"] += rows.shape[1]
        found["weight_sum"] += weight.sum()
        found["confusion"] += shares.T @ scores.probability
        found["log_densities"] += bin_weights(self._sums.ceiling - scores.log_density, weight)
        for pattern, at in group_rows(rows, 0).common:
            if pattern in self._numbers:
                found["shares"][self._numbers[pattern]] += shares[at].sum(axis=0)
            elif len(at):  # that of complete rows may have no row
                raise DataError("rows have other missing values than when the table was read before; is it changing?")
        largest = np.minimum(scores.probability.max(axis=1), 1.0)
        certain = np.minimum(np.searchsorted(CERTAINTY_EDGES, largest, side="right"), len(CERTAINTY_EDGES) - 1) - 1
        width = found["certainty"].shape[1]
        _count(scores.prediction * width + certain, weight, found["certainty"])
        self._count_bins(rows, has, scores.prediction.astype(np.intp), weight)
        complete = np.asarray(has.all(axis=0))
        unlikely = complete & (scores.log_density < self._frame.threshold)
        self._add_moments(rows, has, weight, [unlikely, complete & ~unlikely, ~complete])

    def _count_bins(self, rows: Block, has: NDArray[np.bool_], leaders: NDArray[np.intp], weight: Array) -> None:
        """Count rows by the bins of the features that they have, and by their most probable components."""
        found, shown = self._found, self._frame.shown
        bins = self._frame.find_bins(np.where(has, rows, self._frame.low[:, None]))
        for i, own in enumerate(has):
            _count(bins[i, own], weight[own], found["histograms"][i])
        for number, i in enumerate(shown):
            own = has[i]
            _count(leaders[own] * N_BINS + bins[i, own], weight[own], found["component_histograms"][number])
        merged = {i: merge_bins(bins[i]) for i in shown}
        for number, (i, j) in enumerate(self._frame.pairs):
            both = has[i] & has[j]
            _count(merged[i][both] * N_PAIR_BINS + merged[j][both], weight[both], found["pair_histograms"][number])

    def _add_moments(
        self, rows: Block, has: NDArray[np.bool_], weight: Array, kinds: Sequence[NDArray[np.bool_]]
    ) -> None:
        """Add the moments of what was observed, by kind of row: those of rows far off would swallow the others'."""
        plan = self._sums.plan
        z = (np.where(has, rows, plan.center[:, None]) - plan.center[:, None]) / plan.scale[:, None]
        z = np.clip(z, -_FARTHEST, _FARTHEST)
        for kind, own in enumerate(kinds):
            share = np.where(own, weight, 0.0)
            self._found["weights"][kind] += has @ share
            self._found["first"][kind] += z @ share
            self._found["second"][kind] += (z * z) @ share


def _count(cells: NDArray[np.intp], weight: Array, table: Array) -> None:
    """Add rows (m,) to the cells of a table that they are in."""
    table += np.bincount(cells, weight, table.size).reshape(table.shape)
