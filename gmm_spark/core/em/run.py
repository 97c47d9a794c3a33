"""One run of EM: its start, its rule, and its state after each pass.

A run climbs until it has converged. If some of its components have starved or collapsed by then, they are reseeded
where a sample in memory is explained poorly, and the run climbs again; the better of the two ends is kept. Reseeding
waits for convergence because only then is it known which rows the other components leave unexplained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from gmm_spark.core.em.ascent import Ascent, EMResult, PassRecord
from gmm_spark.core.em.reseeding import degenerate_components
from gmm_spark.core.em.rounds import Round
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError

Outcome: TypeAlias = EMResult | DegenerateComponentError
"""Result of a run, or the error that ended it."""

# Rounds of reseeding at most. Each costs the passes to converge again; if components still degenerate after three, k is
# more than the rows support.
RESEEDING_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Run:
    """A start, in the table's centred coordinates, and the rule to run EM by."""

    start: MixtureParameters
    rule: Rule


class ActiveRun:
    """A run under way.

    Parameters
    ----------
    run : Run
    sample : ArrayTable, optional
        Sample of the table, in which degenerate components are reseeded. Without one a component that collapses ends
        the run.
    lookahead : ArrayTable, optional
        Sample on which an accelerated run looks ahead.
    """

    def __init__(self, run: Run, sample: ArrayTable | None, lookahead: ArrayTable | None) -> None:
        self.run = run
        self._sample = sample
        self._ascent = Ascent(
            run.start,
            np.zeros(run.start.n_features) if run.rule.floor is None else run.rule.floor,
            accelerate=run.rule.accelerate,
            lookahead=lookahead,
            spare_collapsed=sample is not None,
        )
        self._round: Round | None = None  # of reseeding, the latest
        self._n_rounds = 0
        self._outcome: Outcome | None = None

    @property
    def ended(self) -> bool:
        """True if the run has converged, made its last pass or degenerated."""
        return self._outcome is not None

    @property
    def outcome(self) -> Outcome:
        """Result or error of the run; if it has not ended, the result of ending it now."""
        return self._result(converged=False) if self._outcome is None else self._outcome

    @property
    def latest(self) -> PassRecord:
        """Record of the latest pass."""
        return (self._outcome.history if isinstance(self._outcome, EMResult) else self._ascent.history)[-1]

    @property
    def candidates(self) -> list[MixtureParameters]:
        """What the next pass is to evaluate."""
        return self._ascent.candidates

    def advance(self, statistics: Sequence[SufficientStatistics], seconds: float) -> None:
        """Take in the statistics of the candidates; then continue, reseed or end."""
        try:
            self._ascent.advance(statistics, seconds)
        except DegenerateComponentError as error:
            begun = self._round
            self._outcome = error if begun is None else _lose(begun, self._ascent.history, seconds)
            return
        last = self.latest.iteration == self.run.rule.max_iter
        converged = abs(self.latest.change) < self.run.rule.tol
        if last or converged:
            result = self._result(converged)
            if last or not self._reseed(result):
                self._outcome = result

    def _result(self, converged: bool) -> EMResult:
        """Return the result of ending now: that from before the latest round of reseeding, if it was likelier."""
        history = self._ascent.history
        here = EMResult(self._ascent.reached, history[-1].lower_bound, converged, tuple(history))
        if self._round is None or self._round.keep_better(here) is here:
            return here
        return _lose(self._round, history[:-1], history[-1].seconds)

    def _reseed(self, result: EMResult) -> bool:
        """Begin a round of reseeding from a result; False if none is needed, possible or left."""
        components = degenerate_components(result.parameters)
        if not components or self._sample is None or self._n_rounds == RESEEDING_ROUNDS:
            return False
        rng = random_stream(self.run.rule.seed, Purpose.RESEEDING, self._n_rounds)
        begun = Round.place(result, [components], self._sample, rng)
        if begun is None:
            return False
        self._round = begun
        self._n_rounds += 1
        self._ascent.history = [*result.history[:-1], replace(result.history[-1], reseeded=components)]
        self._ascent.restart(begun.candidates[0])
        return True


def _lose(begun: Round, history: Sequence[PassRecord], seconds: float) -> EMResult:
    """Return the result from before a round, with the passes made since; one more, the last, is lost."""
    lost = PassRecord(len(history) + 1, begun.before.lower_bound, float("nan"), seconds, "lost")
    return replace(begun.before, history=(*history, lost))
