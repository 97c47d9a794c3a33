"""SufficientStatistics: all that the M step needs to know of the rows, as a monoid."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.covariance import structure

# Below this share of the total weight a component has starved: its moments would be rounding noise.
STARVED_SHARE = 1e-15


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """Sums over rows under one candidate; ``+`` adds disjoint sets of rows.

    Attributes
    ----------
    covariance_type : str
    reference : array (k, d)
        Point about which each component's moments are taken (zero, or its mean where the accurate kernel was used).
    rows : float
        Number of rows.
    weight_sum : float
        Sum of the row weights; equals ``rows`` where there are none.
    log_likelihood : float
        Weighted sum of log p(row), nats.
    resp_sum : array (k,)
        Weighted sums of responsibilities.
    first : array (k, d)
        Weighted sums of (row - reference).
    second : array
        Weighted sums of outer products of (row - reference), in the structure's shape.
    """

    covariance_type: str
    reference: Array
    rows: float
    weight_sum: float
    log_likelihood: float
    resp_sum: Array
    first: Array
    second: Array

    @classmethod
    def zero(cls, covariance_type: str, reference: Array) -> SufficientStatistics:
        """Make the identity of ``+`` for candidates with this structure and these reference points."""
        k, d = reference.shape
        second = np.zeros(structure(covariance_type).shape(k, d))
        return cls(covariance_type, reference, 0.0, 0.0, 0.0, np.zeros(k), np.zeros((k, d)), second)

    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        """Add elementwise.

        Raises
        ------
        ValueError
            Where the two were taken under different structures or about different points.
        """
        if self.covariance_type != other.covariance_type or not np.array_equal(self.reference, other.reference):
            raise ValueError("statistics of different candidates or reference points cannot be added")
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)[2:]}
        return SufficientStatistics(self.covariance_type, self.reference, **sums)

    @property
    def lower_bound(self) -> float:
        """Mean log-likelihood per unit of row weight, nats; NaN where there is no weight."""
        return self.log_likelihood / self.weight_sum if self.weight_sum > 0 else float("nan")
