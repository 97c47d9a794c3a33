"""The training profile: what the rows of a fit were like, kept with the model to compare later rows with.

All of it is known by the end of a fit: the evaluation, the moments and the sample's profile have it. It takes no pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.drift.levels import PatternLevels
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.missing.patterns import write_pattern
from gmm_spark.core.mixture.overreach import Overreach, find_overreach
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.errors import ParameterError

# Quantiles of the training rows' log-densities that later rows are compared at.
QUANTILES = (0.001, 0.01, 0.1, 0.5, 0.9)
_SHAPES = {"shares": 1, "thresholds": 1, "shares_below": 1, "means": 1, "spreads": 1, "quartiles": 2}
# What older versions did not write.
_LATER = ("steps", "origins", "lows", "highs", "missing")


@dataclass(frozen=True, eq=False)
class TrainingProfile:
    """What the training rows of a mixture of k components in d features were like.

    Attributes
    ----------
    rows : float
        Rows that were used.
    bad_rows : float
        Rows that were left out because a value was missing or not finite.
    effective_rows : float
        Rows of equal weight that would say as much (Kish 1965); ``rows`` if all weights are equal. Means are as exact
        as over so many rows.
    shares : array (k,)
        Share of the rows by most probable component; with noise (k + 1,), and its share is last. (By responsibility
        they are the mixture's weights.)
    mean_log_density, log_density_spread : float
        Weighted mean and standard deviation of log p(row), nats.
    thresholds : array (5,)
        Log-densities near the quantiles :data:`QUANTILES`, nats.
    shares_below : array (5,)
        Share of the rows, by weight, that are less likely than each threshold. They are near the quantiles, and differ
        from them if there are few rows or many alike.
    means, spreads : array (d,)
        Weighted mean and standard deviation of each feature; the latter is 0 if it is constant.
    quartiles : array (3, d)
        Of each feature in a sample, as :class:`.ColumnProfile` has them: without the most common value.
    steps, origins : array (d,) or None
        The step that the values of each feature are rounded to, 0 for none, and one such value: a portrait's bins hold
        as many steps each. None if they are not known, as in files of older versions.
    lows, highs : array (d,) or None
        Least and greatest value of each feature; None likewise.
    missing : array (d,) or None
        Share of the rows, by weight, in which each feature is missing; None if none was. If so, means, spreads and
        quartiles are of what was observed; ``log_density_spread`` and ``shares_below`` are of rows beside those of
        their own pattern; and ``thresholds`` are of complete rows, or of the most frequent pattern if there are none.
    by_pattern : PatternLevels or None
        Log-densities by pattern of missing values; None if no value was missing.

    Raises
    ------
    ParameterError
        If a shape or a value cannot be that of a profile.
    """

    rows: float
    bad_rows: float
    effective_rows: float
    shares: Array
    mean_log_density: float
    log_density_spread: float
    thresholds: Array
    shares_below: Array
    means: Array
    spreads: Array
    quartiles: Array
    steps: Array | None = None
    origins: Array | None = None
    lows: Array | None = None
    highs: Array | None = None
    missing: Array | None = None
    by_pattern: PatternLevels | None = None

    def __post_init__(self) -> None:
        faults = [name for name, rank in _SHAPES.items() if getattr(self, name).ndim != rank]
        known = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        levels = known.pop("by_pattern", None)
        faults += [] if (levels is None) == (self.missing is None) else ["missing values"]
        faults += [name for name, value in known.items() if not np.isfinite(value).all()]
        faults += [name for name in _LATER if name in known and known[name].shape != self.means.shape]
        if not faults:
            d = len(self.means)
            lengths = self.spreads.shape == (d,) and self.quartiles.shape == (3, d)
            quantiles = self.thresholds.shape == self.shares_below.shape == (len(QUANTILES),)
            counts = self.rows > 0 and self.effective_rows > 0 and self.bad_rows >= 0
            shares = [*self.shares, *self.shares_below, *(() if self.missing is None else self.missing)]
            if not (lengths and quantiles and counts and d and len(self.shares)):
                faults.append("shapes or numbers of rows")
            elif min(shares) < 0 or max(shares) > 1 + 1e-9 or min(self.spreads) < 0 or self.log_density_spread < 0:
                faults.append("shares or spreads")
        if faults:
            raise ParameterError(f"not a training profile: its {', '.join(faults)} cannot be right")

    @classmethod
    def of(
        cls, evaluation: Evaluation, moments: Moments, columns: ColumnProfile, bad_rows: int
    ) -> TrainingProfile | None:
        """Collect the profile from what a fit knows at its end.

        None if a row is so unlikely that no mean is finite, or if values are missing, no row is complete, and no
        pattern of missing values has rows enough to know how likely they are.

        Parameters
        ----------
        evaluation : Evaluation
            Of the fitted mixture on the training rows, with the histogram of log-densities.
        moments : Moments
        columns : ColumnProfile
        bad_rows : int
            Rows that were left out.
        """
        levels = None
        if evaluation.incomplete and evaluation.log_densities_by_pattern:
            levels = PatternLevels.of(evaluation.log_densities_by_pattern, evaluation.weight_sum, QUANTILES)
        histogram = evaluation.log_densities
        if levels is not None:
            histogram = evaluation.log_densities_by_pattern[levels.patterns[levels.most_frequent]]
        if histogram is None or not np.isfinite(evaluation.log_likelihood):
            return None
        edges = [histogram.find_edge(q) for q in QUANTILES]
        below = np.array([share for _, share in edges])
        has_range = bool(np.isfinite([moments.low, moments.high]).all())  # not if a feature is missing everywhere
        return cls(
            rows=evaluation.rows,
            bad_rows=float(bad_rows),
            effective_rows=moments.weights.effective_rows,
            shares=evaluation.cluster_sizes / evaluation.rows,
            mean_log_density=evaluation.log_likelihood / evaluation.weight_sum,
            log_density_spread=histogram.deviation if levels is None else levels.spread,
            thresholds=np.array([threshold for threshold, _ in edges]),
            shares_below=below if levels is None else levels.shares @ levels.shares_below / levels.shares.sum(),
            means=moments.mean,
            spreads=np.sqrt(moments.variance),
            quartiles=columns.quartiles,
            steps=columns.step,
            origins=columns.mode,
            lows=moments.low if has_range else None,
            highs=moments.high if has_range else None,
            missing=None if levels is None else np.maximum(1 - moments.observed / moments.weights.total, 0.0),
            by_pattern=levels,
        )

    @property
    def knows_missing(self) -> bool:
        """Whether it is known how often each feature was missing: not if such rows were left out."""
        return self.missing is not None or not self.bad_rows

    @property
    def levels(self) -> PatternLevels:
        """Log-densities by pattern of missing values: of complete rows alone, if no value was missing."""
        if self.by_pattern is not None:
            return self.by_pattern
        return PatternLevels(
            (write_pattern(np.zeros(len(self.means), bool)),),
            np.ones(1),
            np.array([self.mean_log_density]),
            np.array([self.log_density_spread]),
            self.thresholds[None],
            self.shares_below[None],
        )

    def find_overreach(self, parameters: MixtureParameters) -> list[Overreach]:
        """Find where a mixture lies beyond the range of these rows; nothing if that is not known."""
        if self.lows is None or self.highs is None:
            return []
        return find_overreach(parameters, self.lows, self.highs, self.spreads, self.steps, self.effective_rows)

    def require_fits(self, k: int, d: int) -> None:
        """Raise ParameterError if this is the profile of a mixture of another size: k components, noise included."""
        if (len(self.shares), len(self.means)) != (k, d):
            raise ParameterError(
                f"the training profile is of {len(self.shares)} component(s) and {len(self.means)} feature(s); the "
                f"mixture has {k} and {d}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Write the profile as plain numbers and lists, ready for JSON; floats survive the round trip exactly."""
        known = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        levels = known.pop("by_pattern", None)
        found = {name: np.asarray(value).tolist() for name, value in known.items()}
        return found if levels is None else found | {"by_pattern": levels.to_dict(len(self.means))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingProfile:
        """Read what :meth:`to_dict` wrote; keys that are not known are passed over.

        Raises
        ------
        ParameterError
            If it is not that.
        """
        try:
            arrays = [one.name for one in fields(cls) if one.name != "by_pattern"]
            names = [name for name in arrays if name in values or name not in _LATER]
            found = {name: np.array(values[name], np.float64) for name in names}
            scalars = {name: float(value) for name, value in found.items() if name not in (*_SHAPES, *_LATER)}
            levels = values.get("by_pattern")
            if levels is not None:
                levels = PatternLevels.from_dict(levels, len(found["means"]))
            return cls(**{**found, **scalars, "by_pattern": levels})  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(f"not a training profile: {error!r}") from error
