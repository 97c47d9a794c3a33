"""What scores the rows of a mixture in memory: made when it is first needed, kept for the next rows, never pickled."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block, has_missing
from gmm_spark.core.kernels.histogram import find_threshold
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import Scorer, Scores, plan_scoring
from gmm_spark.core.kernels.single_row import SingleRowKernel
from gmm_spark.core.missing.imputation import impute
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.patterns import write_pattern
from gmm_spark.core.missing.scorer import IncompleteScorer
from gmm_spark.core.missing.thresholds import Thresholds
from gmm_spark.errors import ParameterError
from gmm_spark.local.exchange import ExchangedMixture
from gmm_spark.local.options import require_fraction
from gmm_spark.local.reading import Read
from gmm_spark.spark.decoding import MARGINAL


class ScoringMixture(ExchangedMixture):
    """A mixture that scores blocks of rows, and knows which are anomalies; threads may share it."""

    def threshold(self, fraction: float | None = None) -> float:
        """Return the log-density, nats, below which a row is an anomaly.

        Raises
        ------
        ParameterError
            If ``fraction`` is not in (0, 1), the mixture does not know the log-densities of its training rows, or noise
            holds more of these than the fraction.
        """
        share = self.anomaly_fraction if fraction is None else require_fraction("fraction", fraction)
        if self.log_densities is None:
            raise ParameterError(
                "this mixture does not know how likely its training rows are: it was built from parameters, is a "
                "marginal or conditional of another, was fitted to a table without complete rows, or saved by an older "
                "gmm_spark; fit it again, or compare log_density with a threshold of your own"
            )
        return find_threshold(self.log_densities, share, self.parameters.noise)

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and copy take: all but the buffers of this process."""
        made = ("_of_thread", "_plan", "_row_scorer", "_marginals", "_thresholds")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    @cached_property
    def _of_thread(self) -> threading.local:
        return threading.local()

    @cached_property
    def _plan(self) -> Plan:
        return plan_scoring(self.parameters)

    @cached_property
    def _row_scorer(self) -> Scorer:
        return Scorer(self._plan, SingleRowKernel(self._plan))  # it has no buffers: threads share it

    @cached_property
    def _marginals(self) -> Marginals:
        return Marginals(self.parameters)

    @cached_property
    def _thresholds(self) -> dict[float, Thresholds]:
        return {}

    @property
    def _block_scorer(self) -> IncompleteScorer:
        """The scorer of this thread, whose buffers no other thread writes to."""
        found: IncompleteScorer | None = getattr(self._of_thread, "scorer", None)
        if found is None:
            found = self._of_thread.scorer = IncompleteScorer(self._marginals, self._plan)
        return found

    @property
    def knows_anomalies(self) -> bool:
        """True if the mixture can tell which rows are anomalies."""
        if self.handle_invalid != MARGINAL:
            return self.log_densities is not None
        known = self.log_densities is not None or bool(self.log_densities_by_pattern)
        return known and self.parameters.noise is None

    def _find_threshold(self, fraction: float | None) -> float | Thresholds:
        """Find the log-density below which a row is an anomaly; or what finds it for each pattern."""
        if self.handle_invalid != MARGINAL or (self.log_densities is None and not self.log_densities_by_pattern):
            return self.threshold(fraction)
        share = self.anomaly_fraction if fraction is None else require_fraction("fraction", fraction)
        if share not in self._thresholds:
            known = self.log_densities, self.log_densities_by_pattern
            self._thresholds[share] = Thresholds.of_training(self._marginals, share, *known)
        return self._thresholds[share]

    def _fill(self, rows: Block) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):  # by rows too far off for a kernel
            return impute(self._block_scorer, rows)

    def _score(
        self, read: Read, *, prediction: bool = True, log_density: bool = True, probability: bool = False
    ) -> Scores:
        scorer: Scorer | IncompleteScorer
        rows = read.rows
        single = rows.shape[1] == 1
        if self.handle_invalid != MARGINAL or not has_missing(rows):
            scorer = self._row_scorer if single else self._block_scorer.whole
        elif single:
            marginal = self._marginals.of(write_pattern(np.isnan(rows[:, 0])))
            scorer, rows = marginal.row_scorer, rows[marginal.observed]
        else:
            scorer = self._block_scorer
        with np.errstate(over="ignore", invalid="ignore"):  # by rows too far off for a kernel
            return scorer.score(rows, prediction=prediction, log_density=log_density, probability=probability)


def find_odd(read: Read, scores: Scores, threshold: float | Thresholds) -> NDArray[np.bool_]:
    """Find the anomalies among usable rows."""
    if isinstance(threshold, Thresholds):
        return threshold.find_anomalies(read.rows, scores.log_density)
    return np.asarray(scores.log_density < threshold)
