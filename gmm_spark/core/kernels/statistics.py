"""SufficientStatistics: all that the M step needs to know of the rows."""

from __future__ import annotations

from dataclasses import dataclass

from gmm_spark.core.arrays import Array

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

    @property
    def lower_bound(self) -> float:
        """Mean log-likelihood per unit of row weight, nats; NaN if there is no weight."""
        return self.log_likelihood / self.weight_sum if self.weight_sum > 0 else float("nan")
