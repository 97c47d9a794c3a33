"""Log-densities of a table's rows against those of rows drawn from the mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.description.fit import FAIR, GOOD, POOR
from gmm_spark.core.drift.reference import QUANTILES
from gmm_spark.core.formatting import say_share, show_number
from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram, bin_weights
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk, rows_per_chunk

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


def compare_densities(parameters: MixtureParameters, rows: LogDensityHistogram, seed: int = 0) -> DensityComparison:
    """Compare the log-densities of a table's rows with those of rows drawn from the mixture.

    Parameters
    ----------
    parameters : MixtureParameters
    rows : LogDensityHistogram
        Of the table's rows under this mixture: ``Portrait.log_densities``, or what a model keeps of its training rows.
    seed : int
        Of the rows that are drawn: up to 50,000.
    """
    drawn = draw_densities(parameters, rows.ceiling, seed)
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
    parameters: MixtureParameters, ceiling: float, seed: int = 0, rows: int = _ROWS
) -> LogDensityHistogram:
    """Draw so many rows from a mixture, and make the histogram of their log-densities, below a ceiling, nats.

    Of many features fewer rows are drawn.
    """
    d = parameters.n_features
    n = int(np.clip(_NUMBERS // d, 1000, rows))
    counts = component_counts(parameters, n, seed)
    weights = np.zeros(N_BINS)
    for chunk in range(-(-n // rows_per_chunk(parameters))):
        found = draw_chunk(parameters, counts, seed, chunk)[0]
        for start in range(0, found.shape[1], _AT_A_TIME):
            part = log_density(parameters, np.ascontiguousarray(found[:, start : start + _AT_A_TIME]))
            weights += bin_weights(ceiling - part, np.ones(len(part)))
    return LogDensityHistogram(ceiling, weights)
