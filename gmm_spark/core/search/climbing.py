"""Climbing: runs of EM on rows in memory, on the cores of a crew if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gmm_spark.core.em.loop import make_passes
from gmm_spark.core.em.run import ActiveRun
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.crew import MULTIPLICATIONS_A_SECOND, Crew, share_out, share_saved
from gmm_spark.core.search.transport import from_bytes, to_bytes
from gmm_spark.core.table import ArrayTable, Sample

# Multiplications that exp() of one component's log-density takes as long as.
_EXPONENTIAL = 20
# Passes on rows in memory that most runs have converged after.
_USUAL_PASSES = 30
# Vectors of all parameters that a run holds at most: points and images of past steps, and what it has reached.
_VECTORS_OF_A_RUN = 32


@dataclass(frozen=True, eq=False)
class ClimbTask:
    """Task on rows in memory: make passes for some runs.

    Attributes
    ----------
    moments, precision
        Of the table in memory.
    runs : bytes
        From :func:`to_bytes`.
    passes : int
        At most.
    """

    moments: Moments
    precision: str
    runs: bytes
    passes: int

    def __call__(self, sample: Sample) -> bytes:
        """Return the runs, as bytes."""
        table = ArrayTable(*sample, self.moments, self.precision)
        runs = from_bytes(self.runs, table)
        make_passes(table, runs, self.passes)
        return to_bytes(runs)


def climb(table: ArrayTable, runs: Sequence[ActiveRun], passes: int, crew: Crew | None = None) -> list[ActiveRun]:
    """Make passes over a table in memory for the runs that have not ended, until all have, or so many are made.

    Runs that a crew has worked on come back as others.
    """
    groups = share_out([i for i, run in enumerate(runs) if not run.ended], crew)
    answers = None
    if crew is not None and len(groups) > 1:
        sent = [to_bytes([runs[i] for i in group]) for group in groups]
        tasks = [ClimbTask(table.moments, table.precision, content, passes) for content in sent]
        climbing = [runs[i] for group in groups for i in group]
        seconds = sum(_estimate_seconds(table, run.candidates[0], passes) for run in climbing)
        returned = sum(_VECTORS_OF_A_RUN * _count_bytes(run.candidates[0]) for run in climbing)
        n_bytes = max(sum(map(len, sent)), returned)
        answers = crew.run((table.rows, table.sample_weight), tasks, seconds * share_saved(groups), n_bytes)
    if answers is None:
        make_passes(table, runs, passes)
        return list(runs)
    found = dict(enumerate(runs))
    for group, answer in zip(groups, answers, strict=True):
        found.update(zip(group, from_bytes(answer, table), strict=True))
    return [found[i] for i in range(len(runs))]


def _estimate_seconds(table: ArrayTable, candidate: MixtureParameters, passes: int) -> float:
    """Estimate what passes take on one core, for one run."""
    plan = plan_pass([candidate], table.moments.mean, table.moments.scale, table.precision)
    of_a_row = plan.n_products + _EXPONENTIAL * plan.n_classes
    return float(min(passes, _USUAL_PASSES) * table.rows.shape[1] * of_a_row / MULTIPLICATIONS_A_SECOND)


def _count_bytes(candidate: MixtureParameters) -> int:
    return candidate.weights.nbytes + candidate.means.nbytes + candidate.covariances.nbytes
