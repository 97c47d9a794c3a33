"""A table of today's rows that remembers yesterday's: passes read today's rows alone, and sums are of both.

This is incremental EM (Neal & Hinton 1998). Yesterday's responsibilities are frozen, and so are their sums, which are
weighted down by their age. A pass makes the sums of today's rows under the candidate, and the M step takes both. It
cannot lower the free energy: the log-likelihood of today's rows, plus the expected log-likelihood of yesterday's rows
and their components under the frozen responsibilities. The free energy takes the place of the log-likelihood, so that
every loop over passes works as it does on a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.distance_draw import DrawRequest, DrawResult
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import Sample, SampleTask, Table
from gmm_spark.core.update.memory import recall


class RememberingTable:
    """A table with the sums of earlier rows.

    Parameters
    ----------
    table : Table
        Today's rows.
    before : MixtureParameters
        The mixture that yesterday's sums made, in coordinates centred at the table's mean.
    weight : float
        What yesterday's rows weigh today, all together, in units of the table's own sums.

    Attributes
    ----------
    moments : Moments
        Of today's rows.
    today : SufficientStatistics or None
        Of today's rows alone, under the first candidate of the latest pass; None before the first.
    """

    def __init__(self, table: Table, before: MixtureParameters, weight: float) -> None:
        self.moments = table.moments
        self.today: SufficientStatistics | None = None
        self._table = table
        self._before = before
        self._weight = weight
        self._old = recall(before, weight)
        self._expected = expect_log_likelihood(before, weight, before)

    def expect(self, candidates: Sequence[MixtureParameters]) -> list[SufficientStatistics]:
        """Make one pass over today's rows: the sums of both for each candidate, with the free energy.

        Of yesterday's rows the free energy has the change since: it is 0 under the mixture that their sums made.
        """
        found = self._table.expect(candidates)
        self.today = found[0]
        return [self._add(one, candidate) for one, candidate in zip(found, candidates, strict=True)]

    def evaluate(self, candidate: MixtureParameters) -> Evaluation:
        """Make one pass: how well a candidate explains today's rows."""
        return self._table.evaluate(candidate)

    def evaluate_all(self, candidates: Sequence[MixtureParameters], log_densities: bool = False) -> list[Evaluation]:
        """Make one pass: how well several candidates explain today's rows."""
        return self._table.evaluate_all(candidates, log_densities)

    def draw(self, draw: DrawRequest) -> DrawResult:
        """Make one pass: draw from today's rows."""
        return self._table.draw(draw)

    def extent(self) -> Array:
        """Make one pass: least and greatest value of each feature of today's rows."""
        return self._table.extent()

    def run_on_sample(self, sample: Sample, tasks: Sequence[SampleTask]) -> list[bytes]:
        """Run tasks on a sample of today's rows."""
        return self._table.run_on_sample(sample, tasks)

    def _add(self, today: SufficientStatistics, candidate: MixtureParameters) -> SufficientStatistics:
        """Add yesterday's sums to today's, about the means that yesterday's are exact about."""
        lost = expect_log_likelihood(self._before, self._weight, candidate) - self._expected
        return replace(self._old, log_likelihood=lost) + today


def expect_log_likelihood(before: MixtureParameters, weight: float, candidate: MixtureParameters) -> float:
    """Compute the expected log-likelihood of remembered rows, with their components, under a candidate, nats.

    Bishop 2006, eq. 9.40, of the sums that :func:`.memory.recall` returns.

    Parameters
    ----------
    before : MixtureParameters
        The mixture that the rows' sums made.
    weight : float
        Their total weight.
    candidate : MixtureParameters
        Of the same structure and k.
    """
    present = np.flatnonzero(before.weights > 0)
    factors, shifts = candidate.component_cholesky, before.means - candidate.means
    squares = np.empty(len(present))  # mean squared Mahalanobis distance of each component's rows from the new mean
    for at, j in enumerate(present):
        squares[at] = _mean_square(before, int(j), factors[j], shifts[j])
    total = before.weights[present] @ (candidate.log_normalisers[present] - 0.5 * squares)
    if before.noise is not None and candidate.noise is not None:
        total += before.noise.weight * candidate.noise.log_height
    return float(weight * total)


def _mean_square(before: MixtureParameters, j: int, factor: Array, shift: Array) -> float:
    """Return the mean squared Mahalanobis distance, under a precision's factor, of component j's rows from a point."""
    if factor.ndim == 1:
        return float(((before.deviations[j] ** 2 + shift**2) * factor**2).sum())
    covariance = before.covariances if before.structure.pooled else before.covariances[j]
    moved = factor.T @ shift
    return float((factor * (covariance @ factor)).sum() + moved @ moved)
