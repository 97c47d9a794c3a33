"""Log-densities of a table's rows against those of rows drawn from the mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.description.fit import FAIR, GOOD, POOR
from gmm_spark.core.drift.reference import QUANTILES
from gmm_spark.core.formatting import say_share, show_number
from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram, bin_weights
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.scorer import IncompleteScorer
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk, rows_per_chunk
from gmm_spark.core.portrait.observed import Observed
from gmm_spark.core.randomness import Purpose, random_stream

# Rows to draw, and numbers in them at most.
_ROWS, _NUMBERS = 50_000, 5_000_000
# Rows that are evaluated at a time.
_AT_A_TIME = 8192
# Largest difference of the cumulative shares up to which the two are alike, and nearly alike.
_GOOD_UP_TO, _FAIR_UP_TO = 0.03, 0.10


@dataclass(frozen=True, eq=False)
class DensityComparison:
    """How likely rows are, and how likely rows drawn from the mixture would be.

    Attributes
    ----------
    rows, drawn : LogDensityHistogram
    quantiles : array (5, 3)
        Shares q, and the log-densities, nats, below which a share q of the rows and of the drawn rows lies.
    gap : float
        Largest difference of the cumulative shares (Kolmogorov-Smirnov).
    below : float
        Share of the rows that are less likely than all but one in a hundred of the drawn: 0.01 if they are alike.
    verdict : {"good", "fair", "poor"}
        Of the gap: good up to 0.03, fair up to 0.10.
    sentence : str
        What the two shares say, in words.
    """

    rows: LogDensityHistogram
    drawn: LogDensityHistogram
    quantiles: Array
    gap: float
    below: float
    verdict: str
    sentence: str


def compare_densities(
    parameters: MixtureParameters, rows: LogDensityHistogram, seed: int = 0, observed: Observed | None = None
) -> DensityComparison:
    """Compare the log-densities of a table's rows with those of rows drawn from the mixture.

    Parameters
    ----------
    parameters : MixtureParameters
    rows : LogDensityHistogram
        Of the table's rows under this mixture: ``Portrait.log_densities``, or what a model keeps of its training rows.
    seed : int
        Of the rows that are drawn: up to 50,000.
    observed : Observed, optional
        If values are missing in the table: ``Portrait.observed``. Drawn rows then lack what the table's rows lack, as
        often in each component.
    """
    drawn = draw_densities(parameters, rows.ceiling, seed, observed)
    quantiles = np.array([(q, rows.quantile(q), drawn.quantile(q)) for q in QUANTILES])
    gap, below = compare_cumulatively(rows, drawn)
    verdict = GOOD if gap <= _GOOD_UP_TO else FAIR if gap <= _FAIR_UP_TO else POOR
    alike = {
        GOOD: "The rows are about as likely as rows drawn from the mixture",
        FAIR: "The rows are nearly as likely as rows drawn from the mixture",
        POOR: "The rows are not as likely as rows drawn from the mixture: it describes another distribution",
    }[verdict]
    median = float(quantiles[QUANTILES.index(0.5), 1] - quantiles[QUANTILES.index(0.5), 2])
    # Rows of noise tie: a share below a threshold among them would be of one bin of the histogram, or of none.
    shares = ""
    if parameters.noise is None:
        shares = (
            f" 1 % of the drawn rows and {say_share(below)} of the table's have a log-density below "
            f"{show_number(drawn.quantile(0.01))} nats."
        )
    sentence = f"{alike}.{shares} The medians differ by {show_number(abs(median), 3)} nats."
    return DensityComparison(rows, drawn, quantiles, gap, below, verdict, sentence)


def compare_cumulatively(rows: LogDensityHistogram, drawn: LogDensityHistogram) -> tuple[float, float]:
    """Compare two distributions below one ceiling.

    Returns
    -------
    gap : float
        Largest difference of the cumulative shares (Kolmogorov-Smirnov).
    below : float
        Share of the rows that are less likely than all but one in a hundred of the drawn.
    """
    both = [np.cumsum(one.weights[::-1]) / one.weights.sum() for one in (rows, drawn)]  # from the least likely on
    return float(np.abs(both[0] - both[1]).max()), float(both[0][np.searchsorted(both[1], 0.01)])


def draw_densities(
    parameters: MixtureParameters,
    ceiling: float,
    seed: int = 0,
    observed: Observed | None = None,
    rows: int = _ROWS,
) -> LogDensityHistogram:
    """Draw so many rows from a mixture, and make the histogram of their log-densities, below a ceiling, nats.

    Of many features fewer rows are drawn. If it is known what is missing in a table, drawn rows lack the same.
    """
    d = parameters.n_features
    n = int(np.clip(_NUMBERS // d, 1000, rows))
    counts, lacking = component_counts(parameters, n, seed), None
    if observed is not None:
        counts, lacking = _draw_missing(observed, n, seed)
    weights = np.zeros(N_BINS)
    for chunk in range(-(-n // rows_per_chunk(parameters))):
        found = draw_chunk(parameters, counts, seed, chunk)[0]
        first = chunk * rows_per_chunk(parameters)
        if lacking is None:
            for start in range(0, found.shape[1], _AT_A_TIME):
                part = log_density(parameters, np.ascontiguousarray(found[:, start : start + _AT_A_TIME]))
                weights += bin_weights(ceiling - part, np.ones(len(part)))
        else:
            found[lacking[:, first : first + found.shape[1]]] = np.nan
            part = IncompleteScorer(Marginals(parameters)).score(found, prediction=False).log_density
            weights += bin_weights(ceiling - part, np.ones(len(part)))
    return LogDensityHistogram(ceiling, weights)


def _draw_missing(observed: Observed, n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw, for n rows ordered by component, what is missing of them.

    Returns
    -------
    counts : array (k,)
        Rows of each component.
    lacking : array (d, n)
        Whether the value of a feature is missing.
    """
    shares = observed.shares.T / observed.shares.sum()  # (k, q)
    counts = random_stream(seed, Purpose.COMPONENT_COUNTS).multinomial(n, shares.ravel()).reshape(shares.shape)
    patterns = np.repeat(np.tile(np.arange(shares.shape[1]), len(shares)), counts.ravel())
    return np.asarray(counts.sum(axis=1), np.int64), ~observed.has[patterns].T
