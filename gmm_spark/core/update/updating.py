"""One update: a few passes over today's rows, with yesterday's sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.run import Run
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.settings import Rule
from gmm_spark.core.steps import step
from gmm_spark.core.table import Table
from gmm_spark.core.update.remembering import RememberingTable
from gmm_spark.errors import ParameterError


@dataclass(frozen=True, eq=False)
class Updated:
    """What an update found.

    Attributes
    ----------
    result : EMResult
        Its lower bounds are free energies per unit of weight, nats.
    last : SufficientStatistics
        Of today's rows alone, under the mixture that the last pass evaluated.
    """

    result: EMResult
    last: SufficientStatistics


def find_decay(half_life: float, elapsed: float) -> float:
    """Return what a row of weight 1 still weighs after some time: 2^(-elapsed / half_life).

    Raises
    ------
    ParameterError
        If the half-life is not above 0, or the time is negative or not finite.

    Examples
    --------
    >>> find_decay(7.0, 14.0), find_decay(float("inf"), 14.0)
    (0.25, 1.0)
    """
    if not half_life > 0:
        raise ParameterError(f"halfLife={half_life}; need a time above 0; infinity forgets nothing")
    if not 0 <= elapsed < float("inf"):
        raise ParameterError(f"elapsed={elapsed}; need a time of at least 0, in the units of halfLife")
    return float(2.0 ** (-elapsed / half_life))


def update(
    table: Table,
    before: MixtureParameters,
    weight: float,
    today: float,
    floor: Array,
    max_iter: int,
    tol: float,
    callback: Callable[[PassRecord], None] | None = None,
) -> Updated:
    """Update a mixture by today's rows.

    Parameters
    ----------
    table : Table
        Today's rows.
    before : MixtureParameters
        In coordinates centred at the table's mean.
    weight : float
        What yesterday's rows weigh today, in units of the table's own sums.
    today : float
        What today's rows weigh, in the same units.
    floor : array (d,)
        Least variance along each feature.
    max_iter : int
        Passes at most, >= 1.
    tol : float
        The update has converged if a pass changes the free energy by less, in nats per row of today.
    callback : callable, optional
        Called after each pass.

    Raises
    ------
    DegenerateComponentError
        If a component collapsed, as one may whose earlier rows weigh next to nothing.
    """
    both = RememberingTable(table, before, weight)
    rule = Rule(max_iter, tol * today / (today + weight), floor)
    with step("passes") as told:
        result = best(fit(both, [Run(before, rule)], callback=callback))
        told.update(passes=len(result.history), bound=result.lower_bound, converged=result.converged)
    assert both.today is not None  # there was a pass
    return Updated(result, both.today)
