"""One start on its way up the likelihood: what it tries in the next pass, and what it goes on from.

Accelerated, a start tries extrapolated steps, and goes on from one only where the likelihood does not fall.

Components that starved or collapsed are put anew where a sample in memory shows that one is missing, once the others
have converged: only then are the rows that nobody explains known, and there is something to compare with. Where EM
leads from there to less than what stood before, that stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.anderson import Anderson
from gmm_spark.core.em.lookahead import STEPS, look_ahead
from gmm_spark.core.em.m_step import maximize, maximize_living
from gmm_spark.core.em.reseeding import degenerate_components, reseed
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError

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


class Ascent:
    """One start on its way: where EM leads from where it stands, what it tries next, what it has behind it.

    While extrapolated steps are trusted they go alone, for half the arithmetic; one that lowers the likelihood costs
    its pass, the plain step comes next, and the one after is tried beside a plain one until it is the likelier of the
    two. Steps that a sample was looked ahead on are trusted from the start, others have to show themselves first.
    Whenever one is lost or refused, half as many steps are looked ahead, until none is: a sample may know too little of
    a small component to lead anywhere near it, and plain steps are then extrapolated. Each that is gone on from doubles
    them again.
    """

    def __init__(
        self,
        start: MixtureParameters,
        floor: Array,
        accelerate: bool,
        trial: ArrayTable | None,
        ahead: ArrayTable | None,
        seed: int,
    ) -> None:
        self.plain = start
        self.candidates = [start]
        self.history: list[PassRecord] = []
        self.before: EMResult | None = None  # what stood when components were last put anew
        self._floor = floor
        self._memory = Anderson() if accelerate else None
        self._trial = trial
        self._ahead = ahead
        self._steps = STEPS  # to look ahead
        self._trusted = self._ahead is not None
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
            self._trusted = True
            self._steps = min(STEPS, 2 * self._steps + 1)
        elif alone:
            self._record(standing, "lost", iteration, seconds)
            self._distrust()
            self.candidates = [self.plain]
            return
        else:
            (point, found), step = tried[0], "plain" if len(tried) == 1 else "refused"
            chosen, collapsed = self._maximize(found, point)
            if step == "refused":
                self._distrust()
        self._record(found.lower_bound, step, iteration, seconds)
        self.plain = chosen
        self._broken = bool(collapsed)
        proposal = self._beyond(point)
        if proposal is self.plain:
            self.candidates = [self.plain]
        else:
            self.candidates = [proposal] if self._trusted else [self.plain, proposal]

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
        if self._ahead is not None and self._steps:
            ahead = look_ahead(self._ahead, point, self.plain, self._floor, self._steps)
        self._memory.add(point, ahead)
        return self._memory.propose(ahead) or ahead

    def _distrust(self) -> None:
        self._trusted = False
        self._steps //= 2
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
