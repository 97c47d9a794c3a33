"""The EM loop, over a table that answers ``expect``.

One iteration is one pass: the E step's statistics under the current parameters, then the M step.
Several starts go through the same passes together; each leaves when it has converged.

Regularisation adds ``reg_covar`` times each feature's variance to the diagonal of every covariance,
so that a change of units changes nothing. A component whose responsibilities fade to nothing keeps
its last mean and covariance; one whose covariance collapses raises DegenerateComponentError by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.covariance import Array
from gmm_spark.core.parameters import MixtureParameters
from gmm_spark.core.statistics import SufficientStatistics
from gmm_spark.core.table import Table
from gmm_spark.errors import DataError, DegenerateComponentError, ParameterError

# Below this share of the total weight a component has starved: its moments would be rounding noise.
_STARVED_SHARE = 1e-15


@dataclass(frozen=True)
class PassRecord:
    """One pass of a fit, as its history keeps it.

    Attributes
    ----------
    iteration : int
        Counted from 1.
    lower_bound : float
        Mean log-likelihood per unit of row weight, nats, of the parameters the pass was made with.
    change : float
        Since the pass before; NaN on the first.
    seconds : float
        Wall time of the pass and its M step.
    """

    iteration: int
    lower_bound: float
    change: float
    seconds: float


@dataclass(frozen=True, eq=False)
class EMResult:
    """Where one start ended.

    ``parameters`` are one M step beyond the last pass, so their likelihood is at least
    ``lower_bound``, that of the last pass; ask the table to evaluate them for the exact figure.
    """

    parameters: MixtureParameters
    lower_bound: float
    converged: bool
    history: tuple[PassRecord, ...]


def maximize(statistics: SufficientStatistics, previous: MixtureParameters, floor: Array) -> MixtureParameters:
    """M step: the parameters that the statistics ask for (Bishop 2006, eq. 9.24-9.26).

    Parameters
    ----------
    statistics : SufficientStatistics
    previous : MixtureParameters
        What the statistics were taken under; a starved component keeps its mean and covariance from here.
    floor : array (d,)
        Variance to add to each feature, 0 for none.

    Raises
    ------
    DegenerateComponentError
        Where a covariance has collapsed.
    DataError
        Where the total weight is zero.
    """
    if not statistics.weight_sum > 0:
        raise DataError("the rows' weights sum to 0; give at least one row a positive weight")
    structure = previous.structure
    starved = statistics.resp_sum <= _STARVED_SHARE * statistics.weight_sum
    resp_sum = np.where(starved, 1.0, statistics.resp_sum)
    offsets = np.where(starved[:, None], 0.0, statistics.first / resp_sum[:, None])
    means = np.where(starved[:, None], previous.means, statistics.reference + offsets)
    effective = np.where(starved, 0.0, resp_sum) if structure.pooled else resp_sum
    covariances = structure.estimate(statistics.second, effective, offsets, floor)
    if not structure.pooled and starved.any():
        covariances = covariances.copy()
        covariances[starved] = previous.covariances[starved]
    weights = np.where(starved, 0.0, statistics.resp_sum)
    structure.precisions_cholesky(covariances)  # names the component that collapsed
    return MixtureParameters(weights / weights.sum(), means, covariances, previous.covariance_type)


def fit(
    table: Table,
    starts: Sequence[MixtureParameters],
    *,
    max_iter: int | Sequence[int],
    tol: float | Sequence[float],
    reg_covar: float | Sequence[float] = 0.0,
    callback: Callable[[PassRecord], None] | None = None,
    done: tuple[PassRecord, ...] = (),
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
    callback : callable, optional
        Called after each pass with the record of the start that leads.
    done : tuple of PassRecord
        History that every start already has, where this continues an earlier fit; ``max_iter`` counts from here.
    dropped : dict, optional
        Filled with the error of each start that degenerated, by its index.

    Returns
    -------
    list of EMResult
        In the order of the starts. A start that degenerated is missing from it.

    Raises
    ------
    DegenerateComponentError
        Where every start degenerated.
    ParameterError
        Where there is no start, or ``max_iter`` is below 1.
    """
    n = len(starts)
    lasts = (len(done) + np.broadcast_to(max_iter, n)).tolist()
    if not starts or min(lasts) <= len(done):
        raise ParameterError(f"got {n} start(s) and maxIter={max_iter}; need at least one of each")
    tols: list[float] = np.broadcast_to(tol, n).tolist()
    floors = np.multiply.outer(np.broadcast_to(reg_covar, n), table.moments.variance)
    current: dict[int, MixtureParameters] = dict(enumerate(starts))
    histories = {i: list(done) for i in current}
    results: dict[int, EMResult] = {}
    failure: DegenerateComponentError | None = None
    for iteration in range(len(done) + 1, max(lasts) + 1):
        began = time.perf_counter()
        statistics = table.expect(list(current.values()))
        for i, found in zip(list(current), statistics, strict=True):
            try:
                current[i] = maximize(found, current[i], floors[i])
            except DegenerateComponentError as error:
                failure = error
                if dropped is not None:
                    dropped[i] = error
                del current[i]
                continue
            before = histories[i][-1].lower_bound if histories[i] else float("nan")
            change = found.lower_bound - before
            histories[i].append(PassRecord(iteration, found.lower_bound, change, time.perf_counter() - began))
            converged = abs(change) < tols[i]
            if converged or iteration == lasts[i]:
                results[i] = EMResult(current.pop(i), found.lower_bound, converged, tuple(histories[i]))
        reached = [h[-1] for i, h in histories.items() if h and h[-1].iteration == iteration]
        if callback is not None and reached:
            callback(max(reached, key=lambda r: r.lower_bound))
        if not current:
            break
    if not results:
        raise failure or DegenerateComponentError("every start degenerated; raise regCovar or lower k")
    return [results[i] for i in sorted(results)]


def best(results: Sequence[EMResult]) -> EMResult:
    """Pick the result of the highest lower bound; the earliest of equals."""
    return max(results, key=lambda r: r.lower_bound)
