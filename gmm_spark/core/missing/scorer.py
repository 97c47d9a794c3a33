"""Scores of rows with missing values: each row by the marginal of its observed features.

The rows of a batch are taken pattern by pattern, each by the kernels for complete rows of fewer features; those whose
patterns few others have are taken together. A batch without a missing value is scored as ever.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

import numpy as np

from gmm_spark.core.arrays import Block, has_missing
from gmm_spark.core.kernels.blas import Workspace
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import Scorer, Scores
from gmm_spark.core.missing.few_rows import look_at_few
from gmm_spark.core.missing.marginals import Marginal, Marginals, group_rows, iterate_patterns
from gmm_spark.core.missing.patterns import Indices
from gmm_spark.core.mixture.log_space import exponentiate, find_leaders, subtract_largest
from gmm_spark.core.mixture.reasons import MOST_REASONS, Reasons, find_reasons

# Kernels of patterns that a scorer keeps; they share their buffers.
_KERNELS = 1024


class IncompleteScorer:
    """Scores rows of which values may be missing, in buffers that serve all calls: one thread at a time.

    Parameters
    ----------
    marginals : Marginals
    plan : Plan, optional
        By which complete rows are scored; by default that of the marginal of all features.
    """

    def __init__(self, marginals: Marginals, plan: Plan | None = None) -> None:
        self.marginals = marginals
        self._plan = plan
        self._workspace, self._far_workspace = Workspace(), Workspace()
        self._scorers: OrderedDict[bytes, Scorer] = OrderedDict()

    def score(
        self, rows: Block, *, prediction: bool = True, log_density: bool = True, probability: bool = False
    ) -> Scores:
        """Score rows (d, m) with NaN for missing values, none infinite; each row must have a value.

        What is not asked for costs nothing, and is undefined.
        """
        if not has_missing(rows):
            return self.whole.score(rows, prediction=prediction, log_density=log_density, probability=probability)
        k, m = self.whole.plan.n_classes, rows.shape[1]
        found = Scores(np.empty(m, np.int32), np.empty(m), np.empty((m, k)) if probability else None)
        groups = group_rows(rows)
        self._score_common(rows, groups.common, found, prediction, log_density)
        if len(groups.few):
            self._score_few(rows, groups.few, found, prediction, log_density)
        return found

    def _score_common(
        self, rows: Block, common: list[tuple[bytes, Indices]], found: Scores, prediction: bool, log_density: bool
    ) -> None:
        """Score the rows of some patterns, each by its own kernel, and write what is found."""
        probability = found.probability is not None
        for marginal, at, part in iterate_patterns(self.marginals, rows, common):
            scorer = self._scorer_of(marginal)
            own = scorer.score(part, prediction=prediction, log_density=log_density, probability=probability)
            found.prediction[at], found.log_density[at] = own.prediction, own.log_density
            if found.probability is not None:
                found.probability[at] = own.probability

    def _score_few(self, rows: Block, few: Indices, found: Scores, prediction: bool, log_density: bool) -> None:
        """Score rows of which few have one pattern, and write what is found."""
        for part in look_at_few(self.marginals.parameters, rows[:, few]):
            at, terms = few[part.at], part.log_prob
            with np.errstate(invalid="ignore"):
                largest = subtract_largest(terms)
            near = np.isfinite(largest)
            if not near.all():
                self._score_common(
                    rows,
                    [(pattern, at[~near][own]) for pattern, own in group_rows(rows[:, at[~near]], 0).common],
                    found,
                    prediction,
                    log_density,
                )
                at, terms, largest = at[near], np.ascontiguousarray(terms[:, near]), largest[near]
            found.prediction[at] = find_leaders(terms)
            exponentiate(terms)
            total = terms.sum(axis=0)
            found.log_density[at] = np.log(total) + largest
            if found.probability is not None:
                found.probability[at] = (terms / total).T

    @cached_property
    def of_gaussians(self) -> IncompleteScorer:
        """What scores rows as if none were noise."""
        parameters = self.marginals.parameters
        if parameters.noise is None:
            return self
        return IncompleteScorer(Marginals(parameters.without_noise(), self.marginals.precision))

    @property
    def whole(self) -> Scorer:
        """What scores complete rows."""
        return self._scorer_of(self.marginals.of(self.marginals.whole))

    def score_pattern(self, marginal: Marginal, part: Block) -> Scores:
        """Score the observed values (g, n) of rows of one pattern, responsibilities included."""
        return self._scorer_of(marginal).score(part, prediction=False, log_density=False, probability=True)

    def _scorer_of(self, marginal: Marginal) -> Scorer:
        found = self._scorers.pop(marginal.pattern, None)
        if found is None:
            plan = self._plan if self._plan is not None and marginal.is_whole else marginal.plan
            found = Scorer(plan, Kernel(plan, self._workspace), self._far_workspace)
        self._scorers[marginal.pattern] = found
        if len(self._scorers) > _KERNELS:
            self._scorers.popitem(last=False)
        return found


def find_observed_reasons(
    marginals: Marginals, rows: Block, components: np.ndarray, most: int = MOST_REASONS
) -> Reasons:
    """Find the observed features that contribute most to how odd rows are, given the other observed ones.

    Parameters
    ----------
    marginals : Marginals
    rows : array (d, m)
        With NaN for missing values.
    components : array (m,)
        Most probable component of each row.
    most : int
        Features to name at most.

    Returns
    -------
    Reasons
        As of complete rows; if fewer features are observed, -1 and NaN follow them.
    """
    if not has_missing(rows):
        return find_reasons(marginals.parameters, rows, components, most)
    most = min(most, len(rows))
    found = Reasons(np.full((most, rows.shape[1]), -1), np.full((most, rows.shape[1]), np.nan))
    for marginal, at, part in iterate_patterns(marginals, rows, group_rows(rows, 0).common):
        own = find_reasons(marginal.parameters, part, components[at], most)
        found.features[: len(own.z), at] = marginal.observed[own.features]
        found.z[: len(own.z), at] = own.z
    return found
