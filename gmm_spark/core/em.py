"""The EM loop, over a table that answers ``expect``.

One iteration is one pass: the E step's statistics under the current parameters, then the M step.
Several starts go through the same passes together; each leaves when it has converged. Accelerated, a start
tries extrapolated steps, and goes on from one only where the likelihood does not fall.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.acceleration import Anderson
from gmm_spark.core.covariance import Array
from gmm_spark.core.lookahead import look_ahead
from gmm_spark.core.maximization import maximize
from gmm_spark.core.parameters import MixtureParameters
from gmm_spark.core.statistics import SufficientStatistics
from gmm_spark.core.table import Table
from gmm_spark.errors import DegenerateComponentError, ParameterError


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
        Since the pass before; NaN on the first, and where the pass was lost.
    seconds : float
        Wall time of the pass and its M step.
    step : {"plain", "extrapolated", "refused", "lost"}
        What the parameters came from: a plain EM step; an extrapolated one; a plain one that was likelier than the
        extrapolated one beside it. Lost: an extrapolated one alone was less likely than what the pass before had found,
        which stands.
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


class _Run:
    """One start on its way: where EM leads from where it stands, what it tries next, what it has behind it.

    A first extrapolated step is tried beside the plain one. Once one was the likelier of the two, the next goes alone,
    for half the arithmetic; should that one lower the likelihood, its pass is lost and the plain step comes next.
    """

    def __init__(self, start: MixtureParameters, floor: Array, accelerate: bool, trial: Table | None) -> None:
        self.plain = start
        self.candidates = [start]
        self.history: list[PassRecord] = []
        self._floor = floor
        self._memory = Anderson() if accelerate else None
        self._trial = trial

    def advance(self, statistics: Sequence[SufficientStatistics], iteration: int, seconds: float) -> None:
        """Go on from the likelier candidate; raises DegenerateComponentError where the plain one has no M step."""
        tried = list(zip(self.candidates, statistics, strict=True))
        alone = self.candidates[0] is not self.plain
        standing = self.history[-1].lower_bound if alone else statistics[0].lower_bound
        chosen = None
        if alone or len(tried) > 1:
            chosen = self._image(*tried[-1], standing)
        if chosen is not None:
            (point, found), step = tried[-1], "extrapolated"
        elif alone:
            self._record(standing, "lost", iteration, seconds)
            self._forget()
            self.candidates = [self.plain]
            return
        else:
            (point, found), step = tried[0], "plain" if len(tried) == 1 else "refused"
            chosen = maximize(found, point, self._floor)
            if step == "refused":
                self._forget()
        self._record(found.lower_bound, step, iteration, seconds)
        self.plain = chosen
        proposal = self._beyond(point)
        if proposal is self.plain:
            self.candidates = [self.plain]
        else:
            self.candidates = [proposal] if step == "extrapolated" else [self.plain, proposal]

    def _image(
        self, proposal: MixtureParameters, statistics: SufficientStatistics, standing: float
    ) -> MixtureParameters | None:
        """Where EM leads from a proposal; None where it is less likely than what stands, or has no M step."""
        if not statistics.lower_bound >= standing:
            return None
        try:
            return maximize(statistics, proposal, self._floor)
        except DegenerateComponentError:
            return None

    def _beyond(self, point: MixtureParameters) -> MixtureParameters:
        """Where the steps so far lead; the plain one where they do not say."""
        if self._memory is None:
            return self.plain
        ahead = self.plain if self._trial is None else look_ahead(self._trial, point, self.plain, self._floor)
        self._memory.add(point, ahead)
        return self._memory.propose(ahead) or ahead

    def _forget(self) -> None:
        if self._memory is not None:
            self._memory.forget()

    def _record(self, lower_bound: float, step: str, iteration: int, seconds: float) -> None:
        self.history.append(_record(self.history, iteration, lower_bound, seconds, step))

    def result(self, converged: bool) -> EMResult:
        """Where the start has ended."""
        return EMResult(self.plain, self.history[-1].lower_bound, converged, tuple(self.history))


def _record(history: Sequence[PassRecord], iteration: int, lower_bound: float, seconds: float, step: str) -> PassRecord:
    change = lower_bound - history[-1].lower_bound if history and step != "lost" else float("nan")
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
    trial: Table | None = None,
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
    trial : Table, optional
        A sample in memory, with the table's own moments, on which an accelerated start looks ahead after each pass.
    contest : int, optional
        Passes after which only the start that leads goes on.
    callback : callable, optional
        Called after each pass with the record of the start that leads.
    dropped : dict, optional
        Filled with the error of each start that degenerated, by its index.

    Returns
    -------
    list of EMResult
        In the order of the starts. One that degenerated, or lost the contest, is missing from it.

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
    runs = {i: _Run(start, floors[i], hastened[i], trial) for i, start in enumerate(starts)}
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
        if iteration == contest and (runs or results):
            runs, results = _leader(runs, results)
        if not runs:
            break
    if not results:
        raise failure or DegenerateComponentError("every start degenerated; raise regCovar or lower k")
    return [results[i] for i in sorted(results)]


def _leader(runs: dict[int, _Run], results: dict[int, EMResult]) -> tuple[dict[int, _Run], dict[int, EMResult]]:
    """Of runs and results the one that leads, the earliest of equals, and no other."""
    bounds = {i: result.lower_bound for i, result in results.items()}
    bounds.update({i: run.history[-1].lower_bound for i, run in runs.items()})
    leader = max(sorted(bounds), key=lambda i: bounds[i])
    return (
        {i: run for i, run in runs.items() if i == leader},
        {i: result for i, result in results.items() if i == leader},
    )


def best(results: Sequence[EMResult]) -> EMResult:
    """Pick the result of the highest lower bound; the earliest of equals."""
    return max(results, key=lambda r: r.lower_bound)
