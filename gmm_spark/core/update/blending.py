"""Blending: what is known of the rows of several days, each day's at the weight that the mixture remembers it by.

A quiet day has few rows, and a Sunday other rows than a Monday. So thresholds of anomalies, and the profile that later
rows are compared with, are not of today's rows alone. A row of an earlier day keeps the log-density that it had under
the mixture of its own day: earlier rows are not read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gmm_spark.core.drift.reference import QUANTILES, TrainingProfile
from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram
from gmm_spark.core.missing.evaluation import MOST_HISTOGRAMS
from gmm_spark.core.missing.patterns import observed_features
from gmm_spark.core.mixture.parameters import MixtureParameters


@dataclass(frozen=True)
class Known:
    """What is known of the rows of a mixture, beside the mixture.

    Attributes
    ----------
    parameters : MixtureParameters
    log_densities : mapping of bytes to LogDensityHistogram
        Of its rows, by pattern of missing values.
    profile : TrainingProfile or None
    weight : float
        What the rows weigh now, all together.
    """

    parameters: MixtureParameters
    log_densities: Mapping[bytes, LogDensityHistogram]
    profile: TrainingProfile | None
    weight: float


def blend_log_densities(before: Known, today: Known, factors: tuple[float, float]) -> dict[bytes, LogDensityHistogram]:
    """Blend the log-densities of earlier rows and of today's, by pattern of missing values.

    Parameters
    ----------
    before, today : Known
    factors : tuple of float
        What a row's weight in the earlier histograms is multiplied by, and what in today's.

    Returns
    -------
    dict of bytes to LogDensityHistogram
        Of very many patterns, those whose rows weigh most.
    """
    found = {}
    for pattern in {**before.log_densities, **today.log_densities}:
        both = before.log_densities.get(pattern), today.log_densities.get(pattern)
        ceiling = max(one.ceiling for one in both if one is not None)
        weights = np.zeros(N_BINS)
        for of_today, one in enumerate(both):
            if one is None:
                continue
            one = one.under(ceiling)
            if not of_today:
                one = _move_noise(one, before.parameters, today.parameters, pattern)
            weights += factors[of_today] * one.weights
        if weights.any():  # not forgotten altogether
            found[pattern] = LogDensityHistogram(ceiling, weights)
    kept = sorted(found, key=lambda one: (any(one), -float(found[one].weights.sum()), one))[:MOST_HISTOGRAMS]
    return {pattern: found[pattern] for pattern in kept}


def blend_profiles(before: Known, today: Known, log_densities: LogDensityHistogram | None) -> TrainingProfile | None:
    """Blend the profiles of earlier rows and of today's; None if either is not known.

    Means, spreads and shares are exactly those of all rows, at their weights. Of quartiles, which come from samples, it
    is the mean. The least and greatest values are those of all rows that were ever counted. The steps that values are
    rounded to are today's.

    Parameters
    ----------
    before, today : Known
    log_densities : LogDensityHistogram or None
        Blended, of complete rows.
    """
    old, new = before.profile, today.profile
    if old is None or new is None or log_densities is None:
        return None
    total = before.weight + today.weight
    share = before.weight / total  # of the weight, that earlier rows have
    decayed = share / (1 - share) * new.rows  # earlier rows, counted at what they weigh beside one of today
    of_rows = decayed / (decayed + new.rows)

    def mean_of(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return share * one + (1 - share) * other

    means = mean_of(old.means, new.means)
    squares = mean_of(old.spreads**2 + (old.means - means) ** 2, new.spreads**2 + (new.means - means) ** 2)
    edges = [log_densities.find_edge(q) for q in QUANTILES]
    return replace(
        new,
        rows=decayed + new.rows,
        bad_rows=decayed * old.bad_rows / old.rows + new.bad_rows,
        effective_rows=1 / (share**2 / old.effective_rows + (1 - share) ** 2 / new.effective_rows),
        shares=of_rows * old.shares + (1 - of_rows) * new.shares,
        mean_log_density=float(share * old.mean_log_density + (1 - share) * new.mean_log_density),
        log_density_spread=log_densities.deviation,
        thresholds=np.array([threshold for threshold, _ in edges]),
        shares_below=np.array([below for _, below in edges]),
        means=means,
        spreads=np.sqrt(squares),
        quartiles=mean_of(old.quartiles, new.quartiles),
        lows=None if old.lows is None or new.lows is None else np.minimum(old.lows, new.lows),
        highs=None if old.highs is None or new.highs is None else np.maximum(old.highs, new.highs),
    )


def _move_noise(
    histogram: LogDensityHistogram, before: MixtureParameters, after: MixtureParameters, pattern: bytes
) -> LogDensityHistogram:
    """Give rows that were noise the log-density that noise has now: no row is less likely than that.

    Else the height of noise, which changes with its weight, would set earlier rows of noise apart from today's.
    """
    if before.noise is None or after.noise is None:
        return histogram
    observed = observed_features(pattern, before.n_features)
    old, new = (one.of_features(observed).log_height for one in (before.noise, after.noise))
    return histogram.with_floor(old, new)
