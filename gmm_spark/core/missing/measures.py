"""How well a mixture explains rows with missing values of a table whose patterns are not known beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationSums
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.scorer import IncompleteScorer


@dataclass(frozen=True, eq=False)
class IncompleteMeasures:
    """Likelihood, entropy and cluster sizes of one mixture, as :class:`.EvaluationSums` has them of complete rows.

    Attributes
    ----------
    plan : Plan
        Of complete rows.
    marginals : Marginals
    """

    plan: Plan
    marginals: Marginals

    @property
    def length(self) -> int:
        """Numbers in a vector of sums."""
        return EvaluationSums(self.plan).length

    def accumulator(self) -> IncompleteMeasuresAccumulator:
        """Make an accumulator with all sums zero."""
        return IncompleteMeasuresAccumulator(self)

    def rescale(self, vector: Array, factor: float) -> Array:
        """Return a vector of sums as it is if all weights are multiplied by a factor."""
        return EvaluationSums(self.plan).rescale(vector, factor)

    def read(self, vector: Array) -> list[Evaluation]:
        """Turn the summed vectors of all tasks into the one evaluation."""
        return EvaluationSums(self.plan).read(vector)


class IncompleteMeasuresAccumulator:
    """Adds up what :class:`IncompleteMeasures` describes."""

    def __init__(self, sums: IncompleteMeasures) -> None:
        self._layout = EvaluationSums(sums.plan).layout
        self._scorer = IncompleteScorer(sums.marginals, sums.plan)
        self.clear()

    def clear(self) -> None:
        """Set all sums to zero; the work buffers stay."""
        self._found = {name: np.zeros(shape) for name, shape in self._layout.shapes.items()}

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Add rows (d, m) with NaN for missing values, with weights (m,) if the table has them."""
        m = rows.shape[1]
        weight = np.ones(m) if sample_weight is None else sample_weight
        scores = self._scorer.score(rows, probability=True)
        assert scores.probability is not None
        found = self._found
        found["rows"] += m
        found["weight_sum"] += weight.sum()
        with np.errstate(over="ignore"):  # of squares, which only importance weights need: those are near 1
            found["weight_squares"] += weight @ weight
        found["log_likelihood"] += scores.log_density @ weight
        found["entropy"] += entr(scores.probability).sum(axis=1) @ weight
        found["cluster_sizes"] += np.bincount(scores.prediction, minlength=len(found["cluster_sizes"]))

    def vector(self) -> Array:
        """Return all sums so far, in the layout of :class:`.EvaluationSums`."""
        return self._layout.pack(self._found)
