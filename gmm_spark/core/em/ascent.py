"""One climb up the likelihood: which candidates each pass evaluates, and which of them is accepted.

A plain climb repeats the EM step. An accelerated one proposes extrapolated steps, and accepts one only if the
likelihood does not fall. Two proposals are combined: :mod:`.lookahead` runs EM on a sample, corrected for the sample's
error, and :mod:`.anderson` extrapolates the steps so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.anderson import Anderson
from gmm_spark.core.em.lookahead import STEPS, look_ahead
from gmm_spark.core.em.m_step import maximize, maximize_survivors
from gmm_spark.core.em.reseeding import degenerate_components
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError


@dataclass(frozen=True)
class PassRecord:
    """One pass of a fit, as its history keeps it.

    Attributes
    ----------
    iteration : int
        Counted from 1.
    lower_bound : float
        Mean log-likelihood per unit of row weight, nats, of the parameters that the pass evaluated. If the step was
        lost, that of the parameters that the fit returned to.
    change : float
        Difference from the pass before. NaN if there is nothing to compare: on the first pass, on a lost one, and on
        the pass after a component collapsed or was reseeded.
    seconds : float
        Wall time of the pass and its M step.
    step : {"plain", "extrapolated", "refused", "lost"}
        Where the parameters came from. Plain: an EM step. Extrapolated: an extrapolated step, accepted. Refused: an EM
        step that was likelier than the extrapolated step evaluated in the same pass. Lost: the pass evaluated only an
        extrapolated step, or ended a round of reseeding, and the likelihood was lower than before; the fit returned to
        the parameters it had before.
    remaining : float
        Estimate of how much the lower bound will still rise, nats, from the last two changes (Aitken; Boehning et
        al. 1994); NaN if they do not shrink.
    reseeded : tuple of int
        Components that were reseeded after this pass, because they had starved or collapsed.
    """

    iteration: int
    lower_bound: float
    change: float
    seconds: float
    step: str = "plain"
    remaining: float = float("nan")
    reseeded: tuple[int, ...] = ()


@dataclass(frozen=True)
class StartRecord:
    """One start of a fit, and how far it came.

    Attributes
    ----------
    kind : str
        How it was drawn, such as "k-means". A start that was "relocated" is the best of the others, after some of its
        components were put elsewhere.
    lower_bound : float
        Where the starts were compared, mean log-likelihood per unit of row weight, nats: on the sample or a part of it.
        NaN for a start that degenerated, and for one that was relocated, which is made after the comparison.
    iterations : int
        That it had made by then.
    alike : bool
        It had come to where the best had, but for chance.
    table_bounds : tuple of float
        Lower bounds of its first passes over the table, up to the comparison with the others there, or of all its
        passes if it won; empty if it was given up before.
    won : bool
        The fit's result goes back to it.
    """

    kind: str
    lower_bound: float
    iterations: int = 0
    alike: bool = False
    table_bounds: tuple[float, ...] = ()
    won: bool = False


RELOCATED = "relocated"
"""The kind of a start that is another, with some of its components put elsewhere."""


@dataclass(frozen=True, eq=False)
class EMResult:
    """Where a run of EM ended.

    ``parameters`` are one M step beyond the last pass, so their likelihood is at least ``lower_bound``, which is that
    of the last pass. Evaluate them on the table for the exact figure.

    ``start_records`` has one record for each start, in the order in which they were drawn, and then perhaps one of the
    relocated; it is empty if the run began at given parameters.
    """

    parameters: MixtureParameters
    lower_bound: float
    converged: bool
    history: tuple[PassRecord, ...]
    start_records: tuple[StartRecord, ...] = ()

    @property
    def starts(self) -> int:
        """Starts that were compared."""
        return sum(one.kind != RELOCATED for one in self.start_records)

    @property
    def starts_alike(self) -> int:
        """Starts that ended where the best of them did, but for chance."""
        return sum(one.alike for one in self.start_records)


class Ascent:
    """A climb from one start.

    While proposals are trusted, a pass evaluates the proposal alone, at half the arithmetic. If the likelihood falls,
    that step is lost: the next pass evaluates the plain EM step alone, and later passes evaluate both until a proposal
    is the likelier. Proposals that looked ahead on a sample are trusted from the first pass; others must win once.

    After each lost or refused proposal half as many steps are looked ahead, down to none: the sample may hold too few
    rows of a small component. Plain steps are then extrapolated. Each accepted proposal doubles the number again.

    Parameters
    ----------
    start : MixtureParameters
        In the table's centred coordinates.
    floor : array (d,)
        Least variance along each feature. The start and all proposals are raised to it, so that likelihoods compare.
    accelerate : bool
        Propose extrapolated steps.
    lookahead : ArrayTable, optional
        Sample to look ahead on.
    spare_collapsed : bool
        A component that collapses loses its weight, instead of ending the climb with an error.

    Attributes
    ----------
    candidates : list of MixtureParameters
        What the next pass is to evaluate.
    reached : MixtureParameters
        Result of the latest M step, or the start.
    history : list of PassRecord
    """

    def __init__(
        self,
        start: MixtureParameters,
        floor: Array,
        *,
        accelerate: bool = False,
        lookahead: ArrayTable | None = None,
        spare_collapsed: bool = False,
    ) -> None:
        self.reached = start = start.bounded(floor)
        self.candidates = [start]
        self.history: list[PassRecord] = []
        self._floor = floor
        self._spare_collapsed = spare_collapsed
        self._memory = Anderson() if accelerate else None
        self._lookahead = lookahead
        self._lookahead_steps = STEPS
        self._trusted = lookahead is not None
        self._comparable = False  # whether the next pass is to be compared with the latest

    def advance(self, statistics: Sequence[SufficientStatistics], seconds: float) -> None:
        """Take in the statistics of the candidates, and choose the candidates of the next pass.

        Raises
        ------
        DegenerateComponentError
            If the plain EM step has no M step.
        """
        proposed = self.candidates[-1] is not self.reached
        alone = proposed and len(self.candidates) == 1
        to_beat = self.history[-1].lower_bound if alone else statistics[0].lower_bound
        image = self._maximize_proposal(statistics[-1], to_beat) if proposed else None
        collapsed = False
        if image is not None:
            point, lower_bound, step = self.candidates[-1], statistics[-1].lower_bound, "extrapolated"
            self._trust()
        elif alone:
            self._record(to_beat, "lost", seconds)
            self._distrust()
            self.candidates = [self.reached]
            return
        else:
            point, lower_bound, step = self.candidates[0], statistics[0].lower_bound, "plain"
            image, collapsed = self._maximize(statistics[0], point)
            if proposed:
                step = "refused"
                self._distrust()
        self._record(lower_bound, step, seconds)
        self._comparable = not collapsed
        self.reached = image
        self._choose_candidates(point)

    def restart(self, start: MixtureParameters) -> None:
        """Continue from other parameters; keep the history and the trust in proposals, forget past steps."""
        self.reached = start = start.bounded(self._floor)
        self.candidates = [start]
        self._memory = None if self._memory is None else Anderson()
        self._comparable = False

    def _maximize(self, statistics: SufficientStatistics, point: MixtureParameters) -> tuple[MixtureParameters, bool]:
        """M step of the plain candidate, and whether a component collapsed in it."""
        if not self._spare_collapsed:
            return maximize(statistics, point, self._floor), False
        image, collapsed = maximize_survivors(statistics, point, self._floor)
        return image, bool(collapsed)

    def _maximize_proposal(self, statistics: SufficientStatistics, to_beat: float) -> MixtureParameters | None:
        """M step of the proposal; None if the proposal is less likely than required, or has no M step."""
        if not statistics.lower_bound >= to_beat:
            return None
        try:
            return maximize(statistics, self.candidates[-1], self._floor)
        except DegenerateComponentError:
            return None

    def _choose_candidates(self, point: MixtureParameters) -> None:
        proposal = self._propose(point)
        if proposal is None:
            self.candidates = [self.reached]
        else:
            self.candidates = [proposal] if self._trusted else [self.reached, proposal]

    def _propose(self, point: MixtureParameters) -> MixtureParameters | None:
        """Extrapolate the latest step, which was from a point to ``reached``; None if there is no proposal."""
        if self._memory is None or degenerate_components(self.reached):
            return None
        ahead = self.reached
        if self._lookahead is not None and self._lookahead_steps:
            ahead = look_ahead(self._lookahead, point, self.reached, self._floor, self._lookahead_steps)
        self._memory.add(point, ahead)
        proposal = self._memory.propose(ahead) or ahead
        return None if proposal is self.reached else proposal.bounded(self._floor)

    def _trust(self) -> None:
        self._trusted = True
        self._lookahead_steps = min(STEPS, 2 * self._lookahead_steps + 1)

    def _distrust(self) -> None:
        self._trusted = False
        self._lookahead_steps //= 2
        if self._memory is not None:
            self._memory.forget()

    def _record(self, lower_bound: float, step: str, seconds: float) -> None:
        latest = self.history[-1] if self.history else None
        change = ratio = float("nan")
        if latest is not None and self._comparable and step != "lost":
            change = lower_bound - latest.lower_bound
            ratio = change / latest.change if latest.change else float("nan")
        remaining = change * ratio / (1 - ratio) if 0 < ratio < 1 else float("nan")
        self.history.append(PassRecord(len(self.history) + 1, lower_bound, change, seconds, step, remaining))
