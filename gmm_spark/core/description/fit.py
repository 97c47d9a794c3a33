"""How well a mixture describes each feature by itself: the histogram of the rows against that of the mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.description.expected import expect_histograms
from gmm_spark.core.formatting import say_share, show_within
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError

GOOD, FAIR, POOR = VERDICTS = ("good", "fair", "poor")
# Share of the rows in other bins than the mixture says, beyond chance, up to which the fit is good, and fair.
_GOOD_UP_TO, _FAIR_UP_TO = 0.03, 0.10
# A peak has this many times the rows that the mixture says, and this share of all too many; so many of them are a comb.
_TIMES, _TOO_MANY, _COMB = 1.3, 0.005, 4
# Skewness from which on a logarithm is worth a try: that of an exponential distribution is 2.
_SKEWED = 1.5


@dataclass(frozen=True, eq=False)
class FeatureFit:
    """How well a mixture describes one feature.

    Attributes
    ----------
    feature : int
    name : str
    observed, expected : array (66,)
        Shares of the rows that have the feature, and of the mixture, by bin of ``Portrait.frame``; each sums to 1.
    misplaced : float
        Share of the rows that lie in other bins than the mixture says: half the sum of the absolute differences.
    by_chance : float
        What ``misplaced`` would be on average if as many rows had been drawn from the mixture.
    gap : float
        Largest difference of the cumulative shares, at the edges of the bins (Kolmogorov-Smirnov).
    verdict : {"good", "fair", "poor"}
        Of ``misplaced`` less ``by_chance``: good up to 0.03, fair up to 0.10.
    sentence : str
        The verdict in words, and where the two differ the most.
    remedy : str
        What may help; empty if the fit is good.
    missing : float
        Share of the rows in which the feature is missing.
    """

    feature: int
    name: str
    observed: Array
    expected: Array
    misplaced: float
    by_chance: float
    gap: float
    verdict: str
    sentence: str
    remedy: str
    missing: float = 0.0


def judge_features(
    parameters: MixtureParameters, portrait: Portrait, effective_rows: float | None = None
) -> tuple[FeatureFit, ...]:
    """Judge how well a mixture describes each feature, in the order of the features.

    If values are missing, the rows that have a feature are compared with the components as they are among these rows. A
    feature that no row has is left out.

    Parameters
    ----------
    parameters : MixtureParameters
        In the table's own coordinates.
    portrait : Portrait
        Of the rows beside this mixture.
    effective_rows : float, optional
        Rows of equal weight that would say as much; by default the number of rows.

    Raises
    ------
    ParameterError
        If the portrait is one of another number of features.
    """
    if len(portrait.feature_names) != parameters.n_features:
        raise ParameterError(
            f"the portrait is of {len(portrait.feature_names)} feature(s) and the mixture of {parameters.n_features}"
        )
    n = portrait.rows if effective_rows is None else effective_rows
    expected = expect_histograms(parameters, portrait.frame, portrait.observed)
    edges, counts = portrait.frame.edges, portrait.histograms
    if portrait.observed is None:
        missing, totals = np.zeros(len(counts)), np.full(len(counts), portrait.weight_sum)
    else:
        missing, totals = portrait.observed.missing, counts.sum(axis=1)
    return tuple(
        judge_feature(i, name, counts[i] / totals[i], expected[i], edges[i], n, float(missing[i]))
        for i, name in enumerate(portrait.feature_names)
        if totals[i] > 0
    )


def judge_feature(
    i: int, name: str, observed: Array, expected: Array, edges: Array, n: float, missing: float = 0.0
) -> FeatureFit:
    """Judge how well a mixture describes one feature.

    Parameters
    ----------
    i : int
    name : str
    observed, expected : array (b + 1,)
        Shares of the rows, and of the mixture, in bins of which the first and last are open; each sums to 1.
    edges : array (b,)
        Of the bins.
    n : float
        Rows of equal weight, those in which the feature is missing among them.
    missing : float
        Share of the rows in which it is.
    """
    n *= 1 - missing
    misplaced = float(np.abs(observed - expected).sum() / 2)
    # Mean absolute deviation of a count that is nearly Gaussian.
    by_chance = float(np.sqrt(2 / np.pi) * np.sqrt(expected * (1 - expected) / n).sum() / 2)
    gap = float(np.abs(np.cumsum(observed - expected)[:-1]).max())
    beyond = misplaced - by_chance
    verdict = GOOD if beyond <= _GOOD_UP_TO else FAIR if beyond <= _FAIR_UP_TO else POOR
    how = {GOOD: "well", FAIR: "fairly well", POOR: "poorly"}[verdict]
    sentence = f"The mixture describes it {how}: {say_share(misplaced)} of the rows lie in other bins than it says."
    if verdict != GOOD:
        low, high = _find_stretch(observed - expected)
        where = _write_interval(low, high, edges)
        inside = slice(low, high + 1)
        sentence += (
            f" It is worst {where}: there are {say_share(float(observed[inside].sum()))} of the rows, and the mixture "
            f"says {say_share(float(expected[inside].sum()))}."
        )
    if missing > 0:
        sentence += f" It is missing in {say_share(missing)} of the rows, which are left out here."
    remedy = "" if verdict == GOOD else _find_remedy(name, observed, expected, edges)
    return FeatureFit(i, name, observed, expected, misplaced, by_chance, gap, verdict, sentence, remedy, missing)


def _find_remedy(name: str, observed: Array, expected: Array, edges: Array) -> str:
    """Say what may help: that depends on whether the rows sit in narrow peaks, in a long tail, or elsewhere."""
    around = np.pad(observed, 1, constant_values=np.inf)  # the outer bins have no width: they are no peaks
    is_peak = (observed > around[:-2]) & (observed > around[2:])
    is_peak &= (observed > _TIMES * expected) & (observed - expected > _TOO_MANY)
    if np.count_nonzero(is_peak) >= _COMB:
        return (
            f"The rows sit in narrow peaks of {name}, as if it had few values. If clusters matter, leave it as it is: "
            "between the peaks the density is a guess. If the density matters, leave the feature out, or try many more "
            "components."
        )
    middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    mean = observed @ middles
    spread = np.sqrt(observed @ (middles - mean) ** 2)
    skewness = observed @ (middles - mean) ** 3 / spread**3 if spread > 0 else 0.0
    if abs(skewness) >= _SKEWED:
        side, what = ("right", name) if skewness > 0 else ("left", f"its distance from the largest {name}")
        return (
            f"{name} has a long tail to the {side}: try more components, or fit the logarithm of {what} (shifted to be "
            "positive)."
        )
    return f"Try more components: {name} may have groups of rows that share one now."


def _find_stretch(difference: Array) -> tuple[int, int]:
    """Find the run of bins in which the sum of the differences is largest in size: its first and last bin."""
    cumulative = np.concatenate([[0.0], np.cumsum(difference)])
    at, other = sorted((int(cumulative.argmin()), int(cumulative.argmax())))
    return at, other - 1


def _write_interval(low: int, high: int, edges: Array) -> str:
    """Write the bins from one to another as an interval of the feature."""
    width = float(edges[1] - edges[0])
    if low == 0:
        return f"below {show_within(float(edges[high]), width)}"
    if high == len(edges):
        return f"from {show_within(float(edges[low - 1]), width)} on"
    return f"between {show_within(float(edges[low - 1]), width)} and {show_within(float(edges[high]), width)}"
