"""Scores of rows: the most probable component, the responsibilities and log p(row), by a plan's kernels.

Tables and rows in memory are scored by this one class. Rows too far off for a kernel are scored again in float64, and
if that holds no density of a row either, the nearest component has it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.blas import Workspace
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.plan import Plan, plan_pass
from gmm_spark.core.kernels.single_row import SingleRowKernel
from gmm_spark.core.mixture.density import find_nearest
from gmm_spark.core.mixture.log_space import exponentiate, find_leaders, subtract_largest
from gmm_spark.core.mixture.parameters import MixtureParameters


class Scores(NamedTuple):
    """Scores of m rows; what was not asked for is undefined.

    Attributes
    ----------
    prediction : array (m,)
        Most probable component; k is noise.
    log_density : array (m,)
        Log p(row), nats; minus infinity for a row so far off that float64 cannot hold it, unless there is noise.
    probability : array (m, k) or None
        Responsibilities, (m, k + 1) with those of noise last if there is noise; None if they were not asked for.
    """

    prediction: NDArray[np.int32]
    log_density: Array
    probability: Array | None


def plan_scoring(parameters: MixtureParameters, precision: str = "float64") -> Plan:
    """Plan the scoring of rows of unknown moments: centre and scale are the mixture's own."""
    mean, variance = parameters.moments()
    return plan_pass([parameters.shifted(-mean)], mean, np.sqrt(variance), precision)


class Scorer:
    """Scores rows under the one candidate of a plan, in buffers that serve all calls: one thread at a time.

    Parameters
    ----------
    plan : Plan
        From :func:`plan_scoring`.
    kernel : Kernel or SingleRowKernel, optional
        By default the one for blocks of rows.
    far_workspace : Workspace, optional
        Buffers for rows too far off for the kernel, which must not be the kernel's; by default its own.
    """

    def __init__(
        self, plan: Plan, kernel: Kernel | SingleRowKernel | None = None, far_workspace: Workspace | None = None
    ) -> None:
        self.plan = plan
        self._kernel = Kernel(plan) if kernel is None else kernel
        self._far_workspace = far_workspace

    @cached_property
    def _exact_kernel(self) -> Kernel:
        return Kernel(replace(self.plan, precision="float64"), self._far_workspace)

    def score(
        self, rows: Block, *, prediction: bool = True, log_density: bool = True, probability: bool = False
    ) -> Scores:
        """Score rows (d, m), all finite; what is not asked for costs nothing."""
        k, m = self.plan.n_classes, rows.shape[1]
        kernel = self._kernel
        found = Scores(np.empty(m, np.int32), np.empty(m), np.empty((m, k)) if probability else None)
        for start in kernel.chunks(rows):
            part = slice(start, min(start + kernel.chunk, m))
            log_prob = kernel.weighted_log_prob(kernel.expand(rows[:, part]))
            largest = subtract_largest(log_prob)
            far = np.flatnonzero(~np.isfinite(largest))
            if len(far):
                largest = largest.astype(np.float64)  # which may hold what float32 does not
                with np.errstate(over="ignore"):
                    log_prob[:, far], largest[far] = self._score_far(rows[:, part][:, far])
            if prediction:
                found.prediction[part] = find_leaders(log_prob)
            if log_density or probability:
                exponentiate(log_prob)
                total = log_prob.sum(axis=0)
                found.log_density[part] = np.log(total) + largest + self.plan.segments[0].peak
                if found.probability is not None:
                    found.probability[part] = (log_prob / total).T
        return found

    def _score_far(self, rows: Block) -> tuple[Array, Array]:
        """Compute in float64 what :func:`subtract_largest` leaves and returns, of rows (d, m) too far off for a kernel.

        If float64 holds no density of a row either, noise has the row, or else the nearest component.
        """
        kernel = self._exact_kernel
        parts = (rows[:, start : start + kernel.chunk] for start in kernel.chunks(rows))
        with np.errstate(over="ignore", invalid="ignore"):
            terms = [kernel.weighted_log_prob(kernel.expand(part)).copy() for part in parts]
            log_prob = np.concatenate(terms, axis=1).astype(np.float64, copy=False)
            largest = np.asarray(subtract_largest(log_prob), np.float64)
        lost = np.flatnonzero(~np.isfinite(largest))
        if len(lost):
            noise = self.plan.segments[0].noise
            log_prob[:, lost], largest[lost] = -np.inf, -np.inf if noise is None else noise
            log_prob[-1 if noise is not None else self._find_nearest(rows[:, lost]), lost] = 0.0
        return log_prob, largest

    def _find_nearest(self, rows: Block) -> NDArray[np.intp]:
        """Find the nearest component of each row, (m,), in the table's own coordinates."""
        (segment,), center, scale = self.plan.segments, self.plan.center, self.plan.scale
        factors = segment.factors / (scale if segment.structure.axis_aligned else scale[:, None])
        if segment.structure.shares_scatter:
            factors = np.broadcast_to(factors, (len(segment.means), *factors.shape))
        return find_nearest(segment.means * scale + center, factors, segment.present, rows)
