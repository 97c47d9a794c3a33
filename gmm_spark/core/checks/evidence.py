"""Evidence: all that the checks of a fit may look at. Everything in it is known by the end of a fit, without a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.checks.codes import Code, find_codes
from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import Sample

# Rows of the sample that columns are looked at in: enough for a value in one row of a thousand.
_ROWS = 20_000


@dataclass(frozen=True)
class Grid:
    """The numbers of components that a selector tried, and the criterion that chose one of them.

    Attributes
    ----------
    ks : tuple of int
        Those that could be fitted with the structure that was chosen.
    criterion : str
    """

    ks: tuple[int, ...]
    criterion: str

    def find_edge(self, k: int) -> Literal["highest", "lowest"] | None:
        """Tell whether k is the highest or the lowest of several; None if it is neither, and for k = 1: none is lower.

        Examples
        --------
        >>> [Grid((2, 3, 4), "bic").find_edge(k) for k in (2, 3, 4)]
        ['lowest', None, 'highest']
        """
        if len(self.ks) < 2:
            return None
        if k == max(self.ks):
            return "highest"
        return "lowest" if k == min(self.ks) and k > 1 else None


@dataclass(frozen=True)
class HeldOut:
    """The rows that a selector held out.

    Attributes
    ----------
    asked : float
        Share of the rows that was asked for.
    rows : int
    effective_rows : float
        Rows of equal weight that would say as much (Kish 1965).
    lower_bound : float
        Mean log-likelihood of these rows per unit of weight, nats.
    """

    asked: float
    rows: int
    effective_rows: float
    lower_bound: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a fit knows at its end.

    Attributes
    ----------
    names : sequence of str
        Of the d features.
    settings : Settings
    result : EMResult
        Its parameters are centred at the table's mean.
    evaluation : Evaluation
        Of the result on the training rows.
    moments : Moments
        Of the training rows.
    sample : rows (d, m) and weights (m,) or None
        Drawn from the training rows, in their own coordinates.
    profile : ColumnProfile
        Of the sample.
    floor : array (d,)
        Least variance of a component along each feature.
    precision : {"float64", "float32"}
        Type of the matrix products over rows.
    skipped : mapping of str to int
        Rows left out, by reason.
    rounded : mapping of str to int
        Values that float64 may have rounded, by column.
    grid : Grid or None
    held_out : HeldOut or None
    """

    names: Sequence[str]
    settings: Settings
    result: EMResult
    evaluation: Evaluation
    moments: Moments
    sample: Sample
    profile: ColumnProfile
    floor: Array
    precision: str = "float64"
    skipped: Mapping[str, int] = field(default_factory=dict)
    rounded: Mapping[str, int] = field(default_factory=dict)
    grid: Grid | None = None
    held_out: HeldOut | None = None

    @property
    def parameters(self) -> MixtureParameters:
        """The mixture, centred at the table's mean."""
        return self.result.parameters

    @cached_property
    def columns(self) -> Array:
        """Rows of the sample (d, m) to look at columns in, in the table's own coordinates; NaN if missing."""
        rows = self.sample[0]
        m = rows.shape[1]
        some = rows if m <= _ROWS else rows[:, np.linspace(0, m - 1, _ROWS).astype(np.intp)]
        return np.asarray(some, dtype=np.float64)

    @cached_property
    def codes(self) -> list[list[Code]]:
        """Values that may stand for missing ones, column by column."""
        return [find_codes(column[~np.isnan(column)]) for column in self.columns]

    @property
    def rows_held(self) -> Array:
        """Rows that each component explains, (k,): its responsibilities, summed.

        With row weights these say nothing of rows; then rows by most probable component.
        """
        if self.sample[1] is None:
            return self.parameters.weights * self.evaluation.rows
        return self.evaluation.cluster_sizes[: self.parameters.n_components].astype(np.float64)

    @property
    def fewer_components(self) -> str:
        """What to do for fewer components, in words."""
        return "lower `k`" if self.grid is None else "try smaller `ks`"

    @property
    def more_components(self) -> str:
        """What to do for more components, in words."""
        return "raise `k`" if self.grid is None else "try larger `ks`"

    @property
    def fewer_parameters(self) -> str:
        """What to do for fewer parameters in a covariance, in words."""
        if self.grid is None:
            return "choose a `covarianceType` of fewer parameters"
        return "try `covarianceTypes` of fewer parameters"
