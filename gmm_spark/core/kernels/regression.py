"""Mixture regression of blocks of rows: some features predicted from others, by a pass's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import Scorer, plan_scoring
from gmm_spark.core.mixture.conditioning import Split, marginal
from gmm_spark.core.mixture.parameters import MixtureParameters


@dataclass(frozen=True, eq=False)
class Regressor:
    """Predicts features of rows, the targets, from given ones, by the Gaussians alone; tasks receive it.

    Attributes
    ----------
    split : Split
        The mixture of the given features and the targets.
    plan : Plan
        Of scoring the given features.
    """

    split: Split
    plan: Plan

    @classmethod
    def of(
        cls, parameters: MixtureParameters, given: Sequence[int], targets: Sequence[int], precision: str = "float64"
    ) -> Regressor:
        """Prepare the regression of some features on others.

        Raises
        ------
        ParameterError
            If an index is not that of a feature, or stands twice, or there is no given feature, or no target; or if no
            Gaussian has weight.
        """
        split = Split.of(marginal(parameters.without_noise(), [*given, *targets]), range(len(given)))
        return cls(split, plan_scoring(split.marginal, precision))

    def regress(self, rows: Block) -> tuple[Array, Array]:
        """Predict the targets of rows (g, m) of the given features, all finite.

        Returns
        -------
        means, deviations : array (r, m)
            Conditional mean and standard deviation of each target.
        """
        rows = np.asarray(rows)
        with np.errstate(over="ignore", invalid="ignore"):  # by rows too far off for a kernel
            shares = self._scorer.score(rows, prediction=False, log_density=False, probability=True).probability
        assert shares is not None
        return self.split.regress(rows.astype(np.float64, copy=False), shares.T)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.plan)  # its buffers serve all batches of a task
