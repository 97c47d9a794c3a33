"""One round: take components away, put them elsewhere, run EM, keep what is better.

Two callers go through such rounds. :mod:`.run` reseeds components that have starved or collapsed;
:mod:`gmm_spark.core.search.relocation` moves components that explain little where they are (random swaps: Fraenti &
Kivijaervi 2000; splits and merges: Ueda et al. 2000).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.em.reseeding import reseed
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable


@dataclass(frozen=True, eq=False)
class Round:
    """A result, and candidates made from it by moving some components. The caller runs EM from each candidate.

    Attributes
    ----------
    before : EMResult
        The result that the candidates were made from.
    candidates : list of MixtureParameters
    """

    before: EMResult
    candidates: list[MixtureParameters]

    @classmethod
    def place(
        cls,
        before: EMResult,
        removals: Iterable[Sequence[int]],
        sample: ArrayTable,
        rng: np.random.Generator,
    ) -> Round | None:
        """Make a candidate for each group of components to take away; None if no row of the sample has weight."""
        placed = [reseed(before.parameters, components, sample, rng) for components in removals]
        candidates = [candidate for candidate in placed if candidate is not None]
        return cls(before, candidates) if candidates else None

    def keep_better(self, after: EMResult) -> EMResult:
        """Return the result of EM from a candidate if it is at least as likely, else the result from before."""
        return after if after.lower_bound >= self.before.lower_bound else self.before
