"""The EM loop, over a table that answers ``expect``.

One iteration is one pass: the E step's statistics under the current parameters, then the M step.
Several starts go through the same passes together; each leaves when it has converged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from gmm_spark.core.em.ascent import Ascent, EMResult, PassRecord
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable, Table
from gmm_spark.errors import DegenerateComponentError, ParameterError


def fit(
    table: Table,
    starts: Sequence[MixtureParameters],
    *,
    max_iter: int | Sequence[int],
    tol: float | Sequence[float],
    reg_covar: float | Sequence[float] = 0.0,
    accelerate: bool | Sequence[bool] = False,
    trial: ArrayTable | None = None,
    ahead: ArrayTable | None = None,
    seed: int | Sequence[int] = 0,
    contest: int | None = None,
    callback: Callable[[PassRecord], None] | None = None,
    dropped: dict[int, DegenerateComponentError] | None = None,
) -> list[EMResult]:
    """Run EM from each start, all of them in the same passes.

    Parameters
    ----------
    table : Table
    starts : sequence of MixtureParameters
        In the table's centred coordinates.
    max_iter : int, or one for each start
        Passes at most; at least 1.
    tol : float, or one for each start
        A start has converged when a pass changes its mean log-likelihood per row by less than this, in nats.
    reg_covar : float, or one for each start
        Variance added to each feature, as a share of the feature's variance in the table.
    accelerate : bool, or one for each start
        Try extrapolated steps, where the likelihood does not fall by them.
    trial : ArrayTable, optional
        A sample in memory, with the table's own moments, on which an accelerated start looks ahead after each pass, and
        in which degenerate components are put anew. It may be the table itself; there is no looking ahead then.
    ahead : ArrayTable, optional
        Part of the trial to look ahead on instead, where the whole would take too long.
    seed : int, or one for each start
        Of where degenerate components are put.
    contest : int, optional
        Passes after which only the start that leads goes on.
    callback : callable, optional
        Called after each pass with the record of the start that leads.
    dropped : dict, optional
        Filled with the error of each start that degenerated, by its index.

    Returns
    -------
    list of EMResult
        In the order of the starts. One that degenerated, or lost the contest, is missing from it. With a trial a
        start degenerates only where all of its components collapse, or the tied covariance does; where it ends with
        some of them degenerate, these have no weight.

    Raises
    ------
    DegenerateComponentError
        Where every start degenerated.
    ParameterError
        Where there is no start, or ``max_iter`` is below 1.
    """
    n = len(starts)
    lasts: list[int] = np.broadcast_to(max_iter, n).tolist()
    if not starts or min(lasts) < 1:
        raise ParameterError(f"got {n} start(s) and maxIter={max_iter}; need at least one of each")
    tols: list[float] = np.broadcast_to(tol, n).tolist()
    floors = np.multiply.outer(np.broadcast_to(reg_covar, n), table.moments.variance)
    hastened = np.broadcast_to(accelerate, n).tolist()
    seeds: list[int] = np.broadcast_to(seed, n).tolist()
    ahead = None if trial is table else ahead or trial
    runs = {i: Ascent(start, floors[i], hastened[i], trial, ahead, seeds[i]) for i, start in enumerate(starts)}
    results: dict[int, EMResult] = {}
    failure: DegenerateComponentError | None = None
    for iteration in range(1, max(lasts) + 1):
        began = time.perf_counter()
        statistics = iter(table.expect([c for run in runs.values() for c in run.candidates]))
        reached: list[PassRecord] = []
        for i, run in list(runs.items()):
            try:
                run.advance([next(statistics) for _ in run.candidates], iteration, time.perf_counter() - began)
            except DegenerateComponentError as error:
                if run.before is not None:
                    results[i] = runs.pop(i).fall_back(run.before)
                    continue
                failure = error
                if dropped is not None:
                    dropped[i] = error
                del runs[i]
                continue
            converged = abs(run.history[-1].change) < tols[i]
            if iteration == lasts[i] or (converged and not run.reseed()):
                results[i] = runs.pop(i).result(converged)
            reached.append(run.history[-1])
        if callback is not None and reached:
            callback(max(reached, key=lambda r: r.lower_bound))
        if iteration == contest and (runs or results):
            runs, results = _leader(runs, results)
        if not runs:
            break
    if not results:
        raise failure or DegenerateComponentError("every start degenerated; raise regCovar or lower k")
    return [results[i] for i in sorted(results)]


def _leader(runs: dict[int, Ascent], results: dict[int, EMResult]) -> tuple[dict[int, Ascent], dict[int, EMResult]]:
    """Of runs and results the one that leads, the earliest of equals, and no other."""
    bounds = {i: result.lower_bound for i, result in results.items()}
    bounds.update({i: run.bound for i, run in runs.items()})
    leader = max(sorted(bounds), key=lambda i: bounds[i])
    return (
        {i: run for i, run in runs.items() if i == leader},
        {i: result for i, result in results.items() if i == leader},
    )


def best(results: Sequence[EMResult]) -> EMResult:
    """Pick the result of the highest lower bound; the earliest of equals."""
    return max(results, key=lambda r: r.lower_bound)
