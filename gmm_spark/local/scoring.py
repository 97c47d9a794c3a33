"""What scores the rows of a mixture in memory: made when it is first needed, kept for the next rows, never pickled."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import Scorer, Scores, plan_scoring
from gmm_spark.core.kernels.single_row import SingleRowKernel
from gmm_spark.core.missing.imputation import impute
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.patterns import has_missing, write_pattern
from gmm_spark.core.missing.scorer import IncompleteScorer
from gmm_spark.core.missing.thresholds import Thresholds
from gmm_spark.local.exchange import ExchangedMixture
from gmm_spark.local.reading import Read


class ScoringMixture(ExchangedMixture):
    """A mixture that scores blocks of rows; threads may share it."""

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

    def _find_odd(self, read: Read, scores: Scores, threshold: float, fraction: float | None) -> NDArray[np.bool_]:
        """Find the anomalies among usable rows; the threshold is that of complete rows."""
        if not has_missing(read.rows):
            return np.asarray(scores.log_density < threshold)
        share = self.anomaly_fraction if fraction is None else float(fraction)
        if share not in self._thresholds:
            assert self.log_densities is not None  # else there was no threshold
            self._thresholds[share] = Thresholds.of_complete(self._marginals, share, self.log_densities)
        return self._thresholds[share].find_anomalies(read.rows, scores.log_density)

    def _fill(self, rows: Block) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):  # by rows too far off for a kernel
            return impute(self._block_scorer, rows)

    def _score(
        self, read: Read, *, prediction: bool = True, log_density: bool = True, probability: bool = False
    ) -> Scores:
        scorer: Scorer | IncompleteScorer
        rows = read.rows
        if rows.shape[1] != 1:
            scorer = self._block_scorer
        elif has_missing(rows):
            marginal = self._marginals.of(write_pattern(np.isnan(rows[:, 0])))
            scorer, rows = marginal.row_scorer, rows[marginal.observed]
        else:
            scorer = self._row_scorer
        with np.errstate(over="ignore", invalid="ignore"):  # by rows too far off for a kernel
            return scorer.score(rows, prediction=prediction, log_density=log_density, probability=probability)
