"""The EM loop, over a table that answers ``expect``.

One iteration is one pass: the E step's statistics under the current parameters, then the M step.
Several starts go through the same passes together; each leaves when it has converged. Accelerated, a start
tries extrapolated steps, and goes on from one only where the likelihood does not fall.

Components that starved or collapsed are put anew where a sample in memory shows that one is missing, once the others
have converged: only then are the rows that nobody explains known, and there is something to compare with. Where EM
leads from there to less than what stood before, that stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gmm_spark.core.acceleration import Anderson
from gmm_spark.core.covariance import Array
from gmm_spark.core.lookahead import look_ahead
from gmm_spark.core.maximization import maximize, maximize_living
from gmm_spark.core.parameters import MixtureParameters
from gmm_spark.core.reseeding import degenerate_components, reseed
from gmm_spark.core.sampling import Purpose, random_stream
from gmm_spark.core.statistics import SufficientStatistics
from gmm_spark.core.table import ArrayTable, Table
from gmm_spark.errors import DegenerateComponentError, ParameterError

# Times that a start's degenerate components are put anew. Each costs the passes to converge again, and what has
# degenerated three times will: k is more than the rows support.
RESEEDINGS = 3


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
        Since the pass before; NaN where that says nothing: on the first pass, where a component collapsed or was put
        anew since, and where the pass was lost.
    seconds : float
        Wall time of the pass and its M step.
    step : {"plain", "extrapolated", "refused", "lost"}
        What the parameters came from: a plain EM step; an extrapolated one; a plain one that was likelier than the
        extrapolated one beside it. Lost: an extrapolated one alone was less likely than what the pass before had found,
        or components put anew led to less than what was before; that stands, and its lower bound is given.
    remaining : float
        Estimate of what the lower bound still has to gain, nats, from the last two changes (Aitken; Boehning et
        al. 1994); NaN where they do not shrink.
    reseeded : tuple of int
        Components that were put anew after this pass: they had starved or collapsed.
    """

    iteration: int
    lower_bound: float
    change: float
    seconds: float
    step: str = "plain"
    remaining: float = float("nan")
    reseeded: tuple[int, ...] = ()


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

    def __init__(
        self, start: MixtureParameters, floor: Array, accelerate: bool, trial: ArrayTable | None, ahead: bool, seed: int
    ) -> None:
        self.plain = start
        self.candidates = [start]
        self.history: list[PassRecord] = []
        self.before: EMResult | None = None  # what stood when components were last put anew
        self._floor = floor
        self._memory = Anderson() if accelerate else None
        self._trial = trial
        self._ahead = ahead
        self._seed = seed
        self._reseedings = 0
        self._broken = False  # the next pass is not to be compared with the latest

    def advance(self, statistics: Sequence[SufficientStatistics], iteration: int, seconds: float) -> None:
        """Go on from the likelier candidate; raises DegenerateComponentError where the plain one has no M step."""
        tried = list(zip(self.candidates, statistics, strict=True))
        alone = self.candidates[0] is not self.plain
        standing = self.history[-1].lower_bound if alone else statistics[0].lower_bound
        chosen: MixtureParameters | None = None
        collapsed: tuple[int, ...] = ()
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
            chosen, collapsed = self._maximize(found, point)
            if step == "refused":
                self._forget()
        self._record(found.lower_bound, step, iteration, seconds)
        self.plain = chosen
        self._broken = bool(collapsed)
        proposal = self._beyond(point)
        if proposal is self.plain:
            self.candidates = [self.plain]
        else:
            self.candidates = [proposal] if step == "extrapolated" else [self.plain, proposal]

    def _maximize(
        self, statistics: SufficientStatistics, point: MixtureParameters
    ) -> tuple[MixtureParameters, tuple[int, ...]]:
        """Where EM leads, and the components that collapsed on the way: forgiven where they can be put anew."""
        if self._trial is None:
            return maximize(statistics, point, self._floor), ()
        return maximize_living(statistics, point, self._floor)

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
        if self._memory is None or degenerate_components(self.plain):
            return self.plain
        ahead = self.plain
        if self._trial is not None and self._ahead:
            ahead = look_ahead(self._trial, point, self.plain, self._floor)
        self._memory.add(point, ahead)
        return self._memory.propose(ahead) or ahead

    def _forget(self) -> None:
        if self._memory is not None:
            self._memory.forget()

    def _record(self, lower_bound: float, step: str, iteration: int, seconds: float) -> None:
        comparable = bool(self.history) and step != "lost" and not self._broken
        self.history.append(_record(self.history, comparable, iteration, lower_bound, seconds, step))

    @property
    def bound(self) -> float:
        """Lower bound of the best that the start would give if it ended here."""
        latest = self.history[-1].lower_bound
        return latest if self.before is None else max(latest, self.before.lower_bound)

    def reseed(self) -> bool:
        """Having converged, put degenerate components anew, in the better of this end and the last; False if final."""
        if self._trial is None or self._reseedings == RESEEDINGS:
            return False
        stands = self.result(converged=True)
        components = degenerate_components(stands.parameters)
        if not components:
            return False
        rng = random_stream(self._seed, Purpose.RESEEDING, self._reseedings)
        placed = reseed(stands.parameters, components, self._trial, rng)
        if placed is None:
            return False
        self._reseedings += 1
        self._broken = True
        self._memory = None if self._memory is None else Anderson()
        self.before, self.plain, self.candidates = stands, placed, [placed]
        self.history[-1] = replace(self.history[-1], reseeded=components)
        return True

    def result(self, converged: bool) -> EMResult:
        """Where the start has ended: here, or where it was before components were put anew, if that was likelier."""
        if self.before is not None and self.before.lower_bound > self.history[-1].lower_bound:
            return self.fall_back(self.before)
        return EMResult(self.plain, self.history[-1].lower_bound, converged, tuple(self.history))

    def fall_back(self, before: EMResult) -> EMResult:
        """What stood before components were last put anew, as the start's end; the latest pass is lost."""
        latest = self.history[-1]
        self.history[-1] = PassRecord(latest.iteration, before.lower_bound, float("nan"), latest.seconds, "lost")
        self.plain, self.before = before.parameters, None
        return replace(before, history=tuple(self.history))


def _record(
    history: Sequence[PassRecord], comparable: bool, iteration: int, lower_bound: float, seconds: float, step: str
) -> PassRecord:
    change = lower_bound - history[-1].lower_bound if comparable else float("nan")
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
    trial: ArrayTable | None = None,
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
    ahead = trial is not table
    runs = {i: _Run(start, floors[i], hastened[i], trial, ahead, seeds[i]) for i, start in enumerate(starts)}
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


def _leader(runs: dict[int, _Run], results: dict[int, EMResult]) -> tuple[dict[int, _Run], dict[int, EMResult]]:
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
