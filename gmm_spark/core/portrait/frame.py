"""The frame of a portrait: bins and features, chosen from the mixture before a row is read, so that parts add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.marginals import marginal_quantiles
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk, rows_per_chunk
from gmm_spark.core.portrait.telling import choose_features

N_INNER = 64
"""Bins of a histogram that are equally wide. Two more are open: all that lies below, and all above."""
N_BINS = N_INNER + 2
N_PAIR_BINS = N_INNER // 2 + 2
"""Bins along each of two features: inner bins are twice as wide, the outer ones are the same."""
MOST_SHOWN = 8
"""Features that have histograms by component and in pairs, at most."""
LEAST_LIKELY = 0.01
"""Share of the rows that count as the least likely."""

# Shares of the mixture that the inner bins cover along each feature: these, unless values far off would make the bins
# of all others too wide; then no less than these.
_WIDE, _NARROW = (0.0005, 0.9995), (0.025, 0.975)
# Interquartile ranges beyond a quartile from which on values are far off.
_FAR_OFF = 5.0
# Rows that are drawn from a mixture to find the log-density of the least likely.
_DRAWN = 20_000


@dataclass(frozen=True, eq=False)
class Frame:
    """Bins and features of a portrait.

    Attributes
    ----------
    low, width : array (d,)
        Lower edge of each feature's first inner bin, and the width of the inner bins, in the feature's units.
    shown : tuple of int, (s,)
        Features that have histograms by component and in pairs: all, or the ``MOST_SHOWN`` that tell the components
        apart.
    threshold : float
        Log-density, nats, below which a row counts among the least likely.
    """

    low: Array
    width: Array
    shown: tuple[int, ...]
    threshold: float

    @classmethod
    def of(
        cls,
        parameters: MixtureParameters,
        quartiles: Array | None = None,
        steps: Array | None = None,
        origins: Array | None = None,
        threshold: float | None = None,
    ) -> Frame:
        """Choose the frame of a mixture's portrait.

        Parameters
        ----------
        parameters : MixtureParameters
            In the table's own coordinates.
        quartiles : array (3, d), optional
            Of each feature in a sample. Values far beyond them, such as codes for missing values, do not widen the
            bins if they are few.
        steps : array (d,), optional
            The step that the values of each feature are rounded to; 0 for none. Bins then hold as many steps each.
        origins : array (d,), optional
            One such value of each feature; 0 by default.
        threshold : float, optional
            Log-density below which rows are the least likely; by default that of the mixture's own least likely draws.
        """
        levels = marginal_quantiles(parameters, np.array([*_WIDE, *_NARROW]))
        low, high = levels[:, 0], levels[:, 1]
        if quartiles is not None:
            reach = _FAR_OFF * (quartiles[2] - quartiles[0])
            spread = reach > 0
            low = np.where(spread, np.minimum(levels[:, 2], np.maximum(low, quartiles[0] - reach)), low)
            high = np.where(spread, np.maximum(levels[:, 3], np.minimum(high, quartiles[2] + reach)), high)
        width = (high - low) / N_INNER
        width = np.maximum(width, 16 * np.spacing(np.maximum(np.abs(low), np.abs(high))))  # edges stay distinct
        if steps is not None:
            low, width = _fit_steps(low, width, steps, np.zeros(len(low)) if origins is None else origins)
        if threshold is None:
            counts = component_counts(parameters, min(_DRAWN, rows_per_chunk(parameters)), seed=0)
            drawn = draw_chunk(parameters, counts, seed=0, chunk=0)[0]
            threshold = float(np.quantile(log_density(parameters, drawn), LEAST_LIKELY))
        return cls(low, width, choose_features(parameters, MOST_SHOWN), float(threshold))

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of features that have histograms, (p, 2): all pairs of ``shown``."""
        return tuple(combinations(self.shown, 2))

    @property
    def edges(self) -> Array:
        """Edges of the inner bins, (d, 65). A bin holds its lower edge."""
        return np.asarray(self.low[:, None] + self.width[:, None] * np.arange(N_INNER + 1))

    @property
    def pair_edges(self) -> Array:
        """Edges of the inner bins of pairs, (d, 33)."""
        return self.edges[:, ::2]

    def find_bins(self, rows: Block) -> NDArray[np.intp]:
        """Find the bin of each value of rows (d, m), from 0 to ``N_BINS`` - 1, (d, m)."""
        steps = np.subtract(rows, self.low[:, None], dtype=np.float64)
        with np.errstate(over="ignore"):
            steps /= self.width[:, None]
        steps += 1.0
        np.clip(steps, 0, N_BINS - 1, out=steps)
        return steps.astype(np.intp)

    def to_dict(self) -> dict[str, Any]:
        """Write the frame as plain lists and numbers, ready for JSON."""
        return {
            "low": self.low.tolist(),
            "width": self.width.tolist(),
            "shown": list(self.shown),
            "threshold": self.threshold,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Frame:
        """Read what :meth:`to_dict` wrote; raises KeyError, TypeError or ValueError if it is not that."""
        low, width = (np.array(values[name], np.float64) for name in ("low", "width"))
        return cls(low, width, tuple(int(one) for one in values["shown"]), float(values["threshold"]))


def merge_bins(bins: NDArray[np.intp]) -> NDArray[np.intp]:
    """Turn bins of one feature into bins of a pair: every two inner bins become one."""
    return (bins + 1) >> 1


def _fit_steps(low: Array, width: Array, steps: Array, origins: Array) -> tuple[Array, Array]:
    """Widen bins to whole numbers of steps, and put their edges between the values."""
    rounded = steps > 0
    step = np.where(rounded, steps, 1.0)
    whole = np.maximum(np.ceil(width / step), 1.0) * step
    first = low + N_INNER * (width - whole) / 2  # as far below the middle as above
    between = origins + (np.round((first - origins) / step) - 0.5) * step
    return np.where(rounded, between, low), np.where(rounded, whole, width)
