"""From the sums over what was observed to the sums over complete rows that the M step needs (Ghahramani & Jordan 1994).

Of a component, given a row's observed features, the missing ones have the mean mu_m + B (x_o - mu_o) and the covariance
C, where B holds the slopes of the regression on the observed. Expectations are linear in x_o and x_o x_o^T, so the rows
of one pattern are needed only through three sums about the component's mean: s, the summed responsibilities, f, of
x_o - mu_o, and S, of its outer products. Completed these are:

- first: f on the observed features, B f on the missing ones.
- second: S on observed pairs, B S on mixed ones, B S B^T + s C on missing ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.missing.patterns import observed_features
from gmm_spark.core.mixture.conditioning import Split
from gmm_spark.core.mixture.parameters import MixtureParameters


@dataclass(frozen=True, eq=False)
class Completion:
    """What the observed features of a pattern say of the missing ones, under one candidate.

    Attributes
    ----------
    candidate : MixtureParameters
        Of all d features.
    split : Split or None
        Into the observed features and the rest; None if nothing is missing.
    """

    candidate: MixtureParameters
    split: Split | None

    @classmethod
    def of(cls, candidate: MixtureParameters, pattern: bytes) -> Completion:
        """Split a candidate's features by a pattern, under which at least one feature is observed."""
        observed = observed_features(pattern, candidate.n_features)
        whole = len(observed) == candidate.n_features
        return cls(candidate, None if whole else Split.of(candidate, observed.tolist()))

    @property
    def marginal(self) -> MixtureParameters:
        """The mixture of the observed features."""
        return self.candidate if self.split is None else self.split.marginal

    def complete(self, found: SufficientStatistics) -> SufficientStatistics:
        """Complete the statistics of the observed features; the result is about the component's means.

        Parameters
        ----------
        found : SufficientStatistics
            Made under :attr:`marginal`, about any points.
        """
        about_means = _move(found, self.marginal)
        if self.split is None:
            return about_means
        split, (k, d) = self.split, self.candidate.means.shape
        first = np.zeros((k, d))
        first[:, split.given] = about_means.first
        if split.slopes is not None:
            first[:, split.rest] = np.einsum("krg,kg->kr", split.slopes, about_means.first)
        second = self._complete_second(split, about_means)
        return replace(about_means, reference=self.candidate.means, first=first, second=second)

    def _complete_second(self, split: Split, found: SufficientStatistics) -> Array:
        structure, (k, d) = self.candidate.structure, self.candidate.means.shape
        given, rest, observed = split.given, split.rest, found.second
        if split.slopes is None or split.covariances is None:
            expected = np.zeros((k, d))
            expected[:, rest] = found.resp_sum[:, None] * split.variances
            second = np.array(structure.project(expected))
            if second.shape == observed.shape:  # without an axis of features
                return second + observed
            second[..., given] += observed
            return second
        slopes = split.slopes[0] if structure.pooled else split.slopes
        mixed = slopes @ observed
        second = np.empty(structure.shape(k, d))
        second[..., given[:, None], given] = observed
        second[..., rest[:, None], given] = mixed
        second[..., given[:, None], rest] = np.swapaxes(mixed, -1, -2)
        spread = structure.project(found.resp_sum[:, None, None] * split.covariances)
        within = mixed @ np.swapaxes(slopes, -1, -2) + spread
        second[..., rest[:, None], rest] = (within + np.swapaxes(within, -1, -2)) / 2
        return second


def _move(found: SufficientStatistics, parameters: MixtureParameters) -> SufficientStatistics:
    """Move statistics to be about the means of a mixture."""
    offsets = parameters.means - found.reference
    if not offsets.any():
        return found
    shifted = found.resp_sum[:, None] * offsets
    if parameters.structure.axis_aligned:
        change = offsets * (shifted - 2 * found.first)
    else:
        crossed = offsets[:, :, None] * found.first[:, None, :]
        change = shifted[:, :, None] * offsets[:, None, :] - crossed - np.swapaxes(crossed, 1, 2)
    second = found.second + parameters.structure.project(change)
    return replace(found, reference=parameters.means, first=found.first - shifted, second=second)
