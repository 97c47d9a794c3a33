"""Thresholds of anomalies by pattern: the log-density below which a row of a pattern is as odd as an anomaly is.

Densities over different features cannot be compared, so each pattern has its own threshold. If the training rows had
rows enough of a pattern, it is their quantile. Of other patterns it is derived from the quantile of a pattern that had,
by what the mixture says of both:

- The share of a mixture's own rows below a log-density t is, if components lie apart, ``sum_j w_j P(chi2_g > 2 (c_j -
  t))``, where c_j is the log-density's peak in component j. Overlap makes it less; by how much is found by rows drawn
  from the mixture.
- Training rows have heavier tails than a mixture of Gaussians. So the components are given the tails of Student's t, of
  as many degrees of freedom as put the wanted share of rows below the quantile that is known. A marginal of Student's t
  has the same degrees of freedom: they go over to the pattern whose threshold is sought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, gammaincc

from gmm_spark.core.arrays import Array, Block, has_missing
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.missing.few_rows import look_at_few
from gmm_spark.core.missing.marginals import Marginal, Marginals, group_rows
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk
from gmm_spark.errors import ParameterError

# Rows below a quantile that must be known for it to be one; of the training rows, and of rows drawn.
ROWS_BELOW = 10
_DRAWN_BELOW = 64
# Rows that are drawn, and numbers at most.
_DRAWN_ROWS, _DRAWN_NUMBERS = 4096, 1 << 22
_SEED = 0
# Degrees of freedom: the fewest that are looked for, and the most that differ from a Gaussian's.
_FEWEST, _MOST = 0.05, 1e5


@dataclass(frozen=True)
class Tails:
    """How rows of a mixture spread below its peaks, of some pattern; see the module's head.

    Attributes
    ----------
    level : float
        Share of the rows that are no more likely than the threshold.
    freedom : float
        Degrees of freedom; infinite for those of Gaussians.
    """

    level: float
    freedom: float


@dataclass(eq=False)
class Thresholds:
    """Finds the threshold of each pattern for one share of the training rows; keeps what it has found.

    Parameters
    ----------
    marginals : Marginals
    fraction : float
        Share of the training rows, by weight, that are anomalies.
    known : mapping of bytes to LogDensityHistogram
        Of the training rows of a pattern; at least that of one.
    """

    marginals: Marginals
    fraction: float
    known: Mapping[bytes, LogDensityHistogram]
    _found: dict[bytes, float] = field(default_factory=dict)
    _tails: Tails | None = None
    _drawn: Array | None = None

    @classmethod
    def of_training(
        cls,
        marginals: Marginals,
        fraction: float,
        complete: LogDensityHistogram | None,
        by_pattern: Mapping[bytes, LogDensityHistogram] | None = None,
    ) -> Thresholds:
        """Find thresholds by the log-densities of training rows: of complete ones, and of those of other patterns.

        Raises
        ------
        ParameterError
            If the mixture has noise, whose density is the same everywhere: then there are no tails to go by.
        """
        if marginals.parameters.noise is not None:
            raise ParameterError(
                "the mixture has noise, and missing values are to be scored: no row is less likely than noise, so no "
                "threshold of anomalies can be derived; leave anomalyCol and reasonsCol empty, and take noise for them"
            )
        known = dict(by_pattern or {})
        return cls(marginals, fraction, known if complete is None else {marginals.whole: complete, **known})

    def of(self, marginal: Marginal) -> float:
        """Return the threshold of a pattern, nats."""
        found = self._found.get(marginal.pattern)
        if found is None:
            found = self._found[marginal.pattern] = self._find(marginal)
        return found

    def find_anomalies(self, rows: Block, log_density: Array) -> NDArray[np.bool_]:
        """Find the rows (d, m), with NaN for missing values, of which the log-density (m,) is below the threshold."""
        if not has_missing(rows):
            return log_density < self.of(self.marginals.of(self.marginals.whole))
        odd = np.zeros(rows.shape[1], bool)
        groups = group_rows(rows)
        for pattern, at in groups.common:
            odd[at] = log_density[at] < self.of(self.marginals.of(pattern))
        if len(groups.few):
            doubtful = groups.few[self._find_doubtful(rows[:, groups.few], log_density[groups.few])]
            for pattern, own in group_rows(rows[:, doubtful], 0).common:
                at = doubtful[own]
                odd[at] = log_density[at] < self.of(self.marginals.of(pattern))
        return odd

    def _find_doubtful(self, rows: Block, log_density: Array) -> NDArray[np.intp]:
        """Find the rows that may be anomalies, by a bound that takes no factor of their own patterns."""
        tails, least = self._read_tails(), _least_overlap(self.marginals.parameters)
        share = np.empty(len(log_density))
        for part in look_at_few(self.marginals.parameters, rows):
            observed = np.count_nonzero(~np.isnan(rows[:, part.at]), axis=0)
            bound = bound_share(part.peaks, log_density[part.at], observed, tails.freedom)
            share[part.at] = least * (self.marginals.parameters.weights @ bound)
        known = [pattern for pattern in self.known if any(pattern)]
        found = share < tails.level
        if known:  # whose thresholds are not derived
            for pattern, at in group_rows(rows, 0).common:
                found[at] |= pattern in self.known
        return np.flatnonzero(found)

    def is_known(self, pattern: bytes) -> bool:
        """Tell whether a threshold comes from training rows of the same pattern."""
        own = self.known.get(pattern)
        return own is not None and (pattern == self._reference or own.weights.sum() * self.fraction >= ROWS_BELOW)

    def _find(self, marginal: Marginal) -> float:
        if self.is_known(marginal.pattern):
            return self.known[marginal.pattern].quantile(self.fraction)
        return self._spread(marginal).find_threshold(self._read_tails())

    def _read_tails(self) -> Tails:
        if self._tails is None:
            reference = self._reference
            at = self.known[reference].quantile(self.fraction)
            self._tails = self._spread(self.marginals.of(reference)).read_tails(at, self.fraction)
        return self._tails

    @property
    def _reference(self) -> bytes:
        """The pattern whose rows say how heavy tails are: complete rows, or else that of the most rows."""
        whole = self.marginals.whole
        return whole if whole in self.known else max(self.known, key=lambda one: (self.known[one].weights.sum(), one))

    def _spread(self, marginal: Marginal) -> _Spread:
        if self._drawn is None:
            self._drawn = _draw(self.marginals.parameters)
        drawn = self._drawn if marginal.is_whole else self._drawn[marginal.observed]
        return _Spread(marginal.parameters, np.sort(log_density(marginal.parameters, drawn)))


@dataclass(frozen=True, eq=False)
class _Spread:
    """How the log-densities of a mixture's own rows spread."""

    parameters: MixtureParameters
    drawn: Array
    """Log-densities of rows drawn from it, ascending."""

    def read_tails(self, at: float, fraction: float) -> Tails:
        """Find the tails that put a share of the rows below a log-density; not lighter ones than Gaussians have."""
        overlap = self._overlap(fraction)
        expected = float(np.searchsorted(self.drawn, at)) / len(self.drawn)
        if expected * len(self.drawn) < _DRAWN_BELOW:
            expected = overlap * self._share_below(at, np.inf)
        if expected >= fraction:
            return Tails(expected, np.inf)

        def excess(log_freedom: float) -> float:
            return overlap * self._share_below(at, float(np.exp(log_freedom))) - fraction

        low, high = np.log(_FEWEST), np.log(_MOST)
        if excess(low) <= 0:
            return Tails(fraction, _FEWEST)
        return Tails(fraction, np.inf if excess(high) >= 0 else float(np.exp(brentq(excess, low, high, xtol=1e-10))))

    def find_threshold(self, tails: Tails) -> float:
        """Find the log-density that a share of the rows lies below."""
        quantile = float(np.quantile(self.drawn, tails.level))
        if np.isinf(tails.freedom) and tails.level * len(self.drawn) >= _DRAWN_BELOW:
            return quantile
        overlap = self._overlap(tails.level)

        def excess(depth: float) -> float:
            return overlap * self._share_below(peak - depth, tails.freedom) - tails.level

        peak, depth = float(self.parameters.log_normalisers.max()), 1.0
        if excess(0.0) <= 0:
            return quantile
        while excess(depth) > 0:
            depth *= 2
        return peak - float(brentq(excess, 0.0, depth, xtol=1e-12, rtol=1e-12))

    def _overlap(self, level: float) -> float:
        """Estimate which part of the bound a share is, where so many of the drawn rows lie below that it can be."""
        level = max(level, _DRAWN_BELOW / len(self.drawn))
        found = level / self._share_below(float(np.quantile(self.drawn, level)), np.inf)
        return min(max(found, _least_overlap(self.parameters)), 1.0)

    def _share_below(self, at: float, freedom: float) -> float:
        """Bound the share of rows below a log-density: what it is if components lie apart."""
        shares = bound_share(self.parameters.log_normalisers, at, self.parameters.n_features, freedom)
        return float(self.parameters.weights @ shares)


