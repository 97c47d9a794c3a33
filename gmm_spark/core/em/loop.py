"""The EM loop over a table that answers ``expect``.

One iteration is one pass: the E step's statistics under the current candidates, then the M step. Several runs share
each pass; a run leaves when it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.run import ActiveRun, Outcome, Run
from gmm_spark.core.table import ArrayTable, Table
from gmm_spark.errors import DegenerateComponentError, ParameterError


def fit(
    table: Table,
    runs: Sequence[Run],
    *,
    sample: ArrayTable | None = None,
    lookahead: ArrayTable | None = None,
    callback: Callable[[PassRecord], None] | None = None,
) -> list[Outcome]:
    """Run EM from each start by its own rule, all of them in the same passes.

    Parameters
    ----------
    table : Table
    runs : sequence of Run
    sample : ArrayTable, optional
        Sample of the table in memory, with the table's own moments, in which degenerate components are reseeded. It
        may be the table itself. Without one a component that collapses ends its run, and one that starves stays
        without weight.
    lookahead : ArrayTable, optional
        Sample on which accelerated runs look ahead after each pass; without one they extrapolate plain steps.
    callback : callable, optional
        Called after each pass with the record of the run that leads.

    Returns
    -------
    list of EMResult or DegenerateComponentError
        The result or the error of each run, in order. With a sample a run degenerates only if all of its components
        collapse, or the tied covariance does. Components that are degenerate in a result have no weight.

    Raises
    ------
    ParameterError
        If there is no run, or a rule's ``max_iter`` is below 1.
    """
    active = activate(runs, sample, lookahead)
    make_passes(table, active, max(run.rule.max_iter for run in runs), callback)
    return [run.outcome for run in active]


def activate(runs: Sequence[Run], sample: ArrayTable | None, lookahead: ArrayTable | None) -> list[ActiveRun]:
    """Make runs ready for their first pass; arguments and errors as of :func:`fit`."""
    least = min((run.rule.max_iter for run in runs), default=0)
    if least < 1:
        raise ParameterError(f"got {len(runs)} start(s) and maxIter={least}; need at least one of each")
    return [ActiveRun(run, sample, lookahead) for run in runs]


def make_passes(
    table: Table, runs: Sequence[ActiveRun], most: int, callback: Callable[[PassRecord], None] | None = None
) -> None:
    """Make passes over the table for the runs that have not ended, until all have, or so many are made."""
    for _ in range(most):
        active = [run for run in runs if not run.ended]
        if not active:
            break
        began = time.perf_counter()
        statistics = iter(table.expect([candidate for run in active for candidate in run.candidates]))
        for run in active:
            run.advance([next(statistics) for _ in run.candidates], time.perf_counter() - began)
        sound = [run.latest for run in active if isinstance(run.outcome, EMResult)]
        if callback is not None and sound:
            callback(max(sound, key=lambda record: record.lower_bound))


def rank(outcomes: Sequence[Outcome]) -> list[EMResult]:
    """Sort the results by their lower bounds, the highest first and the earliest of equals; failed runs are left out.

    Raises
    ------
    DegenerateComponentError
        If every run failed: the error of the last.
    """
    results = [outcome for outcome in outcomes if isinstance(outcome, EMResult)]
    if not results:
        raise next(outcome for outcome in reversed(outcomes) if isinstance(outcome, DegenerateComponentError))
    return sorted(results, key=lambda result: -result.lower_bound)


def best(outcomes: Sequence[Outcome]) -> EMResult:
    """Pick the result of the highest lower bound, the earliest of equals; errors as of :func:`rank`."""
    return rank(outcomes)[0]
