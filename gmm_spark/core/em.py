"""The EM loop, over a table that answers ``expect``.

One iteration is one pass: the E step's statistics under the current parameters, then the M step.
Several starts go through the same passes together; each leaves when it has converged. Accelerated, a start
tries an extrapolated step in the same pass as the plain one and goes on from the likelier of the two, so that
no pass is lost and the likelihood falls no more than it does without.

Regularisation adds ``reg_covar`` times each feature's variance to the diagonal of every covariance,
so that a change of units changes nothing. A component whose responsibilities fade to nothing keeps
its last mean and covariance; one whose covariance collapses raises DegenerateComponentError by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gmm_spark.core.acceleration import Anderson
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
    step : {"plain", "extrapolated", "refused"}
        What the parameters came from: a plain EM step, an extrapolated one, or a plain one that was likelier than
        the extrapolated one beside it.
    remaining : float
        Estimate of what the lower bound still has to gain, nats, from the last two changes (Aitken; Boehning et
        al. 1994); NaN where they do not shrink.
    """

    iteration: int
    lower_bound: float
    change: float
    seconds: float
    step: str = "plain"
    remaining: float = float("nan")


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


class _Run:
    """One start on its way: where it is, what it tries next, what it has behind it."""

    def __init__(self, start: MixtureParameters, done: tuple[PassRecord, ...], accelerate: bool) -> None:
        self.candidates = [start]
        self.history = list(done)
        self._memory = Anderson() if accelerate else None

    def advance(self, statistics: Sequence[SufficientStatistics], floor: Array, iteration: int, seconds: float) -> None:
        """Go on from the likelier candidate; raises DegenerateComponentError where the plain one has no M step."""
        plain = maximize(statistics[0], self.candidates[0], floor)
        steps = [(self.candidates[0], plain, statistics[0].lower_bound, "plain")]
        if len(self.candidates) > 1:
            steps = self._with_extrapolated(steps[0], statistics[1], floor)
        _, image, lower_bound, step = steps[-1]
        self.history.append(_record(self.history, iteration, lower_bound, seconds, step))
        self.candidates = [image]
        if self._memory is not None:
            for point, reached, _, _ in steps:
                self._memory.add(point, reached)
            if step == "refused":
                self._memory.forget()
            proposal = self._memory.propose(image)
            if proposal is not None:
                self.candidates.append(proposal)

    def _with_extrapolated(self, plain: _Step, statistics: SufficientStatistics, floor: Array) -> list[_Step]:
        """Both steps of a pass, the likelier last."""
        point, image, lower_bound, _ = plain
        refused = (point, image, lower_bound, "refused")
        if not statistics.lower_bound >= lower_bound:
            return [refused]
        try:
            beyond = maximize(statistics, self.candidates[1], floor)
        except DegenerateComponentError:
            return [refused]
        return [plain, (self.candidates[1], beyond, statistics.lower_bound, "extrapolated")]

    def result(self, converged: bool) -> EMResult:
        """Where the start has ended."""
        return EMResult(self.candidates[0], self.history[-1].lower_bound, converged, tuple(self.history))


_Step: TypeAlias = "tuple[MixtureParameters, MixtureParameters, float, str]"
"""A point, its image under EM, the point's lower bound, and how the point was come by."""


def _record(history: Sequence[PassRecord], iteration: int, lower_bound: float, seconds: float, step: str) -> PassRecord:
    change = lower_bound - history[-1].lower_bound if history else float("nan")
    ratio = change / history[-1].change if history and history[-1].change else float("nan")
    remaining = change * ratio / (1 - ratio) if 0 < ratio < 1 else float("nan")
    return PassRecord(iteration, lower_bound, change, seconds, step, remaining)


def fit(
    table: Table,
    starts: Sequence[MixtureParameters],
    *,
    max_iter: int | Sequence[int],
    tol: float | Sequence[float],
    reg_covar: float | Sequence[float] = 0.0,
    accelerate: bool | Sequence[bool] = False,
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
    accelerate : bool, or one for each start
        Try an extrapolated step beside each plain one, in the same pass.
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
    extrapolated = np.broadcast_to(accelerate, n).tolist()
    runs = {i: _Run(start, done, extrapolated[i]) for i, start in enumerate(starts)}
    results: dict[int, EMResult] = {}
    failure: DegenerateComponentError | None = None
    for iteration in range(len(done) + 1, max(lasts) + 1):
        began = time.perf_counter()
        statistics = iter(table.expect([c for run in runs.values() for c in run.candidates]))
        reached: list[PassRecord] = []
        for i, run in list(runs.items()):
            try:
                run.advance(
                    [next(statistics) for _ in run.candidates], floors[i], iteration, time.perf_counter() - began
                )
            except DegenerateComponentError as error:
                failure = error
                if dropped is not None:
                    dropped[i] = error
                del runs[i]
                continue
            reached.append(run.history[-1])
            converged = abs(run.history[-1].change) < tols[i]
            if converged or iteration == lasts[i]:
                results[i] = runs.pop(i).result(converged)
        if callback is not None and reached:
            callback(max(reached, key=lambda r: r.lower_bound))
        if not runs:
            break
    if not results:
        raise failure or DegenerateComponentError("every start degenerated; raise regCovar or lower k")
    return [results[i] for i in sorted(results)]


def best(results: Sequence[EMResult]) -> EMResult:
    """Pick the result of the highest lower bound; the earliest of equals."""
    return max(results, key=lambda r: r.lower_bound)