def count_measured(
    complete: LogDensityHistogram | None, by_pattern: Mapping[bytes, LogDensityHistogram], fraction: float
) -> int:
    """Count the patterns of missing values whose own training rows are enough for their threshold to be measured."""
    least = ROWS_BELOW / fraction
    totals = [float(one.weights.sum()) for one in by_pattern.values()]
    found = sum(total >= least for total in totals)
    # Without complete rows the most frequent pattern is what others are derived from, and has its quantile.
    return found or int(complete is None and bool(totals))


def bound_share(peaks: Array, at: Array | float, observed: NDArray[np.intp] | int, freedom: float) -> Array:
    """Bound the share of each component's rows below a log-density, in the shape of the peaks: if it lies apart.

    Parameters
    ----------
    peaks : array (k,) or (k, m)
        Log of weight times density at the component's mean, nats.
    at : array (m,) or float
        Log-densities.
    observed : array (m,) or int
        Observed features.
    freedom : float
        Degrees of freedom.
    """
    with np.errstate(over="ignore"):
        half_square = np.maximum(peaks - at, 0.0)
        if np.isinf(freedom):
            return np.asarray(gammaincc(np.asarray(observed) / 2, half_square))
        return np.asarray(betainc(freedom / 2, np.asarray(observed) / 2, freedom / (freedom + 2 * half_square)))


def _least_overlap(parameters: MixtureParameters) -> float:
    """Return the least part of the bound that a share is taken for. It is about 1 / k if all components are alike."""
    return 1 / (4 * parameters.n_components)


def _draw(parameters: MixtureParameters) -> Array:
    """Draw rows from a mixture, always the same."""
    n = max(min(_DRAWN_ROWS, _DRAWN_NUMBERS // parameters.n_features), 4 * _DRAWN_BELOW)
    return draw_chunk(parameters, component_counts(parameters, n, _SEED), _SEED, 0)[0]
