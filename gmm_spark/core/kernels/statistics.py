"""SufficientStatistics: all that the M step needs to know of the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.covariance import structure

# Below this share of the total weight a component has starved: its moments would be rounding noise.
STARVED_SHARE = 1e-15


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """Sums over the rows of a table under one candidate, in centred coordinates.

    Attributes
    ----------
    covariance_type : str
    reference : array (k, d)
        Point about which each component's moments are taken: zero, or its mean if the accurate kernel was used.
    rows : float
        Number of rows.
    weight_sum : float
        Sum of the row weights; equals ``rows`` if rows have no weights.
    log_likelihood : float
        Weighted sum of log p(row), nats.
    resp_sum : array (k,)
        Weighted sums of responsibilities.
    first : array (k, d)
        Weighted sums of (row - reference).
    second : array
        Weighted sums of outer products of (row - reference), in the structure's shape.
    noise_sum : float
        Weighted sum of the responsibilities of noise; 0 if the candidate has none.
    """

    covariance_type: str
    reference: Array
    rows: float
    weight_sum: float
    log_likelihood: float
    resp_sum: Array
    first: Array
    second: Array
    noise_sum: float = 0.0

    def about(self, reference: Array) -> SufficientStatistics:
        """Return the same sums with each component's moments taken about another point, (k, d)."""
        shift = self.reference - reference
        if not shift.any():
            return self
        kind, first = structure(self.covariance_type), self.first + self.resp_sum[:, None] * shift
        if kind.axis_aligned:
            second = self.second + kind.project(shift * (self.first + first))
        elif kind.pooled:
            crossed = shift.T @ self.first  # (d, d): one product for all components
            second = self.second + crossed + crossed.T + (shift * self.resp_sum[:, None]).T @ shift
        else:
            crossed = shift[:, :, None] * self.first[:, None, :]
            square = self.resp_sum[:, None, None] * shift[:, :, None] * shift[:, None, :]
            second = self.second + crossed + np.swapaxes(crossed, 1, 2) + square
        return replace(self, reference=reference, first=first, second=second)

    def scaled(self, factor: float) -> SufficientStatistics:
        """Return the sums as they are if each row's weight is multiplied by a factor; the number of rows stays."""
        return replace(
            self,
            weight_sum=self.weight_sum * factor,
            log_likelihood=self.log_likelihood * factor,
            resp_sum=self.resp_sum * factor,
            first=self.first * factor,
            second=self.second * factor,
            noise_sum=self.noise_sum * factor,
        )

    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        """Merge the sums of disjoint rows, of one structure and k; moments are about this one's reference."""
        moved = other.about(self.reference)
        return replace(
            self,
            rows=self.rows + moved.rows,
            weight_sum=self.weight_sum + moved.weight_sum,
            log_likelihood=self.log_likelihood + moved.log_likelihood,
            resp_sum=self.resp_sum + moved.resp_sum,
            first=self.first + moved.first,
            second=self.second + moved.second,
            noise_sum=self.noise_sum + moved.noise_sum,
        )

    @property
    def lower_bound(self) -> float:
        """Mean log-likelihood per unit of row weight, nats; NaN if there is no weight."""
        return self.log_likelihood / self.weight_sum if self.weight_sum > 0 else float("nan")
